//! The state of a witness: one file, replaced as a whole.
//!
//! ```text
//! DIR/witness.json   {"version":1,"write_seq":n,"time":s,"names":[{"name","keys":[vkey..],"slots":[{"origin","size","root","note"}]}]}
//! DIR/keys/cosign.key   locked while it runs      DIR/keys/attest.key
//! ```
//!
//! 1. Of a checkpoint it keeps what it checked: the text and the signatures of keys it trusts.

use super::{Answer, SLOTS};
use crate::export::unhex;
use crate::keys::LogKey;
use crate::store::{Layout, StoreError, files};
use lowlight_core::Digest;
use lowlight_core::note::witness::{Refusal, Request, Seen};
use lowlight_core::note::{Algorithm, Attestation, Ed25519, Key, Note, Signer as _, hex, write_signature};
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::PathBuf;
use std::time::SystemTime;

/// What it remembers of one log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Slot {
    /// Which log.
    pub origin: String,
    /// Newest size it cosigned.
    pub size: u64,
    /// Root at that size, hex.
    pub root: String,
    /// That checkpoint with its signatures and the cosignature.
    pub note: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Name {
    #[serde(rename = "name")]
    called: String,
    keys: Vec<String>,
    slots: Vec<Slot>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct State {
    version: u8,
    write_seq: u64,
    /// Of the newest cosignature, Unix seconds.
    time: u64,
    names: Vec<Name>,
}

/// What a witness says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Info {
    /// Of the protocol.
    pub version: u8,
    /// vkey of its cosignatures.
    pub witness: String,
    /// vkey of its attestations.
    pub attest: String,
    /// How often it has written its state.
    pub write_seq: u64,
}

impl Info {
    /// What a witness of that name says whose keys have these seeds: of the one that cosigns, and of the one that attests.
    pub fn of_seeds(name: &str, seeds: &[u8; 64]) -> Self {
        let (cosign, attest) = seeds.split_at(32);
        let public = |seed: &[u8]| Ed25519::from_seed(&std::array::from_fn(|at| seed.get(at).copied().unwrap_or_default())).public();
        let witness = Key { name, algorithm: Algorithm::CosignatureV1, public: public(cosign) }.to_string();
        let attest = Key { name: &format!("{name}-state"), algorithm: Algorithm::Ed25519, public: public(attest) }.to_string();
        Self { version: 1, witness, attest, write_seq: 0 }
    }

    /// Whether both are the same witness.
    pub fn is_same(&self, other: &Self) -> bool {
        (&self.witness, &self.attest) == (&other.witness, &other.attest)
    }
}

/// A witness with its state open.
#[derive(Debug)]
pub struct Witness {
    layout: Layout,
    cosign: LogKey,
    attest: LogKey,
    state: State,
    /// One process at a time.
    _lock: File,
}

fn key_file(layout: &Layout, name: &str) -> PathBuf {
    layout.dir().join("keys").join(name)
}

fn state_file(layout: &Layout) -> PathBuf {
    layout.dir().join("witness.json")
}

fn unsafe_file(path: PathBuf, why: &str) -> StoreError {
    StoreError::Unsafe { path, why: why.to_owned() }
}

impl Witness {
    /// Makes keys and state in a directory that has none.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unsafe`] when there is a witness already, or for a name that no key can have.
    pub fn init(dir: impl Into<PathBuf>, name: &str) -> Result<Self, StoreError> {
        let layout = Layout::new(dir);
        layout.prepare()?;
        let path = state_file(&layout);
        if path.symlink_metadata().is_ok() {
            return Err(unsafe_file(path, "is there already and was left alone: a witness never begins anew"));
        }
        if key_file(&layout, "cosign.key").symlink_metadata().is_ok() {
            return Err(unsafe_file(
                path,
                "is not there, but the keys are: a witness that lost its state must not go on under its key; make a new one elsewhere",
            ));
        }
        // Fails where another process was faster.
        let cosign = LogKey::write(&layout, &key_file(&layout, "cosign.key"), name)?;
        let lock = lock(&layout)?;
        let attest = LogKey::write(&layout, &key_file(&layout, "attest.key"), &format!("{name}-state"))?;
        let state = State { version: 1, write_seq: 0, time: 0, names: Vec::new() };
        let mut witness = Self { layout, cosign, attest, state: state.clone(), _lock: lock };
        witness.replace(state)?;
        Ok(witness)
    }

