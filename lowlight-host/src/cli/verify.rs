//! `lowlight verify`.

use super::args::{Cli, VerifyArgs};
use super::import::print_details;
use super::import::tell_other;
use super::progress::Progress;
use super::{Failure, Outcome, now, stdout, text};
use crate::checkpoints::{Checkpoints, newest_witnessed};
use crate::copy::compare;
use crate::export::verify_export_with;
use crate::import::{ImportError, open_image, read, verify_image};
use crate::prove;
use crate::store::Reader;
use crate::verify::{self, Against, Kept, Place, Report, ReportedProblem, Threads, VerifyPolicy, Vetted};
use lowlight_core::flash::ImageError;
use lowlight_core::note::Key;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;

/// Most bytes of a file of checkpoints.
const MAX_KEPT: u64 = 1 << 20;
/// Most bytes of a proof: sixteen of the largest values as base64, and some.
const MAX_PROOF: u64 = 400 << 20;

pub(super) fn run(cli: &Cli, args: &VerifyArgs) -> Outcome {
    let source = args.source.as_deref().unwrap_or(&cli.path);
    let threads = if args.parallel { Threads::Two } else { Threads::One };
    let keys = args.key.iter().map(|vkey| Key::parse(vkey)).collect::<Result<Vec<_>, _>>();
    let keys = keys.map_err(|error| Failure::Usage(format!("--key: {error}")))?;
    let policy = args.policy.as_deref().map(policy).transpose()?;
    let keys: Vec<_> = keys.into_iter().chain(policy.iter().flat_map(VerifyPolicy::keys)).collect();
    let mut kept = args.checkpoint.iter().map(|file| kept(file, &keys)).collect::<Result<Vec<_>, _>>()?.concat();
    if source == Path::new("-") && args.checkpoint.iter().any(|file| file == Path::new("-")) {
        return Err(Failure::Usage("the export and the checkpoint cannot both come from stdin".to_owned()));
    }
    let proof = proof(source)?;
    if args.against.is_some() && (proof.is_some() || (!source.is_dir() && !is_database(source))) {
        return Err(Failure::Usage(format!("--against holds a log against its copy, and {} is none", source.display())));
    }
    let mut vetted = Vec::new();
    // Who demands a witness is not content without its answer; what the log itself shows is looked at all the same.
    let asked = policy.as_ref().map_or(Ok(()), |policy| evidence(policy, &kept, source, proof.as_deref(), &mut vetted));
    for vetted in vetted.iter().filter(|_| proof.is_none()) {
        // The same may lie at several places: then it is said once, of the one that says most.
        if !kept.iter().any(|known| known.is_same(&vetted.kept)) {
            kept.push(vetted.kept.clone());
        }
    }
    let mut report = match proof {
        Some(bytes) => prove::verify(&bytes, &kept, &keys),
        None if !args.key.is_empty() && kept.is_empty() => {
            return Err(Failure::Usage("--key is for checkpoints: give --checkpoint, or a proof to verify".to_owned()));
        }
        None => match image(source) {
            Some(report) => report,
            None => report(source, threads, Against::kept(&kept, &keys)),
        },
    };
    if let Some(Err(error)) = args.against.as_ref().map(|copy| compare(source, copy, &mut report)) {
        let why = format!("--against: {error}");
        // What was found before stays found.
        if report.verdict == "intact" {
            report = Report::unreadable(why);
        } else {
            report.notes.push(why);
        }
    }
    if let Some(policy) = &policy {
        let log = report.log.clone();
        policy.judge(&mut report, log.as_deref(), asked.map(|()| &vetted[..]), u64::try_from(now() / 1_000_000_000).unwrap_or(0));
    }
    tell(cli, &report, source, !kept.is_empty())
}

fn tell(cli: &Cli, report: &Report, source: &Path, has_checkpoint: bool) -> Outcome {
    let mut out = stdout();
    if cli.json {
        serde_json::to_writer(&mut out, report).map_err(std::io::Error::from)?;
        out.write_all(b"\n")?;
    } else {
        print(report, source, has_checkpoint, &mut out)?;
    }
    out.flush()?;
    Ok(report.exit_code())
}

fn policy(file: &Path) -> Result<VerifyPolicy, Failure> {
    let failed = |why: String| Failure::Usage(format!("--policy {}: {why}", file.display()));
    let text = std::fs::read_to_string(file).map_err(|error| failed(error.to_string()))?;
    VerifyPolicy::parse(&text).map_err(failed)
}

