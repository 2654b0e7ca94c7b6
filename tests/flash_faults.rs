//! Flash that fails, futures that are dropped, and a model beside the log.

use super::{Bodies, ID, contents, mount};
use embedded_storage_async::nor_flash::{ErrorType, NorFlash, NorFlashErrorKind, ReadNorFlash};
use lowlight_embedded::sim::{Failing, Operation, Random, Sim, Tear};
use lowlight_embedded::{Blocking, FlashError, FlashLog, Options, WhenFull, blocking, wait};
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::{Context, Poll, Waker};

pub const S: usize = 1024;
const MAX: usize = 192;
pub type Small = Sim<4, S>;
pub type Log<F> = FlashLog<F, MAX>;

fn batches(seed: u64, count: usize) -> Vec<Vec<Vec<u8>>> {
    let mut random = Random(seed);
    let mut body = |number: usize| vec![u8::try_from(number & 0xFF).unwrap(); 1 + random.below(100)];
    (0..count).map(|number| (0..1 + number % 3).map(|_| body(number)).collect()).collect()
}

fn slices(batch: &[Vec<u8>]) -> Vec<&[u8]> {
    batch.iter().map(Vec::as_slice).collect()
}

/// All that was appended is there, as far as the ring reaches.
fn agree(there: &Bodies, first: u64, all: &Bodies, what: &str) {
    let wanted: Vec<_> = all.range(first..).collect();
    assert!(there.iter().eq(wanted), "{what}: {:?} are there of {:?} from {first} on", there.keys(), all.keys().last());
}

#[test]
fn an_operation_that_fails_costs_nothing_that_was_acknowledged() {
    let work = batches(3, 60);
    for tears in [false, true] {
        for (count, after) in (0..170).flat_map(|after| [1, 2, 4].map(|count| (count, after))) {
            let mut flash = Small::new(8, after);
            flash.fails = Some(Failing { after, count, tears });
            let mut log = mount::<4, S, MAX>(flash);
            let mut all = Bodies::new();
            for batch in &work {
                let index = wait(log.append(&slices(batch))).unwrap_or_else(|error| panic!("{after}, {count}: {error}"));
                all.extend((index..).zip(batch.clone()));
            }
            let what = format!("{count} failed after {after}, tears {tears}");
            agree(&contents(&mut log).unwrap(), log.status().first, &all, &what);
            assert_eq!(log.flash().violations, 0, "{what}");
            let mut log = mount::<4, S, MAX>(log.into_flash());
            agree(&contents(&mut log).unwrap(), log.status().first, &all, &what);
        }
    }
}

#[test]
fn flash_that_is_worn_out_says_so_and_what_was_acknowledged_can_be_read() {
    for after in 0..60 {
        let mut flash = Small::new(4, after);
        flash.fails = Some(Failing { after, count: u64::MAX, tears: true });
        let mut log = mount::<4, S, MAX>(flash);
        let mut all = Bodies::new();
        let mut failed = None;
        for batch in batches(4, 60) {
            match wait(log.append(&slices(&batch))) {
                Ok(index) => all.extend((index..).zip(batch)),
                Err(error) => failed = Some(error),
            }
        }
        assert_eq!(failed, Some(FlashError::Failed));
        let there = contents(&mut log).unwrap();
        let status = log.status();
        assert!(all.range(status.first..).all(|(index, body)| there.get(index) == Some(body)), "after {after}: {status:?}");
        let mut flash = log.into_flash();
        flash.fails = None;
        let mut log = mount::<4, S, MAX>(flash);
        // An erasure that failed may have left some of its sector.
        let (there, first) = (contents(&mut log).unwrap(), log.status().first.max(status.first));
        assert!(all.range(first..).all(|(index, body)| there.get(index) == Some(body)), "after {after}, at a later start");
        wait(log.append(&[b"again"])).expect("it works again");
    }
}

/// A driver that waits before and after each operation; one that is dropped while it waits may have done some of it.
pub struct Slow {
    pub flash: Small,
    pub tear: Tear,
}

/// What is left of an operation whose future is dropped.
struct Under<'a> {
    slow: &'a mut Slow,
    operation: Option<Operation>,
}

