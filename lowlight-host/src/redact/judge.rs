//! Whether the value of an assignment is a secret, or code, prose, a type name or something that stands in for one.
//!
//! Limits: sees at most 512 bytes of a value; decides by shape and short word lists, never by entropy alone.

use super::bytes::{ALNUM, ALPHA, DIGIT, DOT, LOWER, MINUS, UNDER, UPPER, WORD, contains_nocase, is};
use super::keys::Strength;
use super::words::Words;

/// Where a value stands.
#[expect(clippy::struct_excessive_bools, reason = "independent facts about where a value stands")]
pub(super) struct Scene<'a> {
    pub(super) strength: Strength,
    pub(super) quoted: bool,
    /// The separator is a colon.
    pub(super) colon: bool,
    /// There is a space beside the separator.
    pub(super) spaced: bool,
    /// The two bytes behind the value, 0 behind the end.
    pub(super) next: u8,
    pub(super) next2: u8,
    /// The key begins its line.
    pub(super) line_start: bool,
    pub(super) key: &'a [u8],
}

/// Words that stand where a secret would: types, literals, and what forms and manuals say.
static WORDS: Words<58> = Words::new([
    "null",
    "none",
    "nil",
    "true",
    "false",
    "undefined",
    "nan",
    "str",
    "string",
    "text",
    "int",
    "integer",
    "number",
    "bool",
    "boolean",
    "bytes",
    "object",
    "array",
    "any",
    "self",
    "required",
    "optional",
    "redacted",
    "hidden",
    "masked",
    "secret",
    "password",
    "passwd",
    "token",
    "value",
    "key",
    "example",
    "empty",
    "missing",
    "invalid",
    "incorrect",
    "wrong",
    "valid",
    "expired",
    "unknown",
    "unset",
    "set",
    "not",
    "no",
    "yes",
    "must",
    "should",
    "is",
    "the",
    "a",
    "an",
    "enter",
    "your",
    "please",
    "input",
    "env",
    "field",
    "char",
]);

/// Parts that only a stand-in has.
const STAND_INS: [&[u8]; 11] = [
    b"placeholder",
    b"redacted",
    b"replace_",
    b"replace-",
    b"replaceme",
    b"insert_",
    b"insert-",
    b"_here",
    b"-here",
    b"changeit_",
    b"<your",
];

/// Words that prose in quotation marks has and passphrases do not.
static PROSE: Words<16> = Words::new([
    "must",
    "enter",
    "your",
    "please",
    "required",
    "should",
    "invalid",
    "incorrect",
    "forgot",
    "reset",
    "is",
    "the",
    "least",
    "confirm",
    "cannot",
    "not",
]);

/// True for what stands in for a secret: `${TOKEN}`, `<password>`, `xxxx`, `[hidden]`, `your-key-here`, `%s`.
pub(super) fn is_stand_in(v: &[u8]) -> bool {
    let v = v.trim_ascii();
    let (Some(&first), Some(&last)) = (v.first(), v.last()) else {
        return true;
    };
    let head = v.get(..v.len().min(128)).unwrap_or(v);
    // A template, a tag, a variable: all of them begin with a mark.
    let framed = match first {
        b'<' => head.get(1).is_some_and(|&c| is(c, ALPHA)),
        b'[' => last == b']',
        b'{' => last == b'}' || head.starts_with(b"{{"),
        b'$' if matches!(head.get(1), Some(b'{' | b'(')) => true,
        // A variable, unless it has a digit (`$ecr3t`).
        b'$' if v.len() > 1 => return v.iter().skip(1).all(|&c| is(c, ALPHA | UNDER)),
        b'%' => matches!(head, [_, b'{' | b'(', ..] | b"%s" | b"%d" | b"%v") || (last == b'%' && v.len() > 2),
        b'#' => head.get(1) == Some(&b'{'),
        _ => matches!(head, b"?" | b"-" | b"--" | b"|" | b">"),
    };
    if framed {
        return true;
    }
    if is_mask(v) || head.get(..4).is_some_and(|h| h.eq_ignore_ascii_case(b"your")) {
        return true;
    }
    // Each has four letters in a row, which most passwords have not.
    let mut run = 0;
    let worded = head.iter().any(|&c| {
        run = if is(c, ALPHA) { run + 1 } else { 0 };
        run == 4
    });
    worded && STAND_INS.iter().any(|part| contains_nocase(head, part))
}

