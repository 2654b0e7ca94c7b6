//! `lowlight stats`: one pass over the log in constant memory.

use super::args::{Cli, DeviceArgs};
use super::query::sqlite;
use super::{Failure, Outcome, open_log, stdout, text};
use crate::checkpoints::{Checkpoints, newest_witnessed};
use crate::import::{DeviceStore, Stretch, devices, made_devices};
use crate::store::columns::Col;
use crate::store::{Layout, Reader};
use crate::view::decimal;
use lowlight_core::entry::codec::decode_event;
use lowlight_core::entry::{Event, GAP_REASONS, Kind, Lifecycle};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::io::Write;

/// Models told apart; the rest is counted together.
const MAX_MODELS: usize = 256;

/// Counts per power of two in 32 steps: any percentile within 1.6 %, in 16 KiB.
struct Histogram {
    counts: Vec<u64>,
    total: u64,
}

impl Histogram {
    const STEPS: u32 = 5;

    fn new() -> Self {
        Self { counts: vec![0; (64 - Self::STEPS as usize + 1) << Self::STEPS], total: 0 }
    }

    fn bucket(value: u64) -> usize {
        let octave = value.max(1).ilog2().saturating_sub(Self::STEPS);
        // At most 60 * 32 + 63, whatever the value.
        usize::try_from((u64::from(octave) << Self::STEPS) + (value >> octave)).unwrap_or(0)
    }

    fn add(&mut self, value: u64) {
        self.counts[Self::bucket(value)] += 1;
        self.total += 1;
    }

    /// The middle of the bucket that holds the given share of values.
    fn percentile(&self, percent: u64) -> Option<u64> {
        let rank = (self.total * percent).div_ceil(100).max(1);
        let mut seen = 0;
        let index = self.counts.iter().position(|count| {
            seen += count;
            seen >= rank
        })?;
        let (octave, step) = match index >> Self::STEPS {
            0 => (0, index as u64),
            octaves => (octaves - 1, (index - ((octaves - 1) << Self::STEPS)) as u64),
        };
        (self.total > 0).then(|| (step << octave) + ((1_u64 << octave) >> 1))
    }

    fn to_json(&self) -> Value {
        let at = |percent| self.percentile(percent).map_or(Value::Null, |ns| number(&decimal(ns / 1000, 3)));
        json!({ "count": self.total, "p50_ms": at(50), "p90_ms": at(90), "p99_ms": at(99) })
    }
}

fn number(text: &str) -> Value {
    text.parse::<serde_json::Number>().map_or(Value::Null, Value::Number)
}

struct Model {
    count: u64,
    failed: u64,
    duration: Histogram,
    ttft: Histogram,
    /// Input, output, cached, reasoning.
    tokens: [Option<u64>; 4],
    cost: u64,
    unpriced: u64,
}

impl Model {
    fn new() -> Self {
        let (duration, ttft) = (Histogram::new(), Histogram::new());
        Self { count: 0, failed: 0, duration, ttft, tokens: [None; 4], cost: 0, unpriced: 0 }
    }
}

pub(super) fn run(cli: &Cli, args: &DeviceArgs) -> Outcome {
    let reader = open_log(cli, args)?;
    let lost = losses(&reader)?;
    let mut report = json!({
        "log_id": reader.log_id().to_string(),
        "entries": reader.tip().size,
        "kinds": kinds(&reader)?,
        "lost_total": lost.values().filter_map(Value::as_u64).fold(0, u64::saturating_add),
        "lost": lost,
        "models": models(&reader)?,
        "alarms": alarms(&reader)?,
        "times": times(&reader)?,
        "chain": { "head": reader.tip().head.to_string(), "size": reader.tip().size, "verified": false },
    });
    if args.device.is_some() {
        report["runs"] = starts(&reader)?;
    } else {
        report["runs"] = runs(&reader)?;
        report["bytes"] = sizes(cli, &reader);
        report["chain"]["sealed"] = sealed(cli, &reader)?.into();
        report["chain"]["witnessed"] = newest_witnessed(&cli.path, reader.log_id())?.map(|newest| newest.size).into();
        report["devices"] = of_devices(cli);
    }
    let mut out = stdout();
    if cli.json {
        writeln!(out, "{report}")?;
    } else {
        print(&report, &mut out)?;
    }
    out.flush()?;
    Ok(0)
}

