//! From entries of a device, wherever they come from, to stretches in its database and import entries in the host's log.
//!
//! ```text
//! anchor, entry, entry, gap, anchor, entry ...  ->  stretch  ->  import entry  ->  acknowledgement
//! ```
//!
//! 1. An entry that is there already, byte for byte, is passed over; another under the same index begins a stretch of its own.
//! 2. After [`LONGEST`] entries what came is made durable and acknowledged: so much is lost of the work when it breaks off.
//! 3. Only what is here, or what the device has said in this run that it does not have, is acknowledged.

use super::store::{DeviceStore, Here, Stretch, UNKNOWN, devices};
use super::verify::{is_alarmed, tells};
use super::{ImportError, image};
use crate::line::{Answered, Aside, Line, LineError, Port, Until};
use crate::recorder::{Outcome, Recorder};
use crate::store::Reader;
use lowlight_core::chain::leaf;
use lowlight_core::entry::MAX_SIZE;
use lowlight_core::flash::Found;
use lowlight_core::frame::{MAX_WIRE, Receiver};
use lowlight_core::link::{Answer, Before, DeviceStatus, Entries, Request};
use lowlight_core::verify::{DeviceVerdict, DeviceVerifier, MAX_PROBLEMS};
use lowlight_core::{Digest, LogId};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Entries after which what came is made durable and acknowledged.
const LONGEST: u64 = 4096;
/// The alarm that a device has another history.
const FORKED: &str = "device_forked";
/// Time after which that is done for fewer.
const AT_LEAST_EVERY: Duration = Duration::from_secs(10);
/// Most stretches of one import.
const MOST_STRETCHES: usize = 10_000;
/// Messages that are asked for at once.
const MESSAGES: u8 = 8;
/// How long the host's log may take for one entry.
const DURABLE_WITHIN: Duration = Duration::from_secs(60);
/// Where a device's entries come from.
#[derive(Debug)]
pub enum Source<P> {
    /// A line to the device, on which an answer may take so long.
    Line(P, Duration),
    /// Bytes that were captured on such a line.
    Capture(Vec<u8>),
    /// An image of its flash.
    Image(Vec<u8>),
}

/// What an import did.
#[derive(Debug)]
pub struct Taken {
    /// Id of the device's log.
    pub log_id: LogId,
    /// Entries that are new.
    pub entries: u64,
    /// Entries that were there already.
    pub known: u64,
    /// Index behind the newest entry that was there already.
    pub before: u64,
    /// Entries that were there already and of which the host's log tells only now: the import that took them in was cut, or the log
    /// was put back since.
    pub late: u64,
    /// Where the device's log ends, when that is before what was taken in of it earlier.
    pub fewer: Option<u64>,
    /// What they are in, in the order of the host's entries about them.
    pub stretches: Vec<Stretch>,
    /// What the entries themselves showed, while they came in.
    pub verdict: DeviceVerdict<MAX_PROBLEMS>,
    /// Where the device's log stood, where it said so.
    pub status: Option<DeviceStatus>,
    /// The device has entries under indices under which it had others before, or lost some that this host has.
    pub is_forked: bool,
    /// Bytes on the line that were no frame.
    pub noise: u64,
}

/// An import into the log in a directory.
pub struct Import<'a> {
    dir: PathBuf,
    recorder: &'a Recorder,
    is_stopped: &'a dyn Fn() -> bool,
}

/// One that is under way.
#[expect(clippy::struct_excessive_bools, reason = "independent facts, each of a single bit")]
struct Taking<'a> {
    dir: &'a Path,
    recorder: &'a Recorder,
    store: DeviceStore,
    verifier: DeviceVerifier<MAX_PROBLEMS>,
    /// Index behind the newest entry that was there before.
    known_to: u64,
    /// The same when the import began.
    before: u64,
    /// Index of the entry that comes next and the leaf before it, as their source says.
    chain: Option<(u64, Digest)>,
    is_torn: bool,
    is_forked: bool,
    /// The device's leaf where the import begins is not the one that this host has.
    disagrees: bool,
    /// It did not know that leaf.
    assumes: bool,
    late: u64,
    fewer: Option<u64>,
    /// When what came was made durable last.
    committed: Instant,
    is_stopped: &'a dyn Fn() -> bool,
    entries: u64,
    known: u64,
    stretches: Vec<Stretch>,
    progress: &'a mut dyn FnMut(u64, u64),
}

