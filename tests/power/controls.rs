//! Planted mistakes: recordings in which something is not done that protects a log. Each must be caught, or the rest proves
//! nothing.

use crate::trace::Op;
use crate::{Recording, play};
use std::path::Path;

/// Images in which a mistake is looked for.
const IMAGES: u64 = 20_000;

fn is_wal(path: &Path) -> bool {
    path.to_string_lossy().ends_with("-wal")
}

fn is_database(path: &Path) -> bool {
    path.to_string_lossy().ends_with(".db")
}

/// In the place of an operation that is not done, so that the numbers of the others stay.
fn nothing() -> Op {
    Op::Said(String::new())
}

fn without(ops: &[Op], is_left_out: impl Fn(usize, &Path) -> bool) -> Vec<Op> {
    let change = |(place, op): (usize, &Op)| match op {
        Op::Sync { path, .. } if is_left_out(place, path) => nothing(),
        op => op.clone(),
    };
    ops.iter().enumerate().map(change).collect()
}

/// A device that says it has flushed and has not.
fn flush_ignored(ops: &[Op]) -> Vec<Op> {
    without(ops, |_, _| true)
}

/// `synchronous=OFF`: SQLite flushes nothing.
fn synchronous_off(ops: &[Op]) -> Vec<Op> {
    without(ops, |_, path| is_wal(path) || is_database(path))
}

/// `synchronous=NORMAL`: the WAL is flushed before it is copied into the database, and not at each COMMIT.
fn synchronous_normal(ops: &[Op]) -> Vec<Op> {
    let copies_next = |place: usize| {
        let next = ops[place + 1..].iter().find_map(|op| match op {
            Op::Write { path, .. } if is_wal(path) => Some(false),
            Op::Write { path, .. } if is_database(path) => Some(true),
            _ => None,
        });
        next == Some(true)
    };
    without(ops, |place, path| is_wal(path) && !copies_next(place))
}

/// No directory is ever flushed.
fn directory_never_synced(ops: &[Op]) -> Vec<Op> {
    let files: Vec<_> = ops.iter().filter_map(|op| if let Op::Create(path) = op { Some(path.clone()) } else { None }).collect();
    without(ops, |_, path| !files.iter().any(|file| file == path))
}

/// Entries are acknowledged before the COMMIT that makes them durable.
fn acknowledged_early(ops: &[Op]) -> Vec<Op> {
    let mut changed = ops.to_vec();
    for place in 0..changed.len() {
        let is_receipt = matches!(&changed[place], Op::Said(line) if line.contains("durable"));
        let sync = changed[..place].iter().rposition(|op| matches!(op, Op::Sync { path, .. } if is_wal(path)));
        if let Some(sync) = sync.filter(|_| is_receipt) {
            changed[sync..=place].rotate_right(1);
        }
    }
    changed
}

type Control = (&'static str, &'static str, fn(&[Op]) -> Vec<Op>);

const CONTROLS: [Control; 5] = [
    ("flush_ignored", "plain", flush_ignored),
    ("synchronous_off", "plain", synchronous_off),
    ("synchronous_normal", "plain", synchronous_normal),
    ("directory_never_synced", "plain", directory_never_synced),
    ("acknowledged_early", "plain", acknowledged_early),
];

/// Plays each of them until it is caught.
pub fn run(recordings: &[Recording], seed: u64, scratch: &Path) -> Result<(), String> {
    let mut missed = Vec::new();
    for (name, workload, plant) in CONTROLS {
        let recording = recordings.iter().find(|it| it.name == workload).ok_or("the controls need the workload plain")?;
        let planted =
            Recording { ops: plant(&recording.ops), before: recording.before.clone(), expected: recording.expected.clone(), ..*recording };
        let outcome = play(&planted, IMAGES, seed, scratch, 1);
        match outcome.failures.first() {
            Some((_, why)) => println!("caught  {name:<24} after {} images: {why}", outcome.images),
            None => missed.push(name),
        }
    }
    if missed.is_empty() { Ok(()) } else { Err(format!("planted and not caught: {}", missed.join(", "))) }
}
