//! A firmware with the recorder and nothing else, to weigh its code: with the feature `bare`, what the board alone takes. What it has
//! more without is Lowlight's (`tests/support/firmware.py`).
#![no_std]
#![no_main]

mod board;
mod uart;

use board::{BLOCK, RamFlash};
use core::ptr::addr_of_mut;
use cortex_m_rt::entry;
use embedded_storage::nor_flash::{NorFlash as _, ReadNorFlash as _};
use uart::Uart;

static mut FLASH: [u8; 8 * BLOCK] = [0xFF; 8 * BLOCK];

#[entry]
fn main() -> ! {
    // SAFETY: taken once, and nothing else knows of it.
    let mut flash = RamFlash(unsafe { &mut *addr_of_mut!(FLASH) });
    let mut uart = Uart::new();
    board::start_counter();
    // Drivers that firmware has anyway.
    let mut word = [0; 8];
    let _ = flash.read(0, &mut word).and_then(|()| flash.erase(0, BLOCK as u32)).and_then(|()| flash.write(0, &word));
    #[cfg(not(feature = "bare"))]
    firmware::run(flash, &mut uart);
    loop {
        use embedded_io::{Read as _, ReadReady as _, Write as _};
        if let Ok(true) = uart.read_ready() {
            let Ok(_) = uart.read(&mut word[..1]);
            let Ok(_) = uart.write(&word[..1]);
        }
        core::hint::black_box(board::counter());
    }
}

#[cfg(not(feature = "bare"))]
mod firmware {
    use super::board::{BLOCK, RamFlash, counter};
    use super::uart::Uart;
    use lowlight_core::entry::{Clock, FieldId, Inference, Severity};
    use lowlight_core::{LogId, OverflowPolicy};
    #[cfg(feature = "witness")]
    use lowlight_embedded::Provisioning;
    #[cfg(feature = "witness")]
    use lowlight_embedded::blocking::Witness;
    use lowlight_embedded::blocking::{FlashLog, Link, Recorder};
    use lowlight_embedded::{Now, Options, Software};

    fn now() -> Now {
        Now { wall: i64::from(counter()), monotonic: u64::from(counter()), clock: Clock::Unset }
    }

    fn random(bytes: &mut [u8]) {
        bytes.fill(counter().to_le_bytes()[0]);
    }

    pub fn run(flash: RamFlash<'_>, uart: &mut Uart) {
        let (flash, witness) = flash.0.split_at_mut(6 * BLOCK);
        let (flash, end) = (RamFlash(flash), 6 * BLOCK as u32);
        let Ok(mut log) = FlashLog::<_, 256>::mount(flash, 0..end, Options::default(), LogId([1; 16])) else { return };
        let software = Software { name: "app", build: Some("1.0"), device: None, true_random: false };
        let mut recorder = Recorder::<_, 16, 160>::new(OverflowPolicy::DropOldest, random);
        let Ok(()) = recorder.start(&mut log, software, now()) else { return };
        #[cfg(not(feature = "witness"))]
        let (mut link, _) = (Link::<768>::new(), witness);
        #[cfg(feature = "witness")]
        let (mut link, witness) = (Link::<2048>::new(), RamFlash(witness));
        #[cfg(feature = "witness")]
        let provisioning = Provisioning { over_the_line: true, random: None };
        #[cfg(feature = "witness")]
        let Ok(mut witness) = Witness::mount(witness, 0..2 * BLOCK as u32, provisioning) else { return };
        loop {
            let (slot, _) = recorder.commit(FieldId::RESPONSE, &counter().to_le_bytes());
            let event = Inference { duration_ns: Some(1), ..Inference::new("detect", "model", "ok") };
            let header = recorder.header(now(), Severity::Info);
            let _ = recorder.record(header, &event, &[slot]);
            // What fails is tried again, and a host may make room.
            let _ = recorder.flush(&mut log, now()).and_then(|_| log.prepare());
            while let Ok(true) = link.receive(uart) {
                #[cfg(feature = "witness")]
                if let Ok(true) = link.answer_witness(&mut witness, uart) {
                    continue;
                }
                let Ok(()) = link.answer(&mut log, uart);
            }
            if core::hint::black_box(false) {
                let _ = recorder.stop(&mut log, now());
                return;
            }
        }
    }
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {
        core::hint::spin_loop();
    }
}
