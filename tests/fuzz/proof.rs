//! Proofs of entries and of growth, which somebody else made.
#![no_main]

use libfuzzer_sys::fuzz_target;
use lowlight_core::note::ProofFile;
use lowlight_host::prove;
use lowlight_host::verify::Kept;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(file) = ProofFile::parse(bytes) {
        let mut extra = Vec::new();
        file.extra(|byte| extra.push(byte));
        let mut again = String::new();
        ProofFile::write(&mut again, (!extra.is_empty()).then_some(&extra[..]), file.index, &file.proof).expect("room");
        assert!(extra.is_empty() || bytes.starts_with(again.as_bytes()), "the same but for the checkpoint");
    }
    let report = prove::verify(bytes, &[], &[]);
    assert!(report.verdict != "intact" || (report.entries == 1 && report.not_checked.contains(&"rewrite")), "nobody vouches for it");
    // Against the checkpoint that it holds itself.
    let place = bytes.windows(2).position(|pair| pair == b"\n\n").map_or(bytes.len(), |place| place + 2);
    let kept = Kept::parse_all(&bytes[place..], &[]).unwrap_or_default();
    let _ = prove::verify(bytes, &kept, &[]);
});
