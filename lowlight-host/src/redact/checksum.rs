//! Check digits and validity rules: Luhn and issuer of cards, mod-97 and length of IBANs, social security numbers.
//!
//! Limits: digits come in as values 0..=9 unless a function says otherwise.

/// Twice a digit, its digits added up: what every second digit from the right counts in the Luhn check.
const DOUBLED: [u8; 10] = [0, 2, 4, 6, 8, 1, 3, 5, 7, 9];

/// The Luhn check (ISO/IEC 7812-1 annex B) over digit values.
pub(super) fn luhn(digits: &[u8]) -> bool {
    let places = digits.iter().rev().enumerate();
    let sum = places.map(|(i, &d)| u32::from(if i % 2 == 0 { d } else { DOUBLED[usize::from(d % 10)] })).sum::<u32>();
    digits.len() > 1 && sum.is_multiple_of(10)
}

/// A card number: a published issuer range with its lengths, not one digit repeated, Luhn-valid. Everything but the
/// digits of the text is passed over.
pub(super) fn card(text: &[u8]) -> bool {
    let digits = || text.iter().map(|c| c.wrapping_sub(b'0')).filter(|digit| *digit <= 9);
    let four = digits().take(4).fold(0, |head, digit| head * 10 + u32::from(digit));
    let (two, three) = (four / 100, four / 10);
    let (mut n, mut sum, mut seen) = (0, 0, 0u16);
    for digit in digits().rev() {
        sum += u32::from(if n % 2 == 0 { digit } else { DOUBLED[usize::from(digit)] });
        seen |= 1 << digit;
        n += 1;
    }
    if !(13..=19).contains(&n) || seen.is_power_of_two() || !sum.is_multiple_of(10) {
        return false;
    }
    match two {
        40..=49 => matches!(n, 13 | 16 | 18 | 19),
        51..=55 => n == 16,
        34 | 37 => n == 15,
        30 => (300..=305).contains(&three) && (n == 14 || n == 16),
        36 | 38 | 39 => n == 14 || n == 16,
        35 => (3528..=3589).contains(&four) && n >= 16,
        22..=27 => ((2221..=2720).contains(&four) || (2200..=2204).contains(&four)) && n == 16,
        60 => four == 6011 && n >= 16,
        62 | 64 | 65 => n >= 16,
        50 | 58 | 63 | 67 => matches!(four, 5018 | 5020 | 5038 | 5893 | 6304 | 6759 | 6761..=6763),
        _ => false,
    }
}

/// A US social security number by the rules of the issuer: no area 000, 666 or 9xx, no group 00, no serial 0000.
pub(super) fn ssn(digits: &[u8]) -> bool {
    let [a, b, c, g, h, s, t, u, v] = *digits else {
        return false;
    };
    let area = u32::from(a) * 100 + u32::from(b) * 10 + u32::from(c);
    let empty = g + h == 0 || s + t + u + v == 0;
    area != 0 && area != 666 && area < 900 && !empty
}

/// The IBAN check (ISO 7064 mod 97-10) over ASCII letters and digits, either case.
pub(super) fn iban(chars: &[u8]) -> bool {
    if !(15..=34).contains(&chars.len()) {
        return false;
    }
    let mut rest = 0u32;
    for &c in chars.iter().skip(4).chain(chars.iter().take(4)) {
        rest = match c {
            b'0'..=b'9' => rest * 10 + u32::from(c - b'0'),
            b'A'..=b'Z' => rest * 100 + u32::from(c - b'A') + 10,
            b'a'..=b'z' => rest * 100 + u32::from(c - b'a') + 10,
            _ => return false,
        } % 97;
    }
    rest == 1
}

/// The length of an IBAN of this country, from the registry of ISO 13616.
pub(super) fn iban_len(country: [u8; 2]) -> Option<usize> {
    let country = [country[0].to_ascii_uppercase(), country[1].to_ascii_uppercase()];
    Some(match &country {
        b"NO" => 15,
        b"BE" => 16,
        b"DK" | b"FI" | b"FK" | b"FO" | b"GL" | b"NL" | b"SD" => 18,
        b"MK" | b"SI" => 19,
        b"AT" | b"BA" | b"EE" | b"KZ" | b"LT" | b"LU" | b"MN" | b"XK" => 20,
        b"CH" | b"CR" | b"HR" | b"LI" | b"LV" => 21,
        b"BG" | b"BH" | b"DE" | b"GB" | b"GE" | b"IE" | b"ME" | b"RS" | b"VA" => 22,
        b"AE" | b"GI" | b"IL" | b"IQ" | b"OM" | b"SO" | b"TL" => 23,
        b"AD" | b"CZ" | b"ES" | b"MD" | b"PK" | b"RO" | b"SA" | b"SE" | b"SK" | b"TN" | b"VG" => 24,
        b"LY" | b"PT" | b"ST" => 25,
        b"IS" | b"TR" => 26,
        b"BI" | b"DJ" | b"FR" | b"GR" | b"IT" | b"MC" | b"MR" | b"SM" => 27,
        b"AL" | b"AZ" | b"BY" | b"CY" | b"DO" | b"GT" | b"HU" | b"LB" | b"NI" | b"PL" | b"SV" => 28,
        b"BR" | b"EG" | b"PS" | b"QA" | b"UA" => 29,
        b"JO" | b"KW" | b"MU" | b"YE" => 30,
        b"MT" | b"SC" => 31,
        b"LC" => 32,
        b"RU" => 33,
        _ => return None,
    })
}

/// The digit values of a text, everything else dropped; `None` when there are more than 40.
pub(super) fn digits_of(text: &[u8]) -> Option<([u8; 40], usize)> {
    let mut out = [0u8; 40];
    let mut n = 0;
    for &c in text {
        if c.is_ascii_digit() {
            *out.get_mut(n)? = c - b'0';
            n += 1;
        }
    }
    Some((out, n))
}
