//! The recorder and its witness: each new checkpoint is cosigned, and a log that is older than the witness remembers is not
//! continued (`docs/format.md`, section 14).
//!
//! ```text
//! writer: checkpoint --wake--> thread: growth proof, add, check the cosignature -> DIR/witnessed
//! start:  attest(nonce) -> larger than the log? -> move it aside, begin a successor that names it
//! ```
//!
//! 1. Recording never waits for a witness, but for the question at the start of a run, up to [`PATIENCE`].
//! 2. Only what is signed counts: the attestation by the witness, the checkpoint by the log's own key.

use super::Shared;
use super::beside::{Attempt, Beside, PATIENCE};
use super::worker::Worker;
use crate::checkpoints::{Checkpoints, Witnessed, add_witnessed};
use crate::keys::{LogKey, origin};
use crate::prove;
use crate::store::{Layout, Reader, StoreError};
use crate::verify::Kept;
use crate::witness::{Client, Endpoint, WitnessError};
use lowlight_core::LogId;
use lowlight_core::entry::Predecessor;
use lowlight_core::note::{Algorithm, Key, Note};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Where the witness is, and what its keys are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WitnessOptions {
    /// Where it is.
    pub endpoint: Endpoint,
    /// vkey of its cosignatures.
    pub vkey: String,
    /// vkey of its attestations.
    pub attest: String,
}

impl WitnessOptions {
    /// Whether both keys are of the kind they must be.
    ///
    /// # Errors
    ///
    /// Which is not.
    pub fn check(&self) -> Result<(), String> {
        let is = |vkey: &str, algorithm| Key::parse(vkey).is_ok_and(|key| key.algorithm == algorithm);
        if !is(&self.vkey, Algorithm::CosignatureV1) {
            return Err("vkey: is not the key of a witness, as `lowlight witness init` prints it".to_owned());
        }
        if !is(&self.attest, Algorithm::Ed25519) {
            return Err("attest: is not the second key that `lowlight witness init` prints".to_owned());
        }
        Ok(())
    }
}

/// Why a log is not continued.
pub(super) struct Older {
    pub predecessor: Predecessor,
    pub why: String,
    /// What it was asked about.
    pub log: LogId,
    pub size: u64,
}

/// Size of the log in `path` that its witness remembers now, by a fresh signed answer.
///
/// # Errors
///
/// Why there is none, in words.
pub fn ask_witness(options: &WitnessOptions, path: &Path) -> Result<u64, String> {
    let layout = Layout::new(path);
    let key = LogKey::load(&layout).map_err(|error| error.to_string())?;
    let key = key.ok_or("a witness needs signed checkpoints: `lowlight keys init` makes the key")?;
    let reader = Reader::open(path).map_err(|error| error.to_string())?;
    let said = |error: WitnessError| error.to_string();
    let mut client = Client::connect(&options.endpoint, PATIENCE).map_err(said)?;
    let attest = Key::parse(&options.attest).map_err(|error| error.to_string())?;
    let (size, _) = client.attest(&origin(key.key().name, reader.log_id()), &attest).map_err(said)?;
    Ok(size)
}

/// Asks the witness whether the log is what it was. `Ok(None)` when nothing speaks against it.
fn ask(options: &WitnessOptions, layout: &Layout) -> Result<Option<Older>, String> {
    let key = LogKey::load(layout).map_err(|error| error.to_string())?;
    let key = key.ok_or("a witness needs signed checkpoints: `lowlight keys init` makes the key")?;
    let reader = match Reader::open(layout.dir()) {
        Ok(reader) => reader,
        Err(StoreError::Missing(_)) => return Ok(None),
        Err(error) => return Err(error.to_string()),
    };
    let (log_id, tip) = (reader.log_id(), reader.tip().clone());
    let own = origin(key.key().name, log_id);
    let said = |error: WitnessError| error.to_string();
    let mut client = Client::connect(&options.endpoint, PATIENCE).map_err(said)?;
    let attest = Key::parse(&options.attest).map_err(|error| error.to_string())?;
    let (size, root) = client.attest(&own, &attest).map_err(said)?;
    let here = lowlight_core::Frontier::from_hashes(tip.size, tip.hashes.iter().copied()).map(|tree| tree.root());
    if size < tip.size || (size == tip.size && here == Some(root)) {
        return Ok(None);
    }
    // An unsigned word must not be able to make the recorder leave a log.
    let note = client.latest(&own).map_err(said)?.unwrap_or_default();
    let kept =
        Kept::parse(note.as_bytes(), &[key.key()]).map_err(|error| format!("the witness has no checkpoint by this log's key: {error}"))?;
    if kept.size() != size || *kept.root() != root || kept.log() != log_id.to_string() {
        return Err("the witness attests a size of which it has no checkpoint by this log's key".to_owned());
    }
    let why = format!(
        "the witness has seen {size} entries of this log, which has {}: truncated, rolled back, or storage lost what it had acknowledged",
        tip.size
    );
    let predecessor = Predecessor { log_id: Some(log_id), size: Some(size), root: Some(root) };
    Ok(Some(Older { predecessor, why, log: log_id, size: tip.size }))
}

impl Worker<'_> {
    /// At the start of a run: what the witness has against the log; that it cannot be asked is an alarm.
    pub(super) fn ask_witness(&mut self, layout: &Layout) -> Option<Older> {
        let options = self.shared.options.witness.as_ref()?;
        match ask(options, layout) {
            Ok(older) => older,
            Err(why) => {
                self.alarm("witness_silent", format!("whether the log is what it was could not be asked: {why}"));
                self.shared.lock().stats.witness_problem = Some(why);
                None
            }
        }
    }
}

