//! The flash log beside the queue of sequential-storage, on the same simulator.
//!
//! ```text
//! cargo bench -p lowlight-embedded --features sim
//! ```
//!
//! Counts are exact, and the same on every machine; nothing here is a time.
#![allow(missing_docs, clippy::unwrap_used, clippy::pedantic, reason = "a bench")]

use lowlight_core::LogId;
use lowlight_embedded::sim::{Operation, Random, Sim, Tear};
use lowlight_embedded::{FlashLog, Options, wait};
use sequential_storage::cache::Cache;
use sequential_storage::queue::{QueueConfig, QueueStorage};

const S: usize = 4096;
const MAX: usize = 288;

type Log<const W: usize, const M: usize> = FlashLog<Sim<W, S>, M>;

fn mount<const W: usize, const M: usize>(flash: Sim<W, S>, sectors: usize) -> Log<W, M> {
    let end = u32::try_from(sectors * S).unwrap();
    wait(FlashLog::mount(flash, 0..end, Options { verify: false, ..Options::default() }, LogId([7; 16]))).unwrap()
}

/// Entries of 64 to 256 bytes.
fn entries(count: usize, seed: u64) -> Vec<Vec<u8>> {
    let mut random = Random(seed);
    (0..count).map(|_| vec![0x5A; 64 + random.below(193)]).collect()
}

/// Program operations an entry, and bytes of flash a byte of payload.
struct Cost {
    programs: f64,
    bytes: f64,
}

impl std::fmt::Display for Cost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:.3} programs an entry, {:.3} bytes a byte", self.programs, self.bytes)
    }
}

fn cost<const W: usize>(flash: &Sim<W, S>, entries: &[Vec<u8>]) -> Cost {
    let payload: usize = entries.iter().map(Vec::len).sum();
    let (words, operations) = flash.programs;
    Cost { programs: operations as f64 / entries.len() as f64, bytes: (words * W as u64) as f64 / payload as f64 }
}

/// Ours, so many entries handed over at once.
fn ours<const W: usize>(entries: &[Vec<u8>], at_once: usize) -> Cost {
    let mut log = mount::<W, 1120>(Sim::new(64, 1), 64);
    for batch in entries.chunks(at_once) {
        let parts: Vec<&[u8]> = batch.iter().map(Vec::as_slice).collect();
        wait(log.append(&parts)).unwrap();
    }
    cost(log.flash(), entries)
}

fn theirs<const W: usize>(entries: &[Vec<u8>]) -> Cost {
    let mut queue = QueueStorage::new(Sim::<W, S>::new(64, 1), QueueConfig::new(0..64 * S as u32), Cache::new_uncached());
    for entry in entries {
        wait(queue.push(entry, true)).unwrap();
    }
    cost(queue.flash(), entries)
}

fn appends<const W: usize>() {
    // As many as fit without going around, for their queue erases when it does.
    let entries = entries(1200, 3);
    println!("W = {W:2}  ours, one at a time   {}", ours::<W>(&entries, 1));
    println!("        ours, four at once    {}", ours::<W>(&entries, 4));
    println!("        sequential-storage    {}", theirs::<W>(&entries));
}

