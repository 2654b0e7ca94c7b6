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
use crate::store::{BLOCK, Filter, Reader, StoreError};
use lowlight_core::chain;
use lowlight_core::entry::codec::decode;
use lowlight_core::entry::{Cause, Clock, Event, Facts, Kind, MAX_RUNS};
use lowlight_core::source::{EntrySource as _, Item};
use std::ops::Range;

/// Most entries of one choice.
pub const MOST: usize = 1 << 16;
/// What others take of the disk costs the log at most this part of it at a time: a quarter.
const MOST_FOR_OTHERS: u64 = 4;
/// Of a limit that is exceeded so much is freed besides, that not every batch exceeds it again: a twentieth.
const HEADROOM: u64 = 20;

/// Why what is over a limit stays.
const KEPT_BY: &str = "a min_age, a keep, or a rule with content_only holds them";

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
    named: Named,
    /// The first entry that does not fit its leaf, and how many do not.
    altered: Option<(u64, u64)>,
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
    let named = Named::read(reader, removed, blocks_end)?;
    let (whole, contents, altered) = (Vec::new(), Vec::new(), None);
    let mut chooser = Chooser { reader, policy, now, clock, blocks_end, named, altered, whole, contents, by_kind };
    chooser.too_old()?;
    let mut blocked = None;
    let number = |sql: &str| reader.connection().query_row(sql, [], |row| row.get::<_, i64>(0)).map_err(|e| reader.failed(e));
    let pages_of = |name: &str| number(&format!("SELECT {name} FROM pragma_{name}()")).map(i64::cast_unsigned);
    let (page, pages, free) = (pages_of("page_size")?, pages_of("page_count")?, pages_of("freelist_count")?);
    // What a tombstone names is as good as gone.
    let all = number("SELECT count(*) FROM entry")?.cast_unsigned();
    let present = all.saturating_sub(chooser.staying()?);
    let average = (pages.saturating_sub(free) * page / all.max(1)).max(1);
    let used = average * present;
    let over = present.saturating_sub(chooser.whole.len() as u64).saturating_sub(policy.max_entries);
    if policy.max_entries > 0 && over > 0 {
        let left = chooser.oldest(over + policy.max_entries / HEADROOM, false)?;
        // What lies in the newest block is not over the limit for long.
        if left >= BLOCK + policy.max_entries / HEADROOM && chooser.has_room() {
            blocked = Some(format!("{left} entries are over the limit of {} and may not go: {KEPT_BY}", policy.max_entries));
        }
    }
    let excess = if policy.max_bytes > 0 && used > policy.max_bytes { used - policy.max_bytes + policy.max_bytes / HEADROOM } else { 0 };
    // What is free inside the database need not be freed again, and a disk that others fill is no reason to lose all.
    let missing = room.wanted.saturating_sub(free * page).min(used / MOST_FOR_OTHERS);
    // Only who has a limit agreed to lose what is not old.
    let wanted = if policy.max_bytes > 0 || policy.max_entries > 0 { excess.max(missing) } else { 0 };
    if wanted > 0 {
        let already = chooser.whole.len() as u64;
        let left = chooser.oldest((wanted / average + 1).saturating_sub(already), true)?;
        if left >= BLOCK && chooser.has_room() {
            let megabytes = left.saturating_mul(average) >> 20;
            blocked.get_or_insert(format!("about {megabytes} MiB are over the limit and may not go: {KEPT_BY}"));
        }
    }
    chooser.finish(blocked)
}

