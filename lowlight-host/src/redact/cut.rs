//! Cutting a text over its cap, so that the work on it is bounded and no secret straddles the cut.
//!
//! ```text
//! |------------- kept -------------|--- 4 KiB dropped ---|----- never read -----|
//! 0                         cap - 4096                  cap                   length
//! ```

use super::bytes::floor_char;

/// How much before the cap is dropped: longer than any token that would otherwise be shown by half.
pub(super) const SLACK: usize = 4096;

/// Cuts a text over `cap` bytes: returns what is kept, at most `cap - 4096` bytes to a character boundary, and the
/// original length when it was cut.
///
/// The kept part may end inside a secret; [`Session::cut_text`](super::Session::cut_text) cuts and redacts.
///
/// ```
/// use lowlight_host::redact::cut;
/// assert_eq!(cut("short", 8192), ("short", None));
/// let long = "x".repeat(10_000);
/// assert_eq!(cut(&long, 8192), (&long[..4096], Some(10_000)));
/// ```
#[must_use]
pub fn cut(text: &str, cap: usize) -> (&str, Option<u64>) {
    match cut_points(text, cap) {
        None => (text, None),
        Some((_, keep)) => (text.get(..keep).unwrap_or(""), Some(text.len() as u64)),
    }
}

/// Where the scanned window and the kept part end; `None` when the text is not over the cap.
pub(super) fn cut_points(text: &str, cap: usize) -> Option<(usize, usize)> {
    if text.len() <= cap {
        return None;
    }
    Some((floor_char(text, cap), floor_char(text, cap.saturating_sub(SLACK))))
}
