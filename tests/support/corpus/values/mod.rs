//! What stands in the slots: sensitive values of valid structure and harmless filler.

mod filler;
mod network;
pub mod personal;
mod secrets;
mod vendor;

use super::rng::Rng;

/// Makes one value.
type Maker = fn(&mut Rng) -> String;

/// Slot, kind of its value, maker. Several slots may share a kind.
const SENSITIVE: &[(&str, &str, Maker)] = &[
    ("EMAIL", "EMAIL", personal::email),
    ("EMAIL_QUOTED", "EMAIL", personal::email_quoted),
    ("EMAIL_UNICODE", "EMAIL", personal::email_unicode),
    ("EMAIL_IDN", "EMAIL", personal::email_idn),
    ("PHONE", "PHONE", personal::phone),
    ("PHONE_US", "PHONE", personal::phone_us),
    ("PHONE_DE", "PHONE", personal::phone_de),
    ("PHONE_UK", "PHONE", personal::phone_uk),
    ("PHONE_FR", "PHONE", personal::phone_fr),
    ("SSN", "SSN", personal::ssn),
    ("SSN_SPACED", "SSN", personal::ssn_spaced),
    ("SSN_PLAIN", "SSN", personal::ssn_plain),
    ("IBAN", "IBAN", personal::iban),
    ("CARD", "CARD", personal::card),
    ("IPV4", "IPV4", network::ipv4),
    ("IPV6", "IPV6", network::ipv6),
    ("MAC", "MAC", network::mac),
    ("OPENAI_KEY", "OPENAI_KEY", vendor::openai),
    ("ANTHROPIC_KEY", "ANTHROPIC_KEY", vendor::anthropic),
    ("GOOGLE_KEY", "GOOGLE_KEY", vendor::google),
    ("AWS_ID", "AWS_ID", vendor::aws_id),
    ("AWS_SECRET", "AWS_SECRET", vendor::aws_secret),
    ("GITHUB", "GITHUB", vendor::github),
    ("GITLAB", "GITLAB", vendor::gitlab),
    ("SLACK", "SLACK", vendor::slack),
    ("SLACK_WEBHOOK", "SLACK_WEBHOOK", vendor::slack_webhook),
    ("STRIPE", "STRIPE", vendor::stripe),
    ("HUGGINGFACE", "HUGGINGFACE", vendor::huggingface),
    ("NPM", "NPM", vendor::npm),
    ("PYPI", "PYPI", vendor::pypi),
    ("TWILIO", "TWILIO", vendor::twilio),
    ("SENDGRID", "SENDGRID", vendor::sendgrid),
    ("TELEGRAM", "TELEGRAM", vendor::telegram),
    ("AZURE", "AZURE", vendor::azure),
    ("JWT", "JWT", secrets::jwt),
    ("PRIVATE_KEY", "PRIVATE_KEY", secrets::private_key),
    ("PRIVATE_KEY_ESCAPED", "PRIVATE_KEY", secrets::private_key_escaped),
    ("PRIVATE_KEY_INDENTED", "PRIVATE_KEY", secrets::private_key_indented),
    ("BEARER", "AUTHORIZATION", secrets::bearer),
    ("BASIC", "AUTHORIZATION", secrets::basic),
    ("CREDENTIALS", "URL_CREDENTIALS", secrets::credentials),
    ("URL_PASSWORD", "URL_CREDENTIALS", secrets::url_password),
    ("PASS", "ASSIGNMENT", secrets::password),
    ("PASS_WORD", "ASSIGNMENT", secrets::password_word),
    ("PASS_QUOTED", "ASSIGNMENT", secrets::password_quoted),
    ("PASS_ESCAPED", "ASSIGNMENT", secrets::password_escaped),
    ("OPAQUE", "ASSIGNMENT", secrets::opaque),
];

/// The value for a slot, and its kind where it is sensitive.
///
/// # Panics
///
/// Where no slot has that name.
pub fn make(slot: &str, rng: &mut Rng) -> (Option<&'static str>, String) {
    if let Some((_, kind, maker)) = SENSITIVE.iter().find(|(name, _, _)| *name == slot) {
        return (Some(*kind), maker(rng));
    }
    let Some((_, maker)) = filler::FILLER.iter().find(|(name, _)| *name == slot) else {
        panic!("no slot has the name {slot:?}");
    };
    (None, maker(rng))
}

/// The text with a separator before every position that `cut` names.
fn separated(text: &str, separator: &str, cut: impl Fn(usize) -> bool) -> String {
    let mut out = String::with_capacity(2 * text.len());
    for (position, letter) in text.chars().enumerate() {
        if position > 0 && cut(position) {
            out.push_str(separator);
        }
        out.push(letter);
    }
    out
}

/// The word with its first letter in upper case.
fn capital(word: &str) -> String {
    let mut letters = word.chars();
    match letters.next() {
        Some(first) => first.to_uppercase().chain(letters).collect(),
        None => String::new(),
    }
}
