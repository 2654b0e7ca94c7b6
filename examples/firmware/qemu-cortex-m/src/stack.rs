//! How much of the stack something uses.

use core::ptr::{read_volatile, write_volatile};

unsafe extern "C" {
    /// The end of what is static, where the stack ends.
    static mut __sheap: u32;
}

const PAINT: u32 = 0xCCCC_CCCC;

/// Paints what is free of the stack.
#[inline(never)]
fn paint() {
    let here = 0_u32;
    // Its own frame, and what it calls, are not free.
    let end = (&raw const here as usize) - 256;
    // SAFETY: nothing lives between the end of what is static and the stack pointer.
    (&raw const __sheap as usize..end).step_by(4).for_each(|at| unsafe { write_volatile(at as *mut u32, PAINT) });
}

/// Does something, and says how many bytes of the stack that used.
#[inline(never)]
pub fn used<T>(what: impl FnOnce() -> T) -> (usize, T) {
    paint();
    let here = 0_u32;
    let done = what();
    let (from, mut at) = (&raw const here as usize, &raw const __sheap as usize);
    // SAFETY: between the end of what is static and the stack pointer is memory that was painted.
    while at < from && unsafe { read_volatile(at as *const u32) } == PAINT {
        at += 4;
    }
    (from - at, done)
}
