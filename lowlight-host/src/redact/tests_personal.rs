//! Tests of personal data: what is found and what looks alike and is not.

use super::tests::{finds, leaves, redact};

#[test]
fn emails_are_found_in_every_form() {
    finds(
        "EMAIL",
        &[
            "bob@example.org",
            "<bob.o'neil+tag@mail.example.co.uk>",
            "\"john doe\"@example.org",
            "josé.garcía@bücher.example",
            "用户@例子.中国",
            "mailto:bob@example.org?subject=x",
            "a\\nbob@example.org",
            "?to=bob%40example.org&x=1",
            "root@[192.168.0.1]",
        ],
    );
    assert_eq!(redact("邮箱bob@example.org。"), "邮箱[EMAIL_1]。");
    assert_eq!(redact("Mail bob@example.org."), "Mail [EMAIL_1].");
    leaves(&["icon@2x.png", "lodash@4.17.21", "git@github.com:org/repo.git", "@property", "user@localhost", "x @ y.z", "a@b.T"]);
}

#[test]
fn phone_numbers_need_a_form_or_a_word() {
    finds(
        "PHONE",
        &[
            "+44 20 7946 0958",
            "+1 (555) 123-4567",
            "+4915112345678",
            "(555) 123-4567",
            "555-123-4567",
            "555.234.4567",
            "1-800-555-1234",
            "tel: 030 1234567",
            "call me at 5551234567",
            "\"phone\": \"020 7946 0958\"",
            "Phone number: 06 12 34 56 78",
        ],
    );
    leaves(&[
        "5551234567",
        "1700000000000",
        "+0200",
        "12 34 56 78 90 12 34",
        "order 2024-11-22-0042",
        "tool_call 1700000000",
        "3.14159265358979",
        "2024-01-15T10:30:00.123456789Z",
    ]);
}

#[test]
fn social_security_numbers_follow_their_rules() {
    finds("SSN", &["123-45-6789", "SSN: 123456789", "social security number 123 45 6789"]);
    leaves(&["000-12-3456", "666-12-3456", "912-12-3456", "123-00-6789", "123-45-0000", "123456789", "x-123-45-6789-1"]);
}

#[test]
fn cards_pass_the_check_and_have_an_issuer() {
    finds(
        "CARD",
        &[
            "4111111111111111",
            "4111 1111 1111 1111",
            "4111-1111-1111-1111",
            "4111.1111.1111.1111",
            "3782 822463 10005",
            "5555555555554444",
            "card=6011111111111117,",
        ],
    );
    leaves(&[
        "4111111111111112",
        "1234567812345670",
        "4111 1111 1111 1111 1111",
        "1234 5678 9012 3456 7890 1234",
        "1732272000000000000",
        "0.4111111111111111",
    ]);
}

#[test]
fn ibans_pass_mod_97() {
    finds(
        "IBAN",
        &["DE89370400440532013000", "DE89 3704 0044 0532 0130 00", "GB29 NWBK 6016 1331 9268 19", "iban:FR1420041010050500013M02606"],
    );
    leaves(&["DE89370400440532013001", "DE8937040044053201300", "XX89370400440532013000"]);
}

#[test]
fn addresses_are_found_and_versions_and_times_are_not() {
    finds("IPV4", &["10.0.0.1", "http://192.168.1.20:8080/", "from 8.8.8.8.", "10.0.0.0/8"]);
    finds(
        "IPV6",
        &[
            "::1",
            "fe80::1%eth0",
            "::ffff:1.2.3.4",
            "2001:db8::8a2e:370:7334",
            "http://[::1]:80/",
            "2001:0db8:0000:0000:0000:8a2e:0370:7334",
        ],
    );
    finds("MAC", &["00:1a:2b:3c:4d:5e", "00-1A-2B-3C-4D-5E", "001a.2b3c.4d5e", "AA:BB:CC:DD:EE:FF"]);
    leaves(&[
        "v1.2.3.4",
        "version 10.0.19041.1",
        "version 1.2.3.4",
        "Chrome/120.0.0.0",
        "1.2.3.4.5",
        "256.1.1.1",
        "12:34:56",
        "std::vec",
        "f32::MAX",
        "x[::2]",
        "a::b",
        "x[1::2]",
        "de:ad:be:ef",
    ]);
}

#[test]
fn hashes_uuids_and_images_are_left_alone() {
    leaves(&[
        "550e8400-e29b-41d4-a716-446655440000",
        "da39a3ee5e6b4b0d3255bfef95601890afd80709",
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAKIA4111111111111111",
        "1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16",
        "[0.123456789, 0.987654321, 12.5, 1e-9]",
        "commit 9fceb02 at 12:34:56 on 2024-01-15",
    ]);
}