/// Starts the thread that has checkpoints cosigned.
pub(super) fn start(shared: &Arc<Shared>) -> std::io::Result<Option<Beside>> {
    let Some(options) = shared.options.witness.clone() else { return Ok(None) };
    let layout = Layout::new(&shared.options.path);
    let shared = Arc::clone(shared);
    let mut seen = None;
    Beside::start("lowlight-witness", move |left| {
        if shared.lock().locked_out {
            return Attempt::Busy;
        }
        let done = cosign(&options, &layout, left, &mut seen);
        let mut state = shared.lock();
        match done {
            Ok(size) => {
                state.stats.witnessed = size.or(state.stats.witnessed);
                state.stats.witness_problem = None;
                Attempt::Done
            }
            Err(problem) => {
                let is_new = state.stats.witness_problem.replace(problem.text.clone()).is_none();
                if problem.is_alarm && is_new {
                    state.alarms.push(("witness_refused", problem.text));
                    state.loss_since.get_or_insert_with(Instant::now);
                    shared.work.notify_one();
                }
                Attempt::Failed
            }
        }
    })
    .map(Some)
}

struct Problem {
    text: String,
    /// The witness contradicts the log.
    is_alarm: bool,
}

impl<E: std::fmt::Display> From<E> for Problem {
    fn from(error: E) -> Self {
        Self { text: error.to_string(), is_alarm: false }
    }
}

/// Has the newest checkpoint cosigned; the size that is. `seen` is where the witness is, as far as known.
fn cosign(options: &WitnessOptions, layout: &Layout, patience: Duration, seen: &mut Option<(String, u64)>) -> Result<Option<u64>, Problem> {
    let Some(key) = LogKey::load(layout)? else {
        return Err("a witness needs signed checkpoints: `lowlight keys init` makes the key".into());
    };
    let reader = Reader::open(layout.dir())?;
    let log_id = reader.log_id();
    let newest = Checkpoints::open(layout.dir())?.of(log_id).newest(reader.tip().size)?;
    drop(reader);
    let Some((size, note)) = newest.and_then(|sealed| Some((sealed.size, sealed.note?))) else { return Ok(None) };
    // One that an older key signed is followed by another soon.
    if Note::parse(note.as_bytes()).ok().and_then(|note| note.signature_of(&key.key()).ok().flatten()).is_none() {
        return Ok(None);
    }
    let own = origin(key.key().name, log_id);
    let mut old = seen.take().filter(|(origin, _)| *origin == own).map_or(0, |(_, size)| size);
    let mut client = Client::connect(&options.endpoint, patience)?;
    for _ in 0..2 {
        let cosigned = if old == size {
            // Its answer was lost, or belongs to an earlier run.
            client.latest(&own).map(Option::unwrap_or_default)
        } else {
            client.add(&request(layout, old, size, &note)?).map(|line| note.clone() + &line)
        };
        match cosigned {
            Ok(note) => {
                keep(options, layout, (log_id, size), note)?;
                *seen = Some((own, size));
                return Ok(Some(size));
            }
            Err(WitnessError::Refused { status: 409, reason }) => {
                old = reason.parse().map_err(|_| Problem::from("the witness names no size"))?;
                if old > size {
                    drop(client);
                    *seen = Some((own, old));
                    // Another recorder may have made one meanwhile.
                    let reader = Reader::open(layout.dir())?;
                    let newest = Checkpoints::open(layout.dir())?.of(log_id).newest(reader.tip().size)?;
                    if newest.is_some_and(|newest| newest.size > size) {
                        return cosign(options, layout, patience, seen);
                    }
                    let text = format!("the witness has seen {old} entries of this log, its newest checkpoint has {size}");
                    return Err(Problem { text, is_alarm: true });
                }
            }
            Err(error @ WitnessError::Refused { status: 422, .. }) => return Err(Problem { text: error.to_string(), is_alarm: true }),
            // After a rotation, or before the first time: somebody has to tell the witness.
            Err(error @ WitnessError::Refused { status: 403 | 404, .. }) => {
                let text = match &options.endpoint {
                    Endpoint::Serial { .. } => {
                        format!("{error}; the device's firmware has to trust '{}', or to make room for another log", key.key())
                    }
                    _ => {
                        format!("{error}; where the witness is, run `lowlight witness --state DIR trust '{}'`, or `free` a log", key.key())
                    }
                };
                return Err(Problem { text, is_alarm: true });
            }
            Err(error) => return Err(error.into()),
        }
    }
    Err("the witness changes its mind".into())
}

/// Keeps what the witness has cosigned, if it has.
fn keep(options: &WitnessOptions, layout: &Layout, (log, size): (LogId, u64), note: String) -> Result<(), Problem> {
    let vkey = Key::parse(&options.vkey)?;
    let is_signed = Note::parse(note.as_bytes()).ok().and_then(|note| note.signature_of(&vkey).ok().flatten()).is_some();
    let kept = Kept::parse(note.as_bytes(), &[])?;
    if !is_signed || kept.size() != size || kept.log() != log.to_string() {
        return Err("the witness's cosignature does not verify".into());
    }
    Ok(add_witnessed(layout, Witnessed { log: log.to_string(), size, note })?)
}

fn request(layout: &Layout, old: u64, new: u64, note: &str) -> Result<Vec<u8>, Problem> {
    if old == 0 {
        return Ok(format!("old 0\n\n{note}").into_bytes());
    }
    Ok(prove::growth(layout.dir(), old, Some(new))?)
}
