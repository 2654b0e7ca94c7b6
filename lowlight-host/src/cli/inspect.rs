//! `lowlight inspect`: shows as much of a file as can be read and marks the first fault.

use super::args::{Cli, InspectArgs};
use super::{Failure, Outcome, stdout, text, verify};
use crate::export::{Line, parse_line};
use crate::prove;
use crate::store::Reader;
use crate::verify::{Against, Kept, Report, ReportedProblem, Threads};
use lowlight_core::entry::codec::decode;
use lowlight_core::note::Note;
use lowlight_core::source::{EntrySource, Item};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};

pub(super) fn run(cli: &Cli, args: &InspectArgs) -> Outcome {
    let file = &args.file;
    if !file.exists() {
        return Err(Failure::Usage(format!("{}: no such file", file.display())));
    }
    let mut out = stdout();
    if let Some(code) = evidence(cli, args, &mut out)? {
        out.flush()?;
        return Ok(code);
    }
    let report = verify::report(file, Threads::One, Against::default());
    let mut lines = Lines { out: &mut out, json: cli.json, fault: report.problems.first() };
    let is_database = file.is_dir() || verify::is_database(file);
    let code = if is_database { database(args, &report, &mut lines)? } else { export(args, &report, &mut lines)? };
    out.flush()?;
    Ok(code)
}

/// Most bytes of a file of checkpoints.
const MAX_NOTES: u64 = 16 << 20;

/// Files that are about a log and are none: proofs, checkpoints, the journal. `None` when it is something else.
fn evidence(cli: &Cli, args: &InspectArgs, out: &mut impl Write) -> Result<Option<u8>, Failure> {
    let mut lines = Lines { out, json: cli.json, fault: None };
    if let Some(bytes) = verify::proof(&args.file)? {
        let report = prove::verify(&bytes, &[], &[]);
        for line in String::from_utf8_lossy(&bytes).lines().filter(|line| !line.starts_with("extra ")) {
            lines.line(&json!({ "line": line }), &text::safe(line))?;
        }
        for note in &report.notes {
            lines.line(&json!({ "note": note }), &format!("note: {}", text::safe(note)))?;
        }
        if let Some(entry) = &report.entry {
            lines.line(entry, &text::safe(&entry.to_string()))?;
        }
        lines.line(&json!({ "verdict": report.verdict }), "who signed it is not checked here: `lowlight verify FILE --key VKEY`")?;
        // Without a key nobody knows who signed it; that is no fault of it.
        return Ok(Some(u8::from(report.verdict == "broken")));
    }
    let mut bytes = Vec::new();
    if !args.file.is_file() || std::fs::File::open(&args.file)?.take(MAX_NOTES).read_to_end(&mut bytes)? as u64 == MAX_NOTES {
        return Ok(None);
    }
    let notes: Vec<_> = match Kept::parse_all(&bytes, &[]) {
        Ok(kept) => kept,
        Err(_) => {
            let parse =
                |line: &[u8]| Some(serde_json::from_slice::<Noted>(line).ok()?.note.map(|note| Kept::parse_all(note.as_bytes(), &[])));
            let parsed: Option<Vec<_>> = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).map(parse).collect();
            let Some(parsed) = parsed.filter(|parsed| !parsed.is_empty()) else { return Ok(None) };
            parsed.into_iter().flatten().filter_map(Result::ok).flatten().collect()
        }
    };
    for kept in &notes {
        let signers: Vec<_> = kept
            .note()
            .and_then(|note| Note::parse(note.as_bytes()).ok())
            .iter()
            .flat_map(Note::signatures)
            .map(|it| it.name.to_owned())
            .collect();
        let (origin, size, root) = (kept.origin(), kept.size(), kept.root());
        let by = if signers.is_empty() { "nobody".to_owned() } else { signers.join(", ") };
        lines.line(
            &json!({ "origin": origin, "size": size, "root": root.to_string(), "signatures": signers }),
            &format!("{size:>8}  {}  root {root}  signed by {}", text::safe(origin), text::safe(&by)),
        )?;
    }
    lines.line(
        &json!({ "checkpoints": notes.len() }),
        "signatures are not checked here: `lowlight verify LOG --checkpoint FILE --key VKEY`",
    )?;
    Ok(Some(0))
}

