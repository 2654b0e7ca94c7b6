//! What a witness takes: its stack while it checks and signs, and how many instructions.

use crate::board::{BLOCK, LARGEST, RamFlash, counter, start_counter};
use crate::{check, paint_stack, stack_below};
use core::fmt::Write as _;
use cortex_m_semihosting::hprintln;
use lowlight_core::Digest;
use lowlight_core::heapless::String;
use lowlight_core::link::Ask;
use lowlight_core::note::base64::Base64;
use lowlight_core::note::{Algorithm, Checkpoint, Ed25519, Key, Signer as _};
use lowlight_core::tree::node;
use lowlight_embedded::{Blocking, Provisioning, Witness, wait};

const ORIGIN: &str = "lowlight/01010101010101010101010101010101";
/// Room for what an answer says.
type Text = String<1024>;
type Board = Witness<Blocking<RamFlash<'static>>>;

fn random(bytes: &mut [u8]) {
    bytes.fill(0xA5);
}

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
fn ask(witness: &mut Board, ask: &Ask<'_>, code: u32) -> u32 {
    start_counter();
    let reply = wait(witness.answer(ask));
    let mut text = Text::new();
    let is_written = witness.write(&reply, &mut text).is_ok();
    check(is_written && reply.status == 200, code);
    (LARGEST - counter()) * 40
}

/// Provisions a witness, lets a log grow twice, and asks what it knows: what each takes, and the stack of all of it.
pub fn show(flash: RamFlash<'static>) {
    let provisioning = Provisioning { over_the_line: false, random: Some(random) };
    let Ok(mut witness) = wait(Witness::mount(Blocking(flash), 0..2 * BLOCK as u32, provisioning)) else { return check(false, 11) };
    let key = Key { name: "lowlight", algorithm: Algorithm::Ed25519, public: Ed25519::from_seed(&[9; 32]).public() };
    check(wait(witness.provision(&key, "board", [5; 64])).is_ok(), 12);
    let (mut first, mut grown) = (Text::new(), Text::new());
    check(request(1, &mut first).is_some() && request(2, &mut grown).is_some(), 13);
    paint_stack();
    let here = 0_u32;
    let from = &raw const here as usize;
    ask(&mut witness, &Ask::Add { time: 1_800_000_000, request: first.as_bytes() }, 14);
    let add = ask(&mut witness, &Ask::Add { time: 1_800_000_001, request: grown.as_bytes() }, 15);
    let attest = ask(&mut witness, &Ask::Attest { nonce: [0xA5; 32], origin: ORIGIN }, 16);
    hprintln!("{{\"witness\":{},\"witness_stack\":{},\"add\":{},\"attest\":{}}}", size_of::<Board>(), stack_below(from), add, attest);
}
