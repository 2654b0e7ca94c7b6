//! Tokens in the shape each vendor documents, or public scanners know: right prefix, alphabet and length, random
//! otherwise. Prefixes that a scanner would flag in source are put together here.

use super::super::rng::{ALNUM, ALPHA, BASE32, BASE64, BASE64_URL, DIGITS, HEX, Rng, UPPER_DIGITS};

/// URL-safe text that does not end in punctuation, so that its end is beyond doubt.
pub fn url_safe(len: usize, rng: &mut Rng) -> String {
    format!("{}{}", rng.text(BASE64_URL, len - 1), rng.text(ALNUM, 1))
}

/// A legacy key, or one of a project, a service account or an administrator.
pub fn openai(rng: &mut Rng) -> String {
    let mark = concat!("T3Bl", "bkFJ");
    match rng.below(5) {
        0 => format!("sk-{}{mark}{}", rng.text(ALNUM, 20), rng.text(ALNUM, 20)),
        1 => format!("sk-{}", rng.text(ALNUM, 48)),
        _ => {
            let account = rng.any(&["proj", "proj", "svcacct", "admin"]);
            let half = rng.any(&[58, 74]);
            format!("sk-{account}-{}{mark}{}", rng.text(BASE64_URL, half), url_safe(half, rng))
        }
    }
}

/// An API, an administrator or an OAuth key.
pub fn anthropic(rng: &mut Rng) -> String {
    let use_of = rng.any(&["api03", "api03", "admin01", "oat01"]);
    format!("sk-{}-{use_of}-{}AA", "ant", rng.text(BASE64_URL, 93))
}

/// An API key.
pub fn google(rng: &mut Rng) -> String {
    format!("AI{}{}", "za", url_safe(35, rng))
}

/// An access key id: long-term, temporary, bearer or certificate.
pub fn aws_id(rng: &mut Rng) -> String {
    let start = rng.any(&["AK", "AK", "AS", "AB", "AC"]);
    let end = if start == "AC" { "CA" } else { "IA" };
    format!("{start}{end}{}", rng.text(BASE32, 16))
}

/// A secret access key, which only its surroundings give away.
pub fn aws_secret(rng: &mut Rng) -> String {
    format!("{}{}", rng.text(BASE64, 39), rng.text(ALNUM, 1))
}

/// A classic token of any sort, or a fine-grained one.
pub fn github(rng: &mut Rng) -> String {
    match rng.below(4) {
        0 => format!("github_{}_{}_{}", "pat", rng.text(ALNUM, 22), rng.text(ALNUM, 59)),
        _ => format!("gh{}_{}", rng.any(&["p", "p", "o", "u", "s", "r"]), rng.text(ALNUM, 36)),
    }
}

/// A personal, trigger, runner, deploy, job or SCIM token, or a routable personal one.
pub fn gitlab(rng: &mut Rng) -> String {
    match rng.below(8) {
        0 => format!("glptt-{}", rng.text(HEX, 40)),
        1 => format!("glrt-{}", url_safe(20, rng)),
        2 => format!("gldt-{}", url_safe(20, rng)),
        3 => format!("glcbt-{}_{}", rng.text(HEX, 2), url_safe(20, rng)),
        4 => format!("glsoat-{}", url_safe(20, rng)),
        5 => format!("glpat-{}.01.{}", url_safe(27, rng), rng.text("0123456789abcdefghijklmnopqrstuvwxyz", 9)),
        _ => format!("glpat-{}", url_safe(20, rng)),
    }
}

/// A bot, user, app-level or configuration token.
pub fn slack(rng: &mut Rng) -> String {
    let (team, user) = (rng.text(DIGITS, 12), rng.text(DIGITS, 13));
    let x = "xo";
    match rng.below(6) {
        0 => format!("{x}xp-{team}-{user}-{}-{}", rng.text(DIGITS, 13), rng.text(HEX, 32)),
        1 => format!("xa{}-1-A{}-{user}-{}", "pp", rng.text(UPPER_DIGITS, 10), rng.text(HEX, 64)),
        2 => format!("{x}xe.{x}xp-1-{}", rng.text(ALNUM, 164)),
        3 => format!("{x}xe-1-{}", rng.text(ALNUM, 146)),
        _ => format!("{x}xb-{team}-{user}-{}", rng.text(ALNUM, 24)),
    }
}

/// The address of an incoming webhook or of a workflow trigger; whoever has it may post.
pub fn slack_webhook(rng: &mut Rng) -> String {
    let host = concat!("https://hooks.", "slack.com");
    let team = format!("T{}", rng.text(UPPER_DIGITS, 10));
    match rng.below(5) {
        0 => format!("{host}/workflows/{team}/A{}/{}/{}", rng.text(UPPER_DIGITS, 10), rng.text(DIGITS, 18), rng.text(ALNUM, 24)),
        _ => format!("{host}/services/{team}/B{}/{}", rng.text(UPPER_DIGITS, 10), rng.text(ALNUM, 24)),
    }
}

/// A secret or restricted key of the old or the new length, or the secret of a webhook.
pub fn stripe(rng: &mut Rng) -> String {
    if rng.below(6) == 0 {
        return format!("wh{}_{}", "sec", rng.text(ALNUM, 32));
    }
    let (sort, mode) = (rng.any(&["sk", "sk", "rk"]), rng.any(&["live", "test"]));
    let len = rng.any(&[24, 99]);
    format!("{sort}_{mode}_{}", rng.text(ALNUM, len))
}

/// A user access token.
pub fn huggingface(rng: &mut Rng) -> String {
    format!("hf_{}", rng.text(ALPHA, 34))
}

/// A granular or automation token.
pub fn npm(rng: &mut Rng) -> String {
    format!("npm_{}", rng.text(ALNUM, 36))
}

/// An upload token: a macaroon whose first bytes name the index.
pub fn pypi(rng: &mut Rng) -> String {
    let index = rng.any(&["AgEIcHlwaS5vcmc", "AgEIcHlwaS5vcmc", "AgENdGVzdC5weXBpLm9yZw"]);
    let len = rng.size(120, 180);
    format!("pypi-{index}{}", url_safe(len, rng))
}

/// The id of an API key.
pub fn twilio(rng: &mut Rng) -> String {
    format!("S{}{}", "K", rng.text(HEX, 32))
}

/// An API key.
pub fn sendgrid(rng: &mut Rng) -> String {
    format!("S{}.{}.{}", "G", rng.text(BASE64_URL, 22), url_safe(43, rng))
}

/// A bot token: the bot's number and its secret.
pub fn telegram(rng: &mut Rng) -> String {
    let len = rng.size(7, 9);
    format!("{}{}:AA{}", rng.between(1, 9), rng.text(DIGITS, len), url_safe(33, rng))
}

/// The key of a storage account: 64 bytes in base64.
pub fn azure(rng: &mut Rng) -> String {
    format!("{}{}==", rng.text(BASE64, 85), rng.any(&["A", "Q", "g", "w"]))
}
