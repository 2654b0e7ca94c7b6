//! Personal data of valid structure: addresses, phone numbers, identity and account numbers.

use super::super::rng::{DIGITS, Rng, UPPER};
use super::{capital, separated};

/// Given names; neighbours belong to different halves.
pub const FIRST: &[&str] = &[
    "maria", "jonas", "priya", "liam", "sofia", "kenji", "amara", "tomasz", "ingrid", "mateo", "leila", "oskar", "nadia", "felix", "hanna",
    "victor", "chloe", "rafael", "yuki", "bruno", "elena", "samir", "greta", "hugo",
];

/// Family names; neighbours belong to different halves.
pub const LAST: &[&str] = &[
    "koenig",
    "alvarez",
    "moreau",
    "tanaka",
    "novak",
    "lindqvist",
    "okafor",
    "rossi",
    "weber",
    "dubois",
    "patel",
    "svensson",
    "costa",
    "meyer",
    "kowalska",
    "haddad",
    "brandt",
    "silva",
    "jensen",
    "marchetti",
];

/// Invented domains.
pub const DOMAINS: &[&str] = &[
    "northwind-labs.io",
    "quillbay.com",
    "hafenblick.de",
    "tidewater.co.uk",
    "lumenfold.ai",
    "brightmoor.org",
    "kestrelworks.dev",
    "yamabukiya.co.jp",
    "vantablau.ch",
    "ostravia.cz",
    "petitmarais.fr",
    "saltgrove.net",
    "blau-und-weiss.at",
    "rivermill.edu",
    "canopus7.space",
    "fjordlyst.no",
];

const SUBDOMAINS: &[&str] = &["mail", "eu", "staff", "post", "hq", "students"];
const ROLES: &[&str] = &["billing", "accounts", "hr.team", "front-desk", "no_reply", "press"];
const TAGS: &[&str] = &["newsletter", "shop", "2024", "work", "ci", "lists"];
const UNICODE_LOCAL: &[&str] = &[
    "jürgen.groß",
    "zoë.ångström",
    "søren",
    "françois.lévy",
    "łukasz",
    "josé+compras",
    "иван.петров",
    "用户",
    "山田.太郎",
    "маша",
    "mårten_öberg",
    "γιώργος",
    "müller-lüdenscheidt",
    "ñandu.núñez",
];
const IDN_DOMAINS: &[&str] = &[
    "münchen-bäckerei.de",
    "köln-stadtwerke.de",
    "例え.jp",
    "почта.рф",
    "forêt-vive.fr",
    "smørrebrød.dk",
    "xn--mnchen-bckerei-dib09a.de",
    "xn--fort-vive-n4a.fr",
    "öko-strom.at",
    "日本語.jp",
];
const AREAS: &[&str] = &["212", "415", "312", "617", "206", "305", "512", "702", "808", "919"];

/// A domain, sometimes below a subdomain.
pub fn domain(rng: &mut Rng) -> String {
    let domain = rng.own(DOMAINS);
    match rng.below(4) {
        0 => format!("{}.{domain}", rng.own(SUBDOMAINS)),
        _ => domain.to_owned(),
    }
}

/// An address with a plain local part.
pub fn email(rng: &mut Rng) -> String {
    let (first, last, number) = (rng.own(FIRST), rng.own(LAST), rng.between(1, 99));
    let local = match rng.below(10) {
        0 => first.to_owned(),
        1 => format!("{first}.{last}"),
        2 => format!("{first}_{last}"),
        3 => format!("{first:.1}{last}{number}"),
        4 => format!("{first}.{last}+{}", rng.own(TAGS)),
        5 => format!("{last}-{first}"),
        6 => format!("{first}{number}"),
        7 => rng.own(ROLES).to_owned(),
        8 => format!("{}.{}", capital(first), capital(last)),
        _ => format!("{number}{last}"),
    };
    let address = format!("{local}@{}", domain(rng));
    match rng.below(16) {
        0 => address.to_uppercase(),
        _ => address,
    }
}

/// An address with a quoted local part (RFC 5321 section 4.1.2).
pub fn email_quoted(rng: &mut Rng) -> String {
    let (first, last) = (rng.own(FIRST), rng.own(LAST));
    let local = match rng.below(4) {
        0 => format!("{first} {last}"),
        1 => format!("{first}..{last}"),
        2 => format!("{last}, {first}"),
        _ => format!("{first}@{last}"),
    };
    format!("\"{local}\"@{}", domain(rng))
}

