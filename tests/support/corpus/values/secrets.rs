//! Secrets of no vendor: signed tokens, key blocks, credentials, passwords and opaque values.

use super::super::rng::{ALNUM, BASE64, BASE64_URL, DIGITS, HEX, LOWER, Rng};
use super::capital;
use super::filler::WORDS;
use super::vendor::url_safe;

/// Symbols that no shell, header or configuration file takes for the end of a bare value.
const BARE: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789!$%*+-_~^=?@";
/// Everything that may stand between quotes of either sort without an escape.
const QUOTED: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789 !#$%&()*+,-./:;<=>?@[]^_{|}~";
/// What needs no percent-encoding in the user part of a URL.
const IN_URL: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~!$*+";

const USERS: &[&str] = &["svc_app", "admin", "deploy", "etl-bot", "root", "reader", "postgres", "ci", "build.user", "guest7"];
const LEET: &[&str] = &["tr0ub4dor", "c0rrect-h0rse", "s3cret", "p4ssw0rd", "adm1n", "w1nter", "pa$$word", "k1tt3n"];
const WEAK: &[&str] = &[
    "hunter2",
    "letmein",
    "qwerty123",
    "trustno1",
    "sunshine1",
    "iloveyou",
    "swordfish",
    "dragon99",
    "monkey12",
    "abc123",
    "passw0rd",
    "opensesame",
];

/// Bytes in base64 with the given alphabet, without padding.
fn base64(bytes: &[u8], alphabet: &str) -> String {
    let letters = alphabet.as_bytes();
    let mut out = String::new();
    for chunk in bytes.chunks(3) {
        let word = (0..3_usize).fold(0_usize, |word, index| (word << 8) | usize::from(chunk.get(index).copied().unwrap_or(0)));
        for index in 0..=chunk.len() {
            out.push(char::from(letters[(word >> (18 - 6 * index)) & 63]));
        }
    }
    out
}

