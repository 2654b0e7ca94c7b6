//! Choosing what a retention policy removes now.
//!
//! Limits: at most [`MOST`] entries at a time; who has more asks again.
//!
//! ```text
//! too old (per kind and status) + over the count + over the size, oldest first -> runs of whole entries, runs of contents
//! ```
//!
//! 1. Nothing younger than its minimum age is chosen, whatever the limits say; then the choice says that it is blocked.
//! 2. Whole entries are chosen from complete blocks of 256 only: up to 255 more than asked for may remain.
//! 3. Older tombstones whose runs join the new ones are named with them: what explains gaps does not grow with time.

use super::{ALL_FIELDS, Plan, RetentionPolicy, RuleEntries as _, Rules, Runs};
use crate::store::{BLOCK, Reader, StoreError};
use lowlight_core::entry::codec::decode;
use lowlight_core::entry::{Cause, Clock, Event, Facts, Kind, MAX_RUNS};
use std::ops::Range;

/// Most entries of one choice.
pub const MOST: usize = 1 << 16;
/// Of a limit that is exceeded so much is freed besides, that not every batch exceeds it again: a twentieth.
const HEADROOM: u64 = 20;

/// What the file system says, and what is asked of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Room {
    /// Bytes that must be made free besides what the policy says: the file system is too full.
    pub wanted: u64,
}

impl Room {
    /// What is missing to `min_free` bytes on the file system of a log, or `wanted` if that is more.
    pub fn of(reader: &Reader, min_free: u64, wanted: u64) -> Self {
        let free = rustix::fs::statvfs(reader.path()).map_or(u64::MAX, |stat| stat.f_bavail.saturating_mul(stat.f_frsize));
        Self { wanted: min_free.saturating_sub(free).max(wanted) }
    }
}

/// What was chosen.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Choice {
    /// The policy it was chosen by.
    pub policy: RetentionPolicy,
    /// Entries that go.
    pub whole: Runs,
    /// Entries that lose their content.
    pub contents: Runs,
    /// How many of [`whole`](Self::whole) are there now, tombstones that are joined not counted.
    pub entries: u64,
    /// How many of them by kind.
    pub by_kind: std::collections::BTreeMap<&'static str, u64>,
    /// There may be more.
    pub more: bool,
    /// What is over a limit and cannot go, in words.
    pub blocked: Option<String>,
}

impl Choice {
    /// As tombstones name it.
    pub fn plans(&self) -> Vec<Plan> {
        let cause = Cause::Retention(self.policy.number);
        let plan = |fields, runs: &Runs| (!runs.is_empty()).then(|| Plan { fields, cause, runs: runs.clone() });
        [plan(0, &self.whole), plan(ALL_FIELDS, &self.contents)].into_iter().flatten().collect()
    }
}

/// A row that a choice looks at.
struct Candidate {
    seq: u64,
    kind: Kind,
    goes_whole: bool,
    age_s: u64,
    min_age_s: u64,
    max_age_s: u64,
}

struct Chooser<'r> {
    reader: &'r Reader,
    policy: &'r RetentionPolicy,
    now: i64,
    clock: Clock,
    /// Entries behind it lie in a block that is not complete.
    blocks_end: u64,
    whole: Vec<u64>,
    contents: Vec<u64>,
    by_kind: std::collections::BTreeMap<&'static str, u64>,
}

