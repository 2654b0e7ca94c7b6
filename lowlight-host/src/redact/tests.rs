//! Tests of secrets, numbering, JSON, cutting, own rules and hostile inputs.

use std::borrow::Cow;

use serde_json::{Value, json};

use super::{Checksum, Kind, RedactConfig, RedactError, Redactor, RuleConfig, cut};

/// A redactor with the default configuration.
pub(super) fn redactor() -> Redactor {
    Redactor::new(&RedactConfig::default()).expect("the default configuration compiles")
}

/// The text after redaction.
pub(super) fn redact(text: &str) -> String {
    let redactor = redactor();
    let [quick, slow] = redactor.spans(text);
    assert_eq!(quick, slow, "the table of trigger bytes misses one in {text:?}");
    redactor.session().text(text).into_owned()
}

/// Every text must change, and into one with this placeholder.
pub(super) fn finds(name: &str, texts: &[&str]) {
    for text in texts {
        let out = redact(text);
        assert!(out.contains(&format!("[{name}_1]")), "{name}: {text:?} became {out:?}");
        assert_eq!(redact(&out), out, "a second run changed {out:?}");
    }
}

/// No text may change.
pub(super) fn leaves(texts: &[&str]) {
    for text in texts {
        assert_eq!(redact(text), *text, "changed");
    }
}

const BODY36: &str = "aB3dE6gH9jK2mN5pQ8sT1vW4yZ7bC0eF3hJ6";

#[test]
fn vendor_tokens_are_found_by_their_prefix() {
    let cases = [
        ("OPENAI_KEY", format!("sk-{BODY36}aB3dE6gH9jK2")),
        ("OPENAI_KEY", format!("sk-proj-{BODY36}-{BODY36}")),
        ("OPENAI_KEY", format!("sk-svcacct-{BODY36}_x")),
        ("ANTHROPIC_KEY", format!("sk-ant-api03-{BODY36}-{BODY36}AA")),
        ("GOOGLE_KEY", format!("AIza{}", &BODY36[..35])),
        ("AWS_KEY_ID", "AKIAIOSFODNN7EXAMPLE".to_owned()),
        ("GITHUB_TOKEN", format!("ghp_{BODY36}")),
        ("GITHUB_TOKEN", format!("gho_{BODY36}")),
        ("GITHUB_TOKEN", format!("github_pat_{}_{BODY36}", &BODY36[..22])),
        ("GITLAB_TOKEN", format!("glpat-{}", &BODY36[..20])),
        ("SLACK_TOKEN", "xoxb-123456789012-1234567890123-aB3dE6gH9jK2".to_owned()),
        ("SLACK_WEBHOOK", "https://hooks.slack.com/services/T01AB2CD3/B04EF5GH6/aB3dE6gH9jK2mN5pQ8sT".to_owned()),
        ("STRIPE_KEY", format!("sk_live_{}", &BODY36[..24])),
        ("STRIPE_KEY", format!("whsec_{}", &BODY36[..32])),
        ("HUGGINGFACE_TOKEN", format!("hf_{}", &BODY36[..34])),
        ("NPM_TOKEN", format!("npm_{BODY36}")),
        ("PYPI_TOKEN", format!("pypi-AgEIcHlwaS5vcmc{BODY36}{BODY36}")),
        ("TWILIO_KEY", "SK0123456789abcdef0123456789abcdef".to_owned()),
        ("SENDGRID_KEY", format!("SG.{}.{BODY36}aB3dE6g", &BODY36[..22])),
        ("TELEGRAM_TOKEN", format!("123456789:AA{}", &BODY36[..33])),
        ("JWT", format!("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.{BODY36}")),
    ];
    for (name, token) in &cases {
        finds(name, &[token, &format!("use {token}, then"), &format!("(\"{token}\")"), &format!("a\\n{token}")]);
    }
}

#[test]
fn words_that_only_begin_like_a_token_are_left_alone() {
    leaves(&[
        "the task-oriented-programming-language-2 paper",
        "sk-learn-something-long-kebab-case-name",
        "ghp_short and hf_model_name and npm_config_registry",
        "ghp_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
        "sk-your-api-key-goes-in-this-place",
        "eyJ is how they begin",
        "risk-adjusted, desk-bound, SG.1 and AIza",
    ]);
}

