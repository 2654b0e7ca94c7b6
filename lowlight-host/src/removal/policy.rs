//! A retention policy that is kept: the core's borrows its texts.

use lowlight_core::LogId;
use lowlight_core::entry::{EntryError, Retention, RetentionRule};
use lowlight_core::{heapless, postcard};

/// Most rules of a policy.
pub const MAX_RULES: usize = 8;

/// A rule of a policy: which entries, and their ages.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rule {
    /// Only entries of this kind, as its number.
    pub kind: Option<u8>,
    /// Only inferences of this status.
    pub status: Option<String>,
    /// Never removed before this age, s.
    pub min_age_s: u64,
    /// Removed after this age, s; 0 = no limit.
    pub max_age_s: u64,
    /// Remove contents only, keep the entry.
    pub content_only: bool,
}

/// What a log keeps and for how long.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RetentionPolicy {
    /// Its number; 0 is "undeclared". Given by the log.
    pub number: u32,
    /// Most entries, 0 = no limit.
    pub max_entries: u64,
    /// Most bytes of the database, 0 = no limit.
    pub max_bytes: u64,
    /// At most [`MAX_RULES`], first match wins; those behind are ignored.
    pub rules: Vec<Rule>,
}

impl RetentionPolicy {
    /// Keeps what an entry says; undeclared is undeclared, whatever stands beside its number.
    pub fn new(policy: &Retention<'_>) -> Self {
        if policy.is_undeclared() {
            return Self::default();
        }
        let rule = |rule: &RetentionRule<'_>| Rule {
            kind: rule.kind,
            status: rule.status.map(str::to_owned),
            min_age_s: rule.min_age_s,
            max_age_s: rule.max_age_s,
            content_only: rule.content_only,
        };
        let (max_entries, max_bytes) = (policy.max_entries, policy.max_bytes);
        Self { number: policy.number, max_entries, max_bytes, rules: policy.rules.iter().map(rule).collect() }
    }

    /// As an entry says it.
    pub fn as_entry(&self) -> Retention<'_> {
        let mut rules = heapless::Vec::new();
        for Rule { kind, status, min_age_s, max_age_s, content_only } in self.rules.iter().take(MAX_RULES) {
            let (min_age_s, max_age_s) = (*min_age_s, *max_age_s);
            // There is room for as many as are taken.
            let _ = rules.push(RetentionRule { kind: *kind, status: status.as_deref(), min_age_s, max_age_s, content_only: *content_only });
        }
        Retention { number: self.number, max_entries: self.max_entries, max_bytes: self.max_bytes, rules }
    }

    /// Whether it fits an entry.
    ///
    /// # Errors
    ///
    /// The limit of the format that it breaks.
    pub fn check(&self) -> Result<(), EntryError> {
        if self.rules.len() > MAX_RULES {
            return Err(EntryError::Range("number of rules"));
        }
        self.as_entry().check()
    }

    /// Whether the two keep the same, whatever their numbers.
    pub fn keeps_the_same(&self, other: &Self) -> bool {
        Self { number: 0, ..self.clone() } == Self { number: 0, ..other.clone() }
    }

    /// Whether anything is ever removed by it.
    pub fn removes_nothing(&self) -> bool {
        self.max_entries == 0 && self.max_bytes == 0 && self.rules.iter().all(|rule| rule.max_age_s == 0)
    }

    /// What the erasure key signs when it makes a log keep less (`docs/format.md`, section 3).
    pub fn message(&self, log_id: LogId, seq: u64) -> Vec<u8> {
        let mut message = b"lowlight/policy/v1\0".to_vec();
        message.extend_from_slice(&log_id.0);
        message.extend_from_slice(&seq.to_le_bytes());
        let mut bytes = [0; lowlight_core::entry::MAX_BODY];
        // Eight rules of short texts fit; what does not is refused as an entry as well.
        message.extend_from_slice(postcard::to_slice(&self.as_entry(), &mut bytes).unwrap_or_default());
        message
    }
}