impl Chooser<'_> {
    /// How many entries are there that a tombstone names already: not removed yet, or altered and left for that.
    fn staying(&self) -> Result<u64, StoreError> {
        self.named.whole.iter().map(|run| entries_in(self.reader, run)).sum()
    }

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
            this.take(found, &|found| found.max_age_s > 0 && found.age_s >= found.max_age_s.max(found.min_age_s))?;
            Ok(this.has_room())
        })
    }

    /// The `count` oldest that may go; with `contents` also those that only lose their content. Returns how many were not
    /// found.
    fn oldest(&mut self, count: u64, contents: bool) -> Result<u64, StoreError> {
        if count == 0 {
            return Ok(0);
        }
        let mut left = count;
        let known: std::collections::HashSet<u64> = self.whole.iter().chain(&self.contents).copied().collect();
        let sql = format!("SELECT {COLUMNS} FROM entry NOT INDEXED WHERE seq < ?1 AND {REMOVABLE} ORDER BY seq");
        let end = i64::try_from(self.reader.tip().size).unwrap_or(i64::MAX);
        self.scan(&sql, end, &mut |this, found| {
            let may_go = |found: &Candidate| found.age_s >= found.min_age_s && (found.goes_whole || contents);
            if !known.contains(&found.seq) && this.take(found, &may_go)? {
                left -= 1;
            }
            Ok(left > 0 && this.has_room())
        })?;
        Ok(left)
    }

    /// Chooses one that is wanted; `false` when it is not, has nothing to lose, or not yet.
    fn take(&mut self, found: &Candidate, is_wanted: &dyn Fn(&Candidate) -> bool) -> Result<bool, StoreError> {
        // What columns and indexes say is only a hint: whoever edits them is not to choose what is removed.
        if !is_wanted(found) || self.named.has(found) {
            return Ok(false);
        }
        let Some(found) = self.authentic(found.seq)? else {
            let (first, count) = self.altered.unwrap_or((found.seq, 0));
            self.altered = Some((first.min(found.seq), count + 1));
            return Ok(false);
        };
        if !is_wanted(&found) {
            return Ok(false);
        }
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

    /// The entry as its leaf vouches for it; `None` when it does not.
    fn authentic(&self, seq: u64) -> Result<Option<Candidate>, StoreError> {
        let reader = self.reader;
        let prev = if seq == 0 { Some(reader.log_id().genesis()) } else { reader.leaf(seq - 1)? };
        let mut source = reader.source(seq..seq + 1, &Filter::default(), false);
        let Some(Item::Entry { body, leaf, .. }) = source.next()? else { return Ok(None) };
        let fits = prev.is_some_and(|prev| chain::leaf(&prev, body) == leaf);
        let Some(entry) = decode(body).ok().filter(|_| fits) else { return Ok(None) };
        let status = match &entry.event {
            Event::Inference(inference) => Some(inference.status),
            _ => None,
        };
        let facts = Facts { kind: entry.event.kind(), status, recorded: entry.header.recorded, clock: entry.header.clock };
        Ok(Some(self.judge(seq, &facts)))
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
        Some(self.judge(seq, &Facts { kind, status, recorded: number(3)?, clock }))
    }

    fn judge(&self, seq: u64, facts: &Facts<'_>) -> Candidate {
        let policy = self.policy.as_entry();
        let rule = policy.rule(facts.kind.number(), facts.status);
        let (kind, age_s) = (facts.kind, facts.age_s(self.now, self.clock));
        Candidate { seq, kind, goes_whole: !rule.content_only, age_s, min_age_s: rule.min_age_s, max_age_s: rule.max_age_s }
    }

    fn finish(self, blocked: Option<String>) -> Result<Choice, StoreError> {
        let altered = self
            .altered
            .map(|(first, count)| format!("{count} entries do not fit their hashes and stay, the first is {first}: run `lowlight verify`"));
        let blocked = altered.or(blocked);
        let more = !self.has_room();
        let entries = self.whole.len() as u64;
        let mut whole = Runs::of(self.whole);
        if !whole.is_empty() {
            for (seq, runs) in self.named.carried_out {
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

/// How many entries there are in a run.
fn entries_in(reader: &Reader, run: &Range<u64>) -> Result<u64, StoreError> {
    let sql = "SELECT count(*) FROM entry NOT INDEXED WHERE seq >= ?1 AND seq < ?2";
    let mut select = reader.connection().prepare_cached(sql).map_err(|e| reader.failed(e))?;
    let bounds = [run.start.cast_signed(), run.end.cast_signed()];
    select.query_row(bounds, |row| row.get::<_, i64>(0)).map(i64::cast_unsigned).map_err(|e| reader.failed(e))
}

const COLUMNS: &str = "seq, kind, status, recorded, clock";
/// Kinds that can be removed on their own account.
const REMOVABLE: &str = "kind IN (1, 2, 3, 4, 5) AND seq >= 0";

/// What tombstones of the log name already.
#[derive(Debug, Default)]
struct Named {
    whole: Runs,
    contents: Runs,
    /// Those of retention and whole entries that were carried out and lie in a complete block themselves, oldest first.
    carried_out: Vec<(u64, Vec<Range<u64>>)>,
}

impl Named {
    fn read(reader: &Reader, removed: Option<u64>, blocks_end: u64) -> Result<Self, StoreError> {
        let (mut named, mut whole, mut contents) = (Self::default(), Vec::new(), Vec::new());
        reader.each(&mut |body| {
            let Ok(entry) = decode(body) else { return };
            let (seq, Event::Tombstone(tombstone)) = (entry.header.seq, &entry.event) else { return };
            let runs: Vec<_> = tombstone.runs.iter().map(|run| run.start..run.end()).collect();
            if tombstone.fields != 0 {
                contents.extend(runs.into_iter().filter(|_| tombstone.fields == ALL_FIELDS));
                return;
            }
            whole.extend(runs.iter().cloned());
            let is_done = removed.is_some_and(|removed| seq <= removed);
            if is_done && seq < blocks_end && matches!(tombstone.cause, Cause::Retention(_)) {
                named.carried_out.push((seq, runs));
            }
        })?;
        (named.whole, named.contents) = (Runs::join(whole), Runs::join(contents));
        // Its runs are named again: so only those of one that fits its hash, and where nothing is there any more.
        for (seq, runs) in std::mem::take(&mut named.carried_out) {
            let left: u64 = runs.iter().map(|run| entries_in(reader, run)).sum::<Result<_, _>>()?;
            if left == 0 && reader.is_authentic(seq)? {
                named.carried_out.push((seq, runs));
            }
        }
        Ok(named)
    }

    fn has(&self, found: &Candidate) -> bool {
        self.whole.contains(found.seq) || (!found.goes_whole && self.contents.contains(found.seq))
    }
}

impl Choice {
    /// Chooses by the policy that is in force in the log.
    ///
    /// # Errors
    ///
    /// As for [`choose`].
    pub fn in_force(reader: &Reader, at: (i64, Clock), room: Room) -> Result<Self, StoreError> {
        if !reader.rule_index_is_whole()? {
            let why =
                "its index of tombstones and policies does not hold what the table holds, so nothing is removed; run `lowlight verify`";
            return Err(StoreError::Unsafe { path: reader.path().to_path_buf(), why: why.to_owned() });
        }
        let rules = Rules::read(Box::new(reader), reader.log_id())?;
        let policy = rules.in_force().clone();
        for seq in [0, rules.in_force_seq()] {
            if !reader.is_authentic(seq)? {
                let why = "does not fit its hash, and says what may be removed: nothing is; run `lowlight verify`";
                return Err(StoreError::Unsafe { path: reader.path().to_path_buf(), why: format!("entry {seq} of it {why}") });
            }
        }
        if policy.removes_nothing() {
            return Ok(Self { policy, ..Self::default() });
        }
        choose(reader, &policy, at, room, reader.cursor(crate::store::REMOVED)?)
    }
}
