//! `lowlight query`, and the filters it shares with other commands.

use super::args::{Cli, QueryArgs};
use super::{Failure, Outcome, load_config, open_log, stdout, text, time_argument};
use crate::import::made_devices;
use crate::redact::Redactor;
use crate::store::{Filter, Reader, StoreError};
use crate::view::{View, Views};
use lowlight_core::FieldId;
use rusqlite::types::{Value, ValueRef};
use std::io::Write;

/// Records shown as text unless told otherwise.
const DEFAULT_LIMIT: u64 = 50;

/// What to select.
#[derive(Debug, Clone, Default)]
pub(super) struct Conditions {
    pub since: Option<i64>,
    pub until: Option<i64>,
    pub user: Option<String>,
    pub model: Option<String>,
    pub status: Option<String>,
    pub operation: Option<String>,
    pub session: Option<String>,
    pub correlation_id: Option<String>,
    pub trace: Option<String>,
    pub contains: Option<String>,
    /// Entries of the recorder itself as well.
    pub all: bool,
}

impl Conditions {
    /// As a condition over the columns of `entry`.
    pub fn filter(&self) -> Filter {
        let mut filter = Filter::default();
        if !self.all {
            filter.and("kind IN (1, 2, 3)", []);
        }
        let text = |text: &String| Value::Text(text.clone());
        if let Some(since) = self.since {
            filter.and("recorded >= ?", [Value::Integer(since)]);
        }
        if let Some(until) = self.until {
            filter.and("recorded < ?", [Value::Integer(until)]);
        }
        if let Some(model) = &self.model {
            filter.and("model = ?", [text(model)]);
        }
        if let Some(status) = &self.status {
            filter.and("status = ? OR outcome = ?", [text(status), text(status)]);
        }
        if let Some(operation) = &self.operation {
            filter.and("operation = ?", [text(operation)]);
        }
        if let Some(trace) = &self.trace {
            filter.and("trace_id = ?", [text(trace)]);
        }
        let fields = [(FieldId::ACTOR, &self.user), (FieldId::SESSION_ID, &self.session), (FieldId::CORRELATION_ID, &self.correlation_id)];
        for (field, value) in fields {
            if let Some(value) = value {
                let is_equal = "EXISTS (SELECT 1 FROM content NOT INDEXED WHERE content.id = entry.seq * 64 + ? AND value = ?)";
                filter.and(is_equal, [Value::Integer(field.get().into()), text(value)]);
            }
        }
        if let Some(contains) = &self.contains {
            let any = "EXISTS (SELECT 1 FROM content NOT INDEXED WHERE content.id >= entry.seq * 64 AND content.id < entry.seq * 64 + 64 AND instr(value, ?) > 0)";
            filter.and(any, [text(contains)]);
        }
        filter
    }

    /// What is stored is redacted: a text that redaction would change can never be found.
    pub fn check(&self, cli: &Cli) -> Result<(), Failure> {
        let redaction = load_config(cli)?.config.redaction();
        if !redaction.enabled {
            return Ok(());
        }
        let redactor = Redactor::new(&redaction).map_err(crate::recorder::RecorderError::from)?;
        let texts = [
            ("user", &self.user),
            ("model", &self.model),
            ("status", &self.status),
            ("operation", &self.operation),
            ("session", &self.session),
            ("correlation-id", &self.correlation_id),
            ("trace", &self.trace),
            ("contains", &self.contains),
        ];
        for (name, text) in texts {
            if text.as_ref().is_some_and(|text| redactor.would_change(text)) {
                let why = "holds something that is redacted before it is stored, so it cannot be found; use another filter, or an allow list when recording";
                return Err(Failure::Usage(format!("--{name} {why}")));
            }
        }
        Ok(())
    }
}

pub(super) fn run(cli: &Cli, args: &QueryArgs) -> Outcome {
    let mut reader = open_log(cli, &args.device)?;
    if let Some(sql) = &args.sql {
        return run_sql(cli, &mut reader, sql);
    }
    let conditions = Conditions {
        since: time_argument("since", args.range.since.as_deref())?,
        until: time_argument("until", args.range.until.as_deref())?,
        user: args.user.clone(),
        model: args.model.clone(),
        status: args.status.clone(),
        operation: args.operation.clone(),
        session: args.session.clone(),
        correlation_id: None,
        trace: args.trace.clone(),
        contains: args.contains.clone(),
        all: args.all,
    };
    if let (Some(since), Some(until)) = (conditions.since, conditions.until)
        && since >= until
    {
        return Err(Failure::Usage("--since is not before --until: no record can match".to_owned()));
    }
    conditions.check(cli)?;
    let limit = args.limit.or((!cli.json).then_some(DEFAULT_LIMIT));
    let mut out = stdout();
    let (shown, more) = list(&reader, &conditions, limit, cli.json, &mut out)?;
    if !cli.json {
        if shown == 0 {
            let devices = if args.device.device.is_none() { made_devices(&cli.path).count() } else { 0 };
            let there = if devices > 0 { "; those of devices are listed with --device ID, see `lowlight stats`" } else { "" };
            writeln!(out, "no records match{there}")?;
        } else if more && args.limit.is_none() {
            writeln!(out, "the newest {shown} are shown; --limit N shows more")?;
        }
    }
    out.flush()?;
    Ok(0)
}

