//! What an auditor demands of a log: a policy file, and whether evidence meets it.
//!
//! ```text
//! origins = ["lowlight/<hex log id>"]   keys = [vkey..]   quorum = n   max_age = "1d"   [[witness]] vkey = .. attest = .. socket | command | serial
//! ```
//!
//! 1. Nothing fails open: what is not met, or cannot be asked, makes the verdict `unreadable`; unknown keys are errors.
//! 2. A key counts once, whatever it is called, and a cosignature only over a checkpoint that one of the log's keys has signed
//!    and that the log at hand agrees with.

use super::{Kept, Place, Report};
use crate::config::{WitnessConfig, seconds};
use crate::recorder::WitnessOptions;
use crate::witness::WitnessError;
use crate::witness::{Client, Endpoint};
use lowlight_core::note::{Algorithm, Key, Note, NoteError};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(10);
/// A cosignature from the future by more than this is none: clocks differ.
const AHEAD: u64 = 300;

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct File {
    origins: Vec<String>,
    keys: Vec<String>,
    quorum: Option<usize>,
    max_age: Option<String>,
    witness: Vec<WitnessFile>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct WitnessFile {
    vkey: String,
    attest: Option<String>,
    socket: Option<PathBuf>,
    command: Option<Vec<String>>,
    serial: Option<PathBuf>,
    baud: Option<u32>,
}

/// One witness of a policy.
#[derive(Debug, Clone)]
struct Known {
    vkey: String,
    /// Where it can be asked for a fresh answer, and the key of that.
    ask: Option<(Endpoint, String)>,
}

/// What is demanded.
#[derive(Debug, Clone)]
pub struct VerifyPolicy {
    origins: Vec<String>,
    keys: Vec<String>,
    witnesses: Vec<Known>,
    quorum: usize,
    max_age_s: Option<u64>,
}

/// A checkpoint that one of the keys of a policy has signed.
#[derive(Debug, Clone)]
pub struct Vetted {
    /// The checkpoint.
    pub kept: Kept,
    /// Which of the policy's witnesses have cosigned it, and when, Unix seconds.
    pub times: Vec<(String, u64)>,
}

impl VerifyPolicy {
    /// Reads a policy.
    ///
    /// # Errors
    ///
    /// What is wrong with it, in words.
    pub fn parse(text: &str) -> Result<Self, String> {
        let file: File = basic_toml::from_str(text).map_err(|error| error.to_string())?;
        let is_key = |vkey: &str, algorithm| Key::parse(vkey).is_ok_and(|key| key.algorithm == algorithm);
        if file.origins.is_empty() || file.origins.iter().any(|origin| origin.rsplit_once('/').is_none_or(|(_, id)| id.len() != 32)) {
            return Err("origins: name the logs, as the first line of their checkpoints does: \"lowlight/<32 hex digits>\"".to_owned());
        }
        if file.keys.is_empty() || !file.keys.iter().all(|vkey| is_key(vkey, Algorithm::Ed25519)) {
            return Err("keys: give the vkeys that sign the logs, as `lowlight keys show` prints them".to_owned());
        }
        let witnesses = file.witness.iter().map(Known::read).collect::<Result<Vec<_>, _>>()?;
        // What a witness signs does not name it: under two names it would be two.
        let publics = |vkey: &String| Key::parse(vkey).map(|key| key.public).unwrap_or_default();
        let mut seen: Vec<_> = file.keys.iter().map(publics).collect();
        for one in &witnesses {
            let public = publics(&one.vkey);
            if seen.contains(&public) {
                return Err(format!("witness: the key of {} stands there twice, or signs the logs as well", one.vkey));
            }
            seen.push(public);
        }
        let quorum = file.quorum.unwrap_or(witnesses.len());
        if quorum > witnesses.len() || (quorum == 0 && !witnesses.is_empty()) {
            return Err(format!("quorum: {quorum} of {} witnesses can never be met, or demands nothing", witnesses.len()));
        }
        let max_age_s = file.max_age.as_deref().map(seconds).transpose().map_err(|why| format!("max_age: {why}"))?;
        if max_age_s.is_some() && quorum == 0 {
            return Err("max_age: only a witness says when, and none is named".to_owned());
        }
        Ok(Self { origins: file.origins, keys: file.keys, witnesses, quorum, max_age_s })
    }

    /// The log's keys.
    pub fn keys(&self) -> Vec<Key<'_>> {
        self.keys.iter().filter_map(|vkey| Key::parse(vkey).ok()).collect()
    }

    /// Asks the witnesses that can be asked for their newest checkpoint of that log, with a fresh attestation of its size, and adds those
    /// to `found`.
    ///
    /// # Errors
    ///
    /// Why one could not be asked, or what it says does not fit together.
    pub fn ask(&self, log: &str, found: &mut Vec<Vetted>) -> Result<(), String> {
        for (witness, endpoint, attest) in self.witnesses.iter().filter_map(|known| known.ask.as_ref().map(|(at, key)| (known, at, key))) {
            let failed = |why: &dyn std::fmt::Display| format!("witness {}: {why}", witness.vkey);
            let attest = Key::parse(attest).map_err(|error| failed(&error))?;
            let mut client = Client::connect(endpoint, PATIENCE).map_err(|error| failed(&error))?;
            let before = found.len();
            // A log may have had several names: what was seen of it under the newest is what counts.
            for origin in self.origins_of(log) {
                let (size, root) = match client.attest(origin, &attest) {
                    Err(WitnessError::Refused { status: 404, .. }) => continue,
                    attested => attested.map_err(|error| failed(&error))?,
                };
                let Some(note) = client.latest(origin).map_err(|error| failed(&error))? else { continue };
                let vetted = self.read(&note, Place::Witness).map_err(|error| failed(&error))?;
                if vetted.kept.size() != size || *vetted.kept.root() != root || vetted.kept.origin() != origin {
                    return Err(failed(&"attests another size than its newest checkpoint has"));
                }
                found.push(vetted);
            }
            if found.len() == before && self.origins_of(log).next().is_some() {
                return Err(failed(&"has not seen this log"));
            }
        }
        Ok(())
    }

    /// A checkpoint, if one of the log's keys signed it and no signature of a witness in it is wrong.
    pub fn vet(&self, note: &str, place: Place) -> Option<Vetted> {
        self.read(note, place).ok().filter(|vetted| self.origins.iter().any(|origin| origin == vetted.kept.origin()))
    }

    fn read(&self, note: &str, place: Place) -> Result<Vetted, NoteError> {
        let kept = Kept::parse(note.as_bytes(), &self.keys())?.at(place);
        Ok(Vetted { times: self.times(note)?, kept })
    }

    fn origins_of(&self, log: &str) -> impl Iterator<Item = &str> {
        self.origins.iter().map(String::as_str).filter(move |origin| origin.rsplit_once('/').is_some_and(|(_, id)| id == log))
    }

    /// Which of the witnesses have cosigned a note, and when.
    fn times(&self, note: &str) -> Result<Vec<(String, u64)>, NoteError> {
        let note = Note::parse(note.as_bytes())?;
        let mut times = Vec::new();
        for known in &self.witnesses {
            let time = note.signature_of(&Key::parse(&known.vkey)?)?.and_then(|verified| verified.time);
            times.extend(time.map(|time| (known.vkey.clone(), time)));
        }
        Ok(times)
    }

    /// When the quorum was complete for a checkpoint: each witness may have signed a copy of its own. The time of the
    /// cosignature that is last in it, counted from the newest; `None` when it is not.
    fn time(&self, kept: &Kept, checked: &[Vetted]) -> Option<u64> {
        let same = checked.iter().filter(|other| other.kept.is_same(kept));
        let mut by_witness = BTreeMap::<&str, u64>::new();
        for (vkey, time) in same.flat_map(|vetted| &vetted.times) {
            let newest = by_witness.entry(vkey).or_default();
            *newest = (*newest).max(*time);
        }
        let mut times: Vec<_> = by_witness.into_values().collect();
        times.sort_unstable_by(|a, b| b.cmp(a));
        self.quorum.checked_sub(1).and_then(|last| times.get(last)).copied()
    }

    /// Holds a report against the policy; `checked` are the checkpoints that the log was compared with and that count, or why a witness
    /// could not be asked, `log` is the id of the log, hex, `now` is Unix seconds.
    pub fn judge(&self, report: &mut Report, log: Option<&str>, checked: Result<&[Vetted], String>, now: u64) {
        if report.verdict != "intact" {
            return;
        }
        match checked.and_then(|checked| Ok((self.met(log, checked, now)?, checked))) {
            Ok((best, checked)) => {
                report.level = if self.quorum > 0 { "witnessed" } else { "checkpoint" };
                report.not_checked.retain(|what| *what != "rewrite" && *what != "rollback");
                let from = |place: Place| checked.iter().any(|vetted| vetted.kept.place() == place);
                // What lies beside the log root may have signed with the log's key; and files alone may all be old ones.
                if self.quorum == 0 && !from(Place::Elsewhere) {
                    report.not_checked.push("rewrite");
                }
                // A witness that can be asked and was not, as for an export, might know of more.
                let can_ask = self.witnesses.iter().any(|known| known.ask.is_some());
                if !from(Place::Witness) && (can_ask || !from(Place::Elsewhere)) {
                    report.not_checked.push("rollback");
                }
                report.held = report.held.max(Some(best.kept.size()));
                report.witnessed = (self.quorum > 0).then_some(best.kept.size());
                report.notes.push(format!("meets the policy: checkpoint of {} entries", best.kept.size()));
            }
            Err(why) => {
                report.verdict = "unreadable";
                report.error = Some(format!("the policy is not met: {why}"));
            }
        }
    }

    fn met<'v>(&self, log: Option<&str>, checked: &'v [Vetted], now: u64) -> Result<&'v Vetted, String> {
        let log = log.ok_or("what is here does not say of which log it is")?;
        if self.origins_of(log).next().is_none() {
            return Err(format!("the log {log} is none of those that it names ({})", self.origins.join(", ")));
        }
        let counts = |vetted: &&Vetted| self.quorum == 0 || self.time(&vetted.kept, checked).is_some();
        let best = checked.iter().filter(counts).max_by_key(|vetted| vetted.kept.size());
        let by = if self.quorum == 0 { String::new() } else { format!(" and by {} of its witnesses", self.quorum) };
        let best = best.ok_or_else(|| format!("no checkpoint here is signed by the log's key{by}"))?;
        // Of one that a witness gave just now it says that there is none newer.
        let is_fresh = checked.iter().any(|other| other.kept.place() == Place::Witness && other.kept.is_same(&best.kept));
        if let (Some(most), Some(time), false) = (self.max_age_s, self.time(&best.kept, checked), is_fresh) {
            if time > now.saturating_add(AHEAD) {
                return Err("the newest checkpoint was cosigned in the future: a clock is wrong".to_owned());
            }
            let age = now.saturating_sub(time);
            if age > most {
                return Err(format!("the newest checkpoint that counts was cosigned {age} s ago, at most {most} s are allowed"));
            }
        }
        Ok(best)
    }
}

impl Known {
    fn read(file: &WitnessFile) -> Result<Self, String> {
        let wrong = |why: String| format!("witness: {why}");
        if !Key::parse(&file.vkey).is_ok_and(|key| key.algorithm == Algorithm::CosignatureV1) {
            return Err(wrong("vkey: give the first key that `lowlight witness show` prints".to_owned()));
        }
        if file.socket.is_none() && file.command.is_none() && file.serial.is_none() && file.baud.is_none() {
            return match file.attest {
                None => Ok(Self { vkey: file.vkey.clone(), ask: None }),
                Some(_) => Err(wrong("attest needs socket, command or serial, to ask for a fresh answer".to_owned())),
            };
        }
        let config = WitnessConfig {
            socket: file.socket.clone(),
            command: file.command.clone(),
            serial: file.serial.clone(),
            baud: file.baud,
            vkey: file.vkey.clone(),
            attest: file.attest.clone().unwrap_or_default(),
        };
        let WitnessOptions { endpoint, vkey, attest } = config.options().map_err(wrong)?;
        Ok(Self { vkey, ask: Some((endpoint, attest)) })
    }
}
