//! The recorder on an emulated Cortex-M4F: prints what it takes of memory and how many instructions it needs, and answers a host.
//!
//! ```text
//! events -> Recorder -> FlashLog on flash in RAM <- Link <- requests        semihosting: one line of JSON
//! ```
#![no_std]
#![no_main]

mod board;
mod stack;
mod uart;

use board::{BLOCK, LARGEST, RamFlash, counter, start_counter};
use core::convert::Infallible;
use core::ptr::addr_of_mut;
use cortex_m as _;
use cortex_m_rt::entry;
use cortex_m_semihosting::{debug, hprintln};
use lowlight_core::chain::leaf;
use lowlight_core::entry::{Clock, FieldId, Inference, Severity};
use lowlight_core::frame::{HEAD, seal, wire};
use lowlight_core::link::{DeviceStatus, Request};
use lowlight_core::{Digest, LogId, OverflowPolicy};
use lowlight_embedded::blocking::{FlashLog, FlashSink, Link, Recorder};
use lowlight_embedded::{Now, Options, Recorded, Software, Stored};
use uart::Uart;

const SECTORS: usize = 8;
/// Largest frame of the log, queue and longest body of the recorder, buffer of the link: what the budget in `docs/firmware.md` is for.
const MAX: usize = 256;
const QUEUE: usize = 16;
const BODY: usize = 160;
const LINK: usize = 768;
/// How often each thing is done that is counted.
const TIMES: u32 = 64;

static mut FLASH: [u8; SECTORS * BLOCK] = [0xFF; SECTORS * BLOCK];

type Log = FlashLog<RamFlash<'static>, MAX>;
type Rng = fn(&mut [u8]);

fn now() -> Now {
    Now { wall: 1_800_000_000_000_000_000, monotonic: u64::from(counter()) * 40, clock: Clock::Rtc }
}

/// No random source: what is counted is what firmware does with one.
fn random(bytes: &mut [u8]) {
    bytes.fill(0xA5);
}

/// Instructions of one time, of [`TIMES`]; the counter holds 671 million of them.
fn count(mut what: impl FnMut()) -> u32 {
    start_counter();
    (0..TIMES).for_each(|_| what());
    (LARGEST - counter()) * 40 / TIMES
}

fn check(condition: bool, code: u32) {
    if !condition {
        hprintln!("FAILED at {}", code);
        debug::exit(debug::EXIT_FAILURE);
    }
}

/// Forgets what it is given, to count what is done before.
struct Nowhere(u64);

impl FlashSink for Nowhere {
    type Error = Infallible;

    fn append(&mut self, batch: &[&[u8]]) -> Result<u64, Infallible> {
        let first = self.0;
        self.0 += batch.len() as u64;
        Ok(first)
    }

    fn read_from(&mut self, _: u64, _: &mut [u8]) -> Result<Option<Stored>, Infallible> {
        Ok(None)
    }

    fn acknowledge(&mut self, _: u64) {}

    fn set_dropped(&mut self, _: u64) {}

    fn maintain(&mut self) -> Result<bool, Infallible> {
        Ok(false)
    }

    fn stop(&mut self) -> Result<(), Infallible> {
        Ok(())
    }

    fn status(&self) -> DeviceStatus {
        let (log_id, head) = (LogId([1; 16]), Digest([0; 32]));
        DeviceStatus { log_id, run: 0, first: 0, next: self.0, acked: 0, reclaimed: 0, dropped: 0, laps: 0, head, is_torn: false }
    }
}

/// Bytes that a host sends, and how many come back.
struct Wire {
    sent: heapless::Vec<u8, 64>,
    at: usize,
    received: usize,
}

mod heapless {
    pub use lowlight_core::heapless::Vec;
}

impl Wire {
    fn new(request: Request) -> Self {
        let (mut fields, mut buffer) = ([0; 9], [0; 64]);
        let (kind, payload) = request.emit(&mut fields);
        buffer[HEAD..HEAD + payload.len()].copy_from_slice(payload);
        let message = seal(&mut buffer, kind, 1, payload.len()).unwrap_or_default();
        Self { sent: wire(message).collect(), at: 0, received: 0 }
    }
}

impl embedded_io::ErrorType for Wire {
    type Error = Infallible;
}

impl embedded_io::ReadReady for Wire {
    fn read_ready(&mut self) -> Result<bool, Infallible> {
        Ok(self.at < self.sent.len())
    }
}

impl embedded_io::Read for Wire {
    fn read(&mut self, bytes: &mut [u8]) -> Result<usize, Infallible> {
        let (Some(slot), Some(byte)) = (bytes.first_mut(), self.sent.get(self.at)) else { return Ok(0) };
        *slot = *byte;
        self.at += 1;
        Ok(1)
    }
}

impl embedded_io::Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Infallible> {
        self.received += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}

fn record(recorder: &mut Recorder<Rng, QUEUE, BODY>) {
    let (slot, _) = recorder.commit(FieldId::RESPONSE, b"speech");
    let header = recorder.header(now(), Severity::Info);
    let event = Inference { duration_ns: Some(12_345_678), ..Inference::new("detect", "earshot", "ok") };
    check(matches!(recorder.record(header, &event, &[slot]), Recorded::Queued | Recorded::Lost(_)), 1);
}

fn mount(flash: RamFlash<'static>) -> Log {
    match FlashLog::mount(flash, 0..(SECTORS * BLOCK) as u32, Options::default(), LogId([1; 16])) {
        Ok(log) => log,
        Err(_) => loop {
            check(false, 2);
        },
    }
}

