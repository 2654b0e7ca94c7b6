//! One binary for all behaviours: linking it once is what takes the time.
#![allow(missing_docs, clippy::unwrap_used, clippy::pedantic, reason = "tests")]

mod checkpoints;
mod concurrency;
mod copies;
mod devices;
mod devices_line;
mod devices_pty;
mod elsewhere;
mod elsewhere_attacks;
mod failure_contract;
mod failure_damage;
mod failure_input;
mod failure_storage;
mod forged;
mod hostile;
mod notes;
mod peers;
mod processes;
mod proofs;
mod recorder;
mod redaction_quality;
mod removal;
mod seen;
mod tamper;
mod tickets;
mod tree;
mod vectors;
