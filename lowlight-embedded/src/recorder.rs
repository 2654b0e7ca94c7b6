//! The device's recorder: events in, chained entries in storage out, by way of a bounded queue.
//!
//! Limits: `N` entries of at most `BODY` - 8 bytes wait in memory; what does not fit is lost by policy and counted.
//!
//! ```text
//! record -> encode -> queue (N) -> flush: gap entries, numbers, batches -> FlashSink
//! ```
//!
//! 1. `record` never waits and never touches storage.
//! 2. What is lost is said by a gap entry before the next one that is written.
//! 3. An entry leaves the queue when storage has it, not before.

use super::{FlashSink, bisync};
use crate::{Now, Recorded, Software, StartError};
use embedded_io::{Error as _, ErrorKind};
use lowlight_core::entry::codec::{encode_payload, peek_run, renumbered};
use lowlight_core::entry::{EntryError, Header, Payload, uuid_v7};
use lowlight_core::entry::{Gap, GapReason, Lifecycle, Open, Retention, Role, Severity, Slot, SlotState, Slots};
use lowlight_core::queue::{OverflowPolicy, Pushed, Ring};
use lowlight_core::{Commitment, FieldId, Salt};

/// Entries that are handed to storage at once.
const BATCH: usize = 4;

/// Room for an entry that tells of losses, whatever its numbers are: 94 bytes, and 8 as for any other.
const LEAST: usize = 104;

/// A recorder with a queue of `N` entries whose bodies (`docs/format.md`, section 2) have at most `BODY` - 8 bytes, and whose random
/// bytes come from `R`.
///
/// `BODY` is at least 104, and at most 8 less than the longest frame of the log. 160 is enough for an inference with short names and one content field.
#[derive(Debug)]
pub struct Recorder<R, const N: usize, const BODY: usize> {
    queue: Ring<heapless::Vec<u8, BODY>, N>,
    random: R,
    run: u64,
    received: u64,
    written: u64,
    lost: u64,
    /// Entries lost since the log was made, before this start.
    dropped: u64,
    /// A start was tried.
    is_begun: bool,
    /// A start has returned: before that nothing is written.
    is_started: bool,
    /// What was being written, from which index on: whether it is there is not known where the future was dropped.
    under: Option<(u64, Under)>,
}

/// What was being written.
#[derive(Debug, Clone, Copy)]
enum Under {
    /// So many from the front of the queue.
    Entries(usize),
    /// What says that others were lost.
    Gap(Gap),
}

#[bisync]
impl<R: FnMut(&mut [u8]), const N: usize, const BODY: usize> Recorder<R, N, BODY> {
    /// A recorder that was not started; `random` fills a slice with random bytes. Can be static, since it is large.
    pub const fn new(policy: OverflowPolicy, random: R) -> Self {
        const { assert!(BODY >= LEAST, "a body must have room for whatever the recorder itself has to say of losses: give at least 104 bytes") };
        Self {
            queue: Ring::new(policy, N, usize::MAX),
            random,
            run: 0,
            received: 0,
            written: 0,
            lost: 0,
            dropped: 0,
            is_begun: false,
            is_started: false,
            under: None,
        }
    }

    /// Starts recording, before anything else: opens an empty log, says whether power went at the last run, and what runs now. Until it
    /// has returned `Ok` nothing is written, and the queue fills: where storage failed, call it again.
    ///
    /// # Errors
    ///
    /// [`StartError`]; the log is as it was, or has some of these entries.
    pub async fn start<S: FlashSink>(&mut self, sink: &mut S, software: Software<'_>, now: Now) -> Result<(), StartError<S::Error>> {
        let status = sink.status();
        let was_begun = core::mem::replace(&mut self.is_begun, true);
        self.run = status.run.into();
        if !was_begun {
            // Later it counts what this recorder has lost as well.
            self.dropped = status.dropped;
        }
        let open = Open {
            log_id: status.log_id,
            role: Role::Device,
            true_random: software.true_random,
            policy: Retention::default(),
            vkey: None,
            erasure_vkey: None,
            predecessor: None,
        };
        let Software { name, build, device, .. } = software;
        for is_last in [false, true] {
            // The log looks again where something was under way, and what was there of a flush is taken off before anything follows.
            let seq = sink.append(&[]).await.map_err(StartError::Sink)?;
            self.settle(seq);
            let body = if is_last {
                self.body(seq, now, Severity::Info, &Lifecycle::Start { software: name, build, device })?
            } else if seq == 0 {
                self.body(seq, now, Severity::Info, &open)?
            } else if let Some(run) = last_run(sink).await.map_err(StartError::Sink)?.filter(|run| !was_begun || *run != self.run) {
                let at_most = u64::try_from(N).unwrap_or(u64::MAX);
                self.body(seq, now, Severity::Warn, &Lifecycle::UncleanStop { run, last_seq: Some(seq - 1), at_most })?
            } else {
                continue;
            };
            match sink.append(&[&body]).await {
                // Where storage is full, it waits with the others until a host has taken something.
                Err(error) if error.kind() == ErrorKind::OutOfMemory => {
                    if self.enqueue(body, now.wall) == Recorded::Full {
                        self.queue.losses().add(GapReason::QueueFull, 1, now.wall);
                        (self.received, self.lost) = (self.received + 1, self.lost + 1);
                    }
                }
                done => drop(done.map_err(StartError::Sink)?),
            }
        }
        self.is_started = true;
        Ok(())
    }