const fn fresh() -> Recorder<Rng, QUEUE, BODY> {
    Recorder::new(OverflowPolicy::DropOldest, random)
}

fn start(recorder: &mut Recorder<Rng, QUEUE, BODY>, sink: &mut impl FlashSink) {
    let software = Software { name: "vad 1.0", build: Some("1.0"), device: Some("mps2"), true_random: false };
    check(recorder.start(sink, software, now()).is_ok(), 3);
}

/// What a device does, with its stack: the result is the log, so that a host may be answered.
#[inline(never)]
fn work() -> (u64, usize) {
    // SAFETY: taken once, and nothing else knows of it.
    let flash = RamFlash(unsafe { &mut *addr_of_mut!(FLASH) });
    let mut log = mount(flash);
    let mut recorder = fresh();
    start(&mut recorder, &mut log);
    let mut link = Link::<LINK>::new();
    // Round the ring, one at a time and many at once.
    for number in 0..600_u32 {
        record(&mut recorder);
        if number % 5 == 0 {
            while recorder.flush(&mut log, now()).is_ok_and(|count| count > 0) {}
        }
    }
    while recorder.flush(&mut log, now()).is_ok_and(|count| count > 0) {}
    let (first, next) = (log.status().first, log.status().next);
    check(first > 0 && next > 600, 4);
    let mut received = 0;
    for request in [Request::Status, Request::Read { from: first, messages: 255 }, Request::Acknowledge { upto: next }] {
        let mut port = Wire::new(request);
        let Ok(()) = link.poll(&mut log, &mut port);
        received += port.received;
    }
    check(log.status().acked == next, 5);
    (next, received)
}

#[entry]
fn main() -> ! {
    let (stack, (next, received)) = stack::used(work);
    hprintln!(
        "{{\"log\":{},\"recorder\":{},\"link\":{},\"stack\":{},\"entries\":{},\"drained_bytes\":{}}}",
        size_of::<Log>(),
        size_of::<Recorder<Rng, QUEUE, BODY>>(),
        size_of::<Link<LINK>>(),
        stack,
        next,
        received
    );
    let log = instructions();
    if !has_argument() {
        debug::exit(debug::EXIT_SUCCESS);
    }
    serve(log)
}

/// Counts, and prints what was counted; gives the log back.
#[inline(never)]
fn instructions() -> Log {
    let mut head = LogId([1; 16]).genesis();
    let hash = count(|| head = leaf(&head, &[7; 100]));
    let mut nowhere = Nowhere(0);
    let mut recorder = fresh();
    start(&mut recorder, &mut nowhere);
    let recorded = count(|| record(&mut recorder));
    let mut recorder = fresh();
    start(&mut recorder, &mut nowhere);
    let to_nowhere = count(|| {
        record(&mut recorder);
        check(recorder.flush(&mut nowhere, now()).is_ok(), 6);
    });
    // SAFETY: `work` has ended, and with it the log that had the flash.
    let mut log = mount(RamFlash(unsafe { &mut *addr_of_mut!(FLASH) }));
    let mut recorder = fresh();
    start(&mut recorder, &mut log);
    let to_flash = count(|| {
        record(&mut recorder);
        check(recorder.flush(&mut log, now()).is_ok(), 7);
    });
    let mut link = Link::<LINK>::new();
    let from = log.status().next - 4;
    let read = count(|| {
        let Ok(()) = link.poll(&mut log, &mut Wire::new(Request::Read { from, messages: 1 }));
    });
    let (next, mut kept) = (log.status().next, Some(log));
    let mounted = count(|| {
        if let Some(log) = kept.take() {
            let log = mount(log.into_flash());
            check(log.status().next == next, 8);
            kept = Some(log);
        }
    });
    hprintln!(
        "{{\"hash_100_bytes\":{},\"record\":{},\"record_and_flush_to_nowhere\":{},\"record_and_flush_to_flash\":{},\"read_4_entries\":{},\"mount\":{}}}",
        hash,
        recorded,
        to_nowhere,
        to_flash,
        read,
        mounted
    );
    loop {
        match kept {
            Some(log) => return log,
            None => check(false, 9),
        }
    }
}

/// Records and answers a host, until QEMU is ended.
fn serve(mut log: Log) -> ! {
    let mut recorder = fresh();
    start(&mut recorder, &mut log);
    let (mut link, mut uart) = (Link::<LINK>::new(), Uart::new());
    loop {
        record(&mut recorder);
        check(recorder.flush(&mut log, now()).is_ok(), 10);
        for _ in 0..100_000 {
            let Ok(()) = link.poll(&mut log, &mut uart);
        }
    }
}

/// Whether QEMU was given `arg=` beside the name of the program: then a host is answered until QEMU is ended.
fn has_argument() -> bool {
    const SYS_GET_CMDLINE: usize = 0x15;
    let mut line = [0_u8; 64];
    let mut block = [line.as_mut_ptr() as usize, line.len()];
    // SAFETY: the call fills the line that the block names, and says how long it is.
    let status = unsafe { cortex_m_semihosting::syscall1(SYS_GET_CMDLINE, block.as_mut_ptr() as usize) };
    status == 0 && line.iter().take(block[1]).any(|byte| *byte == b' ')
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    debug::exit(debug::EXIT_FAILURE);
    loop {
        core::hint::spin_loop();
    }
}