    /// Opens a witness.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when keys or state are not there or damaged: it must not go on then, for it would sign what it has
    /// forgotten. [`StoreError::Busy`] when another process has it open.
    pub fn open(dir: impl Into<PathBuf>) -> Result<Self, StoreError> {
        let layout = Layout::new(dir);
        let path = state_file(&layout);
        if !path.exists() {
            return Err(unsafe_file(
                path,
                "is not there: `lowlight witness init` makes a witness; one that lost its state must not go on under its key",
            ));
        }
        let key = |name| {
            LogKey::read(&key_file(&layout, name))?
                .ok_or_else(|| unsafe_file(key_file(&layout, name), "is not there; restore it from a copy"))
        };
        let (cosign, attest) = (key("cosign.key")?, key("attest.key")?);
        let lock = lock(&layout)?;
        let state = read(&layout)?;
        Ok(Self { layout, cosign, attest, state, _lock: lock })
    }

    /// Trusts a log key for all logs of its name.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when the state cannot be written, or it is no vkey of a log.
    pub fn trust(&mut self, vkey: &str) -> Result<(), StoreError> {
        let key = Key::parse(vkey).ok().filter(|key| key.algorithm == Algorithm::Ed25519);
        let key = key.ok_or_else(|| {
            unsafe_file(state_file(&self.layout), "was left alone: the log's key must be a vkey as `lowlight keys show` prints it")
        })?;
        let mut state = self.state.clone();
        match state.names.iter_mut().find(|name| name.called == key.name) {
            Some(name) if name.keys.iter().any(|known| known == vkey) => return Ok(()),
            Some(name) => name.keys.push(vkey.to_owned()),
            None => state.names.push(Name { called: key.name.to_owned(), keys: vec![vkey.to_owned()], slots: Vec::new() }),
        }
        self.persist(state)
    }

    /// Forgets a log, so that its slot is free; for provisioning by hand.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when there is no such log, or the state cannot be written.
    pub fn free(&mut self, origin: &str) -> Result<(), StoreError> {
        let mut state = self.state.clone();
        let before: usize = state.names.iter().map(|name| name.slots.len()).sum();
        state.names.iter_mut().for_each(|name| name.slots.retain(|slot| slot.origin != origin));
        if state.names.iter().map(|name| name.slots.len()).sum::<usize>() == before {
            return Err(unsafe_file(state_file(&self.layout), "has no log of that origin"));
        }
        self.persist(state)
    }

    /// What it says of itself.
    pub fn info(&self) -> Info {
        let (witness, attest) = (self.cosign.cosigner().to_string(), self.attest.key().to_string());
        Info { version: 1, witness, attest, write_seq: self.state.write_seq }
    }

    /// The logs it remembers.
    pub fn slots(&self) -> impl Iterator<Item = &Slot> {
        self.state.names.iter().flat_map(|name| &name.slots)
    }

    /// Answers an `add-checkpoint` request.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when the state cannot be written: nothing was signed.
    pub fn add(&mut self, body: &[u8]) -> Result<Answer, StoreError> {
        let refuse = |refusal: Refusal| {
            let body = if let Refusal::Conflict(size) = refusal { format!("{size}\n") } else { format!("{refusal}\n") };
            Answer { status: refusal.status(), body }
        };
        let request = match Request::parse(body) {
            Ok(request) => request,
            Err(refusal) => return Ok(refuse(refusal)),
        };
        let origin = request.origin();
        let mut state = self.state.clone();
        let own = origin.rsplit_once('/').and_then(|(own, _)| state.names.iter_mut().find(|name| name.called == own));
        let Some(name) = own else { return Ok(refuse(Refusal::UnknownOrigin)) };
        let keys: Vec<_> = name.keys.iter().filter_map(|vkey| Key::parse(vkey).ok()).collect();
        let place = name.slots.iter().position(|slot| slot.origin == origin);
        if place.is_none() && name.slots.len() >= SLOTS {
            return Ok(refuse(Refusal::UnknownOrigin));
        }
        let seen = match place.and_then(|place| name.slots.get(place)) {
            None => Seen::nothing(),
            Some(slot) => {
                let root = unhex(&slot.root).and_then(|root| Digest::from_slice(&root));
                Seen {
                    size: slot.size,
                    root: root.ok_or_else(|| unsafe_file(state_file(&self.layout), "is damaged; restore it from a copy"))?,
                }
            }
        };
        let next = match request.decide(&seen, &keys) {
            Ok(next) => next,
            Err(refusal) => return Ok(refuse(refusal)),
        };
        let Ok(note) = Note::parse(request.checkpoint) else { return Ok(refuse(Refusal::Malformed)) };
        let time = now().max(state.time);
        let mut line = String::new();
        self.cosign.sign_as(Algorithm::CosignatureV1, note.text, time, &mut line);
        if line.is_empty() {
            return Ok(refuse(Refusal::Malformed));
        }
        let note = checked(&note, &keys) + &line;
        let slot = Slot { origin: origin.to_owned(), size: next.size, root: next.root.to_string(), note };
        match place.and_then(|place| name.slots.get_mut(place)) {
            Some(old) => *old = slot,
            None => name.slots.push(slot),
        }
        state.time = time;
        // The signature leaves this process only after what it says is on disk and was read back.
        self.persist(state)?;
        Ok(Answer { status: 200, body: line })
    }

