//! `lowlight record`: NDJSON in, durable before exit.

use super::args::{Cli, RecordArgs};
use super::input::{Input, MAX_LINE};
use super::stop::{Stop, UntilStopped};
use super::{Failure, Outcome, load_config, say, text};
use crate::recorder::{self, LossReason, Recorder, Ticket};
use lowlight_core::OverflowPolicy;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::collections::{HashSet, VecDeque};
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::AsFd as _;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// Record ids remembered to refuse repeats.
const REMEMBERED_IDS: usize = 65_536;
/// Lines whose fate may be open; reading goes on when it is known of some.
const RECEIPTS: usize = 4_096;
/// How often a wait looks whether the end has come.
const POLL: Duration = Duration::from_millis(200);
/// The same, for waiting until somebody reads receipts.
const POLL_SPEC: Timespec = Timespec { tv_sec: 0, tv_nsec: 200_000_000 };
/// How long after a signal somebody has to read a receipt.
const READER: Duration = Duration::from_secs(5);
/// How long the end of the input waits for storage.
const CLOSE: Duration = Duration::from_secs(30);

/// What becomes of a line, on its way to the thread that prints receipts.
enum Receipt {
    Accepted(u64, Ticket),
    Refused(u64, String),
}

#[derive(Default)]
struct Counts {
    recorded: u64,
    refused: u64,
    lost: u64,
    last_loss: Option<LossReason>,
    /// Why receipts could not be printed; a reader that has gone away is no failure.
    unprinted: Option<std::io::Error>,
}

pub(super) fn run(cli: &Cli, args: &RecordArgs) -> Outcome {
    let config = load_config(cli)?.config;
    let file = match &args.file {
        Some(path) if path.is_dir() => return Err(Failure::Usage(format!("{} is a directory, not a file of lines", path.display()))),
        Some(path) => File::open(path).map_err(|error| Failure::Usage(format!("{}: {error}", path.display())))?,
        None => std::io::stdin().as_fd().try_clone_to_owned()?.into(),
    };
    let stop = Stop::watch()?;
    let mut input = BufReader::with_capacity(256 << 10, UntilStopped { file, stop: &stop });
    if !config.is_enabled() {
        say("recording is switched off (LOWLIGHT_ENABLED=0 or enabled = false): input is read and discarded");
        return discard(&mut input, args.ack);
    }
    // A pipe can wait: unless configured otherwise, reading stops while the queue is full instead of losing lines.
    let mut builder = config.builder(&cli.path);
    let blocks = config.overflow.is_none_or(|policy| policy == crate::config::Overflow::Block);
    if config.overflow.is_none() {
        builder = builder.overflow(OverflowPolicy::Block).block_for(Duration::from_millis(config.block_ms.unwrap_or(60_000)));
    }
    let recorder = builder.open()?;
    let moved = warn_at_start(&recorder);
    let registered = config.event_types.clone().unwrap_or_default();
    let (send, receive) = mpsc::channel();
    let open = AtomicUsize::new(0);
    let ack = args.ack;
    let gave_up = AtomicBool::new(false);
    let (read, closed, counts) = std::thread::scope(|scope| {
        let printer = scope.spawn(|| settle(receive, ack, &open, &gave_up, &stop));
        let lines = Lines { blocks, send, open: &open, stop: &stop };
        let read = feed(&mut input, &recorder, &registered, &lines);
        drop(lines);
        let closed = recorder.close(CLOSE);
        // What is not settled by now stays unsettled: whoever waits for it must not wait for ever.
        gave_up.store(true, Ordering::Release);
        (read, closed, printer.join())
    });
    if stop.is_seen() {
        say("stopped by a signal");
    }
    warn_at_end(&recorder, moved.as_ref());
    let mut counts = counts.map_err(|_| Failure::Usage("the thread that settles receipts failed".to_owned()))?;
    finish(cli, &mut counts, closed.err().map(|late| late.pending), read.err())
}

/// Reads the input to its end; whoever waits for receipts gets them.
fn discard(input: &mut impl BufRead, ack: bool) -> Outcome {
    let mut line = Vec::new();
    for number in 1_u64.. {
        if matches!(read_line(input, &mut line)?, Length::End) {
            break;
        }
        if ack && !line.trim_ascii().is_empty() {
            let mut out = std::io::stdout().lock();
            writeln!(out, "{{\"line\":{number},\"status\":\"disabled\"}}")?;
            out.flush()?;
        }
    }
    Ok(0)
}

/// What is to be known of the log; the one that was moved aside.
pub(super) fn warn_at_start(recorder: &Recorder) -> Option<String> {
    let stats = recorder.stats();
    stats.quarantined.iter().for_each(|moved| warn_moved(moved));
    if let Some(problem) = &stats.verify_problem {
        say(&format!("the log does not verify ({problem}); recording goes on, run `lowlight verify`"));
    }
    if let Some(problem) = &stats.checkpoint_problem {
        say(&format!("checkpoints: {problem}; recording goes on"));
    }
    if let Some(waiting) = &stats.waiting {
        say(&format!("storage is not ready ({waiting}); lines are kept in memory and written when it is"));
    }
    stats.quarantined
}

