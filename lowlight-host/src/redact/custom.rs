//! Rules of one's own: `regex-lite` on bounded windows, found by keywords or run over the whole text.
//!
//! Limits: 512 bytes either side of a keyword; a budget of searched bytes in proportion to the text, because a
//! pattern such as `a.*b|a` would otherwise read the rest of the text for every match. A text that exhausts it is
//! withheld as a whole.

use regex_lite::Regex;

use super::bytes::{ceil_char, floor_char};
use super::checksum;
use super::config::{Checksum, RedactError, RuleConfig};
use super::kind::Kind;
use super::rules::Policy;
use super::scan::{Span, placeholder_end};

/// How far from its keyword a rule looks.
const WINDOW: usize = 512;
/// How many bytes one search sees at first.
const REACH: usize = 1024;
/// What two neighbouring searches share, so that a match between them is seen whole.
const OVERLAP: usize = 256;

/// The text could not be scanned within the budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Exhausted;

struct Rule {
    label: String,
    pattern: Regex,
    /// Where it is looked for; everywhere without one.
    keyword: Option<String>,
    checksum: Option<Checksum>,
}

/// The compiled own rules.
pub(super) struct Custom {
    rules: Vec<Rule>,
}

impl Custom {
    pub(super) fn new(configs: &[RuleConfig]) -> Result<Self, RedactError> {
        let mut rules: Vec<Rule> = Vec::with_capacity(configs.len());
        for config in configs {
            let rule = compile(config)?;
            if rules.iter().any(|other| other.label == rule.label) {
                return Err(RedactError::Duplicate { name: config.name.clone() });
            }
            rules.push(rule);
        }
        Ok(Self { rules })
    }

    pub(super) fn labels(&self) -> impl Iterator<Item = &str> {
        self.rules.iter().map(|rule| rule.label.as_str())
    }

    /// The placeholder name of a rule.
    pub(super) fn label(&self, rule: usize) -> &str {
        self.rules.get(rule).map_or(Kind::Custom.name(), |r| r.label.as_str())
    }

    /// Adds the matches of all own rules to `out`.
    pub(super) fn run(&self, text: &str, policy: &Policy, out: &mut Vec<Span>) -> Result<(), Exhausted> {
        if self.rules.is_empty() {
            return Ok(());
        }
        let mut search = Search { text, policy, budget: text.len().saturating_mul(128).saturating_add(256 * 1024), out };
        for (index, rule) in self.rules.iter().enumerate() {
            match &rule.keyword {
                Some(keyword) => keyed(&mut search, index, rule, keyword.as_bytes())?,
                None => search.region(index, rule, 0, text.len(), 0)?,
            }
        }
        Ok(())
    }
}

/// Keywords that are near each other share a window, so that no byte is searched twice for one rule.
fn keyed(search: &mut Search<'_, '_>, index: usize, rule: &Rule, keyword: &[u8]) -> Result<(), Exhausted> {
    // The open window: from, to, and where its first keyword begins.
    let mut open: Option<(usize, usize, usize)> = None;
    for start in hits(search.text.as_bytes(), keyword) {
        let from = floor_char(search.text, start.saturating_sub(WINDOW));
        let to = ceil_char(search.text, start.saturating_add(keyword.len() + WINDOW));
        match &mut open {
            Some(window) if from <= window.1 => window.1 = to.max(window.1),
            _ => {
                if let Some((from, to, word)) = open.replace((from, to, start)) {
                    search.region(index, rule, from, to, word)?;
                }
            }
        }
    }
    open.map_or(Ok(()), |(from, to, word)| search.region(index, rule, from, to, word))
}

/// Where `word` stands in `text`, letters of either case, also where two places overlap.
fn hits<'t>(text: &'t [u8], word: &'t [u8]) -> impl Iterator<Item = usize> + 't {
    let first = word.first().copied().unwrap_or_default();
    let places = memchr::memchr2_iter(first.to_ascii_lowercase(), first.to_ascii_uppercase(), text);
    places.filter(move |&start| text.get(start..start + word.len()).is_some_and(|there| there.eq_ignore_ascii_case(word)))
}