impl<'a> Import<'a> {
    /// An import into the log in `dir`, which `recorder` writes.
    pub fn new(dir: &Path, recorder: &'a Recorder) -> Self {
        Self { dir: dir.to_path_buf(), recorder, is_stopped: &|| false }
    }

    /// Ends with [`ImportError::Stopped`] as soon as `is_stopped` says so.
    #[must_use]
    pub fn until(self, is_stopped: &'a dyn Fn() -> bool) -> Self {
        Self { is_stopped, ..self }
    }

    /// Takes in what `source` has that is not there yet. `progress` gets how many entries were taken in, and of how many; 0 when that
    /// is not known.
    ///
    /// # Errors
    ///
    /// [`ImportError`]; what was taken in until then stays, and is not taken in again.
    pub fn run<P: Port>(&self, source: Source<P>, progress: &mut dyn FnMut(u64, u64)) -> Result<Taken, ImportError> {
        crate::store::private_dir(&devices(&self.dir))?;
        match source {
            Source::Line(port, patience) => {
                let aside = Aside::new(Some(devices(&self.dir).join("noise")));
                let port = Until { port, is_stopped: self.is_stopped };
                self.line(&mut Line::new(port, patience, aside), progress)
            }
            Source::Capture(bytes) => self.capture(&bytes, progress),
            Source::Image(bytes) => self.image(&bytes, progress),
        }
    }

    fn begin<'b>(&'b self, log_id: LogId, progress: &'b mut dyn FnMut(u64, u64)) -> Result<Taking<'b>, ImportError> {
        let store = DeviceStore::open(&self.dir, log_id)?;
        let mut taking = Taking {
            dir: &self.dir,
            recorder: self.recorder,
            store,
            verifier: DeviceVerifier::new(log_id, 0, None),
            known_to: 0,
            before: 0,
            chain: None,
            is_torn: false,
            is_forked: false,
            disagrees: false,
            assumes: false,
            late: 0,
            fewer: None,
            committed: Instant::now(),
            is_stopped: self.is_stopped,
            entries: 0,
            known: 0,
            stretches: Vec::new(),
            progress,
        };
        // What an import that broke off has left without an entry in the host's log, or of which the log tells no more since it was put back.
        let reader = Reader::open(&self.dir)?;
        for stretch in taking.store.stretches()? {
            if let Some(seq) = stretch.seq
                && !tells(&reader, seq, &stretch.import)?
            {
                taking.store.forget(stretch.id)?;
            }
        }
        taking.tell()?;
        taking.late = taking.stretches.drain(..).map(|stretch| stretch.entries()).sum();
        taking.known_to = taking.store.stretches()?.iter().map(|stretch| stretch.import.end).max().unwrap_or(0);
        taking.before = taking.known_to;
        Ok(taking)
    }

    fn image(&self, bytes: &[u8], progress: &mut dyn FnMut(u64, u64)) -> Result<Taken, ImportError> {
        let image = image::open(bytes)?;
        let mut taking = self.begin(image.log_id(), progress)?;
        for found in image.found() {
            match found {
                Found::Anchor { index, head, is_torn } => taking.anchor(index, Before { leaf: head, is_torn }),
                Found::Entry { index, body } => taking.entry(index, body, image.end()).or_else(|error| taking.keep(error))?,
            }
        }
        taking.finish(None, 0)
    }

