//! The device's recorder on a flash log: what is dropped, what is full, and what it says of that.

use super::flash_faults::{Log, S, Slow, Small, poll_some};
use super::{ID, contents, mount};
use lowlight_core::OverflowPolicy;
use lowlight_core::entry::codec::{decode, encode_payload};
use lowlight_core::entry::{Clock, Event, Gap, GapReason, Header, Lifecycle, MAX_INTEGER, Severity, Slots};
use lowlight_embedded::sim::Tear;
use lowlight_embedded::{Blocking, FlashLog, FlashSink, Now, Options, Recorded, Recorder, Software, WhenFull, wait};

const MAX: usize = 192;
const SOFTWARE: Software<'_> = Software { name: "test", build: None, device: None, true_random: true };

fn now(wall: i64) -> Now {
    Now { wall, monotonic: 0, clock: Clock::Unset }
}

fn fresh(policy: OverflowPolicy) -> Recorder<fn(&mut [u8]), 4, 128> {
    Recorder::new(policy, |bytes| bytes.fill(7))
}

fn record(recorder: &mut Recorder<fn(&mut [u8]), 4, 128>, wall: i64) -> Recorded {
    let header = recorder.header(now(wall), Severity::Info);
    recorder.record(header, &Lifecycle::ModelLoaded { name: "m", digest: None }, &[])
}

/// Records `every` more before each flush, which is dropped after `times` polls: what was lost as it was recorded, the times in the log,
/// losses that it tells.
fn drop_flushes(policy: OverflowPolicy, every: i64, tear: Tear, times: usize) -> (u64, Vec<i64>, u64) {
    let slow = Slow { flash: Small::new(8, 1), tear };
    let mut log: Log<Slow> = wait(FlashLog::mount(slow, 0..8 * 1024, Options::default(), ID)).unwrap();
    let mut recorder = fresh(policy);
    wait(recorder.start(&mut log, SOFTWARE, now(0))).unwrap();
    let mut lost = 0;
    for number in 0..40_i64 {
        lost += u64::from(matches!(record(&mut recorder, 1000 + number), Recorded::Lost(_) | Recorded::Full));
        if number % every == every - 1 {
            let _ = poll_some(recorder.flush(&mut log, now(0)), times);
        }
    }
    while wait(recorder.flush(&mut log, now(0))).unwrap() > 0 {}
    let mut log = mount::<4, S, MAX>(log.into_flash().flash);
    let (mut recorded, mut told) = (Vec::new(), 0);
    for (index, body) in contents(&mut log).unwrap() {
        let entry = decode(&body).unwrap();
        assert_eq!(entry.header.seq, index, "{policy:?}, {tear:?}, dropped after {times}");
        match entry.event {
            Event::Lifecycle(Lifecycle::ModelLoaded { .. }) => recorded.push(entry.header.recorded),
            Event::Gap(gap) => told += gap.lost,
            _ => {}
        }
    }
    (lost, recorded, told)
}

#[test]
fn a_recorder_whose_flush_is_dropped_anywhere_writes_each_entry_once_under_its_number() {
    let policies = [OverflowPolicy::DropNewest, OverflowPolicy::DropOldest, OverflowPolicy::Block];
    for (tear, times) in [Tear::Before, Tear::After, Tear::Any].into_iter().flat_map(|tear| (1..45).map(move |times| (tear, times))) {
        // With two, nothing has to go where a flush has done its work.
        for (policy, every) in policies.into_iter().flat_map(|policy| [(policy, 2), (policy, 3)]) {
            let (lost, recorded, told) = drop_flushes(policy, every, tear, times);
            let case = format!("{policy:?}, {tear:?}, dropped after {times}: {recorded:?}");
            assert!(recorded.is_sorted_by(|a, b| a < b), "{case}");
            let missing = 40 - recorded.len() as u64;
            match policy {
                OverflowPolicy::DropNewest => assert_eq!((missing, told), (lost, lost), "{case}"),
                OverflowPolicy::Block => assert_eq!((missing, told), (lost, 0), "{case}"),
                // What was being written when it had to go is told as lost, and may be there: up to four at a flush.
                _ => assert!(missing <= told && told <= missing + 4 * 13 && recorded.last() == Some(&1039), "{case} {told}"),
            }
        }
    }
}

