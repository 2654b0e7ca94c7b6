//! Filler that nobody needs to hide: words, times, counts, identifiers, versions, vectors, images.

use super::super::rng::{ALNUM, BASE64, DIGITS, HEX, Rng};
use super::personal::{FIRST, LAST, domain, luhn_number};
use super::{Maker, capital};

/// Plain nouns; neighbours belong to different halves.
pub const WORDS: &[&str] = &[
    "lantern", "harbor", "pebble", "maple", "cobalt", "ember", "falcon", "garnet", "hazel", "indigo", "juniper", "kettle", "lumber",
    "marble", "nectar", "orchid", "pepper", "quartz", "ribbon", "saddle", "timber", "umbrella", "velvet", "walnut", "yarrow", "zephyr",
];

const CITIES: &[&str] = &["Lisbon", "Hamburg", "Nagoya", "Porto", "Graz", "Lyon", "Turku", "Gdańsk", "Córdoba", "São Paulo"];
const COMPANIES: &[&str] = &["Kestrelworks", "Quillbay", "Hafenblick", "Tidewater", "Lumenfold", "Brightmoor", "Saltgrove", "Rivermill"];
const MODELS: &[&str] = &[
    "gpt-4o-mini",
    "claude-sonnet-4-5",
    "llama-3.1-8b-instruct",
    "qwen2.5:7b",
    "mistral-small-24b",
    "gemma-3-12b-it",
    "phi-4-mini",
    "deepseek-r1:14b",
];
/// Media type and the base64 of the first bytes of such a file.
const IMAGES: &[(&str, &str)] = &[
    ("png", "iVBORw0KGgoAAAANSUhEUgAA"),
    ("jpeg", "/9j/4AAQSkZJRgABAQAAAQABAAD/"),
    ("gif", "R0lGODlhEAAQAPIAAP"),
    ("webp", "UklGRiQAAABXRUJQVlA4IBgAAAAw"),
];

/// Slot and maker.
pub const FILLER: &[(&str, Maker)] = &[
    ("first", |rng| capital(rng.own(FIRST))),
    ("last", |rng| capital(rng.own(LAST))),
    ("user", |rng| format!("{:.1}{}{}", rng.own(FIRST), rng.own(LAST), rng.between(1, 99))),
    ("company", |rng| rng.own(COMPANIES).to_owned()),
    ("city", |rng| rng.own(CITIES).to_owned()),
    ("domain", domain),
    ("host", host),
    ("word", |rng| rng.own(WORDS).to_owned()),
    ("const", |rng| rng.own(WORDS).to_uppercase()),
    ("pkg", |rng| format!("{}-{}", rng.own(WORDS), rng.any(&["kit", "js", "core"]))),
    ("model", |rng| rng.own(MODELS).to_owned()),
    ("small", |rng| rng.between(1, 32).to_string()),
    ("int", |rng| rng.between(1, 999).to_string()),
    ("big", |rng| rng.between(1000, 9_999_999).to_string()),
    ("ms", |rng| rng.between(2, 30_000).to_string()),
    ("port", |rng| rng.between(1024, 65_535).to_string()),
    ("float", |rng| format!("{}.{}", rng.between(0, 99), rng.text(DIGITS, 2))),
    ("prob", prob),
    ("price", price),
    ("order", |rng| format!("{}{}", rng.between(1, 9), rng.text(DIGITS, 9))),
    ("run", run),
    ("ints", ints),
    ("ids", ids),
    ("floats", floats),
    ("lat", |rng| format!("{}{}.{}", rng.any(&["", "-"]), rng.between(0, 89), rng.text(DIGITS, 6))),
    ("lon", |rng| format!("{}{}.{}", rng.any(&["", "-"]), rng.between(0, 179), rng.text(DIGITS, 6))),
    ("isbn", isbn),
    ("date", date),
    ("clock", |rng| format!("{:02}:{:02}:{:02}", rng.between(0, 23), rng.between(0, 59), rng.between(0, 59))),
    ("iso", iso),
    ("timecode", timecode),
    ("epoch_s", |rng| rng.between(1_690_000_000, 1_760_000_000).to_string()),
    ("epoch_ms", |rng| rng.between(1_690_000_000_000, 1_760_000_000_000).to_string()),
    ("epoch_ns", |rng| rng.between(1_690_000_000_000_000_000, 1_760_000_000_000_000_000).to_string()),
    ("uuid", uuid),
    ("sha1", |rng| rng.text(HEX, 40)),
    ("short_sha", |rng| rng.text(HEX, 7)),
    ("sha256", |rng| rng.text(HEX, 64)),
    ("md5", |rng| rng.text(HEX, 32)),
    ("trace", |rng| rng.text(HEX, 32)),
    ("span", |rng| rng.text(HEX, 16)),
    ("hex", |rng| format!("0x7f{}", rng.text(HEX, 10))),
    ("chat", |rng| format!("chatcmpl-{}", rng.text(ALNUM, 29))),
    ("call", call),
    ("semver", |rng| format!("{}.{}.{}", rng.between(0, 20), rng.between(0, 30), rng.between(0, 60))),
    ("version4", |rng| format!("{}.{}.{}.{}", rng.between(1, 20), rng.between(0, 9), rng.between(0, 30), rng.between(0, 99))),
    ("build", |rng| format!("10.0.{}.{}", rng.between(17_763, 26_100), rng.between(1, 4000))),
    ("integrity", |rng| format!("{}==", rng.text(BASE64, 86))),
    ("fingerprint", fingerprint),
    ("image", image),
];