/// An address with letters beyond ASCII before the `@` (RFC 6531).
pub fn email_unicode(rng: &mut Rng) -> String {
    format!("{}@{}", rng.own(UNICODE_LOCAL), domain(rng))
}

/// An address at an internationalised domain, as Unicode or as punycode.
pub fn email_idn(rng: &mut Rng) -> String {
    let local = match rng.below(3) {
        0 => rng.own(UNICODE_LOCAL),
        _ => rng.own(FIRST),
    };
    format!("{local}@{}", rng.own(IDN_DOMAINS))
}

/// A phone number in international form, in the ranges that countries keep for fiction where they have one.
pub fn phone(rng: &mut Rng) -> String {
    let (area, two, three) = (rng.own(AREAS), rng.text(DIGITS, 2), rng.text(DIGITS, 3));
    match rng.below(16) {
        0 => format!("+1 {area} 555 01{two}"),
        1 => format!("+1 ({area}) 555-01{two}"),
        2 => format!("+1-{area}-555-01{two}"),
        3 => format!("+1{area}55501{two}"),
        4 => format!("+1.{area}.555.01{two}"),
        5 => format!("+44 20 7946 0{three}"),
        6 => format!("+44 7700 900{three}"),
        7 => format!("+447700900{three}"),
        8 => format!("+49 30 23125 {three}"),
        9 => format!("+49 171 39200{two}"),
        10 => format!("+49 (0)30 23125-{three}"),
        11 => format!("+33 1 99 00 {two} {}", rng.text(DIGITS, 2)),
        12 => format!("+336399{two}{three}"),
        13 => format!("+61 491 570 {three}"),
        14 => format!("+81 3-{}-{}", rng.between(3000, 5999), rng.text(DIGITS, 4)),
        _ => format!("0049 30 23125 {three}"),
    }
}

/// A North American number without country code; needs a word of context beside it.
pub fn phone_us(rng: &mut Rng) -> String {
    let (area, two) = (rng.own(AREAS), rng.text(DIGITS, 2));
    match rng.below(6) {
        0 | 1 => format!("({area}) 555-01{two}"),
        2 => format!("{area}.555.01{two}"),
        3 => format!("{area} 555 01{two}"),
        _ => format!("{area}-555-01{two}"),
    }
}

/// A German number without country code.
pub fn phone_de(rng: &mut Rng) -> String {
    let three = rng.text(DIGITS, 3);
    match rng.below(4) {
        0 => format!("030 23125 {three}"),
        1 => format!("030/23125{three}"),
        2 => format!("0171 3920{three}"),
        _ => format!("(089) 99998-{three}"),
    }
}

/// A British number without country code.
pub fn phone_uk(rng: &mut Rng) -> String {
    let three = rng.text(DIGITS, 3);
    match rng.below(3) {
        0 => format!("020 7946 0{three}"),
        1 => format!("07700 900{three}"),
        _ => format!("(0161) 496 0{three}"),
    }
}

/// A French number without country code.
pub fn phone_fr(rng: &mut Rng) -> String {
    let digits = rng.text(DIGITS, 4);
    let start = rng.any(&["019900", "063998"]);
    let separator = rng.any(&[" ", "."]);
    separated(&format!("{start}{digits}"), separator, |position| position.is_multiple_of(2))
}

/// Area, group and serial of a US social security number, in the ranges that are issued.
fn ssn_parts(rng: &mut Rng) -> (u64, u64, u64) {
    let area = match rng.between(1, 898) {
        area if area >= 666 => area + 1,
        area => area,
    };
    (area, rng.between(1, 99), rng.between(1, 9999))
}

/// A social security number with dashes.
pub fn ssn(rng: &mut Rng) -> String {
    let (area, group, serial) = ssn_parts(rng);
    format!("{area:03}-{group:02}-{serial:04}")
}

/// A social security number with spaces.
pub fn ssn_spaced(rng: &mut Rng) -> String {
    ssn(rng).replace('-', " ")
}

/// A social security number as nine digits.
pub fn ssn_plain(rng: &mut Rng) -> String {
    ssn(rng).replace('-', "")
}

