//! The flash log: power cuts at every operation, and what reads from it afterwards.
#![allow(missing_docs, clippy::unwrap_used, clippy::pedantic, reason = "tests")]

use lowlight_core::chain::leaf;
use lowlight_core::flash::{Found, Image, ImageError};
use lowlight_core::verify::DeviceVerifier;
use lowlight_core::{Digest, LogId};
use lowlight_embedded::sim::{Operation, Random, Sim, TEARS, Tear};
use lowlight_embedded::{FlashLog, Options, wait};
use std::collections::{BTreeMap, BTreeSet};

#[path = "flash_faults.rs"]
mod flash_faults;
#[path = "flash_recorder.rs"]
mod flash_recorder;
#[path = "flash_rot.rs"]
mod flash_rot;
#[path = "flash_witness.rs"]
mod flash_witness;

const ID: LogId = LogId([7; 16]);

type Bodies = BTreeMap<u64, Vec<u8>>;

/// What is known of a log when an operation begins.
#[derive(Debug, Clone, Default)]
struct Known {
    /// Entries that were acknowledged as durable.
    durable: Bodies,
    /// Those of the call that is under way.
    pending: Vec<Vec<u8>>,
    /// Those whose frame power was cut in: nobody was told that they are there.
    doubtful: BTreeSet<u64>,
    /// Entries that power was cut in and that were not there: they may be, at a later start, until something else has their index.
    late: Vec<(u64, Vec<u8>)>,
    /// The oldest entry before the call and after it.
    first: (u64, u64),
    /// How often power was cut.
    cuts: u32,
}

impl Known {
    fn next(&self) -> u64 {
        self.durable.len() as u64
    }

    /// The least that must be there: a start may take in what was doubtful, and another not, until something is appended behind it.
    fn least(&self) -> u64 {
        (0..self.next()).rev().find(|index| !self.doubtful.contains(index)).map_or(0, |index| index + 1)
    }

    /// What may stand at an index.
    fn may_be(&self, index: u64, body: &[u8]) -> bool {
        let pending = || self.pending.get(usize::try_from(index.checked_sub(self.next())?).ok()?);
        self.durable.get(&index).or_else(pending).is_some_and(|own| own == body)
            || self.late.iter().any(|(at, own)| *at == index && own == body)
    }

    /// The head after so many entries, of which `there` can be read.
    fn head(&self, next: u64, there: &Bodies) -> Digest {
        let known = |index| there.get(&index).or_else(|| self.durable.get(&index));
        (0..next).fold(ID.genesis(), |head, index| known(index).map_or(Digest([0; 32]), |body| leaf(&head, body)))
    }

    /// What is known when a start has found that `next` comes next, and what is there: the log goes on from that.
    fn found(&self, next: u64, there: &Bodies) -> Self {
        let mut after = self.clone();
        let found = usize::try_from(next.saturating_sub(self.next())).unwrap();
        after.late.extend((self.next()..).zip(self.pending.iter().cloned()).skip(found));
        after.durable.extend((self.next()..).zip(self.pending.iter().take(found).cloned()));
        after.late.extend(self.durable.range(next..).map(|(index, body)| (*index, body.clone())));
        after.durable.retain(|index, _| *index < next);
        after.doubtful.extend(self.least()..next);
        for index in self.least()..next {
            if let Some(body) = there.get(&index) {
                after.durable.insert(index, body.clone());
            }
        }
        after
    }
}

fn mount<const W: usize, const S: usize, const MAX: usize>(flash: Sim<W, S>) -> FlashLog<Sim<W, S>, MAX> {
    let end = u32::try_from(flash.image().len()).unwrap();
    wait(FlashLog::mount(flash, 0..end, Options::default(), ID)).expect("mounting never fails")
}

/// Everything that can be read.
fn contents<const W: usize, const S: usize, const MAX: usize>(log: &mut FlashLog<Sim<W, S>, MAX>) -> Result<Bodies, String> {
    let (mut all, mut index, mut buffer) = (Bodies::new(), 0, [0; MAX]);
    while let Some(stored) = wait(log.read(index, &mut buffer)).map_err(|error| format!("entry {index}: {error}"))? {
        if stored.index < index {
            return Err(format!("asked for {index}, got {}", stored.index));
        }
        all.insert(stored.index, buffer[..stored.length].to_vec());
        index = stored.index + 1;
    }
    Ok(all)
}

