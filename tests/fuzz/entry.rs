//! An entry has one encoding, in a body and as a line of an export.
#![no_main]

use libfuzzer_sys::fuzz_target;
use lowlight_core::Digest;
use lowlight_core::entry::MAX_BODY;
use lowlight_core::entry::codec::{decode, encode, encode_slots};
use lowlight_host::export::{Line, entry_line, parse_line};
use lowlight_host::store::columns;

fuzz_target!(|bytes: &[u8]| {
    let Ok(entry) = decode(bytes) else { return };
    let mut buffer = [0; MAX_BODY];
    assert_eq!(encode(&entry, &mut buffer), Ok(bytes), "the only encoding");
    let (mut slots, mut payload, mut line) = ([0; MAX_BODY], [0; MAX_BODY], Vec::new());
    let fields = encode_slots(&entry.fields, &mut slots).expect("slots that were decoded");
    let leaf = Digest([7; 32]);
    entry_line(&mut line, &columns::row(&entry, fields, &leaf, &mut payload), &[]).expect("columns of an entry");
    match parse_line(&line) {
        Line::Entry { body, leaf: stated, .. } => assert!(body == bytes && stated == leaf, "{}", String::from_utf8_lossy(&line)),
        other => panic!("{other:?} of {}", String::from_utf8_lossy(&line)),
    }
});