/// Prints the newest `limit` matching entries, oldest first; says how many, and whether there are more.
pub(super) fn list(
    reader: &Reader,
    conditions: &Conditions,
    limit: Option<u64>,
    json: bool,
    out: &mut impl Write,
) -> Result<(u64, bool), Failure> {
    let filter = conditions.filter();
    let end = reader.tip().size;
    let (first, more) = match limit {
        Some(limit) => reader.newest(&filter, limit)?,
        None => (0, false),
    };
    let mut shown = 0;
    if limit != Some(0) {
        for view in Views::new(reader.rest(first, &filter, true)) {
            let view = view?;
            if view.seq >= end {
                continue;
            }
            print(&view, json, out)?;
            shown += 1;
        }
    }
    Ok((shown, more))
}

/// One entry on one line.
pub(super) fn print(view: &View, json: bool, out: &mut impl Write) -> std::io::Result<()> {
    if json {
        return writeln!(out, "{}", view.to_json());
    }
    let text = |name| view.text(name).unwrap_or_default();
    let time = match view.since_start {
        Some(nanoseconds) => format!("+{} s", crate::view::decimal(nanoseconds / 1_000_000, 3)),
        None => text("recorded").chars().take(19).collect(),
    };
    write!(out, "{:>6}  {time:<19}  {:<9}", view.seq, view.kind.name())?;
    for name in ["model", "event_type", "level", "status", "outcome"] {
        if let Some(value) = view.text(name) {
            write!(out, "  {}", text::shorten(&value, 40))?;
        }
    }
    if let Some(latency) = view.text("latency_ms") {
        write!(out, "  {latency} ms")?;
    }
    if let Some(user) = view.text("user") {
        write!(out, "  {}", text::shorten(&user, 24))?;
    }
    for name in ["prompt", "response", "message", "error", "event"] {
        if let Some(value) = view.text(name) {
            write!(out, "  {name}: {}", text::shorten(&value, 60))?;
        }
    }
    writeln!(out)
}

fn run_sql(cli: &Cli, reader: &mut Reader, sql: &str) -> Outcome {
    let mut out = stdout();
    select(reader, sql, cli.json, &mut out)?;
    out.flush()?;
    Ok(0)
}

/// Prints what a statement selects; refuses all that does more than read.
pub(crate) fn select(reader: &mut Reader, sql: &str, json: bool, out: &mut impl Write) -> Result<(), Failure> {
    let failed = |error: rusqlite::Error| Failure::Usage(format!("--sql: {error}"));
    if sql.trim().is_empty() {
        return Err(Failure::Usage("--sql: the statement is empty".to_owned()));
    }
    reader.restrict_sql().map_err(failed)?;
    let mut select = reader.connection().prepare(sql).map_err(failed)?;
    if !select.readonly() {
        return Err(Failure::Usage("--sql: only statements that read are allowed".to_owned()));
    }
    let names: Vec<String> = select.column_names().map(str::to_owned).collect();
    let mut rows = select.query([]).map_err(failed)?;
    if !json {
        writeln!(out, "{}", names.iter().map(|name| text::safe(name).into_owned()).collect::<Vec<_>>().join("\t"))?;
    }
    while let Some(row) = rows.next().map_err(failed)? {
        let mut cells = Vec::with_capacity(names.len());
        for (index, name) in names.iter().enumerate() {
            let value = row.get_ref(index).map_err(failed)?;
            cells.push(if json { format!("{}:{}", serde_json::Value::from(name.as_str()), sql_json(value)) } else { sql_text(value) });
        }
        if json {
            writeln!(out, "{{{}}}", cells.join(","))?;
        } else {
            writeln!(out, "{}", cells.join("\t"))?;
        }
    }
    Ok(())
}

fn sql_json(value: ValueRef<'_>) -> serde_json::Value {
    match value {
        ValueRef::Null => serde_json::Value::Null,
        ValueRef::Integer(number) => number.into(),
        ValueRef::Real(number) => serde_json::Number::from_f64(number).map_or(serde_json::Value::Null, serde_json::Value::Number),
        ValueRef::Text(bytes) => String::from_utf8_lossy(bytes).into_owned().into(),
        ValueRef::Blob(bytes) => crate::export::hex(bytes).into(),
    }
}

fn sql_text(value: ValueRef<'_>) -> String {
    match sql_json(value) {
        serde_json::Value::Null => String::new(),
        serde_json::Value::String(text) => text::safe(&text).into_owned(),
        other => other.to_string(),
    }
}

/// A store error about a query.
pub(super) fn sqlite(reader: &Reader, source: rusqlite::Error) -> Failure {
    Failure::Store(StoreError::from_sqlite(reader.path(), source))
}