impl Drop for Under<'_> {
    fn drop(&mut self) {
        if let Some(operation) = self.operation.take() {
            self.slow.flash.cut(&operation, self.slow.tear, 9);
            self.slow.flash.power_on();
        }
    }
}

async fn pause() {
    let mut is_ready = false;
    poll_fn(|_| if std::mem::replace(&mut is_ready, true) { Poll::Ready(()) } else { Poll::Pending }).await;
}

impl ErrorType for Slow {
    type Error = NorFlashErrorKind;
}

impl ReadNorFlash for Slow {
    const READ_SIZE: usize = 4;

    async fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), NorFlashErrorKind> {
        pause().await;
        self.flash.read(offset, bytes).await
    }

    fn capacity(&self) -> usize {
        self.flash.capacity()
    }
}

impl NorFlash for Slow {
    const WRITE_SIZE: usize = 4;
    const ERASE_SIZE: usize = S;

    async fn erase(&mut self, from: u32, to: u32) -> Result<(), NorFlashErrorKind> {
        let mut under = Under { slow: self, operation: Some(Operation::Erase(from)) };
        pause().await;
        under.operation = None;
        under.slow.flash.erase(from, to).await?;
        pause().await;
        Ok(())
    }

    async fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), NorFlashErrorKind> {
        let mut under = Under { slow: self, operation: Some(Operation::Write(offset, bytes.to_vec())) };
        pause().await;
        under.operation = None;
        under.slow.flash.write(offset, bytes).await?;
        pause().await;
        Ok(())
    }
}

/// Polls so many times, then drops.
pub fn poll_some<T>(future: impl Future<Output = T>, times: usize) -> Option<T> {
    let mut future = pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    (0..times).find_map(|_| match future.as_mut().poll(&mut context) {
        Poll::Ready(done) => Some(done),
        Poll::Pending => None,
    })
}

#[test]
fn an_append_that_is_dropped_anywhere_leaves_a_log_that_goes_on() {
    let work = batches(6, 40);
    let mut dropped = 0;
    for tear in [Tear::Before, Tear::After, Tear::Front, Tear::Any] {
        for number in 0..work.len() {
            for times in 1..40 {
                let slow = Slow { flash: Small::new(3, 1), tear };
                let mut log: Log<Slow> = wait(FlashLog::mount(slow, 0..3 * 1024, Options::default(), ID)).unwrap();
                let mut all = Bodies::new();
                for batch in &work[..number] {
                    let index = wait(log.append(&slices(batch))).unwrap();
                    all.extend((index..).zip(batch.clone()));
                }
                let next = log.status().next;
                if poll_some(log.append(&slices(&work[number])), times).is_some() {
                    break;
                }
                dropped += 1;
                // Some of it may be there, from the front.
                let index = wait(log.append(&[b"after"])).unwrap();
                let what = format!("{tear:?}, append {number} dropped after {times}");
                assert!(index >= next && index - next <= work[number].len() as u64, "{what}: {index}, next was {next}");
                all.extend((next..index).zip(work[number].iter().cloned()));
                all.insert(index, b"after".to_vec());
                let (first, flash) = (log.status().first, log.into_flash().flash);
                assert_eq!(flash.violations, 0, "{what}");
                let mut log = mount::<4, S, MAX>(flash);
                assert_eq!(log.status().first, first, "{what}");
                agree(&contents(&mut log).unwrap(), first, &all, &what);
            }
        }
    }
    assert!(dropped > 1_000, "{dropped}");
}

