//! A configuration file and variables: refused with an error or usable, with all that is made of them.
#![no_main]

use libfuzzer_sys::fuzz_target;
use lowlight_host::config::Loaded;
use lowlight_host::redact::Redactor;
use std::path::PathBuf;
use std::sync::OnceLock;

fn file() -> &'static PathBuf {
    static FILE: OnceLock<PathBuf> = OnceLock::new();
    FILE.get_or_init(|| std::env::temp_dir().join(format!("lowlight-fuzz-config-{}", std::process::id())))
}

// A file, a byte 0, `NAME=value` lines for variables, a byte 0, a text that own rules are applied to.
fuzz_target!(|bytes: &[u8]| {
    let mut parts = bytes.splitn(3, |byte| *byte == 0);
    let (toml, variables) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let text = String::from_utf8_lossy(parts.next().unwrap_or_default());
    std::fs::write(file(), toml).expect("a file");
    let variables = String::from_utf8_lossy(variables);
    let variables = variables.lines().filter_map(|line| line.split_once('=')).map(|(name, value)| (format!("LOWLIGHT_{name}"), value.to_owned()));
    let loaded = match Loaded::read(Some(file()), variables) {
        Ok(loaded) => loaded,
        Err(error) => {
            assert!(!error.to_string().is_empty());
            return;
        }
    };
    // What is in force can be shown, and read again it is the same.
    let values = loaded.config.values();
    let again = serde_json::from_value::<lowlight_host::config::Config>(values.clone().into()).expect("shown as it is read");
    assert_eq!(again.values(), values);
    let _ = loaded.config.builder(std::path::Path::new("/nonexistent"));
    if let Ok(redactor) = Redactor::new(&loaded.config.redaction()) {
        let once = redactor.session().text(&text).into_owned();
        // An own rule may match what stands beside a placeholder; it never makes the output grow for ever.
        let _ = redactor.session().text(&once);
    }
});