/// Chooses by `policy` at a time; `removed` is the newest tombstone that was carried out.
///
/// # Errors
///
/// [`StoreError`] when the log cannot be read.
pub fn choose(
    reader: &Reader,
    policy: &RetentionPolicy,
    (now, clock): (i64, Clock),
    room: Room,
    removed: Option<u64>,
) -> Result<Choice, StoreError> {
    let blocks_end = reader.tip().size / BLOCK * BLOCK;
    let by_kind = std::collections::BTreeMap::new();
    let mut chooser = Chooser { reader, policy, now, clock, blocks_end, whole: Vec::new(), contents: Vec::new(), by_kind };
    chooser.too_old()?;
    let mut blocked = None;
    let number = |sql: &str| reader.connection().query_row(sql, [], |row| row.get::<_, i64>(0)).map_err(|e| reader.failed(e));
    let present = number("SELECT count(*) FROM entry")?.cast_unsigned();
    let over = present.saturating_sub(chooser.whole.len() as u64).saturating_sub(policy.max_entries);
    if policy.max_entries > 0 && over > 0 {
        let left = chooser.oldest(over + policy.max_entries / HEADROOM, false)?;
        // What lies in the newest block is not over the limit for long.
        if left >= BLOCK + policy.max_entries / HEADROOM && chooser.has_room() {
            blocked = Some(format!("{left} entries are over the limit of {} and not old enough to go", policy.max_entries));
        }
    }
    let pragma = |name: &str| number(&format!("SELECT {name} FROM pragma_{name}()")).map(i64::cast_unsigned);
    let (page, pages, free) = (pragma("page_size")?, pragma("page_count")?, pragma("freelist_count")?);
    let used = pages.saturating_sub(free) * page;
    let excess = if policy.max_bytes > 0 && used > policy.max_bytes { used - policy.max_bytes + policy.max_bytes / HEADROOM } else { 0 };
    // Only who has a limit agreed to lose what is not old.
    let wanted = if policy.max_bytes > 0 || policy.max_entries > 0 { excess.max(room.wanted) } else { 0 };
    if wanted > 0 {
        let average = (used / present.max(1)).max(1);
        let already = chooser.whole.len() as u64;
        let left = chooser.oldest((wanted / average + 1).saturating_sub(already), true)?;
        if left >= BLOCK && chooser.has_room() {
            let megabytes = left.saturating_mul(average) >> 20;
            blocked.get_or_insert(format!("about {megabytes} MiB are over the limit and not old enough to go"));
        }
    }
    chooser.finish(blocked, removed)
}