/// Country and account part of an IBAN: `n` digit, `a` upper-case letter, `c` either.
const IBANS: &[(&str, &str)] = &[
    ("DE", "nnnnnnnnnnnnnnnnnn"),
    ("GB", "aaaannnnnnnnnnnnnn"),
    ("FR", "nnnnnnnnnncccccccccccnn"),
    ("NL", "aaaannnnnnnnnn"),
    ("ES", "nnnnnnnnnnnnnnnnnnnn"),
    ("IT", "annnnnnnnnncccccccccccc"),
    ("CH", "nnnnncccccccccccc"),
    ("AT", "nnnnnnnnnnnnnnnn"),
    ("BE", "nnnnnnnnnnnn"),
    ("PL", "nnnnnnnnnnnnnnnnnnnnnnnn"),
    ("PT", "nnnnnnnnnnnnnnnnnnnnn"),
    ("SE", "nnnnnnnnnnnnnnnnnnnn"),
    ("NO", "nnnnnnnnnnn"),
    ("DK", "nnnnnnnnnnnnnn"),
    ("FI", "nnnnnnnnnnnnnn"),
    ("IE", "aaaannnnnnnnnnnnnn"),
    ("LU", "nnnccccccccccccc"),
    ("CZ", "nnnnnnnnnnnnnnnnnnnn"),
    ("MT", "aaaannnnncccccccccccccccccc"),
];

/// The remainder of ISO 7064 mod 97-10, letters counted from 10; other characters are skipped.
pub fn mod97(text: &str) -> u32 {
    text.chars().filter_map(|letter| letter.to_digit(36)).fold(0, |rest, value| {
        let shift = if value > 9 { 100 } else { 10 };
        (rest * shift + value) % 97
    })
}

/// An IBAN with valid check digits, in groups of four or in one piece.
pub fn iban(rng: &mut Rng) -> String {
    let (country, shape) = rng.any(IBANS);
    let mut account = String::new();
    for class in shape.chars() {
        let alphabet = match class {
            'n' => DIGITS,
            'a' => UPPER,
            _ => rng.any(&[DIGITS, DIGITS, UPPER]),
        };
        account.push_str(&rng.text(alphabet, 1));
    }
    let check = 98 - mod97(&format!("{account}{country}00"));
    let number = format!("{country}{check:02}{account}");
    match rng.below(2) {
        0 => number,
        _ => separated(&number, " ", |position| position.is_multiple_of(4)),
    }
}

/// First digits from, to, and total length of a payment card.
const ISSUERS: &[(u64, u64, usize)] = &[
    (4, 4, 16),
    (4, 4, 16),
    (51, 55, 16),
    (51, 55, 16),
    (2221, 2720, 16),
    (34, 34, 15),
    (37, 37, 15),
    (6011, 6011, 16),
    (65, 65, 16),
    (3528, 3589, 16),
    (36, 36, 14),
    (38, 38, 14),
    (62, 62, 16),
];

/// The Luhn sum of the digits in a text; a valid number gives a multiple of ten.
pub fn luhn_sum(text: &str) -> u32 {
    let digits = text.chars().rev().filter_map(|letter| letter.to_digit(10));
    digits
        .enumerate()
        .map(|(position, digit)| match (position % 2, 2 * digit) {
            (0, _) => digit,
            (_, double) if double > 9 => double - 9,
            (_, double) => double,
        })
        .sum()
}

/// First digits, the rest and a check digit that is off by `error`, which is 0 for a valid number.
pub fn luhn_number(start: &str, len: usize, error: u32, rng: &mut Rng) -> String {
    let body = format!("{start}{}", rng.text(DIGITS, len - start.len() - 1));
    let check = (10 - luhn_sum(&format!("{body}0")) % 10 + error) % 10;
    format!("{body}{check}")
}

/// A payment card number: plain, or with spaces, dashes or dots where the card shows gaps.
pub fn card(rng: &mut Rng) -> String {
    let (low, high, len) = rng.any(ISSUERS);
    let start = rng.between(low, high).to_string();
    let number = luhn_number(&start, len, 0, rng);
    let gaps: &[usize] = if len == 16 { &[4, 8, 12] } else { &[4, 10] };
    let separator = rng.any(&["", "", "", "", " ", " ", " ", "-", "-", "."]);
    separated(&number, separator, |position| gaps.contains(&position))
}
