//! A time as people write it: refused, or a time that is written and read back as the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use lowlight_host::time;

fuzz_target!(|bytes: &[u8]| {
    let Some((now, text)) = bytes.split_first_chunk() else { return };
    let Ok(text) = std::str::from_utf8(text) else { return };
    match time::parse(text, i64::from_le_bytes(*now)) {
        Ok(ns) => assert_eq!(time::parse_rfc3339(&time::rfc3339(ns)), Some(ns)),
        Err(error) => assert!(!error.to_string().contains(|c: char| c.is_control())),
    }
});
