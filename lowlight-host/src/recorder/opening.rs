//! Opening the log, and what may take its place: a damaged one, or one that its witness knows better, is moved aside.

use super::VerifyAtStart;
use super::worker::Worker;
use crate::checkpoints::Checkpoints;
use crate::store::{Layout, Quarantined, Store, StoreError, is_sound, quarantine, set_aside};
use crate::verify;
use lowlight_core::LogId;
use lowlight_core::entry::Predecessor;

/// A larger file is not looked at as a whole because entries of it do not verify: bytes, 64 MiB.
const LARGE: u64 = 64 << 20;

impl Worker<'_> {
    pub(super) fn open(&mut self) -> Result<Store, StoreError> {
        let layout = Layout::new(&self.shared.options.path);
        let quarantined = match self.damage.take() {
            None => None,
            // The damaged file is closed by now: this process must not hold open what it moves.
            Some(why) => {
                let moved = quarantine(&layout, &why)?;
                // Found damaged by reading all of it, and sound by a quick look: do not go round in circles.
                self.skip_verify = moved.is_none();
                moved
            }
        };
        let (mut store, found) = Store::open_or_recover(&layout)?;
        let older = if self.run_log.is_none() { self.ask_witness(&layout) } else { None };
        if let Some(older) = older {
            // This process must not hold open what it moves.
            drop(store);
            let moved = set_aside(&layout, older.log, older.size, older.predecessor, &older.why)?;
            store = Store::open(&layout)?;
            moved.into_iter().for_each(|moved| self.replaced(&layout, moved));
        }
        if let Some(moved) = quarantined.or(found) {
            self.replaced(&layout, moved);
        }
        if self.run_log.is_none() && !std::mem::take(&mut self.skip_verify) {
            self.verify(&layout)?;
        }
        Ok(store)
    }

    /// Another log takes the place of the one that was moved.
    fn replaced(&mut self, layout: &Layout, Quarantined { path, why, predecessor }: Quarantined) {
        let name = path.strip_prefix(layout.dir()).unwrap_or(&path).display().to_string();
        self.shared.lock().stats.quarantined = Some(format!("{} ({why})", path.display()));
        self.alarms.push(("quarantined", format!("{why}; moved to {name}")));
        self.predecessor = Some(predecessor);
        self.run = None;
        self.run_log = None;
    }

    /// In a new log: where the journal speaks of another one, that was taken away, or was being moved aside when the power went.
    /// The new one names it.
    pub(super) fn follow_journal(&mut self) {
        if self.predecessor.is_some() {
            return;
        }
        let Ok(Some(sealed)) = Checkpoints::open(&self.shared.options.path).and_then(Checkpoints::last) else { return };
        let log_id = crate::export::unhex(&sealed.log).and_then(|id| Some(LogId(id.try_into().ok()?)));
        self.predecessor = Some(Predecessor { log_id, size: Some(sealed.size), root: sealed.root() });
        let text = format!(
            "checkpoints here speak of the log {} of {} entries, which is gone: it was taken away, or a power cut came while it was moved aside",
            sealed.log, sealed.size
        );
        self.alarm("log_missing", text);
    }

    /// Verifies what the options ask for; a fault becomes an alarm, a damaged database an error.
    fn verify(&mut self, layout: &Layout) -> Result<(), StoreError> {
        let found = match self.shared.options.verify {
            VerifyAtStart::Off => return Ok(()),
            VerifyAtStart::Tail => verify::log_tail(layout.dir(), 1_000),
            VerifyAtStart::Full => verify::log(layout.dir()),
        };
        let problem = match found {
            Ok(report) if report.is_damaged => {
                return Err(StoreError::Corrupt { path: layout.database(), why: report.error.unwrap_or_default() });
            }
            Ok(report) => report.first_problem().or(report.error),
            Err(StoreError::Missing(_)) => None,
            Err(error @ StoreError::Corrupt { .. }) => return Err(error),
            Err(error) => Some(error.to_string()),
        };
        if let Some(problem) = problem {
            // Entries that do not fit each other are a fault of the evidence, and stay; a file whose pages do not is damaged.
            let database = layout.database();
            let is_small = database.metadata().is_ok_and(|meta| meta.len() <= LARGE);
            if is_small && is_sound(&database).is_ok_and(|sound| !sound) {
                return Err(StoreError::Corrupt { path: database, why: problem });
            }
            self.alarm("verify_failed", problem.clone());
            self.shared.lock().stats.verify_problem = Some(problem);
        }
        Ok(())
    }
}
