//! The thread that keeps a copy of the log elsewhere.
//!
//! 1. Recording never waits for it: it reads what is committed, and catches up when the other place is there again.

use super::Shared;
use crate::copy::Copier;
use crate::store::Layout;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};

/// Commits in a row are copied together.
const APART: Duration = Duration::from_millis(200);
/// How long after a failure it is tried again, at first and at most.
const AGAIN: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));
/// How long closing waits for the last entries to be copied.
const PATIENCE: Duration = Duration::from_secs(5);

/// Where the copy goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopyOptions {
    /// A folder on another disk or share, which must be there.
    pub dir: PathBuf,
    /// Salts and values as well: then an erasure does not reach all there is.
    pub content: bool,
}

/// The thread; it ends when this is dropped.
#[derive(Debug)]
pub(super) struct Copying {
    wake: SyncSender<()>,
    ended: Receiver<()>,
}

impl Copying {
    pub(super) fn start(shared: &Arc<Shared>) -> Option<Self> {
        let options = shared.options.copy.clone()?;
        let ((wake, woken), (ending, ended)) = (sync_channel(1), sync_channel(1));
        let shared = Arc::clone(shared);
        let run = move || {
            let _ending: SyncSender<()> = ending;
            run(&shared, &options, &woken);
        };
        std::thread::Builder::new().name("lowlight-copy".to_owned()).spawn(run).ok().map(|_| Self { wake, ended })
    }

    /// There is something new.
    pub(super) fn wake(&self) {
        let _ = self.wake.try_send(());
    }

    /// Lets it copy the last entries.
    pub(super) fn finish(self) {
        drop(self.wake);
        let _ = self.ended.recv_timeout(PATIENCE);
    }
}

fn run(shared: &Shared, options: &CopyOptions, woken: &Receiver<()>) {
    let layout = Layout::new(&shared.options.path);
    let mut copier = Copier::new(&options.dir, options.content);
    let mut again = None::<Duration>;
    loop {
        let waited = match again {
            None => woken.recv().map_err(|_| RecvTimeoutError::Disconnected),
            Some(pause) => woken.recv_timeout(pause),
        };
        let is_end = waited == Err(RecvTimeoutError::Disconnected);
        let done = copier.catch_up(&layout);
        let mut state = shared.lock();
        match done {
            Ok(size) => {
                state.stats.copied = Some(size);
                state.stats.copy_problem = None;
                again = None;
            }
            Err(error) => {
                if state.stats.copy_problem.replace(error.to_string()).is_none() {
                    state.alarms.push(("copy_behind", format!("the copy falls behind: {error}")));
                    state.loss_since.get_or_insert_with(Instant::now);
                    shared.work.notify_one();
                }
                again = Some(again.map_or(AGAIN.0, |pause| (pause * 2).min(AGAIN.1)));
            }
        }
        drop(state);
        if is_end {
            return;
        }
        std::thread::sleep(APART);
    }
}