    /// The body of an entry of the recorder itself.
    fn body<P: Payload>(&mut self, seq: u64, now: Now, severity: Severity, event: &P) -> Encoded<BODY> {
        let mut header = self.header(now, severity);
        header.seq = seq;
        encode_within(&header, event, &Slots::new())
    }

    /// A header of an entry that is recorded now, without any of the texts.
    pub fn header(&mut self, now: Now, severity: Severity) -> Header<'static> {
        let mut random = [0; 16];
        (self.random)(&mut random);
        let id = uuid_v7(milliseconds(u64::try_from(now.wall).unwrap_or(0)), random);
        let mut header = Header::new(now.wall, now.monotonic, now.clock, id, severity);
        header.run = self.run;
        header
    }

    /// Commits to a content value that is kept nowhere: the slot for the entry, and the salt with which whoever has the value can
    /// prove it.
    pub fn commit(&mut self, field: FieldId, value: &[u8]) -> (Slot, Salt) {
        let mut salt = [0; 16];
        (self.random)(&mut salt);
        let commitment = Commitment::new(&Salt(salt), field, value).0;
        (Slot { field, state: SlotState::HashOnly, cut_from: None, commitment }, Salt(salt))
    }

    /// Records an event; `fields` are ascending by field.
    pub fn record<P: Payload>(&mut self, mut header: Header<'_>, event: &P, fields: &[Slot]) -> Recorded {
        let recorded = header.recorded;
        let Ok(fields) = Slots::from_slice(fields) else { return Recorded::Refused(EntryError::Range("number of fields")) };
        header.seq = 0;
        let body = match encode_within(&header, event, &fields) {
            Ok(body) => body,
            Err(error) => return Recorded::Refused(error),
        };
        self.enqueue(body, recorded)
    }

    /// Puts a body into the queue, and counts it, and what is lost by that.
    fn enqueue(&mut self, body: heapless::Vec<u8, BODY>, now: i64) -> Recorded {
        let (mut lost, under) = (0, &mut self.under);
        let gone = |_| {
            lost += 1;
            // What is under way stands at the front. Whether it is in storage is not known: it is told as lost in any case.
            if let Some((from, Under::Entries(count))) = under {
                (*from, *count) = (*from + 1, count.saturating_sub(1));
            }
        };
        let recorded = match self.queue.push(body, 1, now, gone) {
            Pushed::Queued => Recorded::Queued,
            Pushed::Lost(_, reason) => {
                lost += 1;
                Recorded::Lost(reason)
            }
            Pushed::Full(_) => Recorded::Full,
        };
        self.lost += lost;
        self.received += u64::from(recorded != Recorded::Full);
        recorded
    }

    /// How many entries wait.
    pub fn waiting(&self) -> usize {
        self.queue.len()
    }

    /// Writes what waits, up to four entries at once, and gaps first; how many left the queue, a gap counted as one. Call it until it
    /// returns 0, as it does before a start.
    ///
    /// # Errors
    ///
    /// Those of storage; what it did not take stays in the queue.
    pub async fn flush<S: FlashSink>(&mut self, sink: &mut S, now: Now) -> Result<usize, S::Error> {
        if !self.is_started {
            return Ok(0);
        }
        // The log looks again where something was under way.
        let next = sink.append(&[]).await?;
        self.settle(next);
        sink.set_dropped(self.dropped + self.lost);
        if let Some(body) = self.gap(now, next) {
            let done = sink.append(&[&body]).await;
            let there = self.settle(sink.status().next);
            return done.map(|_| there);
        }
        for (body, seq) in self.queue.iter_mut().take(BATCH).zip(next..) {
            // It has room for any number.
            *body = renumbered(body, seq).collect();
        }
        let mut bodies = [&[][..]; BATCH];
        let count = bodies.iter_mut().zip(self.queue.iter()).map(|(slot, body)| *slot = body).count();
        if count == 0 {
            return Ok(0);
        }
        self.under = Some((next, Under::Entries(count)));
        let mut done = sink.append(bodies.get(..count).unwrap_or_default()).await;
        if count > 1 && done.as_ref().is_err_and(is_refused) {
            done = sink.append(bodies.get(..1).unwrap_or_default()).await;
        }
        if done.as_ref().is_err_and(is_refused) {
            // Storage can never hold it, and it must not be in the way of the others.
            self.under = None;
            let _ = self.queue.pop();
            self.queue.losses().add(GapReason::Rejected, 1, now.wall);
            self.lost += 1;
            return Ok(1);
        }
        // Also when it failed some may be there.
        let there = self.settle(sink.status().next);
        done.map(|_| there)
    }

    /// Takes off what is in storage now that its next index is `next`: how many entries.
    fn settle(&mut self, next: u64) -> usize {
        match self.under.take() {
            Some((from, Under::Entries(count))) => {
                let there = usize::try_from(next.saturating_sub(from)).unwrap_or(0).min(count);
                for _ in 0..there {
                    let _ = self.queue.pop();
                }
                self.written += there as u64;
                there
            }
            Some((from, Under::Gap(gap))) => {
                if next <= from {
                    self.queue.losses().merge(gap);
                }
                usize::from(next > from)
            }
            None => 0,
        }
    }

    /// The body of the first gap of those that are to be told, which is under way then.
    fn gap(&mut self, now: Now, next: u64) -> Option<heapless::Vec<u8, BODY>> {
        let gap = self.queue.losses().take().next()?;
        self.under = Some((next, Under::Gap(gap)));
        let body = self.body(next, now, Severity::Warn, &gap).ok();
        if body.is_none() {
            // A clock that says what no entry may: it is told when that is over.
            self.settle(next);
        }
        body
    }

    /// Writes all that waits and says that the run has ended: power may go then.
    ///
    /// # Errors
    ///
    /// Those of storage.
    pub async fn stop<S: FlashSink>(&mut self, sink: &mut S, now: Now) -> Result<(), S::Error> {
        while self.flush(sink, now).await? > 0 {}
        let seq = sink.status().next;
        let stop = Lifecycle::Stop { received: self.received, written: self.written, lost: self.lost };
        if self.is_started
            && let Ok(body) = self.body(seq, now, Severity::Info, &stop)
        {
            sink.append(&[&body]).await?;
        }
        sink.stop().await
    }
}