/// Finds the checkpoints that may meet a policy: those given, those that witnesses have when they are asked, the newest one that lies
/// beside the log, the one of a proof. Where one cannot be asked, those that were found until then are there.
fn evidence(policy: &VerifyPolicy, kept: &[Kept], source: &Path, proof: Option<&[u8]>, found: &mut Vec<Vetted>) -> Result<(), String> {
    found.extend(kept.iter().filter_map(|kept| policy.vet(kept.note()?, Place::Elsewhere)));
    if let Some(proof) = proof {
        let split = proof.windows(2).position(|pair| pair == b"\n\n").map_or(&[][..], |at| &proof[at + 2..]);
        let own = std::str::from_utf8(split).ok().and_then(|note| policy.vet(note, Place::Beside));
        // What is shown is the checkpoint of the proof: another, such as that where a growth begins, says nothing of it.
        found.retain(|other| own.as_ref().is_some_and(|own| own.kept.is_same(&other.kept)));
        found.extend(own);
        return Ok(());
    }
    let dir = if source.is_dir() { Some(source) } else { source.parent() };
    if let Some(dir) = dir.filter(|_| source.is_dir() || is_database(source)) {
        let reader = Reader::open(source).map_err(|error| error.to_string())?;
        let beside = newest_witnessed(dir, reader.log_id()).map_err(|error| error.to_string())?;
        found.extend(beside.and_then(|beside| policy.vet(&beside.note, Place::Beside)));
        let own = Checkpoints::open(dir).and_then(|journal| journal.of(reader.log_id()).newest(reader.tip().size));
        let own = own.map_err(|error| error.to_string())?.and_then(|own| own.note);
        found.extend(own.and_then(|own| policy.vet(&own, Place::Beside)));
        policy.ask(&reader.log_id().to_string(), found)?;
    }
    Ok(())
}

/// The bytes of a file or an input that is a proof; nothing of another is consumed.
pub(super) fn proof(source: &Path) -> Result<Option<Vec<u8>>, Failure> {
    let mut input: Box<dyn BufRead> = if source == Path::new("-") {
        Box::new(std::io::stdin().lock())
    } else if source.is_file() {
        Box::new(BufReader::new(std::fs::File::open(source)?))
    } else {
        return Ok(None);
    };
    if !prove::is_proof(input.fill_buf()?) {
        return Ok(None);
    }
    let mut bytes = Vec::new();
    if input.take(MAX_PROOF).read_to_end(&mut bytes)? as u64 == MAX_PROOF {
        return Err(Failure::Usage(format!("{} is larger than a proof can be", source.display())));
    }
    Ok(Some(bytes))
}