fn warn_moved(moved: &str) {
    say(&format!("the log was moved aside, to {moved}; recording goes on in a fresh log that names it"));
}

/// What did not reach another place, or was not removed, by the end; and the log that was moved aside since the start.
pub(super) fn warn_at_end(recorder: &Recorder, moved: Option<&String>) {
    let stats = recorder.stats();
    stats.quarantined.iter().filter(|now| Some(*now) != moved).for_each(|moved| warn_moved(moved));
    let problems = [
        ("copy", &stats.copy_problem),
        ("witness", &stats.witness_problem),
        ("removal", &stats.removal_problem),
        ("retention", &stats.retention_problem),
    ];
    for (what, problem) in problems.into_iter().filter_map(|(what, problem)| Some((what, problem.as_ref()?))) {
        say(&format!("{what}: {problem}"));
    }
}

fn finish(cli: &Cli, counts: &mut Counts, pending: Option<u64>, unread: Option<Failure>) -> Outcome {
    let Counts { recorded, refused, lost, last_loss, unprinted } = counts;
    let line = if cli.json {
        format!("{{\"recorded\":{recorded},\"refused\":{refused},\"lost\":{lost}}}")
    } else {
        let reason = last_loss.map(|reason| format!(" ({})", reason.name())).unwrap_or_default();
        format!("lowlight: {} recorded, {refused} refused, {lost} lost{reason}", text::plural(*recorded, "line", "lines"))
    };
    let _ = writeln!(std::io::stderr().lock(), "{line}");
    match pending {
        Some(0) => say("storage was not ready in time for the stop entry: the next start will say that this run ended without one"),
        Some(pending) => say(&format!("storage was not ready in time: {} not durable", text::plural(pending, "line is", "lines are"))),
        None => {}
    }
    if let Some(error) = unprinted {
        say(&format!("not every receipt could be printed: {error}"));
    }
    match unread {
        Some(failure) => {
            say(&format!("reading the input stopped: {failure}"));
            Ok(1)
        }
        None => Ok(u8::from(*refused > 0 || *lost > 0 || pending.is_some() || unprinted.is_some())),
    }
}

/// Whether there was no room in the queue.
fn is_full(ticket: &Ticket) -> bool {
    matches!(ticket.outcome(), Some(recorder::Outcome::Lost(LossReason::QueueFull | LossReason::DiskFull)))
}

/// Where the fate of each line goes.
struct Lines<'s> {
    /// Each line waits for room in the queue.
    blocks: bool,
    send: mpsc::Sender<Receipt>,
    /// Lines whose fate is open.
    open: &'s AtomicUsize,
    stop: &'s Stop,
}

impl Lines<'_> {
    /// Waits until few enough are open, or a signal ends the input.
    fn wait_for_room(&self) {
        while self.open.load(Ordering::Acquire) >= RECEIPTS && !self.stop.is_seen() {
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn pass(&self, receipt: Receipt) {
        self.open.fetch_add(1, Ordering::AcqRel);
        // The receiving thread lives until this sender is dropped.
        drop(self.send.send(receipt));
    }

    fn refuse(&self, line: u64, why: String) {
        say(&format!("line {line}: {why}"));
        self.pass(Receipt::Refused(line, why));
    }
}

/// Reads lines and records them.
fn feed(input: &mut impl BufRead, recorder: &Recorder, registered: &[String], lines: &Lines<'_>) -> Result<(), Failure> {
    let mut line = Vec::new();
    let mut ids = Ids::default();
    let mut warned = HashSet::new();
    let mut is_stuck = false;
    for number in 1.. {
        lines.wait_for_room();
        match read_line(input, &mut line)? {
            Length::End => break,
            Length::TooLong => {
                lines.refuse(number, format!("longer than {} MiB", MAX_LINE >> 20));
                continue;
            }
            // The rest of it was still to come.
            Length::Unended if lines.stop.is_seen() => {
                lines.refuse(number, "cut off by the signal".to_owned());
                break;
            }
            // Each of those already read would wait for room in the queue.
            Length::Line if is_stuck => {
                lines.refuse(number, "stopped by a signal while storage was not ready".to_owned());
                continue;
            }
            Length::Line | Length::Unended => {}
        }
        let start: &[u8] = if number == 1 { line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&line) } else { &line };
        let result = Input::parse(start).and_then(|input| {
            let Some(input) = input else { return Ok(None) };
            let id = input.id()?;
            if id.is_some_and(|id| ids.known.contains(&id)) {
                return Err("its id was recorded already in this run".to_owned());
            }
            let (record, unknown) = input.record(registered)?;
            let ticket = recorder.record(record).map_err(|error| error.to_string())?;
            // A line that was refused may come again, corrected.
            id.into_iter().for_each(|id| ids.insert(id));
            if unknown.is_some_and(|name| warned.len() < 64 && warned.insert(name.to_owned())) {
                // Not even the type is repeated: it has not been redacted.
                say(&format!("line {number}: its event_type is not registered; recorded and marked (configuration key event_types)"));
            }
            Ok(Some(ticket))
        });
        match result {
            Ok(None) => {}
            Ok(Some(ticket)) => {
                is_stuck |= lines.blocks && lines.stop.is_seen() && is_full(&ticket);
                lines.pass(Receipt::Accepted(number, ticket));
            }
            Err(why) => lines.refuse(number, why),
        }
    }
    Ok(())
}

