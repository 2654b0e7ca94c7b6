//! How a recorder is set up.

use super::{CopyOptions, Recorder, RecorderError, Shared, WitnessOptions, worker};
use crate::record::ContentMode;
use crate::redact::{RedactConfig, Redactor};
use crate::removal::RetentionPolicy;
use lowlight_core::{Digest, OverflowPolicy};
use sha2::{Digest as _, Sha256};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Most entries a queue can be set to hold.
pub const MAX_QUEUE: usize = 16_384;
/// Most bytes a queue can be set to hold: 1 GiB.
pub const MAX_QUEUE_BYTES: usize = 1 << 30;
/// Most records of a batch.
pub const MAX_BATCH: usize = 1_000;
/// The writer takes no further record once it has so many bytes in hand, or as many as a batch is configured to have: 1 MiB.
pub const MAX_BATCH_BYTES: usize = 1 << 20;

/// What is verified when a log is opened for writing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum VerifyAtStart {
    /// The newest entries, at least 1,000.
    #[default]
    Tail,
    /// All entries.
    Full,
    /// Nothing.
    Off,
}

/// How things stand when a callback for backpressure is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pressure {
    /// Records in memory.
    pub queued: u64,
    /// Most records that may be in memory.
    pub capacity: u64,
    /// Records lost so far.
    pub lost: u64,
}

type Callback = dyn Fn(Pressure) + Send + Sync;

/// Options of a recorder; [`Recorder::builder`] makes one.
#[derive(Clone)]
pub struct Builder {
    pub(super) path: PathBuf,
    pub(super) queue_entries: usize,
    pub(super) queue_bytes: usize,
    pub(super) overflow: OverflowPolicy,
    pub(super) block_for: Duration,
    pub(super) sample_one_in: u32,
    pub(super) batch_entries: usize,
    pub(super) batch_bytes: usize,
    pub(super) max_loss_window: Duration,
    pub(super) content: ContentMode,
    pub(super) content_cap: usize,
    pub(super) redact: RedactConfig,
    pub(super) verify: VerifyAtStart,
    pub(super) app: Option<String>,
    pub(super) environment: Option<String>,
    pub(super) estimate_tokens: bool,
    pub(super) open_deadline: Duration,
    pub(super) checkpoint_every: u64,
    pub(super) checkpoint_interval: Duration,
    pub(super) retention: Option<RetentionPolicy>,
    pub(super) retention_interval: Duration,
    pub(super) min_free: u64,
    pub(super) min_inodes: u64,
    pub(super) witness: Option<WitnessOptions>,
    pub(super) copy: Option<CopyOptions>,
    pub(super) is_upkeep: bool,
    pub(super) on_pressure: Option<Arc<Callback>>,
}

impl std::fmt::Debug for Builder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Builder").field("path", &self.path).field("overflow", &self.overflow).finish_non_exhaustive()
    }
}

impl Builder {
    pub(super) fn new(path: PathBuf) -> Self {
        Self {
            path,
            queue_entries: 8_192,
            queue_bytes: 8 << 20,
            overflow: OverflowPolicy::DropNewest,
            block_for: Duration::from_millis(100),
            sample_one_in: 1,
            batch_entries: 250,
            batch_bytes: 256 << 10,
            max_loss_window: Duration::from_secs(1),
            content: ContentMode::Full,
            content_cap: 1 << 20,
            redact: RedactConfig::default(),
            verify: VerifyAtStart::Tail,
            app: None,
            environment: None,
            estimate_tokens: false,
            open_deadline: Duration::from_secs(10),
            checkpoint_every: 10_000,
            checkpoint_interval: Duration::from_secs(60),
            retention: None,
            retention_interval: Duration::from_secs(300),
            min_free: 0,
            min_inodes: 0,
            witness: None,
            copy: None,
            is_upkeep: false,
            on_pressure: None,
        }
    }

    /// Bounds the queue: at most `entries` (up to 16,384) and `bytes` (up to 1 GiB). Default 8,192 and 8 MiB.
    #[must_use]
    pub fn queue(mut self, entries: usize, bytes: usize) -> Self {
        (self.queue_entries, self.queue_bytes) = (entries, bytes.min(MAX_QUEUE_BYTES));
        self
    }