/// The checkpoints in a file that was kept elsewhere.
fn kept(file: &Path, keys: &[Key<'_>]) -> Result<Vec<Kept>, Failure> {
    let failed = |why: String| Failure::Usage(format!("--checkpoint {}: {why}", file.display()));
    let mut bytes = Vec::new();
    let most = MAX_KEPT;
    let read = if file == Path::new("-") {
        std::io::stdin().lock().take(most).read_to_end(&mut bytes)
    } else {
        std::fs::File::open(file).and_then(|file| file.take(most).read_to_end(&mut bytes))
    };
    read.map_err(|error| failed(error.to_string()))?;
    if bytes.len() as u64 == most {
        return Err(failed("larger than a megabyte".to_owned()));
    }
    Kept::parse_all(&bytes, keys).map_err(|error| failed(error.to_string()))
}

/// The report on an image of flash, if the file is one.
fn image(source: &Path) -> Option<Report> {
    let is_other = |file: std::fs::File| is_export(&mut BufReader::new(file));
    if !source.is_file() || is_database(source) || std::fs::File::open(source).is_ok_and(is_other) {
        return None;
    }
    let verified = read(source).and_then(|bytes| {
        let image = open_image(&bytes)?;
        tell_other(&source.display().to_string(), &image);
        Ok(verify_image(&image))
    });
    match verified {
        Ok(device) => Some(Report::of_device(device)),
        // It is something else, and said by what reads that.
        Err(ImportError::Image(ImageError::NoLog) | ImportError::Io(_)) => None,
        Err(error) => Some(Report::unreadable(format!("{}: {error}", source.display()))),
    }
}

/// Verifies whatever is at `source`.
pub(super) fn report(source: &Path, threads: Threads, against: Against<'_>) -> Report {
    let mut progress = Progress::new("verifying");
    let mut at = |done, total| progress.at(done, total);
    if source == Path::new("-") {
        return verify_export_with(BufReader::with_capacity(64 << 10, std::io::stdin().lock()), against, &mut at);
    }
    if !source.is_dir() && !is_database(source) {
        return match std::fs::File::open(source) {
            Ok(file) => {
                let mut report = verify_export_with(BufReader::with_capacity(64 << 10, file), against, &mut at);
                let blank = || "no log is in it, and it begins with nothing but 0xFF: erased flash?".to_owned();
                report.error = report.error.map(|why| format!("{}: {}", source.display(), if is_blank(source) { blank() } else { why }));
                report
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                Report::unreadable(crate::store::StoreError::Missing(source.to_path_buf()))
            }
            Err(error) => Report::unreadable(format!("{}: {error}", source.display())),
        };
    }
    verify::log_and_devices(source, threads, against, &mut at).unwrap_or_else(Report::unreadable)
}

/// Whether a file begins like erased flash.
fn is_blank(path: &Path) -> bool {
    let mut start = Vec::with_capacity(4096);
    let read = std::fs::File::open(path).and_then(|file| file.take(4096).read_to_end(&mut start));
    read.is_ok_and(|count| count > 0) && start.iter().all(|byte| *byte == 0xFF)
}

/// Whether a file begins like an SQLite database. Only for commands, which have no database open.
pub(super) fn is_database(path: &Path) -> bool {
    let mut magic = Vec::with_capacity(16);
    let read = std::fs::File::open(path).and_then(|file| file.take(16).read_to_end(&mut magic));
    read.is_ok() && magic.starts_with(b"SQLite format 3\0")
}

/// Whether an input begins like an export, without consuming it.
pub(super) fn is_export(input: &mut impl BufRead) -> bool {
    input.fill_buf().is_ok_and(|start| start.starts_with(b"[") || start.starts_with(b"{"))
}

/// What is gone, and what explains it.
fn gaps(report: &Report, out: &mut impl Write) -> std::io::Result<()> {
    for gap in report.gaps.iter().take(SHOWN_GAPS) {
        let count = text::plural(gap.last - gap.first + 1, "entry", "entries");
        writeln!(out, "gap: {} to {}: {count} removed, says tombstone {}", gap.first, gap.last, gap.explained_by)?;
    }
    if report.gaps_total > SHOWN_GAPS as u64 {
        writeln!(out, "gap: ... {} gaps in all", report.gaps_total)?;
    }
    if report.erased > 0 {
        writeln!(out, "removed and explained by tombstones: {}", text::plural(report.erased, "entry or value", "entries and values"))?;
    }
    if report.pending_erase > 0 {
        let pending = text::plural(report.pending_erase, "entry", "entries");
        writeln!(out, "to be removed: a tombstone names {pending}, or content of them, still here; the next recorder removes it")?;
    }
    Ok(())
}

/// One line a problem, and how many there are beyond.
pub(super) fn print_problems(problems: &[ReportedProblem], total: u64, out: &mut impl Write) -> std::io::Result<()> {
    for problem in problems {
        let place = problem.seq.map_or_else(|| "log".to_owned(), |seq| format!("entry {seq}"));
        writeln!(out, "  {place}: {}: {}", problem.kind, text::safe(&problem.detail))?;
    }
    if total > problems.len() as u64 {
        writeln!(out, "  ... {total} problems in all")?;
    }
    Ok(())
}

/// Gaps that are printed for a person; --json has more.
const SHOWN_GAPS: usize = 10;

fn print(report: &Report, source: &Path, has_checkpoint: bool, out: &mut impl Write) -> std::io::Result<()> {
    let name = text::safe(&source.to_string_lossy()).into_owned();
    match (report.verdict, &report.error) {
        ("unreadable", error) => writeln!(out, "could not tell: {}", text::safe(error.as_deref().unwrap_or("unreadable")))?,
        (verdict, _) => {
            let entries = text::plural(report.entries, "entry", "entries");
            let records = text::plural(report.records, "record", "records");
            // A proof of growth is about none.
            let what = if report.entries == 0 && report.last_seq.is_none() { String::new() } else { format!(": {entries}, {records}") };
            writeln!(out, "{verdict}: {name}{what}")?;
        }
    }
    if let Some(root) = &report.root {
        writeln!(out, "root {root}")?;
    }
    print_problems(&report.problems, report.problems_total, out)?;
    gaps(report, out)?;
    if let Some(sealed) = report.sealed.filter(|_| report.verdict == "intact") {
        let open = report.last_seq.map_or(0, |last| (last + 1).saturating_sub(sealed));
        let witnessed = report.witnessed.map_or(String::new(), |size| format!(", {size} of them cosigned by a witness"));
        writeln!(out, "sealed up to {} by its own checkpoints{witnessed}, {open} open", text::plural(sealed, "entry", "entries"))?;
    }
    if report.level == "witnessed" {
        writeln!(out, "level: witnessed")?;
    }
    for device in &report.devices {
        let entries = text::plural(device.entries, "entry", "entries");
        let why = device.error.as_ref().map_or(String::new(), |error| format!(": {}", text::safe(error)));
        writeln!(
            out,
            "device {}: {}: {entries}, {} to {}{why}",
            text::safe(&device.log_id),
            device.verdict,
            device.first.unwrap_or(0),
            device.end.saturating_sub(1)
        )?;
        print_details(device, 0, out)?;
    }
    if let Some(entry) = &report.entry {
        writeln!(out, "{}", text::safe(&entry.to_string()))?;
    }
    for note in &report.notes {
        writeln!(out, "note: {}", text::safe(note))?;
    }
    if report.verdict != "unreadable" {
        if let Some(error) = &report.error {
            writeln!(out, "reading stopped: {}", text::safe(error))?;
        }
        let since =
            if report.level == "chain" && !has_checkpoint { "not checked without a checkpoint kept elsewhere" } else { "not checked" };
        if !report.not_checked.is_empty() {
            writeln!(out, "{since}: {}", report.not_checked.join(", "))?;
        }
    }
    Ok(())
}