#[test]
fn private_key_blocks_are_redacted_to_their_end() {
    let body = "MIIEpAIBAAKCAQEA7bq8zX0ZQ1n2m3b4v5c6x7z8a9s0d1f2g3h4j5k6l7\n".repeat(4);
    for label in ["RSA PRIVATE KEY", "OPENSSH PRIVATE KEY", "PRIVATE KEY", "PGP PRIVATE KEY BLOCK"] {
        let block = format!("-----BEGIN {label}-----\n{body}-----END {label}-----");
        assert_eq!(redact(&format!("a\n{block}\nb")), "a\n[PRIVATE_KEY_1]\nb");
        let escaped = block.replace('\n', "\\n");
        assert_eq!(redact(&format!("\"{escaped}\"")), "\"[PRIVATE_KEY_1]\"");
    }
    leaves(&[
        "-----BEGIN CERTIFICATE-----\nMIIEpAIBAAKCAQEA7bq8zX0Z\n-----END CERTIFICATE-----",
        "look for -----BEGIN PRIVATE KEY----- in the file",
    ]);
}

#[test]
fn assignments_are_found_in_code_json_and_escaped_json() {
    finds(
        "SECRET",
        &[
            "password=hunter2",
            "password: hunter2",
            "PASSWORD=p@ss!",
            "{\"password\": \"abc\"}",
            "{\"password\":\"p@$$ w0rd!\"}",
            "{\\\"password\\\": \\\"hunter2\\\"}",
            "db_password = 'letmein'",
            "export API_SECRET=s3cr3tvalue99",
            "https://x.org/?api_key=abc123def456&page=2",
            "passwd: str = \"hunter2\"",
            "my password is hunter2!",
            "mysql --password hunter2 -h db",
            "curl -u bob:hunter2 https://x.org",
            "<password>hunter2</password>",
            "API key: 9f8e7d6c5b4a",
        ],
    );
    finds("AWS_SECRET", &["aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"]);
    finds("AZURE_KEY", &["AccountName=a;AccountKey=Zm9vYmFyYmF6cXV4MDEyMzQ1Njc4OQ==;EndpointSuffix=x"]);
    assert_eq!(redact("Password=ab1;Server=db"), "Password=[SECRET_1];Server=db");
}

#[test]
fn code_and_placeholders_are_no_secrets() {
    leaves(&[
        "token: streaming",
        "max_tokens=512",
        "password: <password>",
        "password=${TOKEN}",
        "api_key=xxxx",
        "api_key: \"****\"",
        "token: str",
        "password = os.environ[\"X\"]",
        "secret: null",
        "secret: true, token: false",
        "password=get_password()",
        "password = config.password",
        "api_key=your-api-key-here",
        "next_page_token: abc123def456",
        "{\"token\": \"streaming\"}",
        "password: Option<String>,",
        "password: string;",
        "std::token::Token",
        "the password is wrong",
        "password=[SECRET_1]",
    ]);
}

#[test]
fn headers_and_urls_lose_their_credentials() {
    assert_eq!(redact("Authorization: Basic dXNlcjpwYXNz"), "Authorization: Basic [AUTHORIZATION_1]");
    assert_eq!(redact("-H 'Authorization: Bearer abc123def456'"), "-H 'Authorization: Bearer [AUTHORIZATION_1]'");
    assert_eq!(redact("postgres://user:pa55@db:5432/x"), "postgres://[URL_CREDENTIALS_1]@db:5432/x");
    assert_eq!(redact("redis://:pa55@cache"), "redis://[URL_CREDENTIALS_1]@cache");
    leaves(&[
        "Authorization: Bearer ${TOKEN}",
        "Authorization: Bearer <token>",
        "bearer authentication",
        "https://user:${PASS}@host/",
        "http://localhost:8080/@user",
        "ssh://git@github.com/a/b",
    ]);
}

#[test]
fn the_same_value_has_the_same_number_across_fields() {
    let redactor = redactor();
    let mut session = redactor.session();
    assert_eq!(session.text("a@x.org b@x.org a@x.org"), "[EMAIL_1] [EMAIL_2] [EMAIL_1]");
    assert_eq!(session.text("b@x.org and 10.0.0.1"), "[EMAIL_2] and [IPV4_1]");
    assert_eq!(session.total(), 5);
    assert_eq!(session.kinds(), Kind::Email.bit() | Kind::Ipv4.bit());
}

#[test]
fn clean_text_is_borrowed_and_placeholders_stay() {
    let redactor = redactor();
    let mut session = redactor.session();
    assert!(matches!(session.text("nothing to see here"), Cow::Borrowed(_)));
    assert!(matches!(session.text("[EMAIL_1] and [SECRET_12]"), Cow::Borrowed(_)));
    assert_eq!(session.total(), 0);
    assert!(redactor.would_change("bob@example.org"));
    assert!(!redactor.would_change("bob at example"));
}

