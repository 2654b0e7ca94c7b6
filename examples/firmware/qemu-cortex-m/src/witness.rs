//! What a witness takes: its stack while it checks and signs, and how many instructions. Prints a line of JSON.
#![no_std]
#![no_main]

mod board;
mod stack;

use board::{BLOCK, LARGEST, RamFlash, counter, start_counter};
use core::fmt::Write as _;
use core::ptr::addr_of_mut;
use cortex_m as _;
use cortex_m_rt::entry;
use cortex_m_semihosting::{debug, hprintln};
use lowlight_core::Digest;
use lowlight_core::heapless::String;
use lowlight_core::link::Ask;
use lowlight_core::note::base64::Base64;
use lowlight_core::note::{Algorithm, Checkpoint, Ed25519, Key, Signer as _};
use lowlight_core::tree::node;
use lowlight_embedded::Provisioning;
use lowlight_embedded::blocking::Witness;

const ORIGIN: &str = "lowlight/01010101010101010101010101010101";

static mut FLASH: [u8; 2 * BLOCK] = [0xFF; 2 * BLOCK];

/// Room for what an answer says.
type Text = String<1024>;

/// A checkpoint of a log of one entry, or of two, as a host sends it.
fn request(size: u64, text: &mut Text) -> Option<()> {
    let leaves = [Digest([1; 32]), Digest([2; 32])];
    let root = if size == 1 { leaves[0] } else { node(&leaves[0], &leaves[1]) };
    writeln!(text, "old {}", size - 1).ok()?;
    if size == 2 {
        writeln!(text, "{}", Base64(&leaves[1].0)).ok()?;
    }
    let mut note = Text::new();
    write!(note, "{}", Checkpoint { origin: ORIGIN, size, root }).ok()?;
    write!(text, "\n{note}\n").ok()?;
    let mut signer = Ed25519::from_seed(&[9; 32]);
    let key = Key { name: "lowlight", algorithm: Algorithm::Ed25519, public: signer.public() };
    key.sign(&mut signer, &note, 0, text).ok()?
}

/// Instructions that an answer takes.
#[inline(never)]
fn ask(witness: &mut Board, ask: &Ask<'_>) -> Option<u32> {
    start_counter();
    let reply = witness.answer(ask);
    let mut text = Text::new();
    let is_written = witness.write(&reply, &mut text).is_ok();
    (is_written && reply.status == 200).then(|| (LARGEST - counter()) * 40)
}

type Board = Witness<RamFlash<'static>>;

/// A witness that is provisioned.
fn provisioned() -> Option<Board> {
    // SAFETY: taken once, and nothing else knows of it.
    let flash = RamFlash(unsafe { &mut *addr_of_mut!(FLASH) });
    let provisioning = Provisioning { over_the_line: false, random: None };
    let mut witness = Witness::mount(flash, 0..2 * BLOCK as u32, provisioning).ok()?;
    let key = Key { name: "lowlight", algorithm: Algorithm::Ed25519, public: Ed25519::from_seed(&[9; 32]).public() };
    witness.provision(&key, "board", [5; 64]).ok().map(|()| witness)
}

/// Lets a log grow twice, and asks what is known of it; prints what that takes.
fn show() -> Option<()> {
    let mut witness = provisioned()?;
    let (mut first, mut grown) = (Text::new(), Text::new());
    request(1, &mut first)?;
    request(2, &mut grown)?;
    let (stack, counts) = stack::used(|| {
        ask(&mut witness, &Ask::Add { time: 1_800_000_000, request: first.as_bytes() })?;
        let add = ask(&mut witness, &Ask::Add { time: 1_800_000_001, request: grown.as_bytes() })?;
        Some((add, ask(&mut witness, &Ask::Attest { nonce: [0xA5; 32], origin: ORIGIN })?))
    });
    let (add, attest) = counts?;
    hprintln!("{{\"witness\":{},\"witness_stack\":{},\"add\":{},\"attest\":{}}}", size_of::<Board>(), stack, add, attest);
    Some(())
}

#[entry]
fn main() -> ! {
    let is_done = show().is_some();
    loop {
        debug::exit(if is_done { debug::EXIT_SUCCESS } else { debug::EXIT_FAILURE });
    }
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {
        debug::exit(debug::EXIT_FAILURE);
    }
}