impl Chooser<'_> {
    fn has_room(&self) -> bool {
        self.whole.len() + self.contents.len() < MOST
    }

    /// All that reached its maximum age.
    fn too_old(&mut self) -> Result<(), StoreError> {
        let ages = self.policy.rules.iter().map(|rule| rule.max_age_s).filter(|age| *age > 0);
        let Some(least) = ages.min() else { return Ok(()) };
        let cut = self.now.saturating_sub(i64::try_from(least).unwrap_or(i64::MAX).saturating_mul(1_000_000_000));
        let sql = format!("SELECT {COLUMNS} FROM entry INDEXED BY entry_recorded WHERE recorded <= ?1 AND {REMOVABLE} ORDER BY recorded");
        self.scan(&sql, cut, &mut |this, found| {
            if found.max_age_s > 0 && found.age_s >= found.max_age_s.max(found.min_age_s) {
                this.take(found)?;
            }
            Ok(this.has_room())
        })
    }

    /// The `count` oldest that may go; with `contents` also those that only lose their content. Returns how many were not
    /// found.
    fn oldest(&mut self, count: u64, contents: bool) -> Result<u64, StoreError> {
        let mut left = count;
        let known: std::collections::HashSet<u64> = self.whole.iter().chain(&self.contents).copied().collect();
        let sql = format!("SELECT {COLUMNS} FROM entry NOT INDEXED WHERE seq < ?1 AND {REMOVABLE} ORDER BY seq");
        let end = i64::try_from(self.reader.tip().size).unwrap_or(i64::MAX);
        self.scan(&sql, end, &mut |this, found| {
            let may_go = found.age_s >= found.min_age_s && !known.contains(&found.seq) && (found.goes_whole || contents);
            if may_go && this.take(found)? {
                left -= 1;
            }
            Ok(left > 0 && this.has_room())
        })?;
        Ok(left)
    }

    /// Chooses one; `false` when it has nothing to lose, or not yet.
    fn take(&mut self, found: &Candidate) -> Result<bool, StoreError> {
        if found.goes_whole {
            let is_complete = found.seq < self.blocks_end;
            if is_complete {
                self.whole.push(found.seq);
                *self.by_kind.entry(found.kind.name()).or_default() += 1;
            }
            return Ok(is_complete);
        }
        let reader = self.reader;
        let sql = "SELECT EXISTS (SELECT 1 FROM content WHERE id >= ?1 AND id < ?2)";
        let mut select = reader.connection().prepare_cached(sql).map_err(|e| reader.failed(e))?;
        let ids = [found.seq.cast_signed() << 6, (found.seq + 1).cast_signed() << 6];
        let has_content: bool = select.query_row(ids, |row| row.get(0)).map_err(|e| reader.failed(e))?;
        if has_content {
            self.contents.push(found.seq);
        }
        Ok(has_content)
    }

    fn scan(
        &mut self,
        sql: &str,
        bound: i64,
        each: &mut dyn FnMut(&mut Self, &Candidate) -> Result<bool, StoreError>,
    ) -> Result<(), StoreError> {
        let reader = self.reader;
        let mut select = reader.connection().prepare(sql).map_err(|e| reader.failed(e))?;
        let mut rows = select.query([bound]).map_err(|e| reader.failed(e))?;
        while let Some(row) = rows.next().map_err(|e| reader.failed(e))? {
            // What does not read as an entry is left for the verifier to find.
            let Some(found) = self.candidate(row) else { continue };
            if !each(self, &found)? {
                break;
            }
        }
        Ok(())
    }

    fn candidate(&self, row: &rusqlite::Row<'_>) -> Option<Candidate> {
        let number = |index| row.get::<_, i64>(index).ok();
        let seq = u64::try_from(number(0)?).ok()?;
        let kind = Kind::from_number(u8::try_from(number(1)?).ok()?)?;
        let status = row.get_ref(2).ok()?.as_str_or_null().ok()?;
        let clock = if number(4)? == 0 { Clock::Unset } else { Clock::Rtc };
        let facts = Facts { kind, status, recorded: number(3)?, clock };
        let policy = self.policy.as_entry();
        let rule = policy.rule(kind.number(), status);
        let age_s = facts.age_s(self.now, self.clock);
        Some(Candidate { seq, kind, goes_whole: !rule.content_only, age_s, min_age_s: rule.min_age_s, max_age_s: rule.max_age_s })
    }

    fn finish(self, blocked: Option<String>, removed: Option<u64>) -> Result<Choice, StoreError> {
        let more = !self.has_room();
        let entries = self.whole.len() as u64;
        let mut whole = Runs::of(self.whole);
        if !whole.is_empty() {
            for (seq, runs) in carried_out(self.reader, removed, self.blocks_end)? {
                let joined = whole.and(runs.into_iter().chain(std::iter::once(seq..seq + 1)));
                if joined.len() <= whole.len().max(MAX_RUNS) {
                    whole = joined;
                }
            }
        }
        let policy = self.policy.clone();
        Ok(Choice { policy, whole, contents: Runs::of(self.contents), entries, by_kind: self.by_kind, more, blocked })
    }
}

const COLUMNS: &str = "seq, kind, status, recorded, clock";
/// Kinds that can be removed on their own account.
const REMOVABLE: &str = "kind IN (1, 2, 3, 4, 5) AND seq >= 0";

/// Seq and runs of a tombstone.
type Named = (u64, Vec<Range<u64>>);

/// Tombstones of retention and whole entries that were carried out and lie in a complete block themselves, oldest first.
fn carried_out(reader: &Reader, removed: Option<u64>, blocks_end: u64) -> Result<Vec<Named>, StoreError> {
    let mut found = Vec::new();
    let Some(removed) = removed else { return Ok(found) };
    reader.each(&mut |body| {
        let Ok(entry) = decode(body) else { return };
        let seq = entry.header.seq;
        if let Event::Tombstone(tombstone) = &entry.event
            && tombstone.fields == 0
            && matches!(tombstone.cause, Cause::Retention(_))
            && seq <= removed
            && seq < blocks_end
        {
            found.push((seq, tombstone.runs.iter().map(|run| run.start..run.end()).collect()));
        }
    })?;
    Ok(found)
}

impl Choice {
    /// Chooses by the policy that is in force in the log.
    ///
    /// # Errors
    ///
    /// As for [`choose`].
    pub fn in_force(reader: &Reader, at: (i64, Clock), room: Room) -> Result<Self, StoreError> {
        let policy = Rules::read(Box::new(reader), reader.log_id())?.in_force().clone();
        if policy.removes_nothing() {
            return Ok(Self { policy, ..Self::default() });
        }
        choose(reader, &policy, at, room, reader.cursor(crate::store::REMOVED)?)
    }
}