/// A line of the journal of checkpoints, or of what a witness has cosigned.
#[derive(serde::Deserialize)]
struct Noted {
    #[serde(rename = "size")]
    _size: u64,
    note: Option<String>,
}

/// Prints lines as text or JSON, with a mark where the first fault is.
struct Lines<'a, W: Write> {
    out: &'a mut W,
    json: bool,
    /// The first fault, until it has been marked.
    fault: Option<&'a ReportedProblem>,
}

impl<W: Write> Lines<'_, W> {
    fn line(&mut self, json: &Value, text: &str) -> std::io::Result<()> {
        if self.json { writeln!(self.out, "{json}") } else { writeln!(self.out, "{text}") }
    }

    /// Marks the first fault in front of the first row that is not before it, or at the end.
    fn mark(&mut self, next: Option<u64>) -> std::io::Result<()> {
        let due = |fault: &&ReportedProblem| {
            fault.seq.is_some_and(|seq| next.is_none_or(|next| next >= seq)) || (fault.seq.is_none() && next.is_none())
        };
        let Some(fault) = self.fault.filter(due) else { return Ok(()) };
        self.fault = None;
        let place = fault.seq.map_or_else(|| "the whole log".to_owned(), |seq| format!("entry {seq}"));
        self.line(
            &json!({ "first_fault": { "seq": fault.seq, "kind": fault.kind, "detail": fault.detail } }),
            &format!(">>> first fault: {place}: {}: {}", fault.kind, text::safe(&fault.detail)),
        )
    }

    fn entry(&mut self, seq: u64, body: &[u8], leaf: &str, contents: Option<usize>) -> std::io::Result<()> {
        self.mark(Some(seq))?;
        let kind = decode(body).map_or("not understood", |entry| entry.event.kind().name());
        let tail = contents.map_or_else(String::new, |count| format!("  {count} contents"));
        self.line(
            &json!({ "seq": seq, "kind": kind, "body_bytes": body.len(), "leaf": leaf, "contents": contents }),
            &format!("{seq:>8}  {kind:<11} body {:>4} B  leaf {}{tail}", body.len(), short(leaf)),
        )
    }

    fn malformed(&mut self, seq: Option<u64>, why: &str) -> std::io::Result<()> {
        if seq.is_some() {
            self.mark(seq)?;
        }
        let place = seq.map_or_else(|| "?".to_owned(), |seq| seq.to_string());
        self.line(&json!({ "seq": seq, "malformed": why }), &format!("{place:>8}  malformed: {why}"))
    }

    fn removed(&mut self, seq: u64, level: u8, node: &str) -> std::io::Result<()> {
        let last = seq + (1 << level) - 1;
        let json = json!({ "seq": seq, "removed_to": last, "node": node });
        self.line(&json, &format!("{seq:>8}  removed up to {last}   node {}", short(node)))
    }

    fn end(&mut self, report: &Report) -> Outcome {
        self.mark(None)?;
        self.line(
            &json!({ "verdict": report.verdict, "problems_total": report.problems_total }),
            &format!("{}: {} problems", report.verdict, report.problems_total),
        )?;
        Ok(report.exit_code())
    }
}