#[test]
fn what_had_to_go_while_it_was_written_takes_no_newer_entry_with_it() {
    for (tear, times) in [Tear::Before, Tear::After, Tear::Any].into_iter().flat_map(|tear| (1..45).map(move |times| (tear, times))) {
        let slow = Slow { flash: Small::new(8, 1), tear };
        let mut log: Log<Slow> = wait(FlashLog::mount(slow, 0..8 * 1024, Options::default(), ID)).unwrap();
        let mut recorder = fresh(OverflowPolicy::DropOldest);
        wait(recorder.start(&mut log, SOFTWARE, now(0))).unwrap();
        for number in 0..4 {
            let _ = record(&mut recorder, 1000 + number);
        }
        let _ = poll_some(recorder.flush(&mut log, now(0)), times);
        let _ = record(&mut recorder, 2000);
        while wait(recorder.flush(&mut log, now(0))).unwrap() > 0 {}
        let mut log = mount::<4, S, MAX>(log.into_flash().flash);
        let there = contents(&mut log).unwrap();
        let times_of = there.values().map(|body| decode(body).unwrap().header.recorded);
        let recorded: Vec<_> = times_of.filter(|time| *time >= 1000).collect();
        // The oldest may be there or not.
        let newer = recorded.iter().skip_while(|time| **time == 1000).collect::<Vec<_>>();
        assert_eq!(newer, [&1001, &1002, &1003, &2000], "{tear:?}, dropped after {times}");
    }
}

#[test]
fn a_start_after_a_dropped_flush_takes_no_waiting_entry_for_written() {
    for (tear, times) in [Tear::Before, Tear::After, Tear::Any].into_iter().flat_map(|tear| (1..45).map(move |times| (tear, times))) {
        for lost in [0, 2] {
            let slow = Slow { flash: Small::new(8, 1), tear };
            let mut log: Log<Slow> = wait(FlashLog::mount(slow, 0..8 * 1024, Options::default(), ID)).unwrap();
            let mut recorder = fresh(OverflowPolicy::DropNewest);
            wait(recorder.start(&mut log, SOFTWARE, now(0))).unwrap();
            for number in 0..4 + lost {
                let _ = record(&mut recorder, 1000 + number);
            }
            let _ = poll_some(recorder.flush(&mut log, now(0)), times);
            let mut log = wait(FlashLog::mount(log.into_flash(), 0..8 * 1024, Options::default(), ID)).unwrap();
            wait(recorder.start(&mut log, SOFTWARE, now(0))).unwrap();
            while wait(recorder.flush(&mut log, now(0))).unwrap() > 0 {}
            let there = events(&mut log);
            let loaded = there.iter().filter(|event| *event == "loaded").count();
            let told = there.iter().filter(|event| **event == format!("gap {lost}")).count();
            assert_eq!((loaded, told), (4, usize::from(lost > 0)), "{tear:?}, dropped after {times}: {there:?}");
        }
    }
}

#[test]
fn nothing_is_written_before_a_start() {
    let mut log: Log<Blocking<Small>> = wait(FlashLog::mount(Blocking(Small::new(4, 1)), 0..4096, Options::default(), ID)).unwrap();
    let mut recorder = fresh(OverflowPolicy::DropNewest);
    assert_eq!(record(&mut recorder, 1), Recorded::Queued);
    let long = Software { name: &"n".repeat(200), ..SOFTWARE };
    assert!(wait(recorder.start(&mut log, long, now(0))).is_err());
    assert_eq!(wait(recorder.flush(&mut log, now(0))), Ok(0));
    wait(recorder.stop(&mut log, now(0))).unwrap();
    assert!(events(&mut log).iter().all(|event| event == "open"));
    wait(recorder.start(&mut log, SOFTWARE, now(0))).unwrap();
    assert_eq!(wait(recorder.flush(&mut log, now(0))), Ok(1));
    assert_eq!(events(&mut log), ["open", "start", "loaded"]);
}

/// The lifecycle events of a log, and its other events; each stands under its number.
fn events<F: embedded_storage_async::nor_flash::NorFlash>(log: &mut Log<F>) -> Vec<String> {
    let (mut all, mut index, mut buffer) = (Vec::new(), 0, [0; MAX]);
    while let Some(stored) = wait(log.read(index, &mut buffer)).unwrap() {
        let entry = decode(&buffer[..stored.length]).unwrap();
        assert_eq!(entry.header.seq, stored.index);
        index = stored.index + 1;
        all.push(match entry.event {
            Event::Open(_) => "open".to_owned(),
            Event::Gap(gap) => format!("gap {}", gap.lost),
            Event::Lifecycle(Lifecycle::Start { .. }) => "start".to_owned(),
            Event::Lifecycle(Lifecycle::UncleanStop { run, last_seq, .. }) => format!("unclean stop of {run} at {}", last_seq.unwrap()),
            Event::Lifecycle(Lifecycle::Stop { received, written, lost }) => format!("stop {received} {written} {lost}"),
            Event::Lifecycle(Lifecycle::ModelLoaded { .. }) => "loaded".to_owned(),
            other => panic!("{other:?}"),
        });
    }
    all
}

