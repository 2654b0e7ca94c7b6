//! `lowlight import`: takes in the log of a device.

use super::args::{Cli, ImportArgs};
use super::progress::Progress;
use super::record::{warn_at_end, warn_at_start};
use super::stop::Stop;
use super::verify::print_problems;
use super::{Failure, Outcome, load_config, say, stdout, text};
use crate::import::{DeviceReport, Import, ImportError, Source, Taken, is_capture, open_image, read};
use crate::line::{LineError, OpenPort};
use lowlight_core::flash::{Image, ImageError};
use serde_json::json;
use std::io::Write;
use std::os::unix::fs::FileTypeExt as _;
use std::time::{Duration, Instant};

/// Longest that an answer is waited for.
const LONGEST: Duration = Duration::from_secs(86_400);

pub(super) fn run(cli: &Cli, args: &ImportArgs) -> Outcome {
    let name = args.source.display().to_string();
    let failed = |error: std::io::Error| Failure::Usage(format!("{name}: {error}"));
    let kind = args.source.metadata().map_err(failed)?.file_type();
    let patience = Duration::try_from_secs_f64(args.timeout).map_err(|error| Failure::Usage(format!("--timeout: {error}")))?.min(LONGEST);
    let image = if kind.is_socket() || kind.is_char_device() {
        None
    } else if kind.is_file() {
        let bytes = read(&args.source).map_err(|error| Failure::Usage(format!("{name}: {error}")))?;
        // What is neither opens no log.
        match open_image(&bytes).map(|image| tell_other(&name, &image)) {
            Ok(()) => Some(Source::Image(bytes)),
            Err(ImportError::Image(ImageError::NoLog)) if is_capture(&bytes) => Some(Source::Capture(bytes)),
            Err(ImportError::Image(ImageError::NoLog)) => return Err(Failure::Usage(format!("{name}: {}", ImportError::Capture))),
            Err(error) => return Err(Failure::Usage(format!("{name}: {error}"))),
        }
    } else {
        return Err(Failure::Usage(format!("{name}: give a serial device, a pty, a Unix socket, a capture or an image of flash")));
    };
    let config = load_config(cli)?.config;
    let open = || OpenPort::open(&args.source, args.baud).map_err(failed);
    // First, so that a line that is not there costs the log nothing; but the recorder asks its witness at its start, which may be at
    // the other end of the same line.
    let has_witness = config.witness.as_ref().is_some_and(|witness| witness.serial.is_some());
    let early = if image.is_none() && !has_witness { Some(open()?) } else { None };
    let recorder = config.builder(&cli.path).upkeep().open()?;
    let moved = warn_at_start(&recorder);
    let line = |port| Source::Line(port, patience.max(Duration::from_millis(50)));
    let source = match (image, early) {
        (Some(source), _) => source,
        (None, Some(port)) => line(port),
        (None, None) => line(open()?),
    };
    let (begun, mut progress) = (Instant::now(), Progress::new("taking in"));
    let stop = Stop::watch()?;
    let is_stopped = || stop.is_seen();
    let taken = Import::new(&cli.path, &recorder).until(&is_stopped).run(source, &mut |done, total| match total {
        0 => progress.count(done),
        total => progress.now(done, total),
    });
    drop(progress);
    let _stats = recorder.close(Duration::from_secs(30));
    warn_at_end(&recorder, moved.as_ref());
    match taken {
        Ok(taken) => tell(cli, &taken, &name, begun.elapsed()),
        Err(ImportError::Log(error)) => Err(error.into()),
        Err(error @ ImportError::Line(LineError::Noise(_))) => {
            Err(Failure::Usage(format!("{name}: {error}; the first of them are in devices/noise")))
        }
        Err(error) => Err(Failure::Usage(format!("{name}: {error}"))),
    }
}

/// Says that there is more in an image than is read.
pub(super) fn tell_other(name: &str, image: &Image<'_>) {
    if let Some(other) = image.other() {
        let read = image.log_id();
        say(&format!(
            "{name}: other sectors are in it, of log {other}; only those of {read} are read: cut out the region of the others to read them"
        ));
    }
}

