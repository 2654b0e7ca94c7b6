//! Addresses of machines: IPv4, IPv6 in every written form, MAC in three notations.

use super::super::rng::{DIGITS, HEX, Rng};
use super::separated;

/// First octets of public networks.
const PUBLIC: &[u64] = &[5, 18, 34, 46, 52, 81, 93, 104, 145, 178, 185, 203, 213, 220];

/// First four digits of a global or unique local network, and the next ones.
const NETWORKS: &[(&str, &str)] = &[
    ("2001", "db8"),
    ("2a02", "8109"),
    ("2606", "4700"),
    ("fd12", "3456"),
    ("2400", "cb00"),
    ("2a01", "4f8"),
    ("2804", "14c"),
    ("fdaa", "9b1"),
];

/// First two octets of a hardware address, with a letter in each so that it never looks like a plain number.
const MAKERS: &[&str] = &["3c5a", "001b", "a483", "b827", "dca6", "f09f", "e45f", "9cb6"];

/// A public or private address of a host.
pub fn ipv4(rng: &mut Rng) -> String {
    let (second, third, last) = (rng.between(0, 255), rng.between(0, 255), rng.between(1, 254));
    match rng.below(5) {
        0 => format!("192.168.{third}.{last}"),
        1 => format!("10.{second}.{third}.{last}"),
        _ => format!("{}.{second}.{third}.{last}", rng.any(PUBLIC)),
    }
}

/// A group of up to four digits without leading zeros.
fn group(rng: &mut Rng) -> String {
    format!("{:x}", rng.between(1, 0xffff))
}

/// A number of groups joined with colons.
fn groups(count: usize, rng: &mut Rng) -> String {
    (0..count).map(|_| group(rng)).collect::<Vec<_>>().join(":")
}

/// An address in one of the forms of RFC 4291 section 2.2 and RFC 5952, zone and brackets left to the template.
pub fn ipv6(rng: &mut Rng) -> String {
    let (first, second) = rng.any(NETWORKS);
    match rng.below(12) {
        0 => {
            let tail: Vec<String> = (0..6).map(|_| rng.text(HEX, 4)).collect();
            format!("{first}:{second:0>4}:{}", tail.join(":"))
        }
        1 => format!("{first}:{second}:{}", groups(6, rng)).to_uppercase(),
        2 => format!("{first}:{second}:{}", groups(6, rng)),
        3 => format!("{first}:{second}::{}", group(rng)),
        4 => format!("{first}:{second}:{}::{}", groups(2, rng), groups(2, rng)),
        5 => format!("{first}:{second}:{}::", group(rng)),
        6 => format!("fe80::{}", groups(4, rng)),
        7 => format!("fe80::{}:{}ff:fe{}:{}", rng.text(HEX, 4), rng.text(HEX, 2), rng.text(HEX, 2), rng.text(HEX, 4)),
        8 => format!("::ffff:{}", ipv4(rng)),
        9 => format!("64:ff9b::{}", ipv4(rng)),
        10 => format!("{first}:{second}:0:0:{}:0:0:{}", group(rng), rng.text(DIGITS, 1)),
        _ => "::1".to_owned(),
    }
}

/// A hardware address with colons, with dashes or in three groups with dots.
pub fn mac(rng: &mut Rng) -> String {
    let digits = format!("{}{}", rng.own(MAKERS), rng.text(HEX, 8));
    let digits = if rng.below(3) == 0 { digits.to_uppercase() } else { digits };
    let (size, separator) = rng.any(&[(2_usize, ":"), (2, ":"), (2, "-"), (4, ".")]);
    separated(&digits, separator, |position| position.is_multiple_of(size))
}
