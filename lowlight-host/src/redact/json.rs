//! Redaction of JSON values in place: keys and string values at every depth, and what stands under withheld keys.
//!
//! Limits: 64 levels; a deeper subtree is withheld as a whole, and taken apart without recursion.

use serde_json::{Map, Value};

use super::bytes::contains_nocase;
use super::keys;
use super::kind::Kind;
use super::scan::{Hint, placeholder_end};
use super::session::Session;

const MAX_DEPTH: usize = 64;

impl Session<'_> {
    /// Redacts a JSON value in place.
    ///
    /// Keys and strings are redacted as texts; a value under a withheld key (`password`, `api_key`, ...) becomes
    /// `[SECRET_n]`, unless it is null, empty or a placeholder already; a number that reads as a card or telephone
    /// number becomes the text of its placeholder. A subtree below 64 levels becomes `[WITHHELD_n]`.
    pub fn json(&mut self, value: &mut Value) {
        if self.policy().enabled {
            self.node(value, Hint::default(), 0);
        }
    }

    fn node(&mut self, value: &mut Value, hint: Hint, depth: usize) {
        match value {
            Value::Null | Value::Bool(_) => {}
            Value::String(text) => {
                if let std::borrow::Cow::Owned(redacted) = self.scrub(text, text.len(), hint, false) {
                    *text = redacted;
                }
            }
            Value::Number(number) => {
                // Short numbers are counts; only long ones are worth a text, and what a key says is more.
                let long = number.as_u64().is_some_and(|n| n >= 100_000_000);
                if long || hint.phone || hint.ssn {
                    let text = number.to_string();
                    if let std::borrow::Cow::Owned(redacted) = self.scrub(&text, text.len(), hint, false) {
                        *value = Value::String(redacted);
                    }
                }
            }
            Value::Array(_) | Value::Object(_) if depth >= MAX_DEPTH => {
                dismantle(std::mem::take(value));
                *value = Value::String(self.withhold(None));
            }
            Value::Array(items) => {
                for item in items {
                    self.node(item, hint, depth + 1);
                }
            }
            Value::Object(map) => self.object(map, depth),
        }
    }

    fn object(&mut self, map: &mut Map<String, Value>, depth: usize) {
        // A list of likelihoods names each piece of text `token`; it is the answer, not a secret.
        let likelihoods = map.contains_key("logprob");
        for (key, value) in map.iter_mut() {
            let secret = keys::strength(key.as_bytes(), self.policy()).is_some();
            if secret && !(likelihoods && key == "token") {
                self.secret(value);
            } else {
                self.node(value, hint_of(key), depth + 1);
            }
        }
        self.rename(map);
    }

    /// Redacts the keys; the map is only built anew when one of them changes.
    fn rename(&mut self, map: &mut Map<String, Value>) {
        let mut renamed: Vec<(String, String)> = Vec::new();
        for key in map.keys() {
            if let std::borrow::Cow::Owned(redacted) = self.scrub(key, key.len(), Hint::default(), false) {
                renamed.push((key.clone(), redacted));
            }
        }
        for (old, new) in renamed {
            let Some(value) = map.remove(&old) else {
                continue;
            };
            // Two keys must not become one: the second would take the value of the first.
            let mut unique = new;
            while map.contains_key(&unique) {
                unique = self.withhold(None);
            }
            map.insert(unique, value);
        }
    }

    fn secret(&mut self, value: &mut Value) {
        let identity = match &*value {
            Value::Null => return,
            Value::String(text) => {
                let whole = placeholder_end(text.as_bytes(), 0, self.policy()) == Some(text.len());
                if text.is_empty() || whole || self.policy().allowed(text) {
                    return;
                }
                Some(text.clone())
            }
            Value::Bool(flag) => Some(flag.to_string()),
            Value::Number(number) => Some(number.to_string()),
            Value::Array(items) if items.is_empty() => return,
            Value::Object(map) if map.is_empty() => return,
            Value::Array(_) | Value::Object(_) => None,
        };
        let placeholder = self.replace(Kind::Secret, identity.as_deref());
        dismantle(std::mem::replace(value, Value::String(placeholder)));
    }
}

/// What the name of a key says about the digits below it.
fn hint_of(key: &str) -> Hint {
    let name = key.as_bytes();
    let words: [&[u8]; 6] = [b"phone", b"mobile", b"telefon", b"whatsapp", b"fax", b"cell"];
    let ends: [&[u8]; 2] = [b"tel", b"telephone"];
    let lower = keys::normal(name);
    let cell = lower.starts_with(b"cell") && lower.len() > 9;
    let phone = words.iter().any(|w| contains_nocase(name, w)) || ends.iter().any(|e| lower == *e);
    Hint { phone: phone && !cell && !contains_nocase(name, b"microphone"), ssn: lower == b"ssn" || lower.starts_with(b"socialsecurity") }
}

/// Drops a value of any depth without recursion: the drop of a deep value would overflow the stack.
fn dismantle(value: Value) {
    let mut stack = vec![value];
    while let Some(top) = stack.pop() {
        match top {
            Value::Array(items) => stack.extend(items),
            Value::Object(map) => stack.extend(map.into_iter().map(|(_, value)| value)),
            _ => {}
        }
    }
}
