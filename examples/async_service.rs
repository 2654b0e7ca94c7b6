//! Tickets are futures: a request handler can await durability on any executor, here on a few lines of its own.
//!
//! `cargo run --example async_service`

use lowlight_host::{Outcome, Record, Recorder, verify};
use std::error::Error;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

/// Wakes the thread that waits in [`block_on`].
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Runs one future to its end on this thread.
fn block_on<F: Future>(future: F) -> F::Output {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}

/// Answers a request only after the record of it is on disk.
async fn answer(recorder: &Recorder, number: usize) -> Result<String, Box<dyn Error>> {
    let prompt = format!("request {number}");
    let response = format!("answer {number}");
    let ticket = recorder.record(Record::inference("phi-3-mini").prompt(prompt).response(response.as_str()))?;
    match ticket.await {
        Outcome::Durable(_) => Ok(response),
        other => Err(format!("not recorded: {other:?}").into()),
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    const HANDLERS: usize = 4;
    const REQUESTS: usize = 5;
    let dir = tempfile::tempdir()?;
    let logs = dir.path().join("logs");
    // The batch window is a minute: what is awaited is committed at once all the same.
    let recorder = Recorder::builder(&logs).max_loss_window(Duration::from_secs(60)).open()?;
    let answered = thread::scope(|scope| {
        let handlers: Vec<_> = (0..HANDLERS)
            .map(|handler| {
                // A recorder is cheap to clone: all clones feed the same writer thread.
                let recorder = recorder.clone();
                scope.spawn(move || {
                    let numbers = (0..REQUESTS).map(|request| handler * REQUESTS + request);
                    numbers.filter(|number| block_on(answer(&recorder, *number)).is_ok()).count()
                })
            })
            .collect();
        handlers.into_iter().filter_map(|handler| handler.join().ok()).sum::<usize>()
    });
    println!("{answered} requests answered, each after its record was durable");
    assert_eq!(answered, HANDLERS * REQUESTS);

    // Nothing was left in memory, so closing has only the stop entry to write.
    assert_eq!(recorder.stats().queued, 0);
    let stats = recorder.close(Duration::from_secs(5))?;
    assert_eq!((stats.durable, stats.lost.total()), (20, 0));

    // Afterwards a ticket says that the recorder was closed; nothing hangs.
    let late = recorder.record(Record::inference("phi-3-mini"))?;
    assert_eq!(block_on(late), Outcome::Closed);

    let report = verify::log(&logs)?;
    println!("{}: {} records", report.verdict, report.records);
    assert_eq!((report.verdict, report.records), ("intact", 20));
    Ok(())
}