/// One step of a run beside a model, of the log that is made of the same source without futures.
fn step(log: &mut blocking::FlashLog<Small, MAX>, all: &mut Vec<Vec<u8>>, acked: &mut u64, random: &mut Random, options: Options) {
    let sink = log;
    use blocking::FlashSink as _;
    match random.below(8) {
        0 => {
            sink.acknowledge(random.below(all.len() + 3) as u64);
            *acked = sink.status().acked.max(*acked);
        }
        1 => {
            let worn = sink.maintain().unwrap();
            assert!(!worn || !sink.maintain().unwrap(), "there is something to do only once");
        }
        2 => {
            let (mut buffer, first) = ([0; MAX], sink.status().first);
            let index = random.below(all.len() + 2) as u64;
            let stored = sink.read_from(index, &mut buffer).unwrap();
            let wanted = (index.max(first) < all.len() as u64).then_some(index.max(first));
            assert_eq!(stored.map(|stored| stored.index), wanted);
            if let Some(stored) = stored {
                assert_eq!(buffer[..stored.length], all[usize::try_from(stored.index).unwrap()]);
            }
        }
        _ => {
            let batch: Vec<Vec<u8>> = (0..random.below(4)).map(|_| vec![random.number().to_le_bytes()[0]; 1 + random.below(150)]).collect();
            let (parts, before) = (slices(&batch), sink.status());
            match sink.append(&parts) {
                Ok(index) => {
                    assert_eq!(index, all.len() as u64);
                    all.extend(batch.clone());
                }
                Err(FlashError::Full) => {
                    assert!(options.when_full == WhenFull::Stop && before.first < all.len() as u64);
                    // Those that found room are there.
                    let there = usize::try_from(sink.status().next).unwrap() - all.len();
                    all.extend(batch.iter().take(there).cloned());
                }
                Err(error) => panic!("{error}"),
            }
        }
    }
    let status = sink.status();
    assert_eq!(status.next, all.len() as u64);
    // An acknowledgement may be forgotten at a start, and what was reclaimed after it counts as if nobody had had it.
    assert!(options.when_full == WhenFull::Overwrite || status.first <= *acked, "{status:?}, {acked}");
}

#[test]
fn the_log_does_what_a_list_does() {
    for seed in 0..300 {
        let options = Options { when_full: if seed % 2 == 0 { WhenFull::Overwrite } else { WhenFull::Stop }, verify: seed % 3 > 0 };
        let (mut random, mut all, mut acked) = (Random(seed), Vec::new(), 0);
        let mut log: blocking::FlashLog<Small, MAX> = blocking::FlashLog::mount(Small::new(4, seed), 0..4096, options, ID).unwrap();
        for number in 0..300 {
            step(&mut log, &mut all, &mut acked, &mut random, options);
            if number % 40 == 17 {
                let (status, run) = (log.status(), log.status().run);
                if seed % 5 == 0 {
                    log.stop().unwrap();
                }
                log = blocking::FlashLog::mount(log.into_flash(), 0..4096, options, ID).unwrap();
                let again = log.status();
                assert_eq!((again.first, again.next), (status.first, status.next), "seed {seed}");
                assert!(again.acked <= status.acked && log.status().run >= run, "seed {seed}: {again:?}, {status:?}, {run}");
            }
        }
        let flash = log.into_flash();
        // What was erased ahead is erased again at a start, and that is done where a sector is nearly full.
        let spread = flash.wear.iter().max().unwrap() - flash.wear.iter().min().unwrap();
        assert!(spread <= 8 && flash.violations == 0, "seed {seed}: {:?}, {}", flash.wear, flash.violations);
    }
}

#[test]
fn what_cannot_be_stored_is_refused_and_changes_nothing() {
    let mut log = mount::<4, S, MAX>(Small::new(2, 0));
    wait(log.append(&[b"one"])).unwrap();
    let before = log.status();
    let long = [1; MAX - 7];
    for batch in [&[b"two", &long[..]][..], &[b"two", b""]] {
        assert_eq!(wait(log.append(batch)), Err(FlashError::TooLarge));
        assert_eq!(log.status(), before);
    }
    assert_eq!(wait(log.append(&[&long[1..]])), Ok(1));
    assert_eq!(wait(log.read(1, &mut [0; 9])), Err(FlashError::Buffer));
    let backwards = std::ops::Range { start: 2048, end: 1024 };
    for region in [0..1024, 0..3000, 512..2560, 0..4096, backwards] {
        let refused = wait(FlashLog::<_, MAX>::mount(Small::new(2, 0), region, Options::default(), ID)).map(|_| ());
        assert_eq!(refused, Err(FlashError::Region));
    }
}