/// A signed token (RFC 7519) whose header and claims really decode.
pub fn jwt(rng: &mut Rng) -> String {
    let (algorithm, signature) = rng.any(&[("HS256", 43), ("HS512", 86), ("ES256", 86), ("RS256", 342)]);
    let issued = rng.between(1_690_000_000, 1_760_000_000);
    let header = match rng.below(2) {
        0 => format!(r#"{{"alg":"{algorithm}","typ":"JWT"}}"#),
        _ => format!(r#"{{"typ":"JWT","alg":"{algorithm}","kid":"{}"}}"#, rng.text(HEX, 8)),
    };
    let claims = format!(r#"{{"sub":"{}","scope":"read","iat":{issued},"exp":{}}}"#, rng.text(DIGITS, 10), issued + 3600);
    let parts = [base64(header.as_bytes(), BASE64_URL), base64(claims.as_bytes(), BASE64_URL), url_safe(signature, rng)];
    parts.join(".")
}

/// A private key block whose lines are joined by `newline`.
fn key_block(newline: &str, rng: &mut Rng) -> String {
    let (label, start, count, width) = rng.any(&[
        ("RSA ", "MIIEowIBAAKCAQEA", 25, 64),
        ("EC ", "MHcCAQEEI", 2, 64),
        ("DSA ", "MIIBuwIBAAKBgQD", 9, 64),
        ("ENCRYPTED ", "MIIFHDBOBgkqhkiG9w0BBQ0wQTAp", 28, 64),
        ("", "MIIEvQIBADANBgkqhkiG9w0BAQEFAASC", 25, 64),
        ("OPENSSH ", "b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQ", 5, 70),
    ]);
    let label = format!("{label}PRIVATE KEY");
    let mut lines = vec![format!("-----BEGIN {label}-----")];
    if label.starts_with("RSA") && rng.below(3) == 0 {
        lines.push("Proc-Type: 4,ENCRYPTED".to_owned());
        lines.push(format!("DEK-Info: AES-128-CBC,{}", rng.text(HEX, 32).to_uppercase()));
        lines.push(String::new());
    }
    lines.push(format!("{start}{}", rng.text(BASE64, width - start.len())));
    lines.extend((1..count).map(|_| rng.text(BASE64, width)));
    lines.push(format!("{}==", rng.text(BASE64, 22)));
    lines.push(format!("-----END {label}-----"));
    lines.join(newline)
}

/// A PEM or OpenSSH block on lines of its own.
pub fn private_key(rng: &mut Rng) -> String {
    key_block("\n", rng)
}

/// A block inside a string literal, its line ends written as backslash and n.
pub fn private_key_escaped(rng: &mut Rng) -> String {
    key_block("\\n", rng)
}

/// A block below a YAML key, every line indented by four.
pub fn private_key_indented(rng: &mut Rng) -> String {
    key_block("\n    ", rng)
}

/// What follows `Bearer`: an opaque token.
pub fn bearer(rng: &mut Rng) -> String {
    match rng.below(4) {
        0 => rng.text(HEX, 40),
        1 => format!("tok_{}", rng.text(ALNUM, 28)),
        2 => format!("{}=", rng.text(BASE64, 43)),
        _ => {
            let len = rng.size(24, 80);
            url_safe(len, rng)
        }
    }
}

/// What follows `Basic`: user and password in base64 with padding.
pub fn basic(rng: &mut Rng) -> String {
    let plain = format!("{}:{}", rng.own(USERS), password(rng));
    let padding = "=".repeat((3 - plain.len() % 3) % 3);
    format!("{}{padding}", base64(plain.as_bytes(), BASE64))
}

/// User and password before the host of a URL.
pub fn credentials(rng: &mut Rng) -> String {
    format!("{}:{}", rng.own(USERS), url_password(rng))
}

/// A password that may stand in a URL, sometimes percent-encoded in part.
pub fn url_password(rng: &mut Rng) -> String {
    match rng.below(4) {
        0 => format!("{}{}", rng.own(WORDS), rng.text(DIGITS, 3)),
        1 => format!("{}%40{}%23{}", rng.text(ALNUM, 3), rng.text(ALNUM, 4), rng.text(DIGITS, 1)),
        _ => {
            let len = rng.size(8, 20);
            format!("{}{}{}", rng.text(ALNUM, 1), rng.text(IN_URL, len), rng.text(ALNUM, 1))
        }
    }
}

/// A password that needs no quotes: short, long, with symbols; always with a digit.
pub fn password(rng: &mut Rng) -> String {
    match rng.below(6) {
        0 => format!("{}{}{}", capital(rng.own(WORDS)), rng.between(1, 2025), rng.any(&["!", "+", "*", "%", "?"])),
        1 => format!("{}_{}", rng.own(WORDS), rng.text(DIGITS, 2)),
        2 => format!("{}{}", rng.own(LEET), rng.between(1, 99)),
        3 => format!("{}{}{}", rng.text(LOWER, 2), rng.text(DIGITS, 1), rng.text("!%*+?@-", 1)),
        _ => {
            let len = rng.size(5, 16);
            format!("{}{}{}", rng.text(ALNUM, 1), rng.text(BARE, len), rng.text(DIGITS, 1))
        }
    }
}

/// A password of the sort that leads every list of leaked ones.
pub fn password_word(rng: &mut Rng) -> String {
    rng.own(WEAK).to_owned()
}

/// A password that needs its quotes: spaces, brackets, separators.
pub fn password_quoted(rng: &mut Rng) -> String {
    if rng.below(3) == 0 {
        return format!("{} {} {} {}", rng.own(WORDS), rng.own(WORDS), rng.own(WORDS), rng.between(2, 99));
    }
    let len = rng.size(4, 16);
    format!("{}{}{}", rng.text(ALNUM, 1), rng.text(QUOTED, len), rng.text(ALNUM, 1))
}

/// A password as JSON writes it when it holds a quote, a backslash or a control character.
pub fn password_escaped(rng: &mut Rng) -> String {
    let escape = rng.any(&["\\\"", "\\\\", "\\u0026", "\\t"]);
    format!("{}{escape}{}", rng.text(ALNUM, 4), rng.text(ALNUM, 5))
}

/// A random value without a shape of its own.
pub fn opaque(rng: &mut Rng) -> String {
    match rng.below(4) {
        0 => {
            let len = rng.any(&[32, 40, 64]);
            rng.text(HEX, len)
        }
        1 => format!("{}=", rng.text(BASE64, 43)),
        2 => url_safe(32, rng),
        _ => {
            let len = rng.size(16, 40);
            rng.text(ALNUM, len)
        }
    }
}