    /// The queue's bounds: entries and bytes.
    pub fn queue_bounds(&self) -> (usize, usize) {
        (self.queue_entries, self.queue_bytes)
    }

    /// A batch's bounds: entries and bytes.
    pub fn batch_bounds(&self) -> (usize, usize) {
        (self.batch_entries, self.batch_bytes)
    }

    /// What happens when the queue is full. Default: the newest record is dropped.
    #[must_use]
    pub fn overflow(mut self, policy: OverflowPolicy) -> Self {
        self.overflow = policy;
        self
    }

    /// How long [`OverflowPolicy::Block`] lets a caller wait before the record is dropped. Default 100 ms.
    #[must_use]
    pub fn block_for(mut self, deadline: Duration) -> Self {
        self.block_for = deadline;
        self
    }

    /// Records one in `one_in`, always; the others are counted as sampled out. Default 1.
    #[must_use]
    pub fn sample(mut self, one_in: u32) -> Self {
        self.sample_one_in = one_in.max(1);
        self
    }

    /// A checkpoint is written at the latest after so many entries, or so much time when there are new ones; also at start
    /// and end of a run and soon after an error. Default 10,000 and 60 s.
    #[must_use]
    pub fn checkpoints(mut self, entries: u64, interval: Duration) -> Self {
        (self.checkpoint_every, self.checkpoint_interval) = (entries.max(1), interval);
        self
    }

    /// What the log keeps and for how long. In a new log it stands in entry 0; in an older one it takes effect when it keeps at
    /// least what the policy before kept, when there was none before, or when the erasure key of the log is there to sign
    /// it; else there is an alarm and the policy before stays in force. Default: the log's own, in a new one none, which
    /// keeps everything.
    #[must_use]
    pub fn retention(mut self, policy: RetentionPolicy) -> Self {
        self.retention = Some(policy);
        self
    }

    /// How often retention looks for what is too old or too much. Default 300 s.
    #[must_use]
    pub fn retention_interval(mut self, interval: Duration) -> Self {
        self.retention_interval = interval;
        self
    }

    /// Where the policy has a limit on entries or bytes: old entries go as well when the file system has fewer free bytes
    /// than this. Default 0: whatever the file system says.
    #[must_use]
    pub fn min_free(mut self, bytes: u64) -> Self {
        self.min_free = bytes;
        self
    }

    /// A witness that cosigns each checkpoint, and is asked at start whether the log is what it was. Default: none.
    #[must_use]
    pub fn witness(mut self, witness: WitnessOptions) -> Self {
        self.witness = Some(witness);
        self
    }

    /// A copy of every entry and checkpoint in another place. Default: none.
    #[must_use]
    pub fn copy(mut self, copy: CopyOptions) -> Self {
        self.copy = Some(copy);
        self
    }

    /// Fewer free inodes than this on the log's file system are an alarm; removing entries frees none. Default 0: never.
    #[must_use]
    pub fn min_inodes(mut self, inodes: u64) -> Self {
        self.min_inodes = inodes;
        self
    }

    /// The run is for upkeep of the log and records nothing else: its options are not compared with those of the run before.
    #[must_use]
    pub fn upkeep(mut self) -> Self {
        self.is_upkeep = true;
        self
    }

    /// When checkpoints are written: entries and time.
    pub fn checkpoint_bounds(&self) -> (u64, Duration) {
        (self.checkpoint_every, self.checkpoint_interval)
    }

    /// A batch is committed at the latest with so many entries, at most 1,000, or bytes. Default 250 and 256 KiB.
    #[must_use]
    pub fn batch(mut self, entries: usize, bytes: usize) -> Self {
        (self.batch_entries, self.batch_bytes) = (entries.clamp(1, MAX_BATCH), bytes.max(1));
        self
    }

    /// A record is committed at the latest after this time: what a power cut can take. Default 1 s.
    #[must_use]
    pub fn max_loss_window(mut self, window: Duration) -> Self {
        self.max_loss_window = window;
        self
    }

