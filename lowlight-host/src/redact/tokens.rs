//! Vendor tokens with a separator in the prefix (`ghp_`, `sk-`, `SG.`), Telegram tokens, dotted tokens, webhooks.
//!
//! Limits: the trigger is the first separator of the prefix; the body is read as one run of its alphabet.

use super::bytes::{ALNUM, ALPHA, BASE, DIGIT, DOT, HEX, LOWER, MINUS, TOKEN, UNDER, UPPER, WORD, at, has_nocase, is, run_end, run_start};
use super::kind::Kind;
use super::scan::{Scan, Span};

/// A vendor token: a prefix and a run of an alphabet behind it.
pub(super) struct Token {
    pub(super) prefix: &'static str,
    pub(super) kind: Kind,
    body: u8,
    least: usize,
    /// The offset of the first separator in the prefix.
    separator: usize,
}

const fn token(prefix: &'static str, kind: Kind, body: u8, least: usize) -> Token {
    Token { prefix, kind, body, least, separator: separator(prefix.as_bytes()) }
}

const UPDIG: u8 = UPPER | DIGIT;

/// Published prefixes; a longer prefix stands before a shorter one that it begins with.
pub(super) static TOKENS: [Token; 80] = LIST;

/// The same as a constant, for the table that is computed from it.
const LIST: [Token; 80] = [
    token("sk-ant-", Kind::AnthropicKey, TOKEN, 20),
    token("sk-proj-", Kind::OpenaiKey, TOKEN, 20),
    token("sk-svcacct-", Kind::OpenaiKey, TOKEN, 20),
    token("sk-admin-", Kind::OpenaiKey, TOKEN, 20),
    token("sk-None-", Kind::OpenaiKey, TOKEN, 20),
    token("sk-or-v1-", Kind::ApiKey, TOKEN, 20),
    token("sk-lf-", Kind::ApiKey, TOKEN, 20),
    token("ghp_", Kind::GithubToken, WORD, 30),
    token("gho_", Kind::GithubToken, WORD, 30),
    token("ghu_", Kind::GithubToken, WORD, 30),
    token("ghs_", Kind::GithubToken, WORD | DOT | MINUS, 30),
    token("ghr_", Kind::GithubToken, WORD, 30),
    token("github_pat_", Kind::GithubToken, WORD, 22),
    token("glpat-", Kind::GitlabToken, TOKEN | DOT, 20),
    token("gldt-", Kind::GitlabToken, TOKEN | DOT, 20),
    token("glrt-", Kind::GitlabToken, TOKEN | DOT, 20),
    token("glrtr-", Kind::GitlabToken, TOKEN | DOT, 20),
    token("glcbt-", Kind::GitlabToken, TOKEN | DOT, 20),
    token("glptt-", Kind::GitlabToken, TOKEN | DOT, 20),
    token("glft-", Kind::GitlabToken, TOKEN | DOT, 20),
    token("glimt-", Kind::GitlabToken, TOKEN | DOT, 20),
    token("glagent-", Kind::GitlabToken, TOKEN | DOT, 20),
    token("gloas-", Kind::GitlabToken, TOKEN | DOT, 20),
    token("glsoat-", Kind::GitlabToken, TOKEN | DOT, 20),
    token("glffct-", Kind::GitlabToken, TOKEN | DOT, 20),
    token("xoxb-", Kind::SlackToken, TOKEN, 10),
    token("xoxp-", Kind::SlackToken, TOKEN, 10),
    token("xoxa-", Kind::SlackToken, TOKEN, 10),
    token("xoxr-", Kind::SlackToken, TOKEN, 10),
    token("xoxs-", Kind::SlackToken, TOKEN, 10),
    token("xoxo-", Kind::SlackToken, TOKEN, 10),
    token("xoxe-", Kind::SlackToken, TOKEN, 10),
    token("xoxe.", Kind::SlackToken, TOKEN, 10),
    token("xoxc-", Kind::SlackToken, TOKEN, 10),
    token("xoxd-", Kind::SlackToken, TOKEN | BASE, 10),
    token("xapp-", Kind::SlackToken, TOKEN, 10),
    token("sk_live_", Kind::StripeKey, WORD, 10),
    token("sk_test_", Kind::StripeKey, WORD, 10),
    token("rk_live_", Kind::StripeKey, WORD, 10),
    token("rk_test_", Kind::StripeKey, WORD, 10),
    token("whsec_", Kind::StripeKey, WORD | BASE, 24),
    token("hf_", Kind::HuggingfaceToken, ALNUM, 30),
    token("api_org_", Kind::HuggingfaceToken, ALNUM, 30),
    token("npm_", Kind::NpmToken, ALNUM, 30),
    token("pypi-AgE", Kind::PypiToken, TOKEN, 16),
    token("GOCSPX-", Kind::GoogleKey, TOKEN, 20),
    token("ya29.", Kind::GoogleKey, TOKEN, 20),
    token("dop_v1_", Kind::ApiKey, HEX, 40),
    token("doo_v1_", Kind::ApiKey, HEX, 40),
    token("dor_v1_", Kind::ApiKey, HEX, 40),
    token("shpat_", Kind::ApiKey, HEX, 32),
    token("shpca_", Kind::ApiKey, HEX, 32),
    token("shppa_", Kind::ApiKey, HEX, 32),
    token("shpss_", Kind::ApiKey, HEX, 32),
    token("gsk_", Kind::ApiKey, ALNUM, 40),
    token("xai-", Kind::ApiKey, ALNUM, 40),
    token("r8_", Kind::ApiKey, ALNUM, 30),
    token("lin_api_", Kind::ApiKey, ALNUM, 32),
    token("ntn_", Kind::ApiKey, ALNUM, 40),
    token("PMAK-", Kind::ApiKey, TOKEN, 40),
    token("dckr_pat_", Kind::ApiKey, TOKEN, 20),
    token("hvs.", Kind::ApiKey, TOKEN, 24),
    token("glsa_", Kind::ApiKey, WORD, 32),
    token("pplx-", Kind::ApiKey, ALNUM, 40),
    token("tvly-", Kind::ApiKey, TOKEN, 24),
    token("lsv2_", Kind::ApiKey, WORD, 32),
    token("pul-", Kind::ApiKey, HEX, 40),
    token("AGE-SECRET-KEY-1", Kind::ApiKey, UPDIG, 50),
    token("sq0atp-", Kind::ApiKey, TOKEN, 22),
    token("sq0csp-", Kind::ApiKey, TOKEN, 40),
    token("phx_", Kind::ApiKey, ALNUM, 40),
    token("rubygems_", Kind::ApiKey, HEX, 48),
    token("sntrys_", Kind::ApiKey, WORD | BASE, 40),
    token("dp.pt.", Kind::ApiKey, ALNUM, 40),
    token("figd_", Kind::ApiKey, TOKEN, 30),
    token("sbp_", Kind::ApiKey, HEX, 40),
    token("sb_secret_", Kind::ApiKey, TOKEN, 20),
    token("nvapi-", Kind::ApiKey, TOKEN, 40),
    token("CFPAT-", Kind::ApiKey, TOKEN, 40),
    token("sk-", Kind::OpenaiKey, TOKEN, 20),
];

