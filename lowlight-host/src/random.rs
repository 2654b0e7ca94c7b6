//! Random bytes from the system, and record ids (UUIDs, RFC 9562) as text.

use std::io;

/// Fills `bytes` from the system's random source.
pub(crate) fn fill(bytes: &mut [u8]) -> io::Result<()> {
    let mut left = bytes;
    while !left.is_empty() {
        // Short reads are allowed for more than 256 bytes.
        match rustix::rand::getrandom(&mut *left, rustix::rand::GetRandomFlags::empty()) {
            Ok(count) => left = left.get_mut(count..).unwrap_or_default(),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// A UUID as text: 32 hex digits in five groups.
pub(crate) fn uuid_text(id: [u8; 16]) -> String {
    use std::fmt::Write as _;
    let mut text = String::with_capacity(36);
    for (place, byte) in id.iter().enumerate() {
        if matches!(place, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// Reads a UUID: hex digits of either case, in the five groups or without their hyphens.
pub(crate) fn parse_uuid(text: &str) -> Option<[u8; 16]> {
    let hyphens = [8, 13, 18, 23];
    let grouped = text.len() == 36 && text.bytes().enumerate().all(|(place, byte)| hyphens.contains(&place) == (byte == b'-'));
    let digits: Vec<u8> = text.bytes().filter(|byte| !grouped || *byte != b'-').collect();
    let value = |digit: u8| char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok());
    let bytes: Option<Vec<u8>> = digits.as_chunks().0.iter().map(|[high, low]| Some(value(*high)? << 4 | value(*low)?)).collect();
    bytes.filter(|_| digits.len() == 32)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use lowlight_core::entry::uuid_v7;

    #[test]
    fn a_uuid_of_a_time_is_that_of_the_specification() {
        // RFC 9562, appendix A.6.
        let random = [0, 0, 0, 0, 0, 0, 0xfc, 0xc3, 0xd8, 0xc4, 0xdc, 0x0c, 0x0c, 0x07, 0x39, 0x8f];
        let id = uuid_v7(0x017f_22e2_79b0, random);
        assert_eq!(uuid_text(id), "017f22e2-79b0-7cc3-98c4-dc0c0c07398f");
        assert_eq!(parse_uuid("017F22E2-79B0-7CC3-98C4-DC0C0C07398F"), Some(id));
        assert_eq!(parse_uuid("017f22e279b07cc398c4dc0c0c07398f"), Some(id));
    }

    #[test]
    fn what_is_no_uuid_is_refused() {
        for text in ["", "017f22e2-79b0-7cc3-98c4-dc0c0c07398", "017f22e279b0-7cc3-98c4-dc0c0c07398f", "g17f22e279b07cc398c4dc0c0c07398f"] {
            assert_eq!(parse_uuid(text), None, "{text}");
        }
        assert_eq!(parse_uuid(&"é".repeat(18)), None);
    }

    #[test]
    fn random_bytes_fill_a_page() {
        let mut page = [0; 4096];
        fill(&mut page).unwrap();
        assert!(page.chunks(64).all(|part| part.iter().any(|byte| *byte != 0)));
    }
}