fn models(reader: &Reader) -> Result<Map<String, Value>, Failure> {
    let columns = [
        Col::Model,
        Col::Status,
        Col::DurationNs,
        Col::TtftNs,
        Col::InputTokens,
        Col::OutputTokens,
        Col::CachedTokens,
        Col::ReasoningTokens,
        Col::CostNanoUsd,
    ];
    let names = columns.map(Col::name).join(",");
    let failed = |source| sqlite(reader, source);
    let mut select = reader.connection().prepare(&format!("SELECT {names} FROM entry NOT INDEXED WHERE kind = 1")).map_err(failed)?;
    let mut rows = select.query([]).map_err(failed)?;
    let mut models = BTreeMap::<String, Model>::new();
    while let Some(row) = rows.next().map_err(failed)? {
        let text = |index| row.get_ref(index).ok().and_then(|value| value.as_bytes().ok().map(String::from_utf8_lossy)).unwrap_or_default();
        let number = |index| row.get::<_, Option<i64>>(index).ok().flatten().and_then(|number| u64::try_from(number).ok());
        let name = text(0);
        let name = if models.len() >= MAX_MODELS && !models.contains_key(name.as_ref()) { "(other models)".into() } else { name };
        let model = models.entry(name.into_owned()).or_insert_with(Model::new);
        model.count += 1;
        model.failed += u64::from(text(1) != "ok");
        number(2).into_iter().for_each(|ns| model.duration.add(ns));
        number(3).into_iter().for_each(|ns| model.ttft.add(ns));
        for (sum, index) in model.tokens.iter_mut().zip(4..) {
            // Unknown is not 0: a sum exists only where something was reported.
            *sum = number(index).map(|tokens| sum.unwrap_or(0).saturating_add(tokens)).or(*sum);
        }
        match number(8) {
            Some(cost) => model.cost = model.cost.saturating_add(cost),
            None => model.unpriced += 1,
        }
    }
    let to_json = |(name, model): (String, Model)| {
        let [input, output, cached, reasoning] = model.tokens;
        let priced = model.unpriced < model.count;
        let value = json!({
            "count": model.count, "not_ok": model.failed, "latency": model.duration.to_json(), "ttft": model.ttft.to_json(),
            "input_tokens": input, "output_tokens": output, "cached_tokens": cached, "reasoning_tokens": reasoning,
            "cost_usd": if priced { crate::cli::stats::number(&decimal(model.cost, 9)) } else { Value::Null },
            "without_cost": model.unpriced,
        });
        (name, value)
    };
    Ok(models.into_iter().map(to_json).collect())
}

/// Adds up, by the first number of each row, the second. Not in SQL: there a sum fails where it overflows, and groups are sorted in memory.
fn sums(reader: &Reader, sql: &str) -> Result<BTreeMap<i64, u64>, Failure> {
    let failed = |source| sqlite(reader, source);
    let mut select = reader.connection().prepare(sql).map_err(failed)?;
    let mut rows = select.query([]).map_err(failed)?;
    let mut sums = BTreeMap::<i64, u64>::new();
    while let Some(row) = rows.next().map_err(failed)? {
        let sum = sums.entry(row.get(0).map_err(failed)?).or_default();
        *sum = sum.saturating_add(row.get::<_, i64>(1).map_err(failed)?.cast_unsigned());
    }
    Ok(sums)
}

fn kinds(reader: &Reader) -> Result<Map<String, Value>, Failure> {
    let rows = sums(reader, "SELECT kind, 1 FROM entry NOT INDEXED")?;
    let name = |number: i64| u8::try_from(number).ok().and_then(Kind::from_number).map_or("malformed", Kind::name);
    Ok(rows.into_iter().map(|(kind, count)| (name(kind).to_owned(), count.into())).collect())
}

fn losses(reader: &Reader) -> Result<Map<String, Value>, Failure> {
    let rows = sums(reader, "SELECT reason, lost FROM entry NOT INDEXED WHERE kind = 5 AND reason IS NOT NULL AND lost IS NOT NULL")?;
    let name = |number: i64| usize::try_from(number).ok().and_then(|number| GAP_REASONS.get(number)).map_or("malformed", |row| row.1);
    Ok(rows.into_iter().map(|(reason, lost)| (name(reason).to_owned(), lost.into())).collect())
}

/// How many alarms of each kind the log has, and the newest of them.
pub(super) fn alarms(reader: &Reader) -> Result<Value, Failure> {
    let failed = |source| sqlite(reader, source);
    // Case 8 of a lifecycle event is an alarm.
    let sql = "SELECT recorded, event FROM entry NOT INDEXED WHERE kind = 4 AND substr(event, 1, 1) = x'08' ORDER BY seq";
    let mut select = reader.connection().prepare(sql).map_err(failed)?;
    let mut rows = select.query([]).map_err(failed)?;
    let (mut codes, mut newest) = (BTreeMap::<String, u64>::new(), Value::Null);
    while let Some(row) = rows.next().map_err(failed)? {
        let (Ok(recorded), Ok(event)) = (row.get::<_, i64>(0), row.get::<_, Vec<u8>>(1)) else { continue };
        let tagged = [&[Kind::Lifecycle.number()], event.as_slice()].concat();
        if let Ok(Event::Lifecycle(Lifecycle::Alarm { code, detail })) = decode_event(&tagged) {
            *codes.entry(code.to_owned()).or_default() += 1;
            newest = json!({ "recorded": crate::time::rfc3339(recorded), "code": code, "detail": detail });
        }
    }
    Ok(json!({ "codes": codes, "newest": newest }))
}

