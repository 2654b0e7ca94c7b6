//! Key names whose values are secrets, and how sure the name alone makes us.
//!
//! Limits: a name is compared in its normal form: lower case, without `_`, `-`, `.` and spaces (`X-Api-Key`,
//! `x_api_key` and `xApiKey` are one), at most 64 bytes of it.

use super::rules::Policy;

/// How sure a key name makes us that its value is a secret; decides what a bare value must look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Strength {
    /// A password, or a key that was configured: short values and plain words count.
    Password,
    /// A key or secret: the value must not look like prose or code.
    Secret,
    /// A token: a word with many other meanings, so that the value must look like a token.
    Token,
    /// A short code: three to eight digits.
    Code,
    /// The `Authorization` header.
    Authorization,
    /// The `Cookie` header.
    Cookie,
}

/// Ends of normal names with their strength; the first that fits decides.
const ENDS: [(&[u8], Strength); 36] = [
    (b"storagekey", Strength::Token),
    (b"password", Strength::Password),
    (b"passwd", Strength::Password),
    (b"passphrase", Strength::Password),
    (b"passcode", Strength::Password),
    (b"passwort", Strength::Password),
    (b"pwd", Strength::Password),
    (b"contrasena", Strength::Password),
    (b"motdepasse", Strength::Password),
    (b"secret", Strength::Secret),
    (b"secretkey", Strength::Secret),
    (b"secretkeybase", Strength::Secret),
    (b"apikey", Strength::Secret),
    (b"apisecret", Strength::Secret),
    (b"accesskey", Strength::Secret),
    (b"privatekey", Strength::Secret),
    (b"signingkey", Strength::Secret),
    (b"encryptionkey", Strength::Secret),
    (b"accountkey", Strength::Secret),
    (b"sharedkey", Strength::Secret),
    (b"masterkey", Strength::Secret),
    (b"servicekey", Strength::Secret),
    (b"servicerolekey", Strength::Secret),
    (b"subscriptionkey", Strength::Secret),
    (b"licensekey", Strength::Secret),
    (b"functionkey", Strength::Secret),
    (b"authkey", Strength::Secret),
    (b"webhookkey", Strength::Secret),
    (b"credential", Strength::Secret),
    (b"credentials", Strength::Secret),
    (b"token", Strength::Token),
    (b"authorization", Strength::Authorization),
    (b"phpsessid", Strength::Password),
    (b"jsessionid", Strength::Password),
    (b"setcookie", Strength::Cookie),
    (b"sessioncookie", Strength::Cookie),
];

/// Whole normal names with their strength.
const WHOLE: [(&[u8], Strength); 12] = [
    (b"pass", Strength::Password),
    (b"senha", Strength::Password),
    (b"cookie", Strength::Cookie),
    (b"bearer", Strength::Token),
    (b"pin", Strength::Code),
    (b"pincode", Strength::Code),
    (b"otp", Strength::Code),
    (b"cvv", Strength::Code),
    (b"cvc", Strength::Code),
    (b"cvv2", Strength::Code),
    (b"mfacode", Strength::Code),
    (b"verificationcode", Strength::Code),
];

/// Names that end in `token` and are not secrets: pagination, vocabulary and counts of language models.
const PLAIN_TOKENS: [&[u8]; 26] = [
    b"nexttoken",
    b"pagetoken",
    b"continuationtoken",
    b"eostoken",
    b"bostoken",
    b"padtoken",
    b"unktoken",
    b"septoken",
    b"clstoken",
    b"masktoken",
    b"stoptoken",
    b"starttoken",
    b"endtoken",
    b"maxtoken",
    b"pertoken",
    b"synctoken",
    b"canceltoken",
    b"cancellationtoken",
    b"inputtoken",
    b"outputtoken",
    b"firsttoken",
    b"lasttoken",
    b"specialtoken",
    b"currenttoken",
    b"eachtoken",
    b"prompttoken",
];

