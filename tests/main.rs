//! One binary for all behaviours: linking it once is what takes the time.
#![allow(missing_docs, clippy::unwrap_used, clippy::pedantic, reason = "tests")]

mod redaction_quality;
mod tamper;
mod vectors;