#[test]
fn json_is_redacted_at_every_depth() {
    let redactor = redactor();
    let mut session = redactor.session();
    let mut value = json!({
        "password": "x", "API-Key": 12, "cookie": {"a": 1}, "secret": null,
        "list": [{"to": "bob@example.org"}], "bob@example.org": true,
        "phone": "555 123 4567", "card": 4_111_111_111_111_111_u64, "max_tokens": 512,
    });
    session.json(&mut value);
    assert!(value["password"].as_str().is_some_and(|s| s.starts_with("[SECRET_")));
    assert!(value["API-Key"].as_str().is_some_and(|s| s.starts_with("[SECRET_")));
    assert!(value["cookie"].as_str().is_some_and(|s| s.starts_with("[SECRET_")));
    assert_eq!(value["secret"], Value::Null);
    assert_eq!(value["list"][0]["to"], "[EMAIL_1]");
    assert_eq!(value["[EMAIL_1]"], true);
    assert_eq!(value["phone"], "[PHONE_1]");
    assert_eq!(value["card"], "[CARD_1]");
    assert_eq!(value["max_tokens"], 512);
    let before = value.clone();
    redactor.session().json(&mut value);
    assert_eq!(value, before);
}

#[test]
fn a_deep_json_value_is_withheld_without_overflow() {
    let redactor = redactor();
    let mut value = Value::Null;
    for _ in 0..10_000 {
        value = Value::Array(vec![value]);
    }
    redactor.session().json(&mut value);
    let mut depth = 0;
    let mut node = &value;
    while let Value::Array(items) = node {
        node = &items[0];
        depth += 1;
    }
    assert_eq!(depth, 64);
    assert_eq!(*node, "[WITHHELD_1]");
}

#[test]
fn a_cut_text_is_short_and_has_no_open_secret() {
    let long = "é".repeat(10_000);
    let (kept, length) = cut(&long, 8193);
    assert_eq!(length, Some(20_000));
    assert!(kept.len() <= 8193 - 4096);
    assert_eq!(cut("abc", 3), ("abc", None));
    assert_eq!(cut("abcd", 3), ("", Some(4)));

    let redactor = redactor();
    let secret = "MIIEpAIBAAKCAQEA7bq8zX0ZQ1n2m3b4v5c6x7z8a9s0d1f2g3h4j5k6l7\n".repeat(1000);
    for open in ["-----BEGIN PRIVATE KEY-----\n", "password = \""] {
        let text = format!("{}{open}{secret}", "word ".repeat(600));
        let (kept, length) = redactor.session().cut_text(&text, 8192);
        assert_eq!(length, Some(text.len() as u64));
        assert!(!kept.contains("MIIEpAIBAA"), "{open}: {kept}");
        assert!(kept.len() <= 4096);
    }
    // The kept part ends six bytes into the token.
    let text = format!("{}ghp_{BODY36}{}", "word ".repeat(818), " more".repeat(2000));
    let (kept, _) = redactor.session().cut_text(&text, 8192);
    assert!(kept.starts_with("word word") && kept.len() <= 4096 && !kept.contains("ghp_"));
}