/// A machine's name, inside or outside.
fn host(rng: &mut Rng) -> String {
    let word = rng.own(WORDS);
    match rng.below(3) {
        0 => format!("{word}-{}.internal", rng.between(1, 20)),
        1 => format!("{word}.{}", domain(rng)),
        _ => format!("{word}-db"),
    }
}

/// A fraction with as many digits as a float prints.
fn prob(rng: &mut Rng) -> String {
    let len = rng.size(3, 17);
    format!("0.{}", rng.text(DIGITS, len))
}

fn price(rng: &mut Rng) -> String {
    let (whole, cents) = (rng.between(1, 999), rng.between(0, 99));
    match rng.below(4) {
        0 => format!("${whole}.{cents:02}"),
        1 => format!("€{},{whole:03}.{cents:02}", rng.between(1, 9)),
        2 => format!("{whole},{cents:02} €"),
        _ => format!("{whole}.{cents:02} EUR"),
    }
}

/// A long number that starts like a card and fails the Luhn check.
fn run(rng: &mut Rng) -> String {
    let start = rng.any(&["4", "51", "2221", "37", "6011", "62", "36", "8", "1"]);
    let (len, error) = (rng.size(13, 19), rng.any(&[1, 2, 3, 4, 5, 6, 7, 8, 9]));
    luhn_number(start, len, error, rng)
}

/// A row of small integers.
fn ints(rng: &mut Rng) -> String {
    let separator = rng.any(&[" ", " ", ", ", ","]);
    let count = rng.size(6, 24);
    let row: Vec<String> = (0..count).map(|_| rng.between(0, 64).to_string()).collect();
    row.join(separator)
}

/// Token ids as a tokenizer prints them.
fn ids(rng: &mut Rng) -> String {
    let count = rng.size(5, 16);
    let row: Vec<String> = (0..count).map(|_| rng.between(10, 151_643).to_string()).collect();
    row.join(", ")
}

/// Part of an embedding.
fn floats(rng: &mut Rng) -> String {
    let (count, digits) = (rng.size(4, 24), rng.size(4, 17));
    let row: Vec<String> = (0..count).map(|_| format!("{}0.{}", rng.any(&["", "-"]), rng.text(DIGITS, digits))).collect();
    row.join(", ")
}

/// An ISBN-13 with a valid check digit.
fn isbn(rng: &mut Rng) -> String {
    let digits = format!("978{}", rng.text(DIGITS, 9));
    let weights = digits.chars().filter_map(|letter| letter.to_digit(10)).zip([1, 3].into_iter().cycle());
    let sum: u32 = weights.map(|(digit, weight)| digit * weight).sum();
    let check = (10 - sum % 10) % 10;
    format!("978-{:.1}-{:.4}-{:.4}-{check}", &digits[3..], &digits[4..], &digits[8..])
}

fn date(rng: &mut Rng) -> String {
    format!("{}-{:02}-{:02}", rng.between(2019, 2026), rng.between(1, 12), rng.between(1, 28))
}

fn iso(rng: &mut Rng) -> String {
    let (hour, minute, second) = (rng.between(0, 23), rng.between(0, 59), rng.between(0, 59));
    let end = match rng.below(3) {
        0 => "Z".to_owned(),
        1 => format!(".{}Z", rng.text(DIGITS, 6)),
        _ => format!(".{}+02:00", rng.text(DIGITS, 3)),
    };
    format!("{}T{hour:02}:{minute:02}:{second:02}{end}", date(rng))
}

/// Hours, minutes, seconds and frames.
fn timecode(rng: &mut Rng) -> String {
    let (minute, second, frame) = (rng.between(0, 59), rng.between(0, 59), rng.between(0, 24));
    format!("{:02}:{minute:02}:{second:02}:{frame:02}", rng.between(0, 3))
}

/// A random UUID (RFC 9562 version 4).
fn uuid(rng: &mut Rng) -> String {
    let variant = rng.any(&["8", "9", "a", "b"]);
    let (first, second, third) = (rng.text(HEX, 8), rng.text(HEX, 4), rng.text(HEX, 3));
    format!("{first}-{second}-4{third}-{variant}{}-{}", rng.text(HEX, 3), rng.text(HEX, 12))
}

/// The id of a tool call.
fn call(rng: &mut Rng) -> String {
    match rng.below(2) {
        0 => format!("call_{}", rng.text(ALNUM, 24)),
        _ => format!("toolu_01{}", rng.text(ALNUM, 22)),
    }
}

/// The fingerprint of a certificate, which is a hash and not a row of hardware addresses.
fn fingerprint(rng: &mut Rng) -> String {
    let octets: Vec<String> = (0..20).map(|_| rng.text(HEX, 2).to_uppercase()).collect();
    octets.join(":")
}

/// An image as a data URI.
fn image(rng: &mut Rng) -> String {
    let (sort, start) = rng.any(IMAGES);
    let len = rng.size(80, 900);
    format!("data:image/{sort};base64,{start}{}=", rng.text(BASE64, len))
}