fn runs(reader: &Reader) -> Result<Value, Failure> {
    // Case 2 of a lifecycle event is that a run ended without a stop; the next start says so, and that it is over.
    let sql = "SELECT count(*), count(*) - count(stopped),
        (SELECT count(*) FROM entry NOT INDEXED WHERE kind = 4 AND substr(event, 1, 1) = x'02') FROM run";
    let numbers = |row: &rusqlite::Row<'_>| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?, row.get::<_, i64>(2)?));
    let (known, open, unclean) = reader.connection().query_row(sql, [], numbers).map_err(|source| sqlite(reader, source))?;
    Ok(json!({ "known": known, "not_stopped": open, "unclean_stops": unclean }))
}

/// The runs of a device, as its own entries tell them.
fn starts(reader: &Reader) -> Result<Value, Failure> {
    // Cases 0, 1 and 2 of a lifecycle event: a start, a stop, and that the run before ended without one.
    let sql = "SELECT CASE substr(event, 1, 1) WHEN x'00' THEN 0 WHEN x'01' THEN 1 ELSE 2 END, 1
        FROM entry NOT INDEXED WHERE kind = 4 AND substr(event, 1, 1) <= x'02'";
    let found = sums(reader, sql)?;
    let [started, stopped, unclean] = [0, 1, 2].map(|case| found.get(&case).copied().unwrap_or(0));
    Ok(json!({ "known": started, "not_stopped": started.saturating_sub(stopped.saturating_add(unclean)), "unclean_stops": unclean }))
}

/// What was taken in of each device.
fn of_devices(cli: &Cli) -> Value {
    let of_one = |id: String| {
        let stretches = DeviceStore::read(&devices(&cli.path).join(&id)).and_then(|store| store.stretches());
        let stretches = match stretches {
            Ok(stretches) => stretches,
            Err(error) => return json!({ "log_id": id, "error": error.to_string() }),
        };
        let entries = stretches.iter().map(Stretch::entries).fold(0, u64::saturating_add);
        json!({ "log_id": id, "entries": entries, "end": stretches.iter().map(|stretch| stretch.import.end).max() })
    };
    made_devices(&cli.path).map(of_one).collect()
}

fn times(reader: &Reader) -> Result<Value, Failure> {
    let row = reader.connection().query_row("SELECT min(recorded), max(recorded) FROM entry NOT INDEXED", [], |row| {
        Ok((row.get::<_, Option<i64>>(0)?, row.get::<_, Option<i64>>(1)?))
    });
    let (first, last) = row.map_err(|source| sqlite(reader, source))?;
    Ok(json!({ "first": first.map(crate::time::rfc3339), "last": last.map(crate::time::rfc3339) }))
}

/// Entries up to the newest of the log's own checkpoints, as the journal states it.
fn sealed(cli: &Cli, reader: &Reader) -> Result<u64, Failure> {
    let newest = Checkpoints::open(&cli.path)?.of(reader.log_id()).newest(reader.tip().size)?;
    Ok(newest.map_or(0, |sealed| sealed.size))
}

fn sizes(cli: &Cli, reader: &Reader) -> Value {
    let length = |path: &std::path::Path| path.metadata().map_or(0, |meta| meta.len());
    let mut wal = reader.path().as_os_str().to_owned();
    wal.push("-wal");
    let quarantine = Layout::new(&cli.path).quarantine();
    let moved = std::fs::read_dir(quarantine).map_or(0, Iterator::count);
    json!({ "database": length(reader.path()), "wal": length(wal.as_ref()), "quarantined_logs": moved })
}

fn print_devices(report: &Value, out: &mut impl Write) -> std::io::Result<()> {
    for device in report["devices"].as_array().into_iter().flatten() {
        let id = device["log_id"].as_str().unwrap_or_default();
        match device["error"].as_str() {
            Some(error) => writeln!(out, "device {id}: {}", text::safe(error))?,
            None => {
                let entries = text::plural(device["entries"].as_u64().unwrap_or(0), "entry", "entries");
                writeln!(out, "device {id}: {entries} taken in; `lowlight stats --device {}` for more", &id[..id.len().min(8)])?;
            }
        }
    }
    Ok(())
}