    fn capture(&self, bytes: &[u8], progress: &mut dyn FnMut(u64, u64)) -> Result<Taken, ImportError> {
        let mut receiver = Box::new(Receiver::<MAX_WIRE>::new());
        let (mut taking, mut status): (Option<Taking<'_>>, Option<DeviceStatus>) = (None, None);
        let mut progress = Some(progress);
        // A capture may begin or end inside a frame.
        for byte in std::iter::once(&0).chain(bytes).chain(&[0]) {
            if !receiver.push(*byte) {
                continue;
            }
            let Some(message) = receiver.message() else { continue };
            match (Answer::parse(message.kind, message.payload), &mut taking) {
                (Some(Answer::Status(said)), None) => {
                    let Some(progress) = progress.take() else { continue };
                    (taking, status) = (Some(self.begin(said.log_id, progress)?), Some(said));
                }
                (Some(Answer::Status(said)), Some(taking)) => {
                    if said.log_id != taking.store.log_id() {
                        return Err(ImportError::OtherDevice(said.log_id));
                    }
                    status = status.filter(|status| status.next > said.next).or(Some(said));
                }
                (Some(Answer::Entries(entries)), Some(taking)) => taking.message(&entries, 0).or_else(|error| taking.keep(error))?,
                _ => {}
            }
        }
        let Some(taking) = taking else { return Err(ImportError::Capture) };
        taking.finish(status, 0)
    }

    fn line<P: Port>(&self, line: &mut Line<P>, progress: &mut dyn FnMut(u64, u64)) -> Result<Taken, ImportError> {
        let stopped = |error| if (self.is_stopped)() { ImportError::Stopped(0) } else { error };
        let status = ask_status(line, Request::Status).map_err(stopped)?;
        let mut taking = self.begin(status.log_id, progress)?;
        let last = taking.drain(line, status).or_else(|error| taking.keep(error))?;
        taking.finish(Some(last), line.aside.count)
    }
}

/// The lowest index from `first` on that no stretch has and that is not known to be absent, and the leaf before it where a stretch
/// ends there.
fn lacking(stretches: &[Stretch], absent: &[(u64, u64)], first: u64) -> (u64, Option<Digest>) {
    let mut covered: Vec<(u64, u64)> = stretches.iter().map(|stretch| (stretch.import.first, stretch.import.end)).collect();
    covered.extend(absent);
    covered.sort_unstable();
    let next = covered.iter().fold(first, |next, (from, to)| if *from <= next { next.max(*to) } else { next });
    let newest = stretches.iter().rev().find(|stretch| stretch.import.end == next);
    (next, newest.filter(|stretch| stretch.import.head_before != UNKNOWN).map(|stretch| stretch.import.head_after))
}

fn ask_status<P: Port>(line: &mut Line<P>, request: Request) -> Result<DeviceStatus, ImportError> {
    let mut status = None;
    line.ask::<_, ImportError>(
        &mut status,
        |_| request,
        |status, answer| {
            let Answer::Status(said) = answer else { return Ok(Answered::Lost) };
            *status = Some(said);
            Ok(Answered::Last)
        },
    )?;
    status.ok_or(ImportError::Line(LineError::Silent))
}

impl Taking<'_> {
    /// Takes in what the device has and this host has not, and acknowledges it; where the device stands behind that.
    fn drain<P: Port>(&mut self, line: &mut Line<P>, status: DeviceStatus) -> Result<DeviceStatus, ImportError> {
        if status.next < self.known_to {
            self.fewer = Some(status.next);
            self.fork()?;
        }
        // What the device has said in this run that it does not have.
        let mut absent = Vec::new();
        let stretches = self.store.stretches()?;
        // What the device has overwritten since is asked for as well: then it says so.
        let known = stretches.iter().map(|stretch| stretch.import.end).filter(|end| *end <= status.first).max();
        let (mut from, mut head) =
            if self.is_forked { (status.first, None) } else { lacking(&stretches, &absent, known.unwrap_or(status.first)) };
        if head.is_some() && from > status.first && self.differs(line, from - 1)? {
            self.fork()?;
            (from, head) = (status.first, None);
        }
        if let Some(head) = head {
            self.verifier = DeviceVerifier::new(status.log_id, from, Some(head));
            self.chain = Some((from, head));
        }
        loop {
            let read = self.read(line, &mut from, status.next, &mut absent);
            if std::mem::take(&mut self.disagrees) {
                // What the device has before is another than what this host has: all of it is looked at.
                self.fork()?;
                from = status.first;
                (self.verifier, self.chain) = (DeviceVerifier::new(status.log_id, 0, None), None);
                continue;
            }
            let is_end = read? || from >= status.next;
            let now = ask_status(line, Request::Status).inspect_err(|_| {
                // It is not known whose entries came.
                self.entries -= self.store.pending();
                self.store.rollback();
            })?;
            if now.log_id != status.log_id {
                self.store.rollback();
                return Err(ImportError::OtherDevice(now.log_id));
            }
            self.store.commit()?;
            self.tell()?;
            let upto = lacking(&self.store.stretches()?, &absent, status.first).0;
            ask_status(line, Request::Acknowledge { upto: if self.is_forked { from } else { upto.min(now.next) } })?;
            if is_end {
                // Where it stands now; where it stood before, when it does not say.
                return Ok(ask_status(line, Request::Status).unwrap_or(status));
            }
            if self.stretches.len() > MOST_STRETCHES {
                return Err(ImportError::Scattered);
            }
        }
    }