/// What must hold of a log after a cut.
fn check<const W: usize, const S: usize, const MAX: usize>(log: &mut FlashLog<Sim<W, S>, MAX>, known: &Known) -> Result<u64, String> {
    let status = log.status();
    let late = known.late.iter().map(|(index, _)| index + 1).max().unwrap_or(0);
    let most = (known.next() + known.pending.len() as u64).max(late);
    if !(known.least()..=most).contains(&status.next) {
        return Err(format!("next is {}, {} were acknowledged and {most} handed over", status.next, known.least()));
    }
    // A block whose erasure was cut may read as it did before, in parts.
    let reclaimed = known.first.0.max(known.first.1);
    if status.first > reclaimed {
        return Err(format!("first is {}, and was {:?}", status.first, known.first));
    }
    let all = contents(log)?;
    for (index, body) in &all {
        if !known.may_be(*index, body) {
            return Err(format!("entry {index} is another"));
        }
    }
    if log.status().head != known.head(status.next, &all) {
        return Err(format!("the head is not that of {} entries", status.next));
    }
    if let Some(gone) =
        (status.first..status.next).find(|index| *index >= reclaimed && !all.contains_key(index) && !known.doubtful.contains(index))
    {
        return Err(format!("entry {gone} of {} to {} is gone", status.first, status.next));
    }
    Ok(status.next)
}

struct Plan {
    blocks: usize,
    appends: usize,
    seed: u64,
    /// The acknowledgement comes before the call, as a mistake.
    is_early: bool,
    skips_erased: bool,
}

/// A body of a later version: nobody looks into it.
fn body(random: &mut Random, most: usize) -> Vec<u8> {
    let rest = random.below(most);
    std::iter::once(2).chain((0..rest).map(|_| random.number().to_le_bytes()[0])).collect()
}

/// What is read in the image is what the log reads, and the chain through it is right.
fn agree_on_image(image: &[u8], there: &Bodies, next: u64) -> Result<(), String> {
    let image = match Image::new(image) {
        Ok(image) => image,
        Err(ImageError::NoLog) if there.is_empty() && next == 0 => return Ok(()),
        Err(error) => return Err(error.to_string()),
    };
    let mut verifier = DeviceVerifier::<8>::new(image.log_id(), 0, None);
    let mut read = Bodies::new();
    for found in image.found() {
        match found {
            Found::Anchor { index, head, is_torn } => verifier.anchor(index, head, is_torn),
            Found::Entry { index, body } => {
                verifier.entry(index, body);
                read.insert(index, body.to_vec());
            }
        }
    }
    let verdict = verifier.finish();
    if !verdict.is_intact() || verdict.entries != read.len() as u64 {
        return Err(format!("the image is not intact: {:?}", verdict.problems.kept()));
    }
    if read != *there || image.end() != next {
        return Err(format!("in the image are {:?} to {}, in the log {:?} to {next}", read.keys(), image.end(), there.keys()));
    }
    Ok(())
}

/// What was known up to which operation.
type Phases = Vec<(usize, Known)>;

/// How many operations there were.
fn done<const W: usize, const S: usize, const MAX: usize>(log: &FlashLog<Sim<W, S>, MAX>) -> usize {
    log.flash().journal.as_ref().map_or(0, Vec::len)
}

/// Appends a few bodies of random sizes.
fn append<const W: usize, const S: usize, const MAX: usize>(
    log: &mut FlashLog<Sim<W, S>, MAX>,
    random: &mut Random,
    (known, is_early): (&mut Known, bool),
    phases: &mut Phases,
) {
    let batch: Vec<Vec<u8>> = (0..1 + random.below(3)).map(|_| body(random, MAX - 8)).collect();
    known.first.0 = log.status().first;
    known.pending.clone_from(&batch);
    if is_early {
        let next = known.next();
        known.durable.extend((next..).zip(batch.clone()));
        known.pending.clear();
    }
    let index = wait(log.append(&batch.iter().map(Vec::as_slice).collect::<Vec<_>>())).expect("nothing fails");
    known.first.1 = log.status().first;
    phases.push((done(log), known.clone()));
    known.pending.clear();
    known.durable.extend((index..).zip(batch));
    known.first.0 = known.first.1;
}