/// What a start reads, with the ring full: reads and bytes.
fn mounts(sectors: usize) {
    let mut log = mount::<4, MAX>(Sim::new(sectors, 1), sectors);
    let body = [0x5A; 250];
    loop {
        let index = wait(log.append(&[&body])).unwrap();
        if log.status().laps >= 2 && index % 7 == 3 {
            break;
        }
    }
    let mut flash = log.into_flash();
    flash.reads = (0, 0);
    let mut log = mount::<4, MAX>(flash, sectors);
    let ours = log.flash().reads;
    let (first, next) = (log.status().first, log.status().next);
    let mut buffer = [0; MAX];
    let middle = first + (next - first) * 2 / 3;
    let before = log.flash().reads;
    assert_eq!(wait(log.read(middle, &mut buffer)).unwrap().unwrap().index, middle);
    let after = log.flash().reads;
    let seek = (after.0 - before.0, after.1 - before.1);

    let config = QueueConfig::new(0..(sectors * S) as u32);
    let mut queue = QueueStorage::new(Sim::<4, S>::new(sectors, 1), config, Cache::new_uncached());
    for _ in 0..sectors * 18 {
        wait(queue.push(&body, true)).unwrap();
    }
    let (mut flash, _) = queue.destroy();
    flash.reads = (0, 0);
    let config = QueueConfig::new(0..(sectors * S) as u32);
    let mut queue = QueueStorage::new(flash, config, Cache::new_uncached());
    wait(queue.push(&body, true)).unwrap();
    let theirs = queue.flash().reads;
    queue.flash().reads = (0, 0);
    let (mut iterator, mut count) = (wait(queue.iter()).unwrap(), 0);
    while count < sectors * 10 && wait(iterator.next(&mut buffer)).unwrap().is_some() {
        count += 1;
    }
    let find = queue.flash().reads;
    println!("{sectors:5} sectors  a start, reads / bytes       ours {ours:?}  sequential-storage, first push {theirs:?}");
    println!("               an entry in the middle      ours {seek:?}  sequential-storage, going there {find:?}");
}

/// The first erasure in a journal, with the flash before it.
fn erasure(flash: &mut Sim<4, S>) -> Option<(Sim<4, S>, Operation)> {
    flash.journal.take()?.into_iter().find(|(_, operation)| matches!(operation, Operation::Erase(_)))
}

/// Power goes in that erasure and comes back.
fn cut((mut flash, operation): (Sim<4, S>, Operation), seed: u64) -> Sim<4, S> {
    flash.cut(&operation, if seed.is_multiple_of(2) { Tear::Any } else { Tear::Front }, seed);
    flash.power_on();
    flash
}

/// How often nothing can be appended any more after an erasure that power was cut in.
fn torn_erasures() {
    let (mut ours, mut theirs, mut cases) = (0, 0, 0);
    let config = || QueueConfig::new(0..3 * S as u32);
    for seed in 0..2000 {
        let mut random = Random(seed);
        let body = vec![1; 60 + random.below(100)];
        let before = 100 + random.below(60);
        // The first erasure once the ring has gone around.
        let mut flash = Sim::new(3, seed);
        let case = loop {
            let mut log = mount::<4, MAX>(flash, 3);
            for _ in 0..before {
                wait(log.append(&[&body])).unwrap();
            }
            flash = log.into_flash();
            flash.journal = Some(Vec::new());
            let mut log = mount::<4, MAX>(flash, 3);
            for _ in 0..80 {
                wait(log.append(&[&body])).unwrap();
            }
            flash = log.into_flash();
            if let Some(case) = erasure(&mut flash) {
                break case;
            }
        };
        let mut log = mount::<4, MAX>(cut(case, seed), 3);
        ours += u32::from((0..100).any(|_| wait(log.append(&[&body])).is_err()));
        let mut queue = QueueStorage::new(Sim::<4, S>::new(3, seed), config(), Cache::new_uncached());
        for _ in 0..before {
            wait(queue.push(&body, true)).unwrap();
        }
        queue.flash().journal = Some(Vec::new());
        for _ in 0..80 {
            wait(queue.push(&body, true)).unwrap();
        }
        let (mut flash, _) = queue.destroy();
        let Some(case) = erasure(&mut flash) else { continue };
        cases += 1;
        let mut queue = QueueStorage::new(cut(case, seed), config(), Cache::new_uncached());
        theirs += u32::from((0..100).any(|_| wait(queue.push(&body, true)).is_err()));
    }
    println!("of {cases} erasures that power was cut in, so many left a log to which nothing more could be appended:");
    println!("        ours {ours} (of 2000), sequential-storage {theirs}");
}

fn main() {
    println!("entries of 64 to 256 bytes, sectors of 4 KiB, 64 of them; what verification after a write reads is not counted");
    appends::<4>();
    appends::<16>();
    appends::<32>();
    mounts(64);
    mounts(1024);
    let ours = size_of::<FlashLog<(), MAX>>();
    println!("memory: ours {ours} bytes with a frame of {MAX}, whatever the number of sectors");
    torn_erasures();
}