/// For each byte, which tokens have it just before the first separator of their prefix.
static BEFORE: [u128; 128] = before();

/// The offset of the first separator in a prefix.
const fn separator(prefix: &[u8]) -> usize {
    let mut k = 0;
    while k < prefix.len() && !matches!(prefix[k], b'_' | b'-' | b'.') {
        k += 1;
    }
    k
}

const fn before() -> [u128; 128] {
    let mut table = [0u128; 128];
    let mut t = 0;
    while t < LIST.len() {
        let prefix = LIST[t].prefix.as_bytes();
        table[prefix[LIST[t].separator - 1] as usize] |= 1u128 << t;
        t += 1;
    }
    table
}

/// The token whose first separator stands at `i`.
pub(super) fn at_separator(s: &Scan<'_>, i: usize) -> Option<Span> {
    if !is(at(s.bytes, i + 1), TOKEN) {
        return None;
    }
    let mut mask = *BEFORE.get(usize::from(s.prev(i)))?;
    while mask != 0 {
        let t = mask.trailing_zeros() as usize;
        mask &= mask - 1;
        let rule = TOKENS.get(t)?;
        let Some(start) = i.checked_sub(rule.separator) else {
            continue;
        };
        if let Some(span) = confirm(s, rule, start) {
            return Some(span);
        }
    }
    None
}

/// Tokens by the first byte of their prefix.
static FIRST: [u128; 128] = first();

const fn first() -> [u128; 128] {
    let mut table = [0u128; 128];
    let mut t = 0;
    while t < LIST.len() {
        table[LIST[t].prefix.as_bytes()[0] as usize] |= 1u128 << t;
        t += 1;
    }
    table
}

/// The vendor token that begins at `start`, if any: for values of assignments, whose kind it makes exact.
pub(super) fn at_start(s: &Scan<'_>, start: usize) -> Option<Span> {
    let mut mask = *FIRST.get(usize::from(at(s.bytes, start)))?;
    while mask != 0 {
        let rule = TOKENS.get(mask.trailing_zeros() as usize)?;
        mask &= mask - 1;
        if let Some(span) = confirm(s, rule, start) {
            return Some(span);
        }
    }
    None
}

fn confirm(s: &Scan<'_>, rule: &Token, start: usize) -> Option<Span> {
    let b = s.bytes;
    // Most candidates differ in their first byte already.
    if start < s.floor || b.get(start) != rule.prefix.as_bytes().first() || !b.get(start..)?.starts_with(rule.prefix.as_bytes()) {
        return None;
    }
    let prev = s.prev(start);
    let bare = rule.prefix == "sk-";
    // Four letters and a separator are proof enough behind an underscore (`TOKEN_ghp_...`), two letters are not:
    // `task-`, `half_`. Only the first `sk-` of a run is read, so that a row of them costs one reading.
    let alone = if bare { s.begins_word(start) && prev != b'-' } else { !is(prev, ALNUM) || s.behind_escape(start) };
    if !alone {
        return None;
    }
    let from = start + rule.prefix.len();
    // What is read in vain must be short.
    if has_nocase(b, from, b"your") {
        return None;
    }
    let mut end = run_end(b, from, rule.body);
    while end > from && is(at(b, end - 1), DOT) {
        end -= 1;
    }
    let body = b.get(from..end)?;
    if body.len() < rule.least || is_filler(body) || (bare && !looks_random(body)) {
        return None;
    }
    Some(Span::new(start, end, rule.kind))
}