/// True for a row of `x`, `*`, `.`, `-`, `_`, `#`, bullets or ellipses.
fn is_mask(v: &[u8]) -> bool {
    // Three at least: a password of one or two of these is a password.
    v.len() >= 3
        && v.iter().all(|&c| {
            // The bytes of U+2022, U+25CF and U+2026.
            matches!(c, b'x' | b'X' | b'*' | b'.' | b'-' | b'_' | b'#') || matches!(c, 0xE2 | 0x80 | 0xA2 | 0x97 | 0x8F | 0xA6)
        })
}

/// True when the value in this scene is a secret.
pub(super) fn is_secret(v: &[u8], scene: &Scene<'_>) -> bool {
    if is_stand_in(v) || v.eq_ignore_ascii_case(scene.key) {
        return false;
    }
    match scene.strength {
        Strength::Code => (3..=8).contains(&v.len()) && v.iter().all(u8::is_ascii_digit),
        Strength::Password if scene.quoted => quoted_password(v),
        Strength::Password => bare_password(v, scene),
        _ if scene.quoted => quoted_secret(v, scene.strength),
        _ => bare_secret(v, scene),
    }
}

fn quoted_password(v: &[u8]) -> bool {
    let mut words = v.split(|&c| c == b' ').filter(|w| !w.is_empty());
    if words.clone().count() >= 2 {
        return !words.any(|w| PROSE.contains(trim_marks(w)));
    }
    !WORDS.contains(v) && !is_url(v) && !interpolated(v)
}

fn trim_marks(w: &[u8]) -> &[u8] {
    let end = w.iter().rposition(|&c| is(c, ALNUM)).map_or(0, |k| k + 1);
    w.get(..end).unwrap_or(w)
}

fn is_url(v: &[u8]) -> bool {
    let scheme = v.iter().position(|c| !c.is_ascii_lowercase() && *c != b'+').unwrap_or(0);
    scheme >= 2 && v.get(scheme..).is_some_and(|rest| rest.starts_with(b"://"))
}

/// A template: `{token}`, `${...}` or `{{...}}` inside the text.
fn interpolated(v: &[u8]) -> bool {
    if v.last() != Some(&b'}') {
        return false;
    }
    // The whole value is the template: braces in the middle of a password are part of it.
    let open = v.iter().position(|&c| c == b'{').filter(|&o| o == 0 || (o == 1 && matches!(v[0], b'$' | b'#' | b'%')));
    let close = v.iter().rposition(|&c| c == b'}').filter(|&c| c + 1 == v.len());
    matches!((open, close), (Some(o), Some(c)) if o + 1 < c
        && v[o + 1..c].iter().all(|&c| is(c, WORD | DOT) || matches!(c, b'{' | b'}' | b' ' | b'$' | b'(' | b')')))
}

/// A path of names, a call or an index: `config.password`, `get_secret(`, `os.environ[`, `&str`, `Option<String>`.
fn is_code(v: &[u8], scene: &Scene<'_>) -> bool {
    let name_end = v.iter().position(|&c| !is(c, WORD | DOT)).unwrap_or(v.len());
    let (name, rest) = v.split_at(name_end);
    let begins = name.first().is_some_and(|&c| is(c, ALPHA | UNDER));
    if !begins {
        return matches!(v.first(), Some(b'&' | b'(' | b'[' | b'{' | b'<'))
            && v.iter().skip(1).any(|&c| is(c, ALPHA))
            && !v.iter().any(u8::is_ascii_digit);
    }
    let digits = name.iter().any(u8::is_ascii_digit);
    let opens = match rest.first() {
        Some(b'(' | b'[' | b'<' | b'{') => true,
        Some(b':') => rest.starts_with(b"::"),
        Some(b'-') => rest.starts_with(b"->"),
        Some(b'?') => rest.starts_with(b"?."),
        None => matches!(scene.next, b'(' | b'[') || (scene.next == b' ' && matches!(scene.next2, b'(' | b'+')),
        _ => false,
    };
    if opens && (!digits || name.contains(&b'.') || name.contains(&b'_')) {
        return true;
    }
    // A dotted path whose parts are all names without digits.
    rest.is_empty() && name.contains(&b'.') && !digits && name.len() < 96
}

