//! A deadline for a conversation.

use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::Duration;

/// Ends a conversation that takes too long, whatever it waits for; it is over when this is dropped.
pub(crate) struct Watchdog {
    _alive: Sender<()>,
}

impl Watchdog {
    /// Calls `end` after `patience`.
    ///
    /// # Errors
    ///
    /// When no thread can be had: nobody would end it then.
    pub(crate) fn start(patience: Duration, end: impl FnOnce() + Send + 'static) -> std::io::Result<Self> {
        let (alive, gone) = channel::<()>();
        let watch = move || {
            if gone.recv_timeout(patience) == Err(RecvTimeoutError::Timeout) {
                end();
            }
        };
        std::thread::Builder::new().name("lowlight-patience".to_owned()).spawn(watch)?;
        Ok(Self { _alive: alive })
    }
}