    fn slot(&self, origin: &str) -> Option<&Slot> {
        self.slots().find(|slot| slot.origin == origin)
    }

    /// The newest checkpoint it cosigned of a log; empty when there is none.
    pub fn latest(&self, origin: &str) -> Answer {
        match (self.slot(origin), self.knows(origin)) {
            (Some(slot), _) => Answer { status: 200, body: slot.note.clone() },
            (None, true) => Answer { status: 200, body: String::new() },
            (None, false) => unknown(),
        }
    }

    /// A signed answer to a challenge: what it remembers of a log now.
    pub fn attest(&mut self, origin: &str, nonce: &str) -> Answer {
        let Some(nonce) = hex(nonce) else { return Answer { status: 400, body: "a nonce is 64 hex digits\n".to_owned() } };
        if !self.knows(origin) {
            return unknown();
        }
        let fresh = Seen::nothing();
        let found = self.slot(origin).and_then(|slot| Some((slot.size, Digest::from_slice(&unhex(&slot.root)?)?)));
        let (size, root) = found.unwrap_or((fresh.size, fresh.root));
        let text = Attestation { origin, size, root, nonce, write_seq: self.state.write_seq }.to_string();
        let mut note = format!("{text}\n");
        self.attest.sign(&text, &mut note);
        Answer { status: 200, body: note }
    }

    fn knows(&self, origin: &str) -> bool {
        origin.rsplit_once('/').is_some_and(|(own, _)| self.state.names.iter().any(|name| name.called == own))
    }

    /// Replaces the state on disk, unless somebody else did.
    fn persist(&mut self, state: State) -> Result<(), StoreError> {
        if read(&self.layout)? != self.state {
            return Err(unsafe_file(state_file(&self.layout), "was changed by somebody else while this witness runs: it stops"));
        }
        self.replace(state)
    }

    /// Replaces the state on disk, reads it back, and only then takes it for its own.
    fn replace(&mut self, mut state: State) -> Result<(), StoreError> {
        state.write_seq = self.state.write_seq + 1;
        let path = state_file(&self.layout);
        let fresh = path.with_extension("new");
        let io = |source| StoreError::from_io(&path, source);
        let _ = std::fs::remove_file(&fresh);
        let mut file = files::private_file(&fresh)?;
        let text = serde_json::to_string(&state).map_err(|error| io(error.into()))? + "\n";
        file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(io)?;
        std::fs::rename(&fresh, &path).map_err(io)?;
        files::sync_parent(&path)?;
        if read(&self.layout)? != state {
            return Err(unsafe_file(path, "does not read back as it was written"));
        }
        self.state = state;
        Ok(())
    }
}

fn read(layout: &Layout) -> Result<State, StoreError> {
    let path = state_file(layout);
    let file = files::read_private(&path)?.ok_or_else(|| unsafe_file(path.clone(), "is not there"))?;
    let mut text = String::new();
    file.take(16 << 20).read_to_string(&mut text).map_err(|source| StoreError::from_io(&path, source))?;
    let state: Option<State> = serde_json::from_str(&text).ok().filter(|state: &State| state.version == 1);
    state.ok_or_else(|| unsafe_file(path, "is damaged, or of a newer version: a witness that lost its state must not go on under its key; restore a copy that is not older, or make a new witness"))
}

/// The checkpoint with the signatures of `keys`: others were not checked, and could be so many that there is no room for another.
fn checked(note: &Note<'_>, keys: &[Key<'_>]) -> String {
    let mut out = format!("{}\n", note.text);
    for key in keys {
        let of_key = note.signatures().find(|it| it.name == key.name && it.id == key.id());
        if let Some([_, _, _, _, signature @ ..]) = of_key.and_then(|it| it.bytes::<68>()) {
            // A String takes everything.
            let _ = write_signature(&mut out, key.name, key.id(), &signature);
        }
    }
    out
}

/// Locks the key, without which there is no witness: a lock file of its own could be removed.
fn lock(layout: &Layout) -> Result<File, StoreError> {
    let path = key_file(layout, "cosign.key");
    let file = files::private_file(&path)?;
    // Another connection may be served by a process of its own, for a moment.
    for _ in 0..100 {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(std::fs::TryLockError::WouldBlock) => std::thread::sleep(std::time::Duration::from_millis(50)),
            Err(std::fs::TryLockError::Error(source)) => return Err(StoreError::from_io(&path, source)),
        }
    }
    Err(StoreError::Busy(path))
}

fn unknown() -> Answer {
    Answer { status: 404, body: format!("{}\n", Refusal::UnknownOrigin) }
}

fn now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
