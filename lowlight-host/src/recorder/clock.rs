//! The wall clock: how far it can be trusted, and whether it was set.

use super::now;
use super::worker::Worker;
use std::sync::atomic::Ordering;

/// What the wall clock may drift against the monotonic one, since the start or the last step, before it counts as set, ns.
const DRIFT: u64 = 1_000_000_000;

impl Worker<'_> {
    /// Notes how far the wall clock can be trusted, and whether it was set since the last look.
    pub(super) fn measure_clock(&mut self) {
        // Before 2025 the clock cannot have been set: this software is younger.
        const YOUNGEST: i64 = 1_735_689_600_000_000_000;
        let synchronised = || std::path::Path::new("/run/systemd/timesync/synchronized").exists();
        let quality = if now() < YOUNGEST { 0 } else { 1 + u8::from(synchronised()) };
        self.shared.clock.store(quality, Ordering::Relaxed);
        let offset = self.shared.clock_offset();
        // An earlier step is durable by now: a batch is settled before the next look.
        if let Some(step) = clock_step(self.offset, offset, now()) {
            self.clock_set = Some(step);
            self.offset = offset;
        }
    }
}

/// What the wall clock would show and what it shows, if it was set: its offset to the monotonic clock was `old` and is
/// `new`, all in ns. Less than a second is drift.
fn clock_step(old: i64, new: i64, shown: i64) -> Option<(i64, i64)> {
    (new.abs_diff(old) > DRIFT).then(|| (shown.saturating_sub(new.saturating_sub(old)), shown))
}

#[cfg(test)]
mod tests {
    use super::clock_step;

    #[test]
    fn a_clock_that_was_set_is_told_from_one_that_drifts() {
        let second = 1_000_000_000;
        assert_eq!(clock_step(5 * second, 6 * second, 100 * second), None);
        assert_eq!(clock_step(5 * second, 3600 * second, 4000 * second), Some((405 * second, 4000 * second)));
        assert_eq!(clock_step(3600 * second, 5 * second, 405 * second), Some((4000 * second, 405 * second)));
        assert_eq!(clock_step(i64::MAX, i64::MIN, 0), Some((i64::MAX, 0)));
    }
}
