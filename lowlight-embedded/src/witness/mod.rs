//! A witness on a microcontroller: remembers how large a host's log was, where the host cannot make it forget
//! (`docs/format.md`, sections 10, 14, 17.3 and 19).
//!
//! ```text
//! Link -> Ask -> Witness::answer: check, persist, read back -> Reply -> sign -> Link
//! ```
//!
//! Limits: one name of a log with one key, four logs of that name; no allocation.
//!
//! 1. What it signs for a size it has on flash, at that size or larger, read back.
//! 2. A state that is lost or damaged is never begun anew under its keys: they were in it. What is provisioned then is another witness.
//! 3. After an error, or a future that was dropped, the state is read again before anything is said.

mod state;

use super::{NorFlash, bisync};
use crate::reply::Body;
use crate::{Provisioning, Reply, WitnessError};
use core::ops::Range;
use lowlight_core::LogId;
use lowlight_core::flash::{WitnessHeader, WitnessRecord};
use lowlight_core::link::Ask;
use lowlight_core::note::witness::{Refusal, Request, Seen};
use lowlight_core::note::{Algorithm, Checkpoint, Key, Note, hex};
use state::{Halves, State};

/// What a witness is.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "there is no allocation")]
enum Condition {
    Ready(State),
    /// It is to be found out.
    Unknown,
}

/// A witness with its state on the flash `F`.
#[derive(Debug)]
pub struct Witness<F> {
    halves: Halves<F>,
    provisioning: Provisioning,
    condition: Condition,
}

#[bisync]
impl<F: NorFlash> Witness<F> {
    /// Finds the state in `region`, which is split into two halves. Only a region that cannot be one is an error: what flash does not
    /// let it do now is tried again at each request.
    ///
    /// # Errors
    ///
    /// [`WitnessError::Region`].
    pub async fn mount(flash: F, region: Range<u32>, provisioning: Provisioning) -> Result<Self, WitnessError> {
        let mut witness = Self { halves: Halves::new(flash, &region)?, provisioning, condition: Condition::Unknown };
        // It is said at each request.
        let _ = witness.ready().await;
        Ok(witness)
    }

    /// Gives the flash back.
    pub fn into_inner(self) -> F {
        self.halves.flash
    }

    async fn ready(&mut self) -> Result<&mut State, WitnessError> {
        if matches!(self.condition, Condition::Unknown) {
            self.condition = match self.halves.find().await {
                Some(scan) => Condition::Ready(self.halves.settle(scan).await?),
                // What cannot be read now may be another time: it is looked at again at the next request.
                None => return Err(WitnessError::Blank),
            };
        }
        match &mut self.condition {
            Condition::Ready(state) => Ok(state),
            Condition::Unknown => Err(WitnessError::Failed),
        }
    }

    /// Takes the state out, to be put back when what is done with it has ended well.
    async fn take(&mut self) -> Result<State, WitnessError> {
        self.ready().await?;
        match core::mem::replace(&mut self.condition, Condition::Unknown) {
            Condition::Ready(state) => Ok(state),
            Condition::Unknown => Err(WitnessError::Failed),
        }
    }

    /// Makes a blank one the witness of the logs of `log`; it is called `name`, and its keys are those of the two seeds in `seeds`:
    /// 32 bytes for the one that cosigns, 32 for the one that attests, from a true random source.
    ///
    /// # Errors
    ///
    /// [`WitnessError::Provisioned`], [`WitnessError::Name`], [`WitnessError::Failed`].
    pub async fn provision(&mut self, log: &Key<'_>, name: &str, seeds: [u8; 64]) -> Result<(), WitnessError> {
        match self.ready().await {
            Err(WitnessError::Blank) => {}
            Ok(_) => return Err(WitnessError::Provisioned),
            Err(error) => return Err(error),
        }
        let header = WitnessHeader::new(log.name, log.public, name, seeds).filter(|_| log.algorithm == Algorithm::Ed25519);
        let header = header.ok_or(WitnessError::Name)?;
        self.condition = Condition::Unknown;
        self.condition = Condition::Ready(self.halves.begin(header).await?);
        Ok(())
    }