#[test]
fn a_list_behind_a_secret_key_is_hidden_as_a_whole_and_a_schema_is_left_alone() {
    let redactor = redactor();
    let text = |text: &str| {
        let once = redactor.session().text(text).into_owned();
        assert_eq!(redactor.session().text(&once), once, "twice");
        once
    };
    assert_eq!(text(r#"{"password":["hunter2"],"n":1}"#), r#"{"password":[[SECRET_1]],"n":1}"#);
    assert_eq!(text(r#"{"password":{"type":"string"}}"#), r#"{"password":{"type":"string"}}"#);
    assert_eq!(text("password=hunter2[EMAIL_1]"), "password=[SECRET_1][EMAIL_1]");
    assert_eq!(text("iban de89370400440532013000"), "iban [IBAN_1]");
}

#[test]
fn hostile_inputs_are_scanned_and_scanned_alike_twice() {
    let parts = [
        "a-a-a-a-",
        "@@@@",
        "::::",
        "1.1.1.1.1.",
        "eyJeyJeyJ",
        "-----BEGIN -----BEGIN ",
        "a@a.a@a.",
        "sk-sk-sk-",
        "password=password=",
        "token=a(token=",
        "\"token\":\"'",
        "-----BEGIN PRIVATE KEY-----",
        "a:b:",
        "://",
        "a://b:c",
        "[EMAIL_",
        "1-1 1.1 ",
        "4111 1111 ",
        "é@é.é",
        "\\\"\\\\\"",
        "eyJaaaaaaaaa.",
        "=:=:",
        "</password>",
        "--password ",
        "Bearer ",
        "DE89 3704 ",
        "%40%40",
        "0-0-0-0-",
        "ghp_ghp_",
        "\u{a0}1\u{a0}2",
        "cookie:",
        "cookie: a=<b ",
        "authorization:",
        "Authorization: digest %x ",
        "secret=",
        "token==x",
        "password=-----BEGIN",
        "-----BEGIN PRIVATE KEY-----a:",
        "xoxb-your-",
        "whsec_your/",
        "password=[\"",
    ];
    let redactor = redactor();
    // What ends a long reading in vain.
    for (part, tail) in parts.iter().flat_map(|part| ["", "[EMAIL_1] x", "%", "))))"].map(|tail| (part, tail))) {
        let text = part.repeat(65_536 / part.len()) + tail;
        let once = redactor.session().text(&text).into_owned();
        let twice = redactor.session().text(&once).into_owned();
        assert_eq!(once.len(), twice.len(), "{part:?}");
    }
}

fn rule(name: &str, pattern: &str, keyword: Option<&str>, checksum: Option<Checksum>) -> RuleConfig {
    RuleConfig { name: name.to_owned(), pattern: pattern.to_owned(), keyword: keyword.map(str::to_owned), checksum }
}

fn with(rules: Vec<RuleConfig>) -> Result<Redactor, RedactError> {
    Redactor::new(&RedactConfig { rules, ..RedactConfig::default() })
}

#[test]
fn own_rules_run_near_their_keyword_or_everywhere() {
    let redactor = with(vec![
        rule("staff_id", "E[0-9]{4}", Some("Staff"), None),
        rule("part", "PN-[a-z]{3}", None, None),
        rule("loyalty", "[0-9]{8}", Some("member"), Some(Checksum::Luhn)),
    ])
    .expect("the rules compile");
    let far = format!("E1234 staff E1234 {} E9999", "word ".repeat(400));
    let out = redactor.session().text(&far).into_owned();
    assert!(out.starts_with("E1234 staff [STAFF_ID_1] ") && out.ends_with("E9999"), "{out}");
    assert_eq!(redactor.session().text("PN-abc"), "[PART_1]");
    assert_eq!(redactor.session().text("member 18927467 12345678"), "member [LOYALTY_1] 12345678");
}

#[test]
fn wrong_rules_are_refused_with_their_name() {
    for (bad, part) in [
        (rule("1x", "a", None, None), "letter"),
        (rule("x", "(", None, None), "compiled"),
        (rule("x", "a*", None, None), "empty"),
        (rule("x", "a", Some(""), None), "keyword"),
        (rule("email", "a", None, None), "built-in"),
    ] {
        let error = with(vec![bad]).expect_err("the rule is wrong").to_string();
        assert!(error.contains(part), "{error}");
    }
    assert!(with(vec![rule("a", "x", None, None), rule("A", "y", None, None)]).is_err());
    assert!(serde_json::from_str::<RedactConfig>("{\"enable\": true}").is_err());
}

#[test]
fn a_text_that_exhausts_an_own_rule_is_withheld() {
    let redactor = with(vec![rule("slow", "a", None, None)]).expect("the rule compiles");
    assert_eq!(redactor.session().text(&"a".repeat(20_000)), "[WITHHELD_1]");
}

#[test]
fn switches_keys_and_allowed_values_change_result_and_fingerprint() {
    let config = RedactConfig {
        uuids: true,
        keys: vec!["Mother_Name".to_owned()],
        allow: vec!["support@example.com".to_owned()],
        ..RedactConfig::default()
    };
    let other = Redactor::new(&config).expect("the configuration compiles");
    assert_ne!(other.fingerprint(), redactor().fingerprint());
    assert_eq!(redactor().fingerprint(), redactor().fingerprint());
    let text = "support@example.com mother-name=Ann1 550e8400-e29b-41d4-a716-446655440000";
    assert_eq!(other.session().text(text), "support@example.com mother-name=[SECRET_1] [UUID_1]");
    let off = Redactor::new(&RedactConfig { enabled: false, ..RedactConfig::default() }).expect("the configuration compiles");
    assert_eq!(off.session().text("bob@example.org"), "bob@example.org");
}
