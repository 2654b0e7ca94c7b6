//! What redaction takes out, what it leaves alone, a rule of one's own, and what the log says about it.
//!
//! `cargo run --example redaction`

use lowlight_host::redact::{Kind, RedactConfig, Redactor, RuleConfig};
use lowlight_host::store::{Filter, Reader};
use lowlight_host::view::Views;
use lowlight_host::{Record, Recorder};
use std::error::Error;
use std::time::Duration;

/// Lines with something to take out. The secrets are made up.
const TAKEN: [(&str, &str); 6] = [
    ("write to driver42@example.com", "write to [EMAIL_1]"),
    ("call +1 415 555 0132", "call [PHONE_1]"),
    ("IBAN DE89 3704 0044 0532 0130 00", "IBAN [IBAN_1]"),
    ("token ghp_NotARealTokenOnlyAnExample0123456789", "token [GITHUB_TOKEN_1]"),
    ("DB_PASSWORD=example-only-1", "DB_PASSWORD=[SECRET_1]"),
    ("reached 192.168.7.21 by ssh", "reached [IPV4_1] by ssh"),
];

/// Lines that only look like it.
const LEFT: [&str; 4] = [
    "epoch 1795347596456693892 and order 4111111111111112",
    "at 12:34:56 with version 10.0.2",
    "trace 01a2030e-44a9-7bd3-b39e-d3e5edc27098",
    "password: ${DB_PASSWORD}",
];

fn main() -> Result<(), Box<dyn Error>> {
    let redactor = Redactor::new(&RedactConfig::default())?;
    for (text, expected) in TAKEN {
        let redacted = redactor.session().text(text).into_owned();
        println!("{redacted}");
        assert_eq!(redacted, expected);
    }
    for text in LEFT {
        assert!(!redactor.would_change(text), "{text}");
        println!("{text}");
    }

    // A rule, a key name and an exception of one's own.
    let rule = RuleConfig { name: "delivery".to_owned(), pattern: r"D-\d{4}".to_owned(), keyword: Some("D-".to_owned()), checksum: None };
    let config = RedactConfig {
        keys: vec!["badge".to_owned()],
        allow: vec!["support@example.com".to_owned()],
        rules: vec![rule],
        ..RedactConfig::default()
    };

    let dir = tempfile::tempdir()?;
    let logs = dir.path().join("logs");
    let recorder = Recorder::builder(&logs).redact(config).open()?;
    let mut attributes = serde_json::Map::new();
    attributes.insert("badge".to_owned(), "blue 7".into());
    let record = Record::inference("phi-3-mini")
        .prompt("Is D-2207 late? Ask support@example.com or driver42@example.com.")
        .response("driver42@example.com says yes.")
        .attributes(attributes);
    recorder.record(record)?;
    recorder.close(Duration::from_secs(5))?;

    let reader = Reader::open(&logs)?;
    let mut inferences = Filter::default();
    inferences.and("kind = 1", []);
    let view = Views::new(reader.source(0..reader.tip().size, &inferences, true)).next().ok_or("no inference")??;
    for name in ["prompt", "response", "metadata"] {
        println!("{name}: {}", view.text(name).unwrap_or_default());
    }
    // One value has one number within a record.
    assert_eq!(view.text("prompt").as_deref(), Some("Is [DELIVERY_1] late? Ask support@example.com or [EMAIL_1]."));
    assert_eq!(view.text("response").as_deref(), Some("[EMAIL_1] says yes."));
    assert_eq!(view.text("metadata").as_deref(), Some(r#"{"badge":"[SECRET_1]"}"#));

    let sql = "SELECT redactions, redaction_kinds FROM entry WHERE kind = 1";
    let (spans, kinds): (i64, i64) = reader.connection().query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?)))?;
    println!("the entry says: {spans} replaced");
    assert_eq!(spans, 4);
    assert_eq!(kinds.cast_unsigned(), Kind::Email.bit() | Kind::Secret.bit() | Kind::Custom.bit());
    Ok(())
}