fn tell(cli: &Cli, taken: &Taken, name: &str, time: Duration) -> Outcome {
    let report = DeviceReport::new(taken.log_id, &taken.verdict);
    let is_fine = report.verdict == "intact" && !taken.is_forked;
    let seqs: Vec<_> = taken.stretches.iter().filter_map(|stretch| stretch.seq).collect();
    let mut out = stdout();
    if cli.json {
        let status = taken.status.map(|status| {
            json!({ "run": status.run, "first": status.first, "next": status.next, "acked": status.acked,
                "reclaimed": status.reclaimed, "dropped": status.dropped, "laps": status.laps })
        });
        let line = json!({ "log_id": report.log_id, "entries": taken.entries, "known": taken.known, "told_late": taken.late, "import_entries": seqs,
            "forked": taken.is_forked, "noise_bytes": taken.noise, "seconds": time.as_secs_f64(), "status": status, "device": report });
        writeln!(out, "{line}")?;
    } else {
        let entries = text::plural(taken.entries, "entry", "entries");
        let known = if taken.known > 0 { format!(", {} there already", taken.known) } else { String::new() };
        if taken.late > 0 {
            let late = text::plural(taken.late, "entry", "entries");
            writeln!(out, "{late} that were here before, of which the log did not tell: it does now")?;
        }
        let rate =
            if time.as_secs() > 0 { format!(", {} a second", u128::from(taken.entries) * 1000 / time.as_millis()) } else { String::new() };
        writeln!(out, "device {}: {entries} taken in{known}{rate}", report.log_id)?;
        if let Some(status) = taken.status {
            let gone =
                if status.reclaimed > 0 { format!(", {} overwritten before anybody had them", status.reclaimed) } else { String::new() };
            let lost = if status.dropped > 0 { format!(", {} lost before they reached flash", status.dropped) } else { String::new() };
            let there = match status.next.checked_sub(1) {
                Some(newest) if newest >= status.first => format!("entries {} to {newest}", status.first),
                _ => "no entries".to_owned(),
            };
            writeln!(out, "on the device: {there}{gone}{lost}")?;
        }
        print_details(&report, taken.before, &mut out)?;
        if taken.entries > 0 {
            writeln!(out, "`lowlight query --device {}` lists them", &report.log_id[..8])?;
        }
    }
    out.flush()?;
    if taken.noise > 0 {
        say(&format!(
            "{} on the line were no message and were passed over; the first are in devices/noise",
            text::plural(taken.noise, "byte", "bytes")
        ));
    }
    if let Some(there) = taken.fewer {
        let before = taken.before;
        say(&format!(
            "{name}: the device has entries up to {there}, and this host took in up to {before} before: its flash was put back, or another board \
            has its id; what is here stays, and an alarm in the log says so"
        ));
    } else if taken.is_forked {
        say(&format!("{name}: the device has other entries than this host took in before; all of them are kept: run `lowlight verify`"));
    }
    Ok(u8::from(!is_fine))
}

/// What is worth knowing of a device's log; `before` is the index behind what was taken in earlier.
pub(super) fn print_details(report: &DeviceReport, before: u64, out: &mut impl Write) -> std::io::Result<()> {
    print_problems(&report.problems, report.problems_total, out)?;
    if let Some(first) = report.first.filter(|first| before == 0 && *first > 0) {
        writeln!(out, "  0 to {} are not here: overwritten before, or taken in elsewhere", first - 1)?;
    }
    for gap in report.gaps.iter().take(10) {
        let count = text::plural(gap.last - gap.first + 1, "entry", "entries");
        let how = if gap.anchored { "anchored" } else { "not anchored" };
        writeln!(out, "  gap: {} to {}: {count} not here, {how}", gap.first, gap.last)?;
    }
    if report.gaps_total > 10 {
        writeln!(out, "  gap: ... {} gaps in all, {} entries", report.gaps_total, report.lost)?;
    }
    if report.dropped > 0 {
        writeln!(out, "  {} lost before they were stored, says the device", text::plural(report.dropped, "entry", "entries"))?;
    }
    if report.boots > 0 {
        writeln!(out, "  starts of the firmware: {}", report.boots)?;
    }
    if report.torn > 0 {
        writeln!(out, "  the device lost entries and chained on from the last it knew: {}", text::plural(report.torn, "time", "times"))?;
    }
    if report.untold > 0 {
        writeln!(
            out,
            "  {} that no entry of the host's log covers: run `lowlight import` again",
            text::plural(report.untold, "entry", "entries")
        )?;
    }
    if report.unchained > 0 {
        writeln!(out, "  {} whose link to what was before cannot be checked", text::plural(report.unchained, "entry", "entries"))?;
    }
    if report.not_understood > 0 {
        writeln!(out, "  not understood, of a later version: {}", report.not_understood)?;
    }
    Ok(())
}