#[test]
fn a_read_that_fails_once_at_a_start_costs_nothing_that_is_to_be_kept() {
    let options = Options { when_full: WhenFull::Stop, verify: true };
    let start = |flash| wait(FlashLog::<_, MAX>::mount(Blocking(flash), 0..4096, options, ID)).unwrap();
    for count in [9, 12, 15, 18, 40] {
        let mut log: Log<Blocking<Small>> = start(Small::new(4, 1));
        let bodies: Vec<_> = (0..count).map(|number| vec![number; 140]).collect();
        let there = bodies.iter().take_while(|body| wait(log.append(&[body])).is_ok()).count();
        let flash = log.into_flash().0;
        for after in 0..80 {
            let mut flash = flash.clone();
            flash.fails_reads = Some(Failing { after, count: 1, tears: false });
            let mut log = start(flash);
            let _ = (wait(log.prepare()), wait(log.append(&[b"new"])));
            let mut flash = log.into_flash().0;
            flash.fails_reads = None;
            let mut log = start(flash);
            let mut buffer = [0; MAX];
            for (index, body) in (0..).zip(bodies.iter().take(there)) {
                let stored = wait(log.read(index, &mut buffer)).unwrap().map(|stored| (stored.index, &buffer[..stored.length]));
                assert_eq!(stored, Some((index, &body[..])), "{count} entries, read {after} failed");
            }
        }
    }
}

#[test]
fn a_device_that_starts_often_does_not_wear_out_the_sector_that_comes_next() {
    let mut flash = Small::new(8, 1);
    for start in 0..400 {
        let mut log = mount::<4, S, MAX>(flash);
        let _ = wait(log.prepare()).unwrap();
        // Some do nothing else.
        if start % 4 > 0 {
            wait(log.append(&[b"started"])).unwrap();
            let _ = wait(log.prepare()).unwrap();
            wait(log.stop()).unwrap();
        }
        flash = log.into_flash();
    }
    let (least, most) = (flash.wear.iter().min().unwrap(), flash.wear.iter().max().unwrap());
    assert!(*least > 3 && most - least <= 8, "{:?}", flash.wear);
}

#[test]
fn that_entries_are_lost_is_said_until_an_entry_follows_wherever_power_goes() {
    let mut told = 0;
    for (tear, times) in [Tear::Before, Tear::After, Tear::Any].into_iter().flat_map(|tear| (1..30).map(move |times| (tear, times))) {
        // In a sector with room, in one that has none for a note, and in one that has room for a note and no more.
        for filled in [3, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36] {
            let mut log = mount::<4, S, MAX>(Small::new(8, 1));
            for number in 0..filled {
                wait(log.append(&[&[number; 17]])).unwrap();
            }
            let before = log.flash().image().to_vec();
            wait(log.stop()).unwrap();
            let is_full = log.flash().image() == before;
            let mut flash = log.into_flash();
            let at = flash.image().iter().rposition(|byte| *byte == filled - 1).unwrap();
            flash.flip(at * 8);
            let mut log: Log<Slow> = wait(FlashLog::mount(Slow { flash, tear }, 0..8 * 1024, Options::default(), ID)).unwrap();
            if !log.status().is_torn {
                // Nothing says that the last frame was there in a sector that had no room for the note of a stop.
                assert!(is_full, "{filled}");
                continue;
            }
            told += 1;
            assert_eq!(log.status().next, u64::from(filled));
            for _ in 0..2 {
                let _ = poll_some(log.append(&[&[200; 60]]), times);
                log = wait(FlashLog::mount(log.into_flash(), 0..8 * 1024, Options::default(), ID)).unwrap();
                let (status, mut buffer) = (log.status(), [0; MAX]);
                let stored = wait(log.read(u64::from(filled), &mut buffer)).unwrap();
                let is_there = stored.is_some();
                assert_eq!(
                    (status.next > u64::from(filled), !status.is_torn),
                    (is_there, is_there),
                    "{tear:?}, {times}, {filled}: {status:?}"
                );
                let before = stored.and_then(|stored| stored.before);
                assert!(before.is_none_or(|before| before.is_torn), "{tear:?}, {times}, {filled}");
            }
        }
    }
    assert!(told > 500, "{told}");
}
