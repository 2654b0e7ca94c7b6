//! Images of flash: the reader of the host, and what firmware makes of them as a log and as the state of a witness.
#![no_main]

use libfuzzer_sys::fuzz_target;
use lowlight_core::LogId;
use lowlight_core::flash::{Found, Image};
use lowlight_core::verify::DeviceVerifier;
use lowlight_embedded::sim::Sim;
use lowlight_embedded::{FlashError, FlashLog, Options, Provisioning, Witness, wait};

/// Whole blocks of flash, erased behind the bytes.
fn flash<const S: usize>(bytes: &[u8], blocks: usize) -> Vec<u8> {
    let mut image = bytes.to_vec();
    image.resize(blocks * S, 0xFF);
    image
}

fuzz_target!(|bytes: &[u8]| {
    if let Ok(image) = Image::new(bytes) {
        let mut verifier = DeviceVerifier::<8>::new(image.log_id(), 0, None);
        let mut next = 0;
        for found in image.found() {
            match found {
                Found::Anchor { index, head, is_torn } => verifier.anchor(index, head, is_torn),
                Found::Entry { index, body } => {
                    assert!(index >= next && !body.is_empty(), "entries ascend");
                    next = index + 1;
                    verifier.entry(index, body);
                }
            }
        }
        assert!(next <= image.end());
        let _ = verifier.finish();
    }
    let image = flash::<512>(bytes, 8);
    let mounted = wait(FlashLog::<_, 128>::mount(Sim::<4, 512>::load(&image, 1), 0..8 * 512, Options::default(), LogId([1; 16])));
    match mounted {
        Ok(mut log) => {
            let (mut index, mut buffer) = (0, [0; 128]);
            while let Ok(Some(stored)) = wait(log.read(index, &mut buffer)) {
                assert!(stored.index >= index);
                index = stored.index + 1;
            }
            if let Ok(index) = wait(log.append(&[b"one more"])) {
                assert_eq!(log.status().next, index + 1);
            }
            assert_eq!(log.flash().violations, 0);
        }
        Err(error) => assert_eq!(error, FlashError::Layout),
    }
    let image = flash::<4096>(bytes, 2);
    let mut witness = wait(Witness::mount(Sim::<4, 4096>::load(&image, 1), 0..2 * 4096, Provisioning::default())).expect("a region");
    let first = wait(witness.seen(LogId([0; 16])));
    let mut witness = wait(Witness::mount(witness.into_inner(), 0..2 * 4096, Provisioning::default())).expect("a region");
    assert_eq!(wait(witness.seen(LogId([0; 16]))), first, "another start finds the same");
    assert_eq!(witness.into_inner().violations, 0);
});
