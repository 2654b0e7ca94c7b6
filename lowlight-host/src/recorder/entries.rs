//! The entries that the writer thread makes: those of records, and those about the recorder itself.

use super::worker::Worker;
use super::{Item, LossReason, Outcome, now};
use crate::record::ContentMode;
use crate::store::{RunLock, Store, StoreError};
use lowlight_core::commit::Salt;
use lowlight_core::entry::{Event, Header, Lifecycle, MAX_FIELDS, Open, Retention, Role, Severity, SlotState};
use lowlight_core::sink::Content;
use lowlight_core::writer::AppendError;
use lowlight_core::{Batch, Digest, Draft};

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
            let failed = |source: getrandom::Error| StoreError::from_io("random source".as_ref(), source.into());
            getrandom::fill(&mut *self.page).map_err(failed)?;
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
        Ok(uuid::Builder::from_unix_timestamp_millis(milliseconds, &self.take()?).into_uuid().into_bytes())
    }
}

fn own_header(worker: &mut Worker<'_>, run: u64, severity: Severity) -> Result<Header<'static>, StoreError> {
    let recorded = now();
    Ok(Header {
        seq: 0,
        recorded,
        occurred: None,
        monotonic: worker.shared.monotonic(),
        run,
        clock: worker.shared.clock(),
        id: worker.entropy.id(recorded)?,
        severity,
        app: None,
        environment: None,
        module: None,
        trace_id: None,
        span_id: None,
        parent_id: None,
        request_id: None,
        redactions: 0,
        redaction_kinds: 0,
        redaction_policy: 0,
    })
}

fn append_own(
    worker: &mut Worker<'_>,
    batch: &mut Batch<'_, Store>,
    run: u64,
    severity: Severity,
    event: Event<'_>,
) -> Result<u64, StoreError> {
    let header = own_header(worker, run, severity)?;
    match batch.append(Draft { header, event, contents: &[] }) {
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
    if batch.head().size() == 0
        && let Some(log_id) = batch.sink().log_id()
    {
        let open = Open {
            log_id,
            role: Role::Host,
            true_random: true,
            policy: Retention::default(),
            vkey: None,
            erasure_vkey: None,
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
pub(super) fn append(batch: &mut Batch<'_, Store>, item: &Item, run: u64, entropy: &mut Entropy) -> Result<Outcome, StoreError> {
    let Some(parts) = item.prepared.parts() else { return Ok(Outcome::Lost(LossReason::Rejected)) };
    let id = if parts.header.id == [0; 16] { entropy.id(parts.header.recorded)? } else { parts.header.id };
    let mut contents = lowlight_core::heapless::Vec::<Content<'_>, MAX_FIELDS>::new();
    for (field, value, cut_from) in parts.contents() {
        let salt = Salt(entropy.take()?);
        let content = Content { field, value, salt, state: item.state(), cut_from };
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

impl Item {
    fn state(&self) -> SlotState {
        if self.mode == ContentMode::HashOnly { SlotState::HashOnly } else { SlotState::Kept }
    }
}

/// The entries that end a run in order.
pub(super) fn stop(worker: &mut Worker<'_>, store: &mut Store) -> Result<(), StoreError> {
    let Some(run) = worker.run.as_ref().map(|run| run.number) else { return Ok(()) };
    let stats = worker.shared.lock().stats.clone();
    let fresh = worker.shared.lock().ring.losses().take().collect::<Vec<_>>();
    fresh.into_iter().for_each(|gap| worker.losses.merge(gap));
    let mut batch = Batch::begin(store)?;
    // A log that this run was never started in gets no stop of it; nor is one written twice when a COMMIT that failed was
    // durable after all.
    if batch.head().size() == 0 || batch.sink().log_id() != worker.run_log || batch.sink().is_stopped(run)? {
        return Ok(());
    }
    notices(&mut batch, run, worker)?;
    let event = Lifecycle::Stop { received: stats.received, written: stats.durable, lost: stats.lost.total() };
    append_own(worker, &mut batch, run, Severity::Info, Event::Lifecycle(event))?;
    batch.sink().stop_run(run, now())?;
    batch.commit()?;
    worker.run = None;
    Ok(())
}
