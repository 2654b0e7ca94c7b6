//! Tickets: each resolves exactly once, on any executor, whatever a waker does.

use crate::seen::{LONG, QUEUE_FULL, Stall, quick, tell};
use lowlight_core::OverflowPolicy;
use lowlight_host::{Outcome, Ticket};
use lowlight_tests::scratch;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::Duration;

/// A waker that does something, and counts how often.
struct Does<F> {
    calls: AtomicU64,
    what: F,
}

impl<F: Fn() + Send + Sync + 'static> Does<F> {
    fn new(what: F) -> Arc<Self> {
        Arc::new(Self { calls: AtomicU64::new(0), what })
    }

    fn calls(&self) -> u64 {
        self.calls.load(Ordering::SeqCst)
    }
}

impl<F: Fn() + Send + Sync + 'static> Wake for Does<F> {
    fn wake(self: Arc<Self>) {
        self.calls.fetch_add(1, Ordering::SeqCst);
        (self.what)();
    }
}

fn poll(ticket: &mut Ticket, waker: &Waker) -> Poll<Outcome> {
    Pin::new(ticket).poll(&mut Context::from_waker(waker))
}

/// The smallest executor there is: park until woken.
fn block_on(mut ticket: Ticket) -> Outcome {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    loop {
        match poll(&mut ticket, &waker) {
            Poll::Ready(outcome) => return outcome,
            Poll::Pending => std::thread::park_timeout(LONG),
        }
    }
}

#[test]
fn a_ticket_can_be_awaited_without_a_runtime() {
    let dir = scratch();
    // Nothing but awaiting makes the writer commit before an hour is over.
    let recorder = quick(dir.path()).max_loss_window(Duration::from_secs(3_600)).open().unwrap();
    let seqs: Vec<_> = (0..3).map(|number| block_on(tell(&recorder, &format!("prompt {number}")))).collect();
    assert!(seqs.iter().all(|outcome| matches!(outcome, Outcome::Durable(_))), "{seqs:?}");
    recorder.close(LONG).unwrap();
}

#[test]
fn each_ticket_wakes_once_and_keeps_its_outcome_also_when_it_was_evicted() {
    let dir = scratch();
    let recorder = quick(dir.path()).queue(4, 1 << 20).overflow(OverflowPolicy::DropOldest).open().unwrap();
    let stall = Stall::new(dir.path());
    let in_hand = tell(&recorder, "in hand");
    stall.wait_for_writer();
    let mut watched: Vec<_> = (0..10)
        .map(|number| {
            let mut ticket = tell(&recorder, &format!("prompt {number}"));
            let counter = Does::new(|| {});
            assert_eq!(poll(&mut ticket, &Waker::from(Arc::clone(&counter))), Poll::Pending, "{number}");
            (ticket, counter)
        })
        .collect();
    stall.release();
    assert!(matches!(in_hand.wait_timeout(LONG), Outcome::Durable(_)));
    recorder.close(LONG).unwrap();
    for (number, (ticket, counter)) in watched.iter_mut().enumerate() {
        let outcome = ticket.wait_timeout(LONG);
        assert_eq!(number < 6, outcome == QUEUE_FULL, "{number}: {outcome:?}");
        assert_eq!(number >= 6, matches!(outcome, Outcome::Durable(_)), "{number}: {outcome:?}");
        assert_eq!(poll(ticket, Waker::noop()), Poll::Ready(outcome), "it stays what it is");
        assert_eq!((ticket.outcome(), ticket.wait(), ticket.wait_quietly(LONG)), (Some(outcome), outcome, outcome));
        assert_eq!(counter.calls(), 1, "{number}");
    }
}

#[test]
fn a_waker_that_panics_stops_neither_the_writer_nor_the_others() {
    let dir = scratch();
    let recorder = quick(dir.path()).open().unwrap();
    let stall = Stall::new(dir.path());
    let mut tickets: Vec<_> = (0..5).map(|number| tell(&recorder, &format!("prompt {number}"))).collect();
    let bomb = Does::new(|| panic!("a panic that a test plants"));
    assert_eq!(poll(&mut tickets[0], &Waker::from(Arc::clone(&bomb))), Poll::Pending);
    stall.release();
    for ticket in &tickets {
        assert!(matches!(ticket.wait_timeout(LONG), Outcome::Durable(_)));
    }
    assert!(matches!(tell(&recorder, "after").wait_timeout(LONG), Outcome::Durable(_)), "the writer is alive");
    assert_eq!(bomb.calls(), 1);
    recorder.close(LONG).unwrap();
}

/// Runs `what` in a thread of its own: one that deadlocks must not take the test along.
fn within_ten_seconds(what: impl FnOnce() + Send + 'static) {
    let (send, receive) = channel();
    std::thread::spawn(move || {
        what();
        let _ = send.send(());
    });
    assert!(receive.recv_timeout(Duration::from_secs(10)).is_ok(), "it failed, or the recorder is deadlocked");
}

#[test]
fn a_waker_of_an_evicted_ticket_may_use_the_recorder() {
    within_ten_seconds(|| {
        let dir = scratch();
        let recorder = quick(dir.path()).queue(1, 1 << 20).overflow(OverflowPolicy::DropOldest).open().unwrap();
        let stall = Stall::new(dir.path());
        let in_hand = tell(&recorder, "in hand");
        stall.wait_for_writer();
        let mut evicted = tell(&recorder, "evicted");
        let inside = recorder.clone();
        let asks = Does::new(move || drop(inside.stats()));
        assert_eq!(poll(&mut evicted, &Waker::from(Arc::clone(&asks))), Poll::Pending);
        let _evicts = tell(&recorder, "evicts");
        assert_eq!((evicted.outcome(), asks.calls()), (Some(QUEUE_FULL), 1));
        stall.release();
        assert!(matches!(in_hand.wait_timeout(LONG), Outcome::Durable(_)));
        recorder.close(LONG).unwrap();
    });
}

#[test]
fn a_waker_of_a_durable_ticket_may_record() {
    within_ten_seconds(|| {
        let dir = scratch();
        let recorder = quick(dir.path()).open().unwrap();
        let stall = Stall::new(dir.path());
        let mut ticket = tell(&recorder, "first");
        let (inside, made) = (recorder.clone(), Arc::new(Mutex::new(None)));
        let makes = Arc::clone(&made);
        let records = Does::new(move || *makes.lock().unwrap() = Some(tell(&inside, "from the waker")));
        assert_eq!(poll(&mut ticket, &Waker::from(Arc::clone(&records))), Poll::Pending);
        stall.release();
        assert!(matches!(ticket.wait_timeout(LONG), Outcome::Durable(_)));
        crate::seen::wait_until("the waker has run", || made.lock().unwrap().is_some());
        let second = made.lock().unwrap().take().unwrap();
        assert!(matches!(second.wait_timeout(LONG), Outcome::Durable(_)));
        recorder.close(LONG).unwrap();
    });
}

#[test]
fn waiting_with_a_timeout_says_timeout_and_the_record_may_still_become_durable() {
    let dir = scratch();
    let recorder = quick(dir.path()).open().unwrap();
    let stall = Stall::new(dir.path());
    let ticket = tell(&recorder, "late");
    for timeout in [0, 1, 30] {
        assert_eq!(ticket.wait_timeout(Duration::from_millis(timeout)), Outcome::Timeout);
    }
    stall.release();
    assert!(matches!(ticket.wait_timeout(LONG), Outcome::Durable(_)));
    recorder.close(LONG).unwrap();
}
