//! The entries that the writer thread makes: those of records, and those about the recorder itself.

use super::worker::Worker;
use super::{LossReason, Outcome, now};
use crate::keys::{self, LogKey};
use crate::random;
use crate::record::{ContentMode, Parts};
use crate::removal::{EraseError, RetentionPolicy, RuleEntries as _};
use crate::store::{RunLock, Store, StoreError};
use lowlight_core::commit::Salt;
use lowlight_core::entry::codec::decode;
use lowlight_core::entry::{
    Event, Header, KeyChange, Lifecycle, MAX_FIELDS, Open, Policy, Role, Severity, Signature, SlotState, Tombstone, uuid_v7,
};
use lowlight_core::sink::Content;
use lowlight_core::writer::AppendError;
use lowlight_core::{Batch, Digest, Draft, FieldId};

/// Random bytes from the system, fetched a page at a time.
#[derive(Debug)]
pub(super) struct Entropy {
    page: Box<[u8; 4096]>,
    used: usize,
}

impl Default for Entropy {
    fn default() -> Self {
        Self { page: Box::new([0; 4096]), used: 4096 }
    }
}

impl Entropy {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], StoreError> {
        if self.used + N > self.page.len() {
            random::fill(&mut *self.page).map_err(|source| StoreError::from_io("random source".as_ref(), source))?;
            self.used = 0;
        }
        let bytes = self.page[self.used..].first_chunk().copied().unwrap_or([0; N]);
        // What was given out is not kept: a salt must be gone once it is erased from the log.
        self.page[self.used..self.used + N].fill(0);
        self.used += N;
        Ok(bytes)
    }

    /// A UUIDv7 of that time.
    fn id(&mut self, recorded: i64) -> Result<[u8; 16], StoreError> {
        let milliseconds = u64::try_from(recorded / 1_000_000).unwrap_or(0);
        Ok(uuid_v7(milliseconds, self.take()?))
    }
}

