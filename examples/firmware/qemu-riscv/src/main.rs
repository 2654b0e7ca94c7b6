//! A voice activity model over recorded speech on an emulated RISC-V board; every inference goes to NOR flash, and a host drains it
//! over the UART. The board is a witness of the host's log as well.
//!
//! ```text
//! speech (in the image) -> earshot -> Recorder -> FlashLog on CFI NOR      UART <-> Link <-> FlashLog, Witness on CFI NOR
//! ```
#![no_std]
#![no_main]

mod board;

use board::{Cfi, Uart, exit, ticks, wall};
use lowlight_core::entry::{Clock, FieldId, Inference, Lifecycle, Severity};
use lowlight_core::{LogId, OverflowPolicy};
use lowlight_embedded::blocking::{FlashLog, Link, Recorder, Witness};
use lowlight_embedded::{Now, Options, Provisioning, Recorded, Software};

core::arch::global_asm!(
    ".section .text.init",
    ".globl _start",
    "_start: la sp, _stack_start",
    "la t0, _bss_start",
    "la t1, _bss_end",
    "1: bgeu t0, t1, 2f",
    "sw zero, 0(t0)",
    "addi t0, t0, 4",
    "j 1b",
    "2: call {main}",
    main = sym main,
);

/// Largest frame of the log: bodies of up to 248 bytes.
const MAX: usize = 256;
const BLOCK: u32 = 256 << 10;
/// Erase blocks of the log; the two behind them are the witness's.
const SECTORS: u32 = 8;
/// Samples of a frame: 16 ms.
const FRAME: usize = 256;
/// From this score on a frame is speech.
const THRESHOLD: f32 = 0.7;
/// 16 bit, mono, 48 kHz, behind a header.
static SPEECH: &[u8] = include_bytes!("../../../data/speech.wav");
const HEADER: usize = 44;

fn now() -> Now {
    Now { wall: wall(), monotonic: ticks() * 100, clock: Clock::Rtc }
}

/// Random enough to tell logs apart. Not for salts that must hide anything: entry 0 says so.
fn random(bytes: &mut [u8]) {
    static STATE: core::sync::atomic::AtomicU32 = core::sync::atomic::AtomicU32::new(0);
    use core::sync::atomic::Ordering::Relaxed;
    let mut state = STATE.load(Relaxed);
    if state == 0 {
        state = (wall() / 100) as u32 ^ (wall() >> 32) as u32 | 1;
    }
    for byte in bytes {
        // Marsaglia, "Xorshift RNGs", 2003.
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        *byte = (state >> 11) as u8;
    }
    STATE.store(state, Relaxed);
}

/// The frames of the recording over and over, brought to 16 kHz by averaging three samples at a time.
fn frame(number: usize) -> [i16; FRAME] {
    let samples = SPEECH.get(HEADER..).unwrap_or_default().as_chunks::<2>().0;
    let frames = samples.len() / (3 * FRAME);
    let start = number % frames * 3 * FRAME;
    core::array::from_fn(|at| {
        let three = samples.get(start + 3 * at..start + 3 * at + 3).unwrap_or_default();
        let sum: i32 = three.iter().map(|sample| i32::from(i16::from_le_bytes(*sample))).sum();
        (sum / 3) as i16
    })
}

extern "C" fn main() -> ! {
    let mut id = [0; 16];
    random(&mut id);
    let region = 0..SECTORS * BLOCK;
    let mounted = FlashLog::<_, MAX>::mount(Cfi, region, Options::default(), LogId(id));
    let Ok(mut log) = mounted else { exit(2) };
    let software = Software { name: "vad 1.0", build: Some(env!("CARGO_PKG_VERSION")), device: Some("virt"), true_random: false };
    let mut recorder = Recorder::<_, 8, 160>::new(OverflowPolicy::DropOldest, random);
    let Ok(()) = recorder.start(&mut log, software, now()) else { exit(3) };
    let header = recorder.header(now(), Severity::Info);
    let loaded = Lifecycle::ModelLoaded { name: "earshot", digest: None };
    let _ = recorder.record(header, &loaded, &[]);
    // Somebody should hold a button for that. Keys must come over the line: there is no true random source here.
    let provisioning = Provisioning { over_the_line: true, random: None };
    let halves = SECTORS * BLOCK..(SECTORS + 2) * BLOCK;
    let Ok(mut witness) = Witness::mount(Cfi, halves, provisioning) else { exit(6) };
    let mut link = Link::<2048>::new();
    let (mut uart, mut detector, mut number) = (Uart::new(), earshot::Detector::default(), 0);
    loop {
        let begun = ticks();
        let score = detector.predict_i16(&frame(number));
        let duration_ns = (ticks() - begun) * 100;
        // What the model said is a word that anybody may read. What it heard is none: whoever has the sound and the salt can prove that it
        // was this. The salt goes where the sound goes; here that is nowhere.
        let verdict = if score >= THRESHOLD { "speech" } else { "silence" };
        let (slot, _salt) = recorder.commit(FieldId::PROMPT, frame(number).map(i16::to_le_bytes).as_flattened());
        let header = recorder.header(now(), Severity::Info);
        let inference =
            Inference { duration_ns: Some(duration_ns), finish_reason: Some(verdict), ..Inference::new("detect", "earshot", "ok") };
        if let Recorded::Refused(_) = recorder.record(header, &inference, &[slot]) {
            exit(4);
        }
        number += 1;
        // A device would sleep until the next 16 ms are there. Flash that fails or is full is tried again; what is there can be drained.
        while recorder.flush(&mut log, now()).is_ok_and(|count| count > 0) {}
        while let Ok(true) = link.receive(&mut uart) {
            let Ok(is_answered) = link.answer_witness(&mut witness, &mut uart);
            if !is_answered {
                let Ok(()) = link.answer(&mut log, &mut uart);
            }
        }
    }
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    exit(1)
}
