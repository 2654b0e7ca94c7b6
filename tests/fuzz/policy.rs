//! A policy that is accepted demands something.
#![no_main]

use libfuzzer_sys::fuzz_target;
use lowlight_host::verify::{Report, VerifyPolicy};

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(policy) = VerifyPolicy::parse(text) else { return };
    assert!(!policy.keys().is_empty());
    for log in [None, Some("00000000000000000000000000000000")] {
        let mut report = Report { verdict: "intact", ..Report::unreadable("") };
        policy.judge(&mut report, log, Ok(&[]), 0);
        assert_eq!(report.verdict, "unreadable", "met by nothing");
    }
});