    /// Trusts another key of the log instead, after a rotation. For provisioning: not to be had over the line. Do it again where power went
    /// before it returned.
    ///
    /// # Errors
    ///
    /// [`WitnessError::Name`] for a key of another name; where there is no state, or it cannot be written.
    pub async fn trust(&mut self, log: &Key<'_>) -> Result<(), WitnessError> {
        let state = self.ready().await?;
        if state.header.names().0 != log.name || log.algorithm != Algorithm::Ed25519 {
            return Err(WitnessError::Name);
        }
        let mut state = self.take().await?;
        state.header.log_key = log.public;
        self.halves.turn(&mut state).await?;
        self.condition = Condition::Ready(state);
        Ok(())
    }

    /// Forgets a log, so that its slot is free for another. For provisioning: not to be had over the line. Do it again where power went
    /// before it returned.
    ///
    /// # Errors
    ///
    /// [`WitnessError::Unknown`]; where there is no state, or it cannot be written.
    pub async fn free(&mut self, log_id: LogId) -> Result<(), WitnessError> {
        let state = self.ready().await?;
        let place = state.records.iter().position(|record| record.is_some_and(|record| record.log_id == log_id));
        let place = place.ok_or(WitnessError::Unknown)?;
        let mut state = self.take().await?;
        if let Some(slot) = state.records.get_mut(place) {
            *slot = None;
        }
        self.halves.turn(&mut state).await?;
        self.condition = Condition::Ready(state);
        Ok(())
    }

    /// Erases keys and state: it is blank then, and whatever is provisioned next is another witness. Do it again where power went before it
    /// returned: something may be left.
    ///
    /// # Errors
    ///
    /// [`WitnessError::Failed`].
    pub async fn erase(&mut self) -> Result<(), WitnessError> {
        self.condition = Condition::Unknown;
        self.halves.erase(0).await?;
        self.halves.erase(1).await?;
        Ok(())
    }

    /// What it remembers of a log; size 0 for one that it never saw.
    ///
    /// # Errors
    ///
    /// Where there is no state.
    pub async fn seen(&mut self, log_id: LogId) -> Result<Seen, WitnessError> {
        let record = self.ready().await?.record(log_id);
        Ok(record.map_or(Seen::nothing(), |record| Seen { size: record.size, root: record.root }))
    }

    /// Decides what is answered, and persists it; nothing is signed before [`write`](Self::write).
    pub async fn answer(&mut self, ask: &Ask<'_>) -> Reply {
        let reply = match *ask {
            Ask::Provision { seeds, name, vkey } => self.provision_asked(seeds, name, vkey).await,
            Ask::Add { time, request } => self.add(time, request).await,
            Ask::Info => self.info().await,
            Ask::Latest { origin } => self.log_of(origin).await.map(|log| match log {
                Some((_, record)) => Reply { status: 200, body: Body::Latest(record) },
                None => Refusal::UnknownOrigin.into(),
            }),
            Ask::Attest { nonce, origin } => self.attest(nonce, origin).await,
        };
        reply.unwrap_or_else(Reply::from)
    }

    /// Writes the text of an answer, signed where it is to be.
    ///
    /// # Errors
    ///
    /// When it does not fit `out`, or is to be signed and there is no state any more.
    pub fn write(&self, reply: &Reply, out: &mut impl core::fmt::Write) -> core::fmt::Result {
        let header = if let Condition::Ready(state) = &self.condition { Some(&state.header) } else { None };
        reply.write(header, out)
    }

    async fn info(&mut self) -> Result<Reply, WitnessError> {
        let write_seq = self.ready().await?.write_seq;
        Ok(Reply { status: 200, body: Body::Info(write_seq) })
    }

    async fn attest(&mut self, nonce: [u8; 32], origin: &str) -> Result<Reply, WitnessError> {
        let Some((log_id, record)) = self.log_of(origin).await? else { return Ok(Refusal::UnknownOrigin.into()) };
        let write_seq = self.ready().await?.write_seq;
        Ok(Reply { status: 200, body: Body::Attestation(log_id, record, nonce, write_seq) })
    }