fn print(report: &Value, out: &mut impl Write) -> std::io::Result<()> {
    let text_at = |pointer: &str| report.pointer(pointer).and_then(Value::as_str).unwrap_or("-").to_owned();
    let number_at = |pointer: &str| report.pointer(pointer).and_then(Value::as_u64).unwrap_or(0);
    writeln!(out, "log {}", text_at("/log_id"))?;
    let kinds = report["kinds"].as_object().into_iter().flatten().map(|(name, count)| format!("{count} {name}"));
    let present: u64 = report["kinds"].as_object().into_iter().flatten().filter_map(|(_, count)| count.as_u64()).sum();
    let gone = match number_at("/entries").saturating_sub(present) {
        0 => String::new(),
        gone => format!("; {gone} are not there any more"),
    };
    let entries = text::plural(number_at("/entries"), "entry", "entries");
    writeln!(out, "{entries} ({}{gone})", kinds.collect::<Vec<_>>().join(", "))?;
    writeln!(out, "from {} to {}", text_at("/times/first"), text_at("/times/last"))?;
    let losses = report["lost"].as_object().into_iter().flatten().map(|(name, count)| format!("{count} {name}"));
    let losses = losses.collect::<Vec<_>>().join(", ");
    writeln!(out, "lost: {}", if losses.is_empty() { "nothing".to_owned() } else { losses })?;
    let codes = report.pointer("/alarms/codes").and_then(Value::as_object).into_iter().flatten();
    let codes: Vec<_> = codes.map(|(code, count)| format!("{count} {code}")).collect();
    if !codes.is_empty() {
        writeln!(out, "alarms: {}", codes.join(", "))?;
        let [at, code, detail] = ["recorded", "code", "detail"].map(|key| text_at(&format!("/alarms/newest/{key}")));
        writeln!(out, "newest alarm: {at} {code}: {}", text::safe(&detail))?;
    }
    let (open, unclean) = (number_at("/runs/not_stopped"), number_at("/runs/unclean_stops"));
    let killed =
        if unclean == 0 { String::new() } else { format!(", {} on record", text::plural(unclean, "unclean stop", "unclean stops")) };
    writeln!(out, "{}, {open} not stopped{killed}", text::plural(number_at("/runs/known"), "run", "runs"))?;
    if report.get("bytes").is_some() {
        writeln!(out, "{} database, {} wal", text::bytes(number_at("/bytes/database")), text::bytes(number_at("/bytes/wal")))?;
        let (sealed, size) = (number_at("/chain/sealed"), number_at("/chain/size"));
        writeln!(out, "{} sealed by its own checkpoints, {} open", text::plural(sealed, "entry", "entries"), size.saturating_sub(sealed))?;
    }
    if let Some(witnessed) = report.pointer("/chain/witnessed").and_then(Value::as_u64) {
        writeln!(out, "{} cosigned by a witness", text::plural(witnessed, "entry", "entries"))?;
    }
    print_devices(report, out)?;
    writeln!(out, "head {} (not verified here; run `lowlight verify`)", text_at("/chain/head"))?;
    let head = ["model", "count", "not ok", "p50 ms", "p90 ms", "p99 ms", "ttft p50", "tokens in", "out", "cost USD"];
    let mut table = vec![head.map(str::to_owned).to_vec()];
    for (name, model) in report["models"].as_object().into_iter().flatten() {
        let cell = |pointer: &str| match model.pointer(pointer) {
            None | Some(Value::Null) => "-".to_owned(),
            Some(value) => value.to_string(),
        };
        let cells = [
            "/count",
            "/not_ok",
            "/latency/p50_ms",
            "/latency/p90_ms",
            "/latency/p99_ms",
            "/ttft/p50_ms",
            "/input_tokens",
            "/output_tokens",
            "/cost_usd",
        ];
        table.push(std::iter::once(text::shorten(name, 40)).chain(cells.map(cell)).collect());
    }
    if table.len() > 1 {
        text::columns(&table, out)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_within_two_percent() {
        let mut histogram = Histogram::new();
        (1..=100_000_u64).for_each(|value| histogram.add(value * 1_000));
        for percent in [1, 50, 90, 99, 100] {
            let exact = percent * 1_000_000;
            let found = histogram.percentile(percent).unwrap();
            assert!(found.abs_diff(exact) * 50 <= exact, "p{percent}: {found} for {exact}");
        }
    }

    #[test]
    fn the_smallest_and_largest_values_have_buckets() {
        for value in [0, 1, 31, 32, 63, 64, u64::MAX] {
            let mut histogram = Histogram::new();
            histogram.add(value);
            let found = histogram.percentile(50).unwrap();
            assert!(u128::from(found.abs_diff(value)) * 50 <= u128::from(value), "{value}: {found}");
        }
        assert_eq!(Histogram::new().percentile(50), None);
    }
}