enum Length {
    Line,
    /// The last one, without a newline behind it.
    Unended,
    TooLong,
    End,
}

/// Reads one line without its newline; a line that is too long is skipped without being kept.
fn read_line(input: &mut impl BufRead, line: &mut Vec<u8>) -> std::io::Result<Length> {
    line.clear();
    let limit = MAX_LINE as u64 + 1;
    if input.by_ref().take(limit).read_until(b'\n', line)? == 0 {
        return Ok(Length::End);
    }
    if line.last() == Some(&b'\n') {
        line.pop();
        return Ok(Length::Line);
    }
    if line.len() <= MAX_LINE {
        return Ok(Length::Unended);
    }
    loop {
        let chunk = input.fill_buf()?;
        if chunk.is_empty() {
            return Ok(Length::TooLong);
        }
        let end = chunk.iter().position(|byte| *byte == b'\n');
        let used = end.map_or(chunk.len(), |end| end + 1);
        input.consume(used);
        if end.is_some() {
            return Ok(Length::TooLong);
        }
    }
}

/// The newest ids, so that a repeat is refused.
#[derive(Default)]
struct Ids {
    known: HashSet<[u8; 16]>,
    order: VecDeque<[u8; 16]>,
}

impl Ids {
    fn insert(&mut self, id: [u8; 16]) {
        self.known.insert(id);
        self.order.push_back(id);
        if self.order.len() > REMEMBERED_IDS
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
    }
}

/// Waits for the fate of every line, in order, and prints receipts if they are wanted.
fn settle(receipts: mpsc::Receiver<Receipt>, ack: bool, open: &AtomicUsize, gave_up: &AtomicBool, stop: &Stop) -> Counts {
    let mut counts = Counts::default();
    let mut out = std::io::stdout().lock();
    for receipt in receipts {
        let line = match receipt {
            Receipt::Refused(line, why) => {
                counts.refused += 1;
                format!("{{\"line\":{line},\"status\":\"refused\",\"reason\":{}}}", serde_json::Value::from(why))
            }
            Receipt::Accepted(line, ticket) => match wait(&ticket, ack, gave_up) {
                recorder::Outcome::Durable(seq) => {
                    counts.recorded += 1;
                    format!("{{\"line\":{line},\"seq\":{seq},\"status\":\"durable\"}}")
                }
                outcome => {
                    counts.lost += 1;
                    let reason = match outcome {
                        recorder::Outcome::Lost(reason) => {
                            counts.last_loss = Some(reason);
                            reason.name()
                        }
                        recorder::Outcome::Timeout => "storage was not ready in time",
                        _ => "closed",
                    };
                    format!("{{\"line\":{line},\"status\":\"lost\",\"reason\":\"{reason}\"}}")
                }
            },
        };
        // A reader that has gone away, or a full disk there, does not stop the recording.
        if ack
            && counts.unprinted.is_none()
            && let Err(error) = wait_for_reader(stop).and_then(|()| writeln!(out, "{line}")).and_then(|()| out.flush())
            && error.kind() != std::io::ErrorKind::BrokenPipe
        {
            counts.unprinted = Some(error);
        }
        open.fetch_sub(1, Ordering::AcqRel);
    }
    counts
}

/// Waits until a receipt can be printed; after a signal not for long.
fn wait_for_reader(stop: &Stop) -> std::io::Result<()> {
    let out = std::io::stdout();
    let mut since_signal = None;
    loop {
        let mut one = [PollFd::new(&out, PollFlags::OUT)];
        match poll(&mut one, Some(&POLL_SPEC)) {
            Err(rustix::io::Errno::INTR) | Ok(0) => {}
            Err(error) => return Err(error.into()),
            Ok(_) => return Ok(()),
        }
        if stop.is_seen() && since_signal.get_or_insert_with(Instant::now).elapsed() > READER {
            return Err(std::io::Error::other("nobody reads them"));
        }
    }
}

/// With receipts every line is committed as soon as it can be; without, batches fill up first.
fn wait(ticket: &Ticket, ack: bool, gave_up: &AtomicBool) -> recorder::Outcome {
    loop {
        // Thousands may be open when storage is given up: none of them waits any more.
        if gave_up.load(Ordering::Acquire) {
            return ticket.outcome().unwrap_or(recorder::Outcome::Timeout);
        }
        let outcome = if ack { ticket.wait_timeout(POLL) } else { ticket.wait_quietly(POLL) };
        if outcome != recorder::Outcome::Timeout {
            return outcome;
        }
    }
}
