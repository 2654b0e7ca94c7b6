//! Notes, checkpoints, keys, attestations and requests to a witness: what is read is written the same again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use lowlight_core::note::witness::{Request, Seen};
use lowlight_core::note::{Attestation, Checkpoint, Key, Note};
use lowlight_host::verify::Kept;

const KEY: &str = "lowlight+517a553a+AZ4BnWXbaXdiuHO5OboLRnP4F8tlZbDUwcYvIg9Th3Fy";

fuzz_target!(|bytes: &[u8]| {
    let key = Key::parse(KEY).expect("a key");
    if let Ok(note) = Note::parse(bytes) {
        assert!(note.text.ends_with('\n') && note.signatures().count() > 0);
        let _ = note.signature_of(&key);
    }
    if let Ok(request) = Request::parse(bytes) {
        assert!(request.decide(&Seen::nothing(), &[key]).is_err(), "nothing here is signed by that key");
    }
    for keys in [&[][..], &[key]] {
        if let Ok(all) = Kept::parse_all(bytes, keys) {
            assert!(!all.is_empty() && (keys.is_empty() || all.iter().all(|kept| kept.signed_by().is_some())));
        }
    }
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(checkpoint) = Checkpoint::parse(text) {
        assert!(text.starts_with(&checkpoint.to_string()), "lines of others may follow");
    }
    if let Ok(key) = Key::parse(text) {
        assert_eq!(key.to_string(), text);
    }
    if let Ok(attestation) = Attestation::parse(text) {
        assert_eq!(attestation.to_string(), text);
    }
});