fn database(args: &InspectArgs, report: &Report, lines: &mut Lines<'_, impl Write>) -> Outcome {
    let reader = match Reader::open(&args.file) {
        Ok(reader) => reader,
        Err(error) => {
            let error = error.to_string();
            lines.line(&json!({ "error": error }), &format!("cannot be opened as a log: {}", text::safe(&error)))?;
            return Ok(2);
        }
    };
    let tip = reader.tip();
    let pragma = |name| reader.connection().pragma_query_value(None, name, |row| row.get::<_, i64>(0)).unwrap_or(-1);
    let [page, pages, free] = ["page_size", "page_count", "freelist_count"].map(pragma);
    lines.line(
        &json!({ "log_id": reader.log_id().to_string(), "size": tip.size, "head": tip.head.to_string(), "page_size": page, "pages": pages, "free": free }),
        &format!("log {}  size {}  head {}\npage size {page}  pages {pages}  free {free}", reader.log_id(), tip.size, tip.head),
    )?;
    for fault in &reader.schema().faults {
        lines.line(&json!({ "schema": fault }), &format!("schema: {}", text::safe(fault)))?;
    }
    let mut source = reader.everything(true);
    loop {
        match source.next() {
            Ok(Some(Item::Entry { seq, body, leaf, .. })) => lines.entry(seq, body, &leaf.to_string(), None)?,
            Ok(Some(Item::Malformed { seq, why, .. })) => lines.malformed(seq, why)?,
            Ok(Some(Item::Content { seq, field, value, .. })) => {
                let length = value.map_or_else(|| "no value".to_owned(), |value| format!("{} B", value.len()));
                let json = json!({ "content_of": seq, "field": field.name(), "bytes": value.map(<[u8]>::len) });
                lines.line(&json, &format!("{:>8}    {} {length}", "", field.name()))?;
            }
            Ok(Some(Item::Removed { seq, level, node, .. })) => lines.removed(seq, level, &node.to_string())?,
            Ok(Some(Item::LeafOnly { .. })) => {}
            Ok(None) => return lines.end(report),
            Err(error) => {
                let error = error.to_string();
                lines.line(&json!({ "reading_stopped": error }), &format!(">>> reading stopped: {}", text::safe(&error)))?;
                return lines.end(report).map(|_| report.exit_code().max(1));
            }
        }
    }
}

fn export(args: &InspectArgs, report: &Report, lines: &mut Lines<'_, impl Write>) -> Outcome {
    let failed = |error: std::io::Error| Failure::Usage(format!("{}: {error}", args.file.display()));
    let mut input = BufReader::with_capacity(64 << 10, std::fs::File::open(&args.file).map_err(failed)?);
    if !verify::is_export(&mut input) {
        let error = "neither a database nor an export of lowlight";
        lines.line(&json!({ "error": error }), error)?;
        return Ok(2);
    }
    let mut line = Vec::new();
    let mut is_copy = false;
    loop {
        line.clear();
        // A line longer than any export has is shown in pieces, none of which makes an entry.
        let read = input.by_ref().take(crate::export::MAX_LINE as u64).read_until(b'\n', &mut line).map_err(failed)?;
        if read == 0 {
            break;
        }
        let line = line.strip_suffix(b"\n").unwrap_or(&line);
        let line = line.strip_suffix(b",").unwrap_or(line);
        if matches!(line, b"[" | b"]") {
            continue;
        }
        if line.starts_with(br#"{"lowlight":"copy""#) {
            is_copy = true;
        }
        if line.starts_with(br#"{"lowlight""#) || line.starts_with(br#"{"checkpoint""#) {
            let frame = String::from_utf8_lossy(line);
            lines.line(&json!({ "frame": frame }), &text::shorten(&frame, 200))?;
            continue;
        }
        match parse_line(line) {
            Line::Entry { seq, body, leaf, openings, .. } => lines.entry(seq, &body, &leaf.to_string(), Some(openings.len()))?,
            Line::LeafOnly { seq, leaf } => {
                let leaf = leaf.to_string();
                lines.line(&json!({ "seq": seq, "leaf": leaf }), &format!("{seq:>8}  leaf only   leaf {}", short(&leaf)))?;
            }
            Line::Removed { seq, level, node, .. } => lines.removed(seq, level, &node.to_string())?,
            Line::Malformed { seq, why, .. } => lines.malformed(seq, why)?,
        }
    }
    if is_copy {
        lines.line(&json!({ "copy": true }), "a copy: `lowlight verify LOG --against FOLDER` holds the log against it")?;
        return Ok(0);
    }
    lines.end(report)
}

fn short(hash: &str) -> &str {
    hash.get(..16).unwrap_or(hash)
}