    /// Asks for entries from `from` on until a stretch is full; whether there are no more.
    fn read<P: Port>(&mut self, line: &mut Line<P>, from: &mut u64, of: u64, absent: &mut Vec<(u64, u64)>) -> Result<bool, ImportError> {
        loop {
            let (mut left, mut is_end, mut is_full) = (MESSAGES, false, false);
            let mut state = (&mut *self, &mut *from);
            line.ask::<_, ImportError>(
                &mut state,
                |(_, from)| Request::Read { from: **from, messages: MESSAGES },
                |(taking, from), answer| {
                    let Answer::Entries(entries) = answer else { return Ok(Answered::Lost) };
                    // One was lost on the way.
                    if entries.asked != **from {
                        return Ok(Answered::Lost);
                    }
                    let count = entries.bodies().count() as u64;
                    taking.message(&entries, of)?;
                    if entries.index > entries.asked {
                        absent.push((entries.asked, entries.index));
                    }
                    **from = entries.index + count;
                    left = left.saturating_sub(1);
                    is_end = count == 0;
                    let is_due = taking.store.pending() > 0 && taking.committed.elapsed() >= AT_LEAST_EVERY;
                    is_full = taking.store.pending() >= LONGEST || is_due || taking.disagrees;
                    Ok(if is_end || left == 0 || is_full { Answered::Last } else { Answered::More })
                },
            )?;
            if is_end || is_full {
                return Ok(is_end);
            }
        }
    }

    fn message(&mut self, entries: &Entries<'_>, of: u64) -> Result<(), ImportError> {
        let (index, next) = (entries.index, self.verifier.next());
        let is_first = index == next && self.verifier.so_far().entries == 0 && !self.is_forked;
        if is_first && let (Some((_, own)), Some(before)) = (self.chain, entries.before) {
            self.disagrees = own != before.leaf && !before.is_torn;
        }
        if self.disagrees {
            return Ok(());
        }
        match entries.before {
            Some(before) if index >= next => {
                let found = self.verifier.so_far().problems.total();
                self.anchor(index, before);
                // They did not follow on what is here, and what came before them on the device was not asked for.
                self.disagrees = std::mem::take(&mut self.assumes) && self.verifier.so_far().problems.total() > found;
            }
            // That they follow on what this host has is not said.
            None if is_first => {
                (self.chain, self.assumes) = (None, true);
                self.verifier.assume();
            }
            // Where the device does not know the leaf, the chain goes on only from what was there before.
            before if before.is_some() || index != next => self.chain = before.map(|before| (index, before.leaf)),
            _ => {}
        }
        (index..).zip(entries.bodies()).try_for_each(|(index, body)| self.entry(index, body, of))
    }

    fn anchor(&mut self, index: u64, before: Before) {
        self.verifier.anchor(index, before.leaf, before.is_torn);
        (self.chain, self.is_torn) = (Some((index, before.leaf)), before.is_torn);
    }