fn own_header(worker: &mut Worker<'_>, run: u64, severity: Severity) -> Result<Header<'static>, StoreError> {
    let recorded = now();
    let (monotonic, clock, id) = (worker.shared.monotonic(), worker.shared.clock(), worker.entropy.id(recorded)?);
    Ok(Header { run, ..Header::new(recorded, monotonic, clock, id, severity) })
}

fn append_own(
    worker: &mut Worker<'_>,
    batch: &mut Batch<'_, Store>,
    run: u64,
    severity: Severity,
    event: Event<'_>,
) -> Result<u64, StoreError> {
    append_with(worker, batch, run, severity, event, &[])
}

fn append_with(
    worker: &mut Worker<'_>,
    batch: &mut Batch<'_, Store>,
    run: u64,
    severity: Severity,
    event: Event<'_>,
    contents: &[Content<'_>],
) -> Result<u64, StoreError> {
    let header = own_header(worker, run, severity)?;
    match batch.append(Draft { header, event, contents }) {
        Ok(seq) => Ok(seq),
        Err(AppendError::Sink(error)) => Err(error),
        // Own entries are within the limits by construction; if one is not, the log is better off without it.
        Err(_) => Ok(batch.head().size()),
    }
}

/// The entries that begin a run: `Open` in a new log, runs that crashed, `Start`, the redaction policy if it is new.
pub(super) fn start(worker: &mut Worker<'_>, batch: &mut Batch<'_, Store>) -> Result<RunLock, StoreError> {
    let options = &worker.shared.options;
    let bound = (options.queue_entries.min(super::MAX_QUEUE) + super::MAX_BATCH) as u64;
    let run = batch.sink().start_run(now(), bound)?;
    let vkey = vkey(worker);
    let is_new = batch.head().size() == 0;
    if is_new && let Some(log_id) = batch.sink().log_id() {
        worker.follow_journal();
        let options = &worker.shared.options;
        let number = u32::from(options.retention.is_some());
        let policy = RetentionPolicy { number, ..options.retention.clone().unwrap_or_default() };
        let erasure = LogKey::load_erasure(batch.sink().layout())?.map(|key| key.key().to_string());
        let open = Open {
            log_id,
            role: Role::Host,
            true_random: true,
            policy: policy.as_entry(),
            vkey: vkey.as_deref(),
            erasure_vkey: erasure.as_deref(),
            predecessor: worker.predecessor,
        };
        append_own(worker, batch, run.number, Severity::Info, Event::Open(open))?;
    }
    for crashed in batch.sink().take_crashed(run.number, now())? {
        let event = Lifecycle::UncleanStop { run: crashed.run, last_seq: crashed.last_seq, at_most: crashed.at_most };
        append_own(worker, batch, run.number, Severity::Warn, Event::Lifecycle(event))?;
    }
    let software = concat!("lowlight ", env!("CARGO_PKG_VERSION"));
    append_own(worker, batch, run.number, Severity::Info, Event::Lifecycle(Lifecycle::Start { software, build: None, device: None }))?;
    config(worker, batch, run.number)?;
    let policy = retention(worker, batch, run.number)?;
    worker.removing.begin(&policy, options.is_upkeep);
    let layout = batch.sink().layout().clone();
    worker.removing.load(batch.sink(), batch.head().size(), &layout)?;
    worker.tell_forged();
    if vkey.is_none() && worker.shared.lock().stats.checkpoint_problem.is_none() && !keys::named(batch.sink())?.is_empty() {
        key_problem(
            worker,
            "key_missing",
            "the key that this log names is not there, so checkpoints are not signed; put keys/log.key back",
        );
    }
    if let Some(vkey) = vkey {
        announce(worker, batch, run.number, &vkey)?;
    }
    if let Some((redactor, number)) = &worker.shared.redactor {
        let name = format!("redaction_policy/{number}");
        if batch.sink().cursor(&name)?.is_none() {
            let event = Lifecycle::RedactionPolicy { number: *number, digest: Digest(redactor.fingerprint()) };
            let seq = append_own(worker, batch, run.number, Severity::Info, Event::Lifecycle(event))?;
            batch.sink().set_cursor(&name, seq)?;
        }
    }
    Ok(run)
}

/// Writes that the options are others than those of the run before.
fn config(worker: &mut Worker<'_>, batch: &mut Batch<'_, Store>, run: u64) -> Result<(), StoreError> {
    if worker.shared.options.is_upkeep {
        return Ok(());
    }
    let digest = worker.shared.options.digest();
    // Bookkeeping keeps the beginning of it, as a number: enough to tell one from another.
    let this = digest.0.first_chunk().map_or(0, |start| u64::from_le_bytes(*start) >> 1);
    let before = batch.sink().cursor("config")?;
    if before.is_some_and(|before| before != this) {
        append_own(worker, batch, run, Severity::Info, Event::Lifecycle(Lifecycle::ConfigChanged { digest }))?;
    }
    if before == Some(this) { Ok(()) } else { batch.sink().set_cursor("config", this) }
}

/// The policy in force; the configured one, if it is another and may take its place.
fn retention(worker: &mut Worker<'_>, batch: &mut Batch<'_, Store>, run: u64) -> Result<RetentionPolicy, StoreError> {
    let (mut before, mut erasure_vkey) = (RetentionPolicy::default(), None);
    batch.sink().each(&mut |body| match decode(body).map(|entry| entry.event) {
        Ok(Event::Open(open)) => {
            before = RetentionPolicy::new(&open.policy);
            erasure_vkey = open.erasure_vkey.map(str::to_owned);
        }
        Ok(Event::Policy(policy)) => before = RetentionPolicy::new(&policy.policy),
        _ => {}
    })?;
    let Some(wanted) = worker.shared.options.retention.as_ref().filter(|wanted| !wanted.keeps_the_same(&before)) else { return Ok(before) };
    let wanted = RetentionPolicy { number: before.number.saturating_add(1), ..wanted.clone() };
    let is_free = (before.as_entry().is_undeclared() && erasure_vkey.is_none()) || !wanted.as_entry().keeps_less_than(&before.as_entry());
    let mut signature = None;
    if !is_free {
        let key = LogKey::load_erasure(batch.sink().layout())?.filter(|key| erasure_vkey == Some(key.key().to_string()));
        let (Some(mut key), Some(log_id)) = (key, batch.sink().log_id()) else {
            let why = "the configured retention keeps less than the log promised, and its erasure key is not there to sign that; the policy before stays in force";
            worker.alarm("retention_refused", why);
            worker.removing.problems.refused = Some(why.to_owned());
            worker.tell_problem();
            return Ok(before);
        };
        signature = Some(Signature::from_bytes(key.sign_message(&wanted.message(log_id, batch.head().size()))));
    }
    append_own(worker, batch, run, Severity::Info, Event::Policy(Policy { policy: wanted.as_entry(), signature }))?;
    Ok(wanted)
}

/// The tombstones of the order at hand.
pub(super) fn tombstones(batch: &mut Batch<'_, Store>, run: u64, worker: &mut Worker<'_>) -> Result<(), StoreError> {
    let Some(order) = worker.removing.order.take() else { return Ok(()) };
    worker.removing.seqs.clear();
    let size = batch.head().size();
    let is_here = order.log.is_none_or(|log| batch.sink().log_id() == Some(log));
    if !is_here || order.plans.iter().flat_map(|plan| plan.runs.iter()).any(|run| run.end > size) {
        if let Some(answer) = order.answer {
            let _ = answer.try_send(Err(EraseError::NotWritten("it names entries that this log does not have".to_owned())));
        }
        return Ok(());
    }
    let mut reason = order.reason.as_deref();
    let mut written = Ok(());
    for (plan, runs) in order.plans.iter().flat_map(|plan| plan.runs.tombstones().map(move |runs| (plan, runs))) {
        let event = Event::Tombstone(Tombstone { fields: plan.fields, cause: plan.cause, runs });
        // Once is enough: every copy would have to be erased.
        let content = match reason.take() {
            Some(value) => worker
                .entropy
                .take()
                .map(|salt| Some(Content { field: FieldId::REASON, value, salt: Salt(salt), state: SlotState::Kept, cut_from: None })),
            None => Ok(None),
        };
        let appended = content.and_then(|content| append_with(worker, batch, run, Severity::Info, event, content.as_slice()));
        match appended {
            Ok(seq) => worker.removing.seqs.push(seq),
            Err(error) => {
                written = Err(error);
                break;
            }
        }
    }
    worker.removing.order = Some(order);
    written
}

/// The vkey of the log's key, if there is one; a key that cannot be read is an alarm.
fn vkey(worker: &mut Worker<'_>) -> Option<String> {
    match worker.sealing.journal.key() {
        Ok(key) => key.map(|key| key.key().to_string()),
        Err(error) => {
            worker.alarm("key_unreadable", format!("no checkpoints are written: {error}"));
            worker.shared.lock().stats.checkpoint_problem = Some(error.to_string());
            None
        }
    }
}

/// An alarm about the key, which the statistics tell as well.
fn key_problem(worker: &mut Worker<'_>, code: &'static str, why: &str) {
    worker.alarm(code, why);
    worker.shared.lock().stats.checkpoint_problem = Some(why.to_owned());
}

/// Writes which key signs from here on, once for each key: in a new log `Open` has said so. A key that is to take its place
/// is announced by the one before; the worker puts it there once that is durable.
fn announce(worker: &mut Worker<'_>, batch: &mut Batch<'_, Store>, run: u64, vkey: &str) -> Result<(), StoreError> {
    let named = keys::named(batch.sink())?.pop();
    let next = LogKey::load_next(batch.sink().layout())?.map(|key| key.key().to_string());
    // The rest of a rotation that broke off: the log names the next key already.
    let is_replaced = next.is_some() && next == named;
    if named.as_ref().is_some_and(|named| named != vkey) && !is_replaced {
        key_problem(worker, "key_unannounced", "keys/log.key is not the key that this log names; put that one back if you have it");
        return Ok(());
    }
    if named.is_none() {
        change_key(worker, batch, run, "", vkey)?;
    }
    let Some(next) = next else { return Ok(()) };
    if !is_replaced {
        change_key(worker, batch, run, vkey, &next)?;
    }
    worker.rotating = true;
    Ok(())
}

/// Appends that `new` takes the place of `old`, signed by the key in use.
fn change_key(worker: &mut Worker<'_>, batch: &mut Batch<'_, Store>, run: u64, old: &str, new: &str) -> Result<(), StoreError> {
    let (seq, log_id) = (batch.head().size(), batch.sink().log_id());
    let signed = worker.sealing.journal.key()?.zip(log_id).map(|(mut key, log_id)| key.sign_change(log_id, seq, old, new));
    let Some(signature) = signed else { return Ok(()) };
    let event = KeyChange { old_vkey: old, new_vkey: new, signature: Signature::from_bytes(signature) };
    append_own(worker, batch, run, Severity::Info, Event::KeyChange(event)).map(drop)
}

/// Gaps, a clock that was set, and alarms, in front of the records of a batch.
pub(super) fn notices(batch: &mut Batch<'_, Store>, run: u64, worker: &mut Worker<'_>) -> Result<(), StoreError> {
    if let Some((before, after)) = worker.clock_set {
        let event = Lifecycle::ClockSet { before, after, quality: worker.shared.clock() };
        append_own(worker, batch, run, Severity::Warn, Event::Lifecycle(event))?;
    }
    for gap in worker.losses.clone().take() {
        append_own(worker, batch, run, Severity::Warn, Event::Gap(gap))?;
    }
    for (code, detail) in worker.alarms.clone() {
        let mut end = detail.len().min(256);
        while !detail.is_char_boundary(end) {
            end -= 1;
        }
        let alarm = Lifecycle::Alarm { code, detail: &detail[..end] };
        append_own(worker, batch, run, Severity::Error, Event::Lifecycle(alarm))?;
    }
    Ok(())
}

/// Appends a record. A record that breaks the format is lost as rejected; the batch goes on.
pub(super) fn append(
    batch: &mut Batch<'_, Store>,
    [head, texts]: [&[u8]; 2],
    (run, mode): (u64, ContentMode),
    entropy: &mut Entropy,
    error_seen: &mut bool,
) -> Result<Outcome, StoreError> {
    let Some(parts) = Parts::new(head, texts) else { return Ok(Outcome::Lost(LossReason::Rejected)) };
    *error_seen |= parts.header.severity >= Severity::Error;
    let id = if parts.header.id == [0; 16] { entropy.id(parts.header.recorded)? } else { parts.header.id };
    let state = if mode == ContentMode::HashOnly { SlotState::HashOnly } else { SlotState::Kept };
    let mut contents = lowlight_core::heapless::Vec::<Content<'_>, MAX_FIELDS>::new();
    for (field, value, cut_from) in parts.contents() {
        let salt = Salt(entropy.take()?);
        let content = Content { field, value, salt, state, cut_from };
        if contents.push(content).is_err() {
            return Ok(Outcome::Lost(LossReason::Rejected));
        }
    }
    match batch.append(Draft { header: Header { run, id, ..parts.header }, event: parts.event, contents: &contents }) {
        Ok(seq) => Ok(Outcome::Durable(seq)),
        Err(AppendError::Sink(error)) => Err(error),
        Err(_) => Ok(Outcome::Lost(LossReason::Rejected)),
    }
}

/// The entries that end a run in order; `is_retry` after an attempt that failed.
pub(super) fn stop(worker: &mut Worker<'_>, store: &mut Store, is_retry: bool) -> Result<(), StoreError> {
    let Some(run) = worker.run.as_ref().map(|run| run.number) else { return Ok(()) };
    let stats = worker.shared.lock().stats.clone();
    let fresh = worker.shared.lock().queue.losses().take().collect::<Vec<_>>();
    worker.alarms.append(&mut worker.shared.lock().alarms);
    fresh.into_iter().for_each(|gap| worker.losses.merge(gap));
    let mut batch = Batch::begin(store)?;
    // A log that this run was never started in gets no stop of it; nor is one written twice when a COMMIT that failed was
    // durable after all.
    if batch.head().size() == 0 || batch.sink().log_id() != worker.run_log || (is_retry && batch.sink().is_stopped(run)?) {
        return Ok(());
    }
    notices(&mut batch, run, worker)?;
    let event = Lifecycle::Stop { received: stats.received, written: stats.durable, lost: stats.lost.total() };
    append_own(worker, &mut batch, run, Severity::Info, Event::Lifecycle(event))?;
    batch.sink().stop_run(run, now())?;
    let log = batch.sink().log_id();
    let head = batch.commit()?;
    if let Some(log) = log {
        worker.sealing.committed(log, head, false);
    }
    worker.run = None;
    Ok(())
}