/// A run of appends of random sizes, with stops and starts between; each operation with the flash before it and what was known then.
fn record<const W: usize, const S: usize, const MAX: usize>(plan: &Plan) -> (Vec<(Sim<W, S>, Operation, Known)>, Sim<W, S>) {
    let mut random = Random(plan.seed);
    let mut flash = Sim::new(plan.blocks, plan.seed);
    flash.skips_erased = plan.skips_erased;
    flash.journal = Some(Vec::new());
    let mut log = mount::<W, S, MAX>(flash);
    let (mut cases, mut known) = (Vec::new(), Known::default());
    for number in 0..plan.appends {
        let mut phases = Vec::new();
        append(&mut log, &mut random, (&mut known, plan.is_early), &mut phases);
        if number % 5 == 1 {
            wait(log.stop()).expect("nothing fails");
            phases.push((done(&log), known.clone()));
            // Whoever has stopped may go on.
            if number % 2 == 0 {
                append(&mut log, &mut random, (&mut known, plan.is_early), &mut phases);
            }
        }
        if number % 7 == 3 {
            // A start finds nothing else than was there.
            log = mount::<W, S, MAX>(log.into_flash());
            known.first = (log.status().first, log.status().first);
            check(&mut log, &known).expect("a start changes nothing");
        }
        let mut flash = log.into_flash();
        let operations = flash.journal.replace(Vec::new()).expect("it is there");
        cases.extend(operations.into_iter().enumerate().map(|(at, (flash, operation))| {
            let (_, known) = phases.iter().find(|(end, _)| at < *end).expect("each belongs to something");
            (flash, operation, known.clone())
        }));
        log = mount::<W, S, MAX>(flash);
    }
    (cases, log.into_flash())
}

/// Cuts power in one operation, starts, checks, appends, starts and checks again.
fn cut<const W: usize, const S: usize, const MAX: usize>(
    (flash, operation, known): &(Sim<W, S>, Operation, Known),
    (tear, seed): (Tear, u64),
    depth: u32,
    count: &mut u64,
) -> Result<(), String> {
    *count += 1;
    let mut flash = flash.clone();
    flash.cut(operation, tear, seed);
    flash.power_on();
    flash.journal = (depth > 0).then(Vec::new);
    let image = flash.image().to_vec();
    let mut log = mount::<W, S, MAX>(flash);
    let next = check(&mut log, known)?;
    let there = contents(&mut log)?;
    // What cannot be read is in no image.
    if tear != Tear::Poison {
        agree_on_image(&image, &there, next)?;
    }
    let mut after = known.found(next, &there);
    let body = [&[2][..], &[0xA5; 40]].concat();
    after.pending = vec![body.clone()];
    after.first.0 = log.status().first;
    let index = wait(log.append(&[&body])).map_err(|error| format!("nothing can be appended: {error}"))?;
    after.first.1 = log.status().first;
    if let Operation::Erase(_) = operation {
        // What stood in the block may read differently from start to start, where the erasure had hardly begun.
        after.first.1 = after.first.1.max(known.first.1);
    }
    if index != next {
        return Err(format!("appended as {index}, and next was {next}"));
    }
    let mut flash = log.into_flash();
    if flash.violations > 0 {
        return Err("a word was programmed twice, or misaligned".to_owned());
    }
    let spread = flash.wear.iter().max().unwrap() - flash.wear.iter().min().unwrap();
    after.cuts += 1;
    if spread > 1 + after.cuts {
        return Err(format!("wear {:?} after {} cuts", flash.wear, after.cuts));
    }
    if let Some(operations) = flash.journal.take() {
        for (number, (flash, operation)) in operations.into_iter().enumerate() {
            let case = (flash, operation, after.clone());
            for again in [Tear::Front, Tear::Weak, Tear::Any] {
                cut::<W, S, MAX>(&case, (again, seed ^ number as u64), depth - 1, count)
                    .map_err(|why| format!("{why}, after a second cut ({again:?})"))?;
            }
        }
    }
    after.durable.insert(index, body);
    after.pending.clear();
    after.late.clear();
    // The weak bit reads as something else at each of these.
    for _ in 0..2 {
        flash.power_on();
        let mut log = mount::<W, S, MAX>(flash);
        tolerant(&mut log, &after)?;
        flash = log.into_flash();
    }
    Ok(())
}

/// After a second start: an entry that nobody acknowledged may be gone again, where its frame was torn; nothing else.
fn tolerant<const W: usize, const S: usize, const MAX: usize>(log: &mut FlashLog<Sim<W, S>, MAX>, known: &Known) -> Result<(), String> {
    let status = log.status();
    let all = contents(log)?;
    if status.next != known.next() || log.status().head != known.head(status.next, &all) {
        return Err(format!(
            "at a later start next is {}, and {} were there; or the head is another: {all:x?}, {known:x?}",
            status.next,
            known.next()
        ));
    }
    for index in status.first..status.next {
        match all.get(&index) {
            Some(body) if known.durable.get(&index) == Some(body) => {}
            None if known.doubtful.contains(&index) || index < known.first.1 => {}
            _ => return Err(format!("entry {index} is gone or another at a later start")),
        }
    }
    Ok(())
}