    fn entry(&mut self, index: u64, body: &[u8], of: u64) -> Result<(), ImportError> {
        if (self.is_stopped)() {
            return Err(ImportError::Stopped(self.entries));
        }
        if index >= MAX_SIZE {
            // It says so.
            self.verifier.entry(index, body);
            return Ok(());
        }
        let is_torn = std::mem::take(&mut self.is_torn);
        let before = self.chain.filter(|(at, _)| *at == index).map(|(_, before)| before);
        self.chain = before.map(|before| (index + 1, leaf(&before, body)));
        let here = if index < self.known_to { self.store.find(index, body)? } else { Here::Nothing };
        if !(here == Here::Same && index < self.verifier.next()) {
            self.verifier.entry(index, body);
        }
        if here == Here::Same {
            self.known += 1;
            return Ok(());
        }
        if here == Here::Other {
            self.fork()?;
        }
        self.store.push(index, body, before, is_torn)?;
        (self.known_to, self.entries) = (self.known_to.max(index + 1), self.entries + 1);
        if self.store.pending() >= 4 * LONGEST {
            self.store.commit()?;
        }
        (self.progress)(self.entries, of);
        Ok(())
    }

    /// The device has another history than what was taken in of it before, or less of it: the host's log says so.
    fn fork(&mut self) -> Result<(), ImportError> {
        let text = format!("device {} has other entries than were taken in of it before, or fewer; all are kept", self.store.log_id());
        if !std::mem::replace(&mut self.is_forked, true) && !is_alarmed(&Reader::open(self.dir)?, FORKED, &text)? {
            self.recorder.alarm(FORKED, text);
        }
        Ok(())
    }

    /// Keeps what came before something went wrong, or a stop was asked for.
    fn keep<T>(&mut self, error: ImportError) -> Result<T, ImportError> {
        self.store.commit()?;
        self.tell()?;
        Err(match error {
            ImportError::Line(LineError::Io(_)) if (self.is_stopped)() => ImportError::Stopped(self.entries),
            other => other,
        })
    }

    /// Whether the device has another entry under an index than is here: of one that went back, and then does not know the leaf where it
    /// is to go on, nothing else tells it.
    fn differs<P: Port>(&self, line: &mut Line<P>, index: u64) -> Result<bool, ImportError> {
        let mut differs = false;
        line.ask::<_, ImportError>(
            &mut differs,
            |_| Request::Read { from: index, messages: 1 },
            |differs, answer| {
                let Answer::Entries(entries) = answer else { return Ok(Answered::Lost) };
                if entries.asked != index {
                    return Ok(Answered::Lost);
                }
                if let Some(body) = entries.bodies().next().filter(|_| entries.index == index) {
                    *differs = self.store.find(index, body)? == Here::Other;
                }
                Ok(Answered::Last)
            },
        )?;
        Ok(differs)
    }

    /// Says in the host's log what was taken in and is not said there yet.
    fn tell(&mut self) -> Result<(), ImportError> {
        for stretch in self.store.untold()? {
            // Nothing is vouched for that is not what came in.
            if !self.store.is_whole(&stretch, |_, _| {})? {
                return Err(ImportError::Changed(stretch.import.log_id, stretch.import.first));
            }
            let seq = match self.recorder.import(stretch.import).wait_timeout(DURABLE_WITHIN) {
                Outcome::Durable(seq) => seq,
                Outcome::Lost(reason) => return Err(ImportError::NotRecorded(reason.name().to_owned())),
                Outcome::Closed => return Err(ImportError::NotRecorded("the recorder was closed".to_owned())),
                Outcome::Timeout => return Err(ImportError::NotRecorded("it took too long".to_owned())),
            };
            self.store.set_seq(stretch.id, seq)?;
            self.stretches.push(Stretch { seq: Some(seq), ..stretch });
        }
        self.committed = Instant::now();
        Ok(())
    }

    fn finish(mut self, status: Option<DeviceStatus>, noise: u64) -> Result<Taken, ImportError> {
        self.store.commit()?;
        self.tell()?;
        // Two histories stay two, also when nothing new came.
        let mut ranges: Vec<_> = self.store.stretches()?.iter().map(|stretch| (stretch.import.first, stretch.import.end)).collect();
        ranges.sort_unstable();
        self.is_forked |= ranges.windows(2).any(|pair| matches!(pair, [(_, end), (first, _)] if first < end));
        Ok(Taken {
            log_id: self.store.log_id(),
            entries: self.entries,
            known: self.known,
            before: self.before,
            late: self.late,
            fewer: self.fewer,
            stretches: self.stretches,
            verdict: self.verifier.finish(),
            status,
            is_forked: self.is_forked,
            noise,
        })
    }
}
