//! The recorder keeps a copy of the log elsewhere: it reads what is committed, and catches up when the other place is there again.

use super::Shared;
use super::beside::{Attempt, Beside};
use super::worker::Worker;
use crate::copy::{Copier, CopyError};
use crate::store::Layout;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

/// Where the copy goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopyOptions {
    /// A folder on another disk or share, which must be there.
    pub dir: PathBuf,
    /// Salts and values as well: then an erasure does not reach all there is.
    pub content: bool,
}

/// Starts the thread that copies, where there is a copy.
pub(super) fn start(shared: &Arc<Shared>) -> std::io::Result<Option<Beside>> {
    let Some(options) = shared.options.copy.as_ref() else { return Ok(None) };
    let layout = Layout::new(&shared.options.path);
    let mut copier = Copier::new(&options.dir, options.content);
    let shared = Arc::clone(shared);
    Beside::start("lowlight-copy", move |_| {
        if shared.lock().locked_out {
            return Attempt::Busy;
        }
        let done = copier.catch_up(&layout);
        let mut state = shared.lock();
        match done {
            Ok(size) => {
                state.stats.copied = Some(size);
                state.stats.copy_problem = None;
                Attempt::Done
            }
            Err(CopyError::Busy) => Attempt::Busy,
            Err(error) => {
                let code = if matches!(error, CopyError::Ahead(..) | CopyError::Another(..)) { "copy_differs" } else { "copy_behind" };
                if state.stats.copy_problem.replace(error.to_string()).is_none() {
                    state.alarms.push((code, error.to_string()));
                    state.loss_since.get_or_insert_with(Instant::now);
                    shared.work.notify_one();
                }
                Attempt::Failed
            }
        }
    })
    .map(Some)
}

impl Worker<'_> {
    /// There is something to copy.
    pub(super) fn wake_copying(&mut self) {
        let Some(copying) = &self.copying else { return };
        copying.wake();
        if copying.hangs() && self.shared.lock().stats.copy_problem.is_none() {
            self.copy_fails("its place has not answered for a minute".to_owned());
        }
    }

    pub(super) fn copy_fails(&mut self, text: String) {
        self.alarm("copy_behind", text.clone());
        self.shared.lock().stats.copy_problem = Some(text);
    }
}
