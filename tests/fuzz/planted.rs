//! Not a target: a parser with a mistake behind three comparisons, which the others would not be worth much without finding.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Some((magic, rest)) = bytes.split_first_chunk() else { return };
    if u32::from_le_bytes(*magic) != 0x4c57_4c54 {
        return;
    }
    let Some((length, rest)) = rest.split_first_chunk() else { return };
    let length = u16::from_le_bytes(*length);
    if (1_000..1_010).contains(&length) && rest.first() == Some(&b'\n') {
        // The length is taken from the input and not held against it.
        assert!(rest.len() >= usize::from(length), "planted");
    }
});
