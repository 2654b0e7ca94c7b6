//! A progress bar for work over a second, on a terminal only.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::IsTerminal;
use std::time::{Duration, Instant};

/// Shows nothing for the first second, and nothing at all when stderr is not a terminal.
pub struct Progress {
    bar: Option<ProgressBar>,
    label: &'static str,
    started: Instant,
}

impl Progress {
    /// A bar with a word for what is being done.
    pub fn new(label: &'static str) -> Self {
        Self { bar: None, label, started: Instant::now() }
    }

    /// Notes how far the work is.
    pub fn at(&mut self, done: u64, total: u64) {
        // Looking at the clock costs more than an entry.
        if done % 1024 != 0 {
            return;
        }
        if self.bar.is_none() {
            if self.started.elapsed() < Duration::from_secs(1) || !std::io::stderr().is_terminal() {
                return;
            }
            let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr_with_hz(5));
            let style = ProgressStyle::with_template("{msg} [{wide_bar}] {pos}/{len} {eta}");
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar.set_message(self.label);
            self.bar = Some(bar);
        }
        if let Some(bar) = &self.bar {
            bar.set_length(total);
            bar.set_position(done);
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