/// True for what stands for a token in documentation: `xxxx`, `____`, `0000`, `your-key-here`.
pub(super) fn is_filler(body: &[u8]) -> bool {
    let head = body.get(..body.len().min(4)).unwrap_or(body);
    body.iter().all(|&c| matches!(c, b'x' | b'X' | b'*' | b'.' | b'-' | b'_' | b'#' | b'0')) || head.eq_ignore_ascii_case(b"your")
}

/// True when a part between separators has 16 characters or more and a digit: kebab-case names do not.
fn looks_random(body: &[u8]) -> bool {
    body.split(|&c| c == b'-' || c == b'_')
        .any(|part| part.len() >= 16 && part.iter().any(u8::is_ascii_digit) && part.iter().any(|&c| is(c, ALPHA)))
}

/// `SG.x.y`, `hooks.slack.com/services/...` without a scheme, and dotted bot tokens; `i` is the first full stop.
pub(super) fn dotted(s: &Scan<'_>, i: usize) -> Option<Span> {
    let b = s.bytes;
    if at(b, i) != b'.' {
        return None;
    }
    if s.prev(i) == b'G' && s.prev2(i) == b'S' && s.begins_word(i - 2) {
        let mid = run_end(b, i + 1, TOKEN);
        if (16..=30).contains(&(mid - i - 1)) && at(b, mid) == b'.' {
            let end = run_end(b, mid + 1, TOKEN);
            if end - mid > 30 {
                return Some(Span::new(i - 2, end, Kind::SendgridKey));
            }
        }
    }
    if s.prev(i) == b's' && i >= s.floor + 5 && b.get(i - 5..i)? == b"hooks" {
        return webhook(s, i - 5);
    }
    discord(s, i)
}

/// Three parts of 23 to 28, 6 and 27 or more characters: a Discord bot token.
fn discord(s: &Scan<'_>, i: usize) -> Option<Span> {
    let b = s.bytes;
    // The cheap question first: full stops of prose are followed by a space.
    if !is(at(b, i + 1), TOKEN) || at(b, i + 7) != b'.' || run_end(b, i + 1, TOKEN) != i + 7 {
        return None;
    }
    let start = run_start(b, i, s.floor, 29, ALNUM);
    let end = b.len().min(i + 8 + 64);
    let end = run_end(b.get(..end)?, i + 8, TOKEN);
    let shaped = (23..=28).contains(&(i - start)) && matches!(at(b, start), b'M' | b'N' | b'O');
    (shaped && end - (i + 8) >= 27 && s.begins_word(start)).then(|| Span::new(start, end, Kind::ApiKey))
}

/// The Slack webhook whose host begins at `start`; the span begins there.
pub(super) fn webhook(s: &Scan<'_>, start: usize) -> Option<Span> {
    const HEAD: &[u8] = b"hooks.slack.com/";
    let b = s.bytes;
    let rest = b.get(start..)?.strip_prefix(HEAD)?;
    let paths: [&[u8]; 3] = [b"services/", b"workflows/", b"triggers/"];
    let path = paths.into_iter().find(|p| rest.starts_with(p))?;
    let from = start + HEAD.len() + path.len();
    let mut end = from;
    while is(at(b, end), TOKEN) || at(b, end) == b'/' {
        end += 1;
    }
    let body = b.get(from..end)?;
    let filler = body.iter().all(|c| matches!(c, b'T' | b'B' | b'/' | b'x' | b'X' | b'0' | b'.'));
    (body.len() >= 16 && !filler).then(|| Span::new(start, end, Kind::SlackWebhook))
}

/// A Telegram bot token: 8 to 10 digits, a colon at `i`, 35 characters.
pub(super) fn telegram(s: &Scan<'_>, i: usize) -> Option<Span> {
    let b = s.bytes;
    if !is(s.prev(i), DIGIT) || !is(at(b, i + 1), TOKEN) {
        return None;
    }
    let start = run_start(b, i, s.floor, 11, DIGIT);
    if !(8..=10).contains(&(i - start)) {
        return None;
    }
    let limit = b.len().min(i + 40);
    let end = run_end(b.get(..limit)?, i + 1, TOKEN);
    // `api.telegram.org/bot123456789:AA...` has the word `bot` glued to it.
    let bot = start >= s.floor + 3 && b.get(start - 3..start)?.eq_ignore_ascii_case(b"bot");
    let mixed = b.get(i + 1..end)?.iter().any(|&c| is(c, LOWER | UPPER | UNDER | MINUS));
    ((34..=36).contains(&(end - i - 1)) && mixed && (bot || s.begins_word(start))).then(|| Span::new(start, end, Kind::TelegramToken))
}