/// The body of an entry, or what is wrong with it.
type Encoded<const BODY: usize> = Result<heapless::Vec<u8, BODY>, EntryError>;

/// Encodes an entry so that it may get any number: that takes at most 8 bytes more than the one byte it takes at least.
fn encode_within<P: Payload, const BODY: usize>(header: &Header<'_>, event: &P, fields: &Slots) -> Encoded<BODY> {
    let mut bytes = [0; BODY];
    let length = encode_payload(header, event, fields, bytes.get_mut(..BODY.saturating_sub(8)).unwrap_or_default())?.len();
    let mut body = heapless::Vec::from_array(bytes);
    body.truncate(length);
    Ok(body)
}

/// Nanoseconds in milliseconds, a byte at a time: a division of 64 bits takes 1 KB of code where there is no instruction for it.
fn milliseconds(nanoseconds: u64) -> u64 {
    let (mut quotient, mut rest) = (0, 0);
    for byte in nanoseconds.to_be_bytes() {
        rest = rest << 8 | u32::from(byte);
        quotient = quotient << 8 | u64::from(rest / 1_000_000);
        rest %= 1_000_000;
    }
    quotient
}

fn is_refused<E: embedded_io::Error>(error: &E) -> bool {
    error.kind() == ErrorKind::InvalidInput
}

/// The run of the newest entry, if it is not that of a clean stop.
#[bisync]
async fn last_run<S: FlashSink>(sink: &mut S) -> Result<Option<u64>, S::Error> {
    let mut buffer = [0; 256];
    let newest = sink.status().next.saturating_sub(1);
    let read = match sink.read_from(newest, &mut buffer).await {
        Ok(stored) => stored,
        // A stop would have had room.
        Err(error) if is_refused(&error) => None,
        Err(error) => return Err(error),
    };
    let body = read.and_then(|stored| buffer.get(..stored.length));
    Ok(match body.and_then(peek_run) {
        Some((_, true)) => None,
        Some((run, false)) => Some(run),
        None => Some(u64::from(sink.status().run.saturating_sub(1))),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn milliseconds_are_what_a_division_gives() {
        for nanoseconds in [0, 1, 999_999, 1_000_000, 1_764_000_000_123_456_789, i64::MAX.unsigned_abs(), u64::MAX - 1, u64::MAX] {
            assert_eq!(milliseconds(nanoseconds), nanoseconds / 1_000_000);
        }
    }
}