/// Calls `f` with every built-in name, for the fingerprint.
pub(super) fn for_each_name(mut f: impl FnMut(&[u8])) {
    ENDS.iter().chain(&WHOLE).for_each(|(name, _)| f(name));
    PLAIN_TOKENS.iter().for_each(|name| f(name));
}

/// The normal form of a name.
pub(super) fn normal(name: &[u8]) -> Vec<u8> {
    let mut buffer = [0u8; 64];
    normal_in(name, &mut buffer).to_vec()
}

/// The normal form of a name, in a buffer of the caller.
pub(super) fn normal_in<'b>(name: &[u8], buffer: &'b mut [u8; 64]) -> &'b [u8] {
    let mut n = 0;
    for &c in name {
        if matches!(c, b'_' | b'-' | b'.' | b' ') {
            continue;
        }
        let Some(slot) = buffer.get_mut(n) else {
            break;
        };
        *slot = c.to_ascii_lowercase();
        n += 1;
    }
    &buffer[..n]
}

/// Bits of the names above (first `ENDS`, then `WHOLE`) and of some that are in no list, by their last letter and by the
/// one before it: what both tables have is all that a name with these two letters can be.
static LAST: [u64; 32] = letters(1);
static BEFORE_LAST: [u64; 32] = letters(2);

/// `db_pass` and its like are seen without a list; types stand between a key and its value.
const OTHERS: [&[u8]; 3] = [b"pass", b"string", b"str"];

const fn letters(from_end: usize) -> [u64; 32] {
    let mut table = [0; 32];
    let mut k = 0;
    while k < ENDS.len() + WHOLE.len() + OTHERS.len() {
        let name = if k < ENDS.len() {
            ENDS[k].0
        } else if k < ENDS.len() + WHOLE.len() {
            WHOLE[k - ENDS.len()].0
        } else {
            OTHERS[k - ENDS.len() - WHOLE.len()]
        };
        table[(name[name.len() - from_end] & 31) as usize] |= 1 << k;
        k += 1;
    }
    table
}

/// The names that may end in these two characters; letters of either case.
#[inline]
fn candidates(before: u8, last: u8) -> u64 {
    LAST[usize::from(last & 31)] & BEFORE_LAST[usize::from(before & 31)]
}

/// False for two letters with which no name of a secret ends.
#[inline]
pub(super) fn may_end(before: u8, last: u8) -> bool {
    candidates(before, last) != 0
}

/// The strength of a key name, `None` when its value is not a secret.
pub(super) fn strength(raw: &[u8], policy: &Policy) -> Option<Strength> {
    let mut buffer = [0u8; 64];
    let name = normal_in(raw, &mut buffer);
    if policy.has_key(name) {
        return Some(Strength::Password);
    }
    let [.., before, last] = *name else { return None };
    let mut left = candidates(before, last);
    if left == 0 {
        return None;
    }
    while left != 0 {
        let k = left.trailing_zeros() as usize;
        left &= left - 1;
        if let Some(&(whole, strength)) = k.checked_sub(ENDS.len()).and_then(|k| WHOLE.get(k)) {
            if name == whole {
                return Some(strength);
            }
        } else if let Some(&(end, strength)) = ENDS.get(k)
            && name.ends_with(end)
        {
            let plain = strength == Strength::Token && PLAIN_TOKENS.iter().any(|plain| name.ends_with(plain));
            // `nextPageToken` and `eos_token` are plain, `password` has no such list.
            return (!plain).then_some(strength);
        }
    }
    // `db_pass` and `dbPass`, but neither `bypass` nor `compass`.
    let part = raw.len().checked_sub(4)?;
    let tail = raw.get(part..)?;
    let before = raw.get(part.checked_sub(1)?).copied()?;
    let snake = tail.eq_ignore_ascii_case(b"pass") && matches!(before, b'_' | b'-' | b'.');
    let camel = tail == b"Pass" && before.is_ascii_lowercase();
    let env = raw.eq_ignore_ascii_case(b"pgpass") || raw.eq_ignore_ascii_case(b"sshpass");
    (snake || camel || env).then_some(Strength::Password)
}
