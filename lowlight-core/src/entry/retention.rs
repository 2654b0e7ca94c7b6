//! Retention policies: what may be removed, when, and which of two policies keeps less (`docs/format.md`, section 13.2).
//!
//! ```text
//! rules, first match wins:   kind? status? -> min_age, max_age, content only        no match: no ages
//! ```
//!
//! 1. Whoever removes and whoever verifies decide by the same function, [`Retention::allows`].
//! 2. Without a limit and without an age that is reached nothing is allowed.

use super::{Clock, EntryError, Kind, MAX_INTEGER, range, token};
use serde::{Deserialize, Serialize};

/// A retention policy.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Retention<'a> {
    /// Number of the policy; 0 is "undeclared".
    pub number: u32,
    /// Most entries, 0 = no limit.
    pub max_entries: u64,
    /// Most bytes on disk, 0 = no limit.
    pub max_bytes: u64,
    /// Rules, first match wins.
    #[serde(borrow)]
    pub rules: heapless::Vec<RetentionRule<'a>, 8>,
}

/// One retention rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct RetentionRule<'a> {
    /// Only entries of this kind.
    pub kind: Option<u8>,
    /// Only inferences of this status.
    #[serde(borrow)]
    pub status: Option<&'a str>,
    /// Never removed before this age, s.
    pub min_age_s: u64,
    /// Removed after this age, s; 0 = no limit.
    pub max_age_s: u64,
    /// Remove contents only, keep the entry.
    pub content_only: bool,
}

impl RetentionRule<'_> {
    fn matches(&self, kind: u8, status: Option<&str>) -> bool {
        self.kind.is_none_or(|own| own == kind) && self.status.is_none_or(|own| Some(own) == status)
    }
}

/// What a policy asks about an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Facts<'a> {
    /// Its kind.
    pub kind: Kind,
    /// Its status, if it is an inference.
    pub status: Option<&'a str>,
    /// When it was accepted, ns since 1970-01-01T00:00:00Z.
    pub recorded: i64,
    /// How far that time can be trusted.
    pub clock: Clock,
}

impl Facts<'_> {
    /// Its age at a time, s: 0 where either clock was unset or the time is before it.
    ///
    /// ```
    /// use lowlight_core::entry::{Clock, Facts, Kind};
    /// let facts = Facts { kind: Kind::Log, status: None, recorded: 0, clock: Clock::Rtc };
    /// assert_eq!(facts.age_s(2_500_000_000, Clock::Rtc), 2);
    /// assert_eq!(facts.age_s(2_500_000_000, Clock::Unset), 0);
    /// ```
    pub fn age_s(&self, now: i64, clock: Clock) -> u64 {
        if self.clock == Clock::Unset || clock == Clock::Unset {
            return 0;
        }
        let age = i128::from(now) - i128::from(self.recorded);
        u64::try_from(age / 1_000_000_000).unwrap_or(0)
    }
}

impl<'a> Retention<'a> {
    /// Checks the limits of the format.
    ///
    /// # Errors
    ///
    /// The first that is broken.
    pub fn check(&self) -> Result<(), EntryError> {
        range("max_entries", self.max_entries, MAX_INTEGER)?;
        range("max_bytes", self.max_bytes, MAX_INTEGER)?;
        self.rules.iter().try_for_each(|rule| {
            range("min_age_s", rule.min_age_s, MAX_INTEGER)?;
            range("max_age_s", rule.max_age_s, MAX_INTEGER)?;
            rule.status.map_or(Ok(()), |status| token("status", status, 32))
        })
    }