    /// How content is stored. Default: redacted, in full.
    #[must_use]
    pub fn content(mut self, mode: ContentMode) -> Self {
        self.content = mode;
        self
    }

    /// Most bytes of one content value; longer ones are cut with a mark. Default 1 MiB, at most 16 MiB, at least 8 KiB.
    #[must_use]
    pub fn content_cap(mut self, bytes: usize) -> Self {
        self.content_cap = bytes.clamp(8 << 10, lowlight_core::entry::MAX_CONTENT);
        self
    }

    /// What is redacted. Default: every built-in rule.
    #[must_use]
    pub fn redact(mut self, config: RedactConfig) -> Self {
        self.redact = config;
        self
    }

    /// What is verified when the log is opened. Default: the tail.
    #[must_use]
    pub fn verify_at_start(mut self, verify: VerifyAtStart) -> Self {
        self.verify = verify;
        self
    }

    /// Application that records name unless they say otherwise.
    #[must_use]
    pub fn app(mut self, app: impl Into<String>) -> Self {
        self.app = Some(app.into());
        self
    }

    /// Environment that records name unless they say otherwise.
    #[must_use]
    pub fn environment(mut self, environment: impl Into<String>) -> Self {
        self.environment = Some(environment.into());
        self
    }

    /// Estimates token counts that a record does not give, at four characters a token, and says so in `tokens_source`.
    /// Default: off, what is not known stays unknown.
    #[must_use]
    pub fn estimate_tokens(mut self, estimate: bool) -> Self {
        self.estimate_tokens = estimate;
        self
    }

    /// How long [`open`](Self::open) waits for storage before recording starts without it. Default 10 s.
    #[must_use]
    pub fn open_deadline(mut self, deadline: Duration) -> Self {
        self.open_deadline = deadline;
        self
    }

    /// Called in the caller's thread when a record is lost and when the queue gets more than 80 % full. It may panic.
    #[must_use]
    pub fn on_pressure(mut self, callback: impl Fn(Pressure) + Send + Sync + 'static) -> Self {
        self.on_pressure = Some(Arc::new(callback));
        self
    }

    /// Digest of the options that say what is recorded and how; redaction has a fingerprint of its own.
    pub(super) fn digest(&self) -> Digest {
        let queue = (self.queue_entries, self.queue_bytes, self.overflow, self.block_for, self.sample_one_in);
        let batch = (self.batch_entries, self.batch_bytes, self.max_loss_window, self.checkpoint_every, self.checkpoint_interval);
        let content = (self.content, self.content_cap, self.estimate_tokens, self.verify, &self.app, &self.environment);
        Digest(Sha256::digest(format!("{queue:?}{batch:?}{content:?}")).into())
    }

    /// Opens the log and starts the writer thread.
    ///
    /// # Errors
    ///
    /// Redaction rules that are not valid; a path that can never become a log of ours (a foreign or newer database, wrong
    /// permissions, a file system without shared memory). A disk that is full or a database that is locked is not an
    /// error: recording starts, within the bounds of the queue, and the writer goes on trying.
    pub fn open(mut self) -> Result<Recorder, RecorderError> {
        // A batch that the queue cannot hold would only be written when the loss window ends.
        self.batch_entries = self.batch_entries.min(self.queue_entries.min(MAX_QUEUE).div_ceil(2)).max(1);
        self.batch_bytes = self.batch_bytes.min(self.queue_bytes.div_ceil(2)).max(1);
        if let Some(policy) = &self.retention {
            policy.check().map_err(RecorderError::Retention)?;
        }
        let redactor = if self.redact.enabled { Some(Redactor::new(&self.redact)?) } else { None };
        let deadline = self.open_deadline;
        let shared = Arc::new(Shared::new(self, redactor)?);
        let thread = std::thread::Builder::new().name("lowlight-writer".to_owned());
        let for_thread = Arc::clone(&shared);
        thread.spawn(move || worker::run(&for_thread)).map_err(RecorderError::Thread)?;
        shared.wait_opened(deadline)?;
        Ok(Recorder::from_shared(shared))
    }
}