fn bare_password(v: &[u8], scene: &Scene<'_>) -> bool {
    if WORDS.contains(v) || is_url(v) || is_code(v, scene) || interpolated(v) {
        return false;
    }
    if v.iter().all(u8::is_ascii_digit) {
        return v.len() >= 4 || (!scene.spaced && v.len() >= 3);
    }
    let plain = v.iter().all(|&c| is(c, ALPHA | UNDER));
    if !plain {
        // A word with an apostrophe or a hyphen is prose; anything with a digit or symbol is a password.
        let prose = scene.colon && v.iter().all(|&c| is(c, ALPHA | MINUS) || c == b'\'' || c == b'/');
        return !prose || ends_line(scene);
    }
    let names: [&[u8]; 8] = [b"pass", b"pwd", b"secret", b"token", b"config", b"input", b"param", b"hash"];
    if v.contains(&b'_') && names.iter().any(|n| contains_nocase(v, n)) {
        return false;
    }
    if matches!(scene.next, b')' | b'(' | b'.' | b'?') && !scene.colon {
        return false;
    }
    if v.len() < 3 {
        return false;
    }
    match (scene.colon, scene.spaced) {
        (true, _) => ends_line(scene) && !(scene.next == b',' && names_only(v)),
        (false, true) => scene.line_start && matches!(scene.next, 0 | b'\n' | b'\r' | b'\\') && !v.contains(&b'_'),
        (false, false) => !(scene.next == b',' && matches!(scene.next2, b' ' | b'\n')),
    }
}

/// True for a name as code writes it: lower case only.
fn names_only(v: &[u8]) -> bool {
    v.iter().all(|&c| is(c, LOWER | UNDER))
}

/// True when nothing but the end of a line or of a list follows the value.
fn ends_line(scene: &Scene<'_>) -> bool {
    match scene.next {
        0 | b'\n' | b'\r' | b'\\' | b'"' | b'\'' | b'<' => true,
        b',' | b';' | b'.' => !matches!(scene.next2, b'.' | b'('),
        _ => false,
    }
}

fn quoted_secret(v: &[u8], strength: Strength) -> bool {
    if WORDS.contains(v) || is_url(v) || interpolated(v) {
        return false;
    }
    if v.contains(&b' ') {
        // Prose, unless one part of it is a key; a placeholder of ours is none.
        return v.split(|&c| c == b' ').any(|w| w.len() >= 16 && mixed(w) && !w.contains(&b'['));
    }
    if mixed(v) || has_symbol(v) {
        return v.len() >= 4;
    }
    if v.iter().all(u8::is_ascii_digit) {
        return v.len() >= 6;
    }
    let needed = if strength == Strength::Token { 20 } else { 6 };
    let name = v.contains(&b'_') || v.contains(&b'-') || v.contains(&b'.') || v.contains(&b'/');
    v.len() >= if name { needed.max(24) } else { needed }
}

fn bare_secret(v: &[u8], scene: &Scene<'_>) -> bool {
    if WORDS.contains(v) || is_url(v) || is_code(v, scene) || interpolated(v) || is_version(v) {
        return false;
    }
    if v.iter().all(|&c| is(c, DIGIT | DOT)) {
        return v.len() >= 10 && !v.contains(&b'.');
    }
    let least = if scene.strength == Strength::Token && scene.spaced { 8 } else { 6 };
    if v.len() < least {
        return false;
    }
    if mixed(v) {
        return true;
    }
    if has_symbol(v) && v.iter().any(|&c| is(c, ALPHA)) {
        return !v.iter().any(|c| b"()[]{}<>|,;".contains(c));
    }
    let cased = v.iter().any(|&c| is(c, UPPER)) && v.iter().any(|&c| is(c, LOWER));
    let plain = v.iter().all(|&c| is(c, ALPHA));
    if v.len() >= 24 {
        return cased && plain;
    }
    // `secret=swordfish` has no space at the separator and nothing of code behind it.
    plain
        && scene.strength == Strength::Secret
        && !scene.colon
        && !scene.spaced
        && v.len() >= 8
        && matches!(scene.next, 0 | b'\n' | b'\r' | b' ' | b'&' | b'\\' | b'"')
}

/// Letters and digits together.
fn mixed(v: &[u8]) -> bool {
    v.iter().any(u8::is_ascii_digit) && v.iter().any(|&c| is(c, ALPHA))
}

/// A symbol that names, paths and versions do not have.
fn has_symbol(v: &[u8]) -> bool {
    v.iter().any(|c| b"!@#$%^&*+~=?".contains(c))
}

/// `v1.2.3`, `1.0.0-beta`: digits and dots lead.
fn is_version(v: &[u8]) -> bool {
    let v = v.strip_prefix(b"v").unwrap_or(v);
    let digits = v.iter().take_while(|&&c| is(c, DIGIT | DOT)).count();
    digits >= 3 && v.get(..digits).is_some_and(|h| h.contains(&b'.')) && digits * 2 >= v.len()
}
