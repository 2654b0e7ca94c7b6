//! Redaction of any text: the table of trigger bytes hides nothing from the checkers, the output is stable, and a token whose
//! vendor publishes its shape does not come through, whatever stands around it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use lowlight_host::fuzzing::spans;
use lowlight_host::redact::{RedactConfig, Redactor};
use std::sync::OnceLock;

const WORD: &[u8] = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
const HEX: &[u8] = b"0123456789abcdef";
const UPPER: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/// Shapes from the vendors' own pages: what the token begins with, its alphabet, the length of the rest.
const SHAPES: [(&str, &[u8], usize); 18] = [
    ("ghp_", WORD, 36),
    ("github_pat_", WORD, 82),
    ("glpat-", WORD, 20),
    ("sk-ant-api03-", WORD, 95),
    ("sk-proj-", WORD, 48),
    ("AIza", WORD, 35),
    ("AKIA", UPPER, 16),
    ("xoxb-1234567890-", WORD, 24),
    ("sk_live_", WORD, 24),
    ("hf_", WORD, 34),
    ("npm_", WORD, 36),
    ("SK", HEX, 32),
    ("shpat_", HEX, 32),
    ("dop_v1_", HEX, 64),
    ("dapi", HEX, 32),
    ("ya29.", WORD, 40),
    ("glsa_", WORD, 32),
    ("rubygems_", HEX, 48),
];

fn redactor() -> &'static Redactor {
    static REDACTOR: OnceLock<Redactor> = OnceLock::new();
    REDACTOR.get_or_init(|| Redactor::new(&RedactConfig::default()).expect("the default configuration compiles"))
}

/// The text with a token in it, between spaces; the token.
fn with_token(bytes: &[u8], text: &str) -> Option<(String, String)> {
    let ([shape, place], rest) = bytes.split_first_chunk()?;
    let (prefix, alphabet, length) = SHAPES[usize::from(*shape) % SHAPES.len()];
    let body = rest.iter().chain(b"k3Jq8Zr5Wt1Y".iter().cycle()).take(length).map(|byte| char::from(alphabet[usize::from(*byte) % alphabet.len()]));
    let token = format!("{prefix}{}", body.collect::<String>());
    // What manuals show in place of a token is left alone.
    let plain = rest.len().min(length) >= 4 && token[prefix.len()..].bytes().collect::<std::collections::BTreeSet<_>>().len() < 8;
    // Glued to a word it is no token.
    if plain || text.contains(&token) || token[prefix.len()..].to_ascii_lowercase().starts_with("your") {
        return None;
    }
    let mut place = usize::from(*place) % (text.len() + 1);
    while !text.is_char_boundary(place) {
        place -= 1;
    }
    let (before, after) = text.split_at(place);
    Some((format!("{before} {token} {after}"), token))
}

fuzz_target!(|bytes: &[u8]| {
    let Some((head, rest)) = bytes.split_first_chunk::<40>() else { return };
    let Ok(text) = std::str::from_utf8(rest) else { return };
    let redactor = redactor();
    let [quick, slow] = spans(redactor, text);
    assert_eq!(quick, slow, "a trigger byte is missing in the table: {text:?}");
    let once = redactor.session().text(text).into_owned();
    assert_eq!(redactor.session().text("[EMAIL_1] [SECRET_2]"), "[EMAIL_1] [SECRET_2]");
    // A value beside a placeholder may be judged anew, but a few rounds come to rest.
    let mut rounds = std::iter::successors(Some(once.clone()), |text| Some(redactor.session().text(text).into_owned())).take(8).collect::<Vec<_>>();
    assert_eq!(rounds.pop(), rounds.pop(), "does not come to rest");
    assert_eq!(redactor.would_change(text), once != text || !quick.is_empty());
    let (cut, _) = redactor.session().cut_text(text, 16 << 10);
    assert!(cut.len() <= 16 << 10);
    if let Some((text, token)) = with_token(head, text) {
        let out = redactor.session().text(&text).into_owned();
        assert!(!out.contains(&token), "{token} came through: {out:?}");
    }
});
