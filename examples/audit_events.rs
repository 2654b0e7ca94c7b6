//! Audit events: who did what to which thing, how it ended, and what it was before and after.
//!
//! `cargo run --example audit_events`

use lowlight_core::FieldId;
use lowlight_core::entry::Event;
use lowlight_host::store::{Filter, Reader};
use lowlight_host::view::Views;
use lowlight_host::{Outcome, Record, Recorder, verify};
use serde_json::json;
use std::error::Error;
use std::time::Duration;

fn main() -> Result<(), Box<dyn Error>> {
    let dir = tempfile::tempdir()?;
    let logs = dir.path().join("logs");
    let recorder = Recorder::builder(&logs).app("gateway").environment("plant-2").open()?;

    let login = Record::audit("auth.login")
        .actor("operator-7")
        .json(FieldId::ACTOR_METADATA, json!({ "shift": "early" }))
        .session("s-1041")
        .with_audit(|audit| {
            audit.outcome = Some("success");
            audit.auth_method = Some("badge");
        });
    recorder.record(login)?;

    let change = Record::audit("config.change")
        .actor("operator-7")
        .session("s-1041")
        .text(FieldId::RESOURCE_ID, "cold-store/upper")
        .text(FieldId::CORRELATION_ID, "c-88")
        .json(FieldId::BEFORE, json!({ "limit_c": 6 }))
        .json(FieldId::AFTER, json!({ "limit_c": 7 }))
        .with_audit(|audit| {
            audit.action = Some("set limit");
            audit.resource = Some("alarm_limit");
            audit.outcome = Some("success");
        });
    let ticket = recorder.record(change)?;
    // An audit event often must be on disk before the change is made.
    assert!(matches!(ticket.wait(), Outcome::Durable(_)));

    // A type that is not in the taxonomy is recorded and marked, not refused.
    let own = Record::audit("valve.opened").actor("operator-9");
    assert!(matches!(&own.event, Event::Audit(audit) if !audit.registered));
    recorder.record(own)?;
    // One that breaks the alphabet of event types is refused at the door.
    let refused = recorder.record(Record::audit("Valve Opened")).map(|_| ()).map_err(|error| error.to_string());
    println!("refused: {}", refused.as_ref().err().ok_or("was not refused")?);
    recorder.close(Duration::from_secs(5))?;

    let reader = Reader::open(&logs)?;
    let mut audits = Filter::default();
    audits.and("kind = 2", []);
    let mut types = Vec::new();
    for view in Views::new(reader.source(0..reader.tip().size, &audits, true)) {
        let view = view?;
        let text = |name| view.text(name).unwrap_or_else(|| "-".to_owned());
        println!("{} by {}: {} -> {}", text("event_type"), text("user"), text("before"), text("after"));
        types.push(text("event_type"));
    }
    assert_eq!(types, ["auth.login", "config.change", "valve.opened"]);

    // Plain SQL works on the same file: who changed what.
    let sql = "SELECT contents.value FROM entries JOIN contents USING (seq)
               WHERE event_type = 'config.change' AND field = 'after'";
    let after: String = reader.connection().query_row(sql, [], |row| row.get(0))?;
    assert_eq!(after, r#"{"limit_c":7}"#);

    let report = verify::log(&logs)?;
    println!("{}: {} records", report.verdict, report.records);
    assert_eq!((report.verdict, report.records), ("intact", 3));
    Ok(())
}