#[test]
fn a_recorder_whose_start_is_dropped_anywhere_starts_in_order() {
    const LONGEST: usize = 120;
    for (tear, times) in [Tear::Before, Tear::After, Tear::Any].into_iter().flat_map(|tear| (1..=LONGEST).map(move |times| (tear, times))) {
        let slow = Slow { flash: Small::new(8, 1), tear };
        let mut log: Log<Slow> = wait(FlashLog::mount(slow, 0..8 * 1024, Options::default(), ID)).unwrap();
        for run in 0..2 {
            let mut recorder = fresh(OverflowPolicy::DropNewest);
            let done = poll_some(recorder.start(&mut log, SOFTWARE, now(0)), times);
            assert!(done.is_some() || times < LONGEST, "a start takes longer than this goes");
            wait(recorder.start(&mut log, SOFTWARE, now(0))).unwrap();
            let mut there = events(&mut log);
            // The attempt that was dropped may have said that it starts.
            there.dedup();
            let expected = if run == 0 { vec!["open", "start"] } else { vec!["open", "start", "unclean stop of 0 at ", "start"] };
            assert_eq!(there.len(), expected.len(), "{tear:?}, dropped after {times}: {there:?}");
            assert!(there.iter().zip(expected).all(|(there, expected)| there.starts_with(expected)), "{tear:?}, {times}: {there:?}");
            log = wait(FlashLog::mount(log.into_flash(), 0..8 * 1024, Options::default(), ID)).unwrap();
        }
    }
}

#[test]
fn a_start_on_a_full_log_waits_for_a_host_and_counts_right() {
    for policy in [OverflowPolicy::DropNewest, OverflowPolicy::DropOldest, OverflowPolicy::Sample { one_in: 1 }, OverflowPolicy::Block] {
        let options = Options { when_full: WhenFull::Stop, verify: true };
        let mut log: Log<Blocking<Small>> = wait(FlashLog::mount(Blocking(Small::new(4, 1)), 0..4096, options, ID)).unwrap();
        let mut recorder = fresh(policy);
        wait(recorder.start(&mut log, SOFTWARE, now(0))).unwrap();
        while record(&mut recorder, 1) == Recorded::Queued && wait(recorder.flush(&mut log, now(1))).is_ok() {}
        let full = log.status().next;
        log = wait(FlashLog::mount(log.into_flash(), 0..4096, options, ID)).unwrap();
        let mut recorder = fresh(policy);
        wait(recorder.start(&mut log, SOFTWARE, now(2))).unwrap();
        assert_eq!((log.status().next, recorder.waiting()), (full, 2), "{policy:?}");
        // Two have room, one has not.
        let third = [(); 3].map(|()| record(&mut recorder, 3))[2];
        assert_eq!(third == Recorded::Queued, policy == OverflowPolicy::DropOldest);
        FlashSink::acknowledge(&mut log, full);
        wait(recorder.stop(&mut log, now(4))).unwrap();
        let there = events(&mut log);
        let behind: Vec<_> = there.iter().skip_while(|event| !event.starts_with("unclean") && !event.starts_with("gap")).collect();
        let expected: &[&str] = match policy {
            OverflowPolicy::Block => &["unclean stop of 0 at ", "start", "loaded", "loaded", "stop 4 4 0"],
            // The oldest is what the start had to say first.
            OverflowPolicy::DropOldest => &["gap 1", "start", "loaded", "loaded", "loaded", "stop 5 4 1"],
            _ => &["gap 1", "unclean stop of 0 at ", "start", "loaded", "loaded", "stop 5 4 1"],
        };
        assert_eq!(behind.len(), expected.len(), "{policy:?}: {behind:?}");
        assert!(behind.iter().zip(expected).all(|(there, expected)| there.starts_with(expected)), "{policy:?}: {behind:?}");
    }
}

#[test]
fn a_gap_fits_the_least_body_whatever_its_numbers_are() {
    let header =
        Header { seq: (1 << 56) - 1, run: u32::MAX.into(), ..Header::new(i64::MIN, MAX_INTEGER, Clock::Unset, [7; 16], Severity::Warn) };
    let gap = Gap { reason: GapReason::Rejected, lost: MAX_INTEGER, lost_from: i64::MIN, lost_to: i64::MAX };
    assert_eq!(encode_payload(&header, &gap, &Slots::new(), &mut [0; 200]).unwrap().len(), 94);
}

#[test]
fn a_gap_that_cannot_be_encoded_is_told_later() {
    let mut log = mount::<4, S, MAX>(Small::new(8, 1));
    let mut recorder = fresh(OverflowPolicy::DropNewest);
    wait(recorder.start(&mut log, SOFTWARE, now(0))).unwrap();
    let lost = (0..6).filter(|_| matches!(record(&mut recorder, 1), Recorded::Lost(_))).count();
    assert_eq!(lost, 2);
    let broken = Now { monotonic: u64::MAX, ..now(2) };
    while wait(recorder.flush(&mut log, broken)).unwrap() > 0 {}
    assert_eq!((recorder.waiting(), log.status().dropped), (0, 2));
    wait(recorder.stop(&mut log, now(3))).unwrap();
    assert_eq!(events(&mut log), ["open", "start", "loaded", "loaded", "loaded", "loaded", "gap 2", "stop 6 4 2"]);
}