    /// The log of an origin, and what is remembered of it; `None` when it is none that is witnessed.
    async fn log_of(&mut self, origin: &str) -> Result<Option<(LogId, Option<WitnessRecord>)>, WitnessError> {
        let state = self.ready().await?;
        Ok(log_id(state.header.names().0, origin).map(|log_id| (log_id, state.record(log_id).copied())))
    }

    async fn add(&mut self, time: u64, request: &[u8]) -> Result<Reply, WitnessError> {
        let state = self.ready().await?;
        match decide(state, time, request) {
            Err(refusal) => Ok(refusal.into()),
            Ok(record) => {
                // Said again, it costs no flash: neither for a host whose answer was lost, nor for one that wants to wear it out.
                if let Some(known) = state.record(record.log_id).filter(|known| (known.size, known.root) == (record.size, record.root)) {
                    return Ok(Reply { status: 200, body: Body::Cosignature(*known) });
                }
                let mut state = self.take().await?;
                self.halves.append(&mut state, record).await?;
                self.condition = Condition::Ready(state);
                Ok(Reply { status: 200, body: Body::Cosignature(record) })
            }
        }
    }

    async fn provision_asked(&mut self, seeds: Option<&[u8; 64]>, name: &str, vkey: &str) -> Result<Reply, WitnessError> {
        match self.ready().await {
            Ok(_) => return Err(WitnessError::Provisioned),
            Err(WitnessError::Blank) => {}
            Err(error) => return Err(error),
        }
        if !self.provisioning.over_the_line {
            return Ok(Reply::refusal(403, "not to be provisioned over the line: its firmware does not allow it now"));
        }
        let make = |random: fn(&mut [u8])| {
            let mut made = [0; 64];
            random(&mut made);
            made
        };
        let Some(seeds) = seeds.copied().or_else(|| self.provisioning.random.map(make)) else {
            return Ok(Reply::refusal(501, "it has no random source: seeds must be given"));
        };
        let log = Key::parse(vkey).map_err(|_| WitnessError::Name)?;
        self.provision(&log, name, seeds).await?;
        self.info().await
    }
}

/// The log of an origin whose key has that name.
fn log_id(name: &str, origin: &str) -> Option<LogId> {
    let (own, id) = origin.rsplit_once('/')?;
    (own == name).then(|| hex(id).map(LogId)).flatten()
}

/// What is to be remembered when a request is granted (`docs/format.md`, section 10).
fn decide(state: &State, time: u64, request: &[u8]) -> Result<WitnessRecord, Refusal> {
    let request = Request::parse(request)?;
    let name = state.header.names().0;
    let log_id = log_id(name, request.origin()).ok_or(Refusal::UnknownOrigin)?;
    let known = state.records.iter().position(|record| record.is_some_and(|record| record.log_id == log_id));
    let place = known.or_else(|| state.records.iter().position(Option::is_none)).ok_or(Refusal::UnknownOrigin)?;
    let record = state.records.get(place).copied().flatten();
    let seen = record.map_or(Seen::nothing(), |record| Seen { size: record.size, root: record.root });
    let key = Key { name, algorithm: Algorithm::Ed25519, public: state.header.log_key };
    let next = request.decide(&seen, &[key])?;
    let note = Note::parse(request.checkpoint).map_err(|_| Refusal::Untrusted)?;
    // What is signed is made anew of what is remembered, which knows of no extension lines.
    if Checkpoint::parse(note.text).is_err() || note.text.split('\n').count() != 4 {
        return Err(Refusal::Malformed);
    }
    let signed = note.signatures().filter(|it| it.name == key.name && it.id == key.id()).find_map(|it| it.bytes::<68>());
    let [a, b, c, d, signature @ ..] = signed.ok_or(Refusal::Untrusted)?;
    Ok(WitnessRecord {
        slot: u8::try_from(place).map_err(|_| Refusal::UnknownOrigin)?,
        key_id: [a, b, c, d],
        write_seq: 0,
        size: next.size,
        time: time.max(state.time),
        log_id,
        root: next.root,
        signature,
    })
}