fn compile(config: &RuleConfig) -> Result<Rule, RedactError> {
    let name = || config.name.clone();
    let mut chars = config.name.bytes();
    let head = chars.next().is_some_and(|c| c.is_ascii_alphabetic());
    let tail = chars.all(|c| c.is_ascii_alphanumeric() || c == b'_');
    if !head || !tail || config.name.len() > 32 {
        return Err(RedactError::Name { name: name() });
    }
    let label = config.name.to_ascii_uppercase();
    if Kind::is_name(label.as_bytes()) {
        return Err(RedactError::Reserved { name: name() });
    }
    if config.keyword.as_deref() == Some("") {
        return Err(RedactError::EmptyKeyword { name: name() });
    }
    let pattern = Regex::new(&config.pattern).map_err(|source| RedactError::Pattern { name: name(), source })?;
    if pattern.is_match("") {
        return Err(RedactError::EmptyMatch { name: name() });
    }
    Ok(Rule { label, pattern, keyword: config.keyword.clone(), checksum: config.checksum })
}

impl Rule {
    fn confirms(&self, value: &str) -> bool {
        match self.checksum {
            None => true,
            Some(Checksum::Luhn) => {
                checksum::digits_of(value.as_bytes()).is_some_and(|(digits, n)| digits.get(..n).is_some_and(checksum::luhn))
            }
            Some(Checksum::Iban) => {
                let chars: Vec<u8> = value.bytes().filter(u8::is_ascii_alphanumeric).take(35).collect();
                checksum::iban(&chars)
            }
        }
    }
}

/// One run over one text.
struct Search<'t, 'o> {
    text: &'t str,
    policy: &'t Policy,
    budget: usize,
    out: &'o mut Vec<Span>,
}

impl Search<'_, '_> {
    /// Matches of a rule in `from..to` that do not end before `word`.
    fn region(&mut self, index: usize, rule: &Rule, from: usize, to: usize, word: usize) -> Result<(), Exhausted> {
        let mut at = from;
        let mut reach = REACH;
        while at < to {
            let limit = ceil_char(self.text, at.saturating_add(reach)).min(to);
            self.budget = self.budget.checked_sub(limit - at).ok_or(Exhausted)?;
            let Some(seen) = self.text.get(..limit) else {
                return Err(Exhausted);
            };
            let Some(hit) = rule.pattern.find_at(seen, at) else {
                at = if limit == to { to } else { ceil_char(self.text, (limit - OVERLAP.min(reach / 2)).max(at + 1)) };
                reach = REACH;
                continue;
            };
            // A match that ends at the limit may go on behind it.
            if hit.end() == limit && limit < to {
                reach = reach.saturating_mul(2);
                continue;
            }
            reach = REACH;
            at = if hit.is_empty() { ceil_char(self.text, hit.end() + 1) } else { hit.end() };
            if !hit.is_empty() && hit.end() > word && self.wanted(rule, hit.start(), hit.end()) {
                self.out.push(Span { start: hit.start(), end: hit.end(), kind: Kind::Custom, rule: index });
            }
        }
        Ok(())
    }

    fn wanted(&self, rule: &Rule, start: usize, end: usize) -> bool {
        let Some(value) = self.text.get(start..end) else {
            return false;
        };
        !self.policy.allowed(value) && !self.touches_placeholder(start, end) && rule.confirms(value)
    }

    /// Placeholders are never redacted again, so that a second run changes nothing.
    fn touches_placeholder(&self, start: usize, end: usize) -> bool {
        let b = self.text.as_bytes();
        let from = start.saturating_sub(48);
        (from..end).filter(|&i| b.get(i) == Some(&b'[')).any(|i| placeholder_end(b, i, self.policy).is_some_and(|stop| stop > start))
    }
}