    /// The rule for entries of that kind and status.
    pub fn rule(&self, kind: u8, status: Option<&str>) -> RetentionRule<'a> {
        self.rules.iter().find(|rule| rule.matches(kind, status)).copied().unwrap_or_default()
    }

    /// Whether content of an entry of `age_s` seconds may be removed.
    pub fn allows(&self, facts: &Facts<'_>, age_s: u64) -> bool {
        self.lets_go(&self.rule(facts.kind.number(), facts.status), age_s)
    }

    /// Whether the whole entry may be.
    pub fn allows_whole(&self, facts: &Facts<'_>, age_s: u64) -> bool {
        self.allows(facts, age_s) && !self.rule(facts.kind.number(), facts.status).content_only
    }

    /// Whether nothing of that age may be removed at all; `whole` says what is meant by removed.
    pub fn keeps_all(&self, age_s: u64, whole: bool) -> bool {
        let rest = RetentionRule::default();
        let has_last = self.rules.iter().any(|rule| rule.kind.is_none() && rule.status.is_none());
        !self.rules.iter().chain((!has_last).then_some(&rest)).any(|rule| self.lets_go(rule, age_s) && !(whole && rule.content_only))
    }

    fn lets_go(&self, rule: &RetentionRule<'_>, age_s: u64) -> bool {
        let is_old = rule.max_age_s != 0 && age_s >= rule.max_age_s;
        age_s >= rule.min_age_s && (is_old || self.max_entries != 0 || self.max_bytes != 0)
    }

    /// Whether nothing was declared.
    pub fn is_undeclared(&self) -> bool {
        self.number == 0
    }

    /// Whether this policy keeps less than `other` for some entry.
    ///
    /// ```
    /// use lowlight_core::entry::Retention;
    /// let (more, less) = (Retention { max_entries: 20, ..Retention::default() }, Retention { max_entries: 10, ..Retention::default() });
    /// assert!(less.keeps_less_than(&more) && !more.keeps_less_than(&less) && less.keeps_less_than(&Retention::default()));
    /// ```
    pub fn keeps_less_than(&self, other: &Retention<'_>) -> bool {
        // A limit of 0 is none.
        let lower = |this: u64, other: u64| this != 0 && (other == 0 || this < other);
        if lower(self.max_entries, other.max_entries) || lower(self.max_bytes, other.max_bytes) {
            return true;
        }
        let statuses = || self.rules.iter().filter_map(|rule| rule.status).chain(other.rules.iter().filter_map(|rule| rule.status));
        let less = |kind: u8, status: Option<&str>| {
            let (this, other) = (self.rule(kind, status), other.rule(kind, status));
            this.min_age_s < other.min_age_s || lower(this.max_age_s, other.max_age_s) || (other.content_only && !this.content_only)
        };
        // No rule can name the status "": it stands for those that no rule names.
        let inference = Kind::Inference.number();
        (0..=9).any(|kind| kind != inference && less(kind, None)) || statuses().chain([""]).any(|status| less(inference, Some(status)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy<'a>(rules: &[RetentionRule<'a>]) -> Retention<'a> {
        Retention { rules: heapless::Vec::from_slice(rules).unwrap(), ..Retention::default() }
    }

    #[test]
    fn the_first_rule_that_matches_wins() {
        let errors = RetentionRule { kind: Some(1), status: Some("error"), min_age_s: 90, ..RetentionRule::default() };
        let all = RetentionRule { max_age_s: 30, ..RetentionRule::default() };
        let policy = policy(&[errors, all]);
        assert_eq!(policy.rule(1, Some("error")), errors);
        assert_eq!(policy.rule(1, Some("ok")), all);
        assert_eq!(policy.rule(3, None), all);
        let facts = |status| Facts { kind: Kind::Inference, status: Some(status), recorded: 0, clock: Clock::Rtc };
        assert!(policy.allows(&facts("ok"), 30) && !policy.allows(&facts("ok"), 29));
        assert!(!policy.allows(&facts("error"), 1_000_000), "no age limit and no other limit");
    }

    #[test]
    fn a_limit_allows_what_is_over_its_minimum_age() {
        let rule = RetentionRule { min_age_s: 10, ..RetentionRule::default() };
        let facts = Facts { kind: Kind::Log, status: None, recorded: 0, clock: Clock::Rtc };
        let limited = Retention { max_bytes: 1, ..policy(&[rule]) };
        assert!(limited.allows(&facts, 10) && !limited.allows(&facts, 9) && !policy(&[rule]).allows(&facts, 10));
    }

    #[test]
    fn keeping_less_is_seen_for_every_kind_and_status() {
        let audit = RetentionRule { kind: Some(2), min_age_s: 5, max_age_s: 50, content_only: true, status: None };
        let base = policy(&[audit]);
        let with = |change: fn(&mut RetentionRule<'_>)| {
            let mut rule = audit;
            change(&mut rule);
            policy(&[rule])
        };
        assert!(!base.keeps_less_than(&base));
        assert!(with(|rule| rule.min_age_s = 4).keeps_less_than(&base) && !base.keeps_less_than(&with(|rule| rule.min_age_s = 4)));
        assert!(with(|rule| rule.max_age_s = 49).keeps_less_than(&base));
        assert!(base.keeps_less_than(&with(|rule| rule.max_age_s = 0)) && !with(|rule| rule.max_age_s = 0).keeps_less_than(&base));
        assert!(with(|rule| rule.content_only = false).keeps_less_than(&base));
        // A rule in front that takes one status away from the rule behind it.
        let odd = RetentionRule { kind: Some(1), status: Some("odd"), max_age_s: 9, ..RetentionRule::default() };
        assert!(policy(&[odd, audit]).keeps_less_than(&base) && !base.keeps_less_than(&policy(&[odd, audit])));
        assert!(policy(&[]).keeps_less_than(&base) && base.keeps_less_than(&policy(&[])), "each keeps less of something");
    }

    #[test]
    fn ages_do_not_overflow() {
        let facts = Facts { kind: Kind::Log, status: None, recorded: i64::MIN, clock: Clock::Rtc };
        assert_eq!(facts.age_s(i64::MAX, Clock::Rtc), 18_446_744_073);
        assert_eq!(Facts { recorded: 5, ..facts }.age_s(-5, Clock::Rtc), 0);
    }
}