/// All cuts of a run; how many, and the first failure.
fn all_cuts<const W: usize, const S: usize, const MAX: usize>(plan: &Plan, seeds: u64, depth: u32) -> (u64, Option<String>) {
    let (cases, flash) = record::<W, S, MAX>(plan);
    let spread = flash.wear.iter().max().unwrap() - flash.wear.iter().min().unwrap();
    assert!(spread <= 1 && flash.violations == 0, "wear {:?}", flash.wear);
    let (mut count, mut failures, mut failure) = (0, 0, None);
    for (number, case) in cases.iter().enumerate() {
        // A note that leaves no trace is programmed at the same place again, and a sector whose first frame left none is erased without a
        // note that says so: whoever starts cannot know of it.
        let is_beyond = depth > 0 || matches!(&case.1, Operation::Write(_, bytes) if bytes[1] >> 4 == 3);
        for tear in TEARS.into_iter().filter(|tear| !(is_beyond && *tear == Tear::Ghost)) {
            let seeds = if matches!(tear, Tear::Before | Tear::After) { 1 } else { seeds };
            for seed in 0..seeds {
                let seed = seed << 32 | number as u64;
                if let Err(why) = cut::<W, S, MAX>(case, (tear, seed), depth, &mut count) {
                    failures += 1;
                    failure.get_or_insert(format!("W {W}, S {S}, seed {}, operation {number} ({tear:?}, {seed}): {why}", plan.seed));
                }
            }
        }
    }
    (count, failure.map(|why| format!("{failures} of {count} failed; {why}")))
}

fn plan(blocks: usize, appends: usize, seed: u64) -> Plan {
    Plan { blocks, appends, seed, is_early: false, skips_erased: false }
}

/// All cuts of a run of a number with so many seeds and so many cuts more.
type Run = fn(u64, u64, u32) -> (u64, Option<String>);

/// Without optimisation a sample.
const IS_SAMPLE: bool = cfg!(debug_assertions);

/// More of everything in the long run.
fn rounds() -> u64 {
    std::env::var("LOWLIGHT_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(1)
}

#[test]
fn power_cut_at_every_operation_costs_nothing_that_was_acknowledged() {
    let runs: [Run; 6] = [
        |round, seeds, depth| all_cuts::<1, 1024, 192>(&plan(2, 40, round), seeds, depth),
        |round, seeds, depth| all_cuts::<2, 1024, 128>(&plan(3, 60, round + 100), seeds, depth),
        |round, seeds, depth| all_cuts::<4, 1024, 288>(&plan(4, 60, round + 200), seeds, depth),
        |round, seeds, depth| all_cuts::<8, 4096, 288>(&plan(3, 90, round + 300), seeds, depth),
        |round, seeds, depth| all_cuts::<16, 1024, 256>(&plan(7, 80, round + 400), seeds, depth),
        |round, seeds, depth| all_cuts::<32, 4096, 512>(&plan(4, 80, round + 500), seeds, depth),
    ];
    let (mut once, mut twice) = (0, 0);
    for round in 0..rounds() {
        for run in runs {
            let (count, failure) = run(round, if IS_SAMPLE { 1 } else { 20 }, 0);
            assert_eq!(failure, None);
            once += count;
            if !IS_SAMPLE {
                let (count, failure) = run(round + 1_000, 1, 1);
                assert_eq!(failure, None);
                twice += count;
            }
        }
    }
    println!("{once} runs with power cut once, {twice} with a cut more while the log recovers");
    assert!(once > if IS_SAMPLE { 4_000 } else { 80_000 } && (IS_SAMPLE || twice > 40_000), "too few");
}

#[test]
fn power_cut_three_times_in_a_row_costs_nothing_either() {
    for seed in 0..if IS_SAMPLE { 1 } else { 6 * rounds() } {
        let (count, failure) = all_cuts::<4, 1024, 192>(&plan(3, if IS_SAMPLE { 4 } else { 14 }, seed), 1, 2);
        assert_eq!(failure, None, "of {count}");
    }
}

#[test]
fn a_log_that_acknowledges_too_early_is_caught() {
    let (_, failure) = all_cuts::<4, 1024, 288>(&Plan { is_early: true, ..plan(4, 20, 1) }, 1, 0);
    assert!(failure.is_some_and(|why| why.contains("were acknowledged")));
}

#[test]
fn a_driver_that_trusts_what_reads_as_erased_is_caught() {
    let caught = (0..20).any(|seed| all_cuts::<4, 1024, 288>(&Plan { skips_erased: true, ..plan(3, 40, seed) }, 6, 0).1.is_some());
    assert!(caught);
}
