//! `[retention]` in the configuration: ages and sizes as people write them, and the policy they stand for.
//!
//! 1. Rules that keep for ever come first, whatever the order they are written in.
//! 2. `max_age` and `min_age` beside the rules are the last rule, for all that no other names.

use crate::removal::{MAX_RULES, RetentionPolicy, Rule};
use lowlight_core::entry::{Kind, MAX_INTEGER, is_token};
use serde::{Deserialize, Serialize};

/// What is kept and for how long.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(missing_docs, reason = "docs/guide.md has the table of keys")]
pub struct RetentionConfig {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_age: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_age: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_entries: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_bytes: Option<Size>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_free: Option<Size>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_inodes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interval_s: Option<u64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<RuleConfig>,
}

/// One rule.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(missing_docs, reason = "docs/guide.md has the table of keys")]
pub struct RuleConfig {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_age: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_age: Option<String>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub keep: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub content_only: bool,
}

/// A number of bytes, or a text such as `2GiB`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
#[expect(missing_docs, reason = "self-explanatory")]
pub enum Size {
    Bytes(u64),
    Text(String),
}

/// Kinds that retention removes.
const KINDS: [Kind; 5] = [Kind::Inference, Kind::Audit, Kind::Log, Kind::Lifecycle, Kind::Gap];

impl RetentionConfig {
    /// The policy it stands for.
    ///
    /// # Errors
    ///
    /// What is wrong, with the key.
    pub fn policy(&self) -> Result<RetentionPolicy, String> {
        let mut rules = self.rules.iter().map(RuleConfig::rule).collect::<Result<Vec<_>, _>>()?;
        // An exemption wins over every rule; the order among the others is that of the file.
        rules.sort_by_key(|rule| rule.min_age_s != MAX_INTEGER);
        let ages = RuleConfig { max_age: self.max_age.clone(), min_age: self.min_age.clone(), ..RuleConfig::default() };
        if ages != RuleConfig::default() {
            rules.push(ages.rule()?);
        }
        if rules.len() > MAX_RULES {
            return Err(format!("rules: there are {} with that of max_age and min_age, at most {MAX_RULES} are possible", rules.len()));
        }
        let max_bytes = self.max_bytes.as_ref().map_or(Ok(0), Size::bytes).map_err(|why| format!("max_bytes: {why}"))?;
        if max_bytes != 0 && max_bytes < 1 << 20 {
            return Err(format!("max_bytes: {max_bytes} is less than 1 MiB, which an empty log nearly has"));
        }
        let max_entries = self.max_entries.unwrap_or(0);
        if max_entries != 0 && max_entries < 256 {
            return Err(format!("max_entries: {max_entries} is less than 256; entries go in blocks of 256"));
        }
        if self.min_free()? > 0 && max_bytes == 0 && max_entries == 0 {
            return Err("min_free: needs max_bytes or max_entries, for without a limit only what is old may go".to_owned());
        }
        Ok(RetentionPolicy { number: 0, max_entries, max_bytes, rules })
    }

    /// Bytes that are to stay free on the file system.
    ///
    /// # Errors
    ///
    /// What is wrong, with the key.
    pub fn min_free(&self) -> Result<u64, String> {
        self.min_free.as_ref().map_or(Ok(0), Size::bytes).map_err(|why| format!("min_free: {why}"))
    }
}

impl RuleConfig {
    fn rule(&self) -> Result<Rule, String> {
        let kind = match &self.kind {
            None => None,
            Some(name) => {
                let kind = Kind::from_name(name).filter(|kind| KINDS.contains(kind));
                Some(kind.ok_or_else(|| format!("kind: {name:?} is none of inference, audit, log, lifecycle, gap"))?.number())
            }
        };
        if let Some(status) = self.status.as_ref().filter(|status| !is_token(status, 32)) {
            return Err(format!("status: {status:?} is not a status"));
        }
        let age = |key: &str, text: &Option<String>| text.as_deref().map_or(Ok(0), seconds).map_err(|why| format!("{key}: {why}"));
        let (mut min_age_s, mut max_age_s) = (age("min_age", &self.min_age)?, age("max_age", &self.max_age)?);
        if self.keep {
            if self.max_age.is_some() || self.min_age.is_some() {
                return Err("keep: a rule that keeps for ever has no ages".to_owned());
            }
            min_age_s = MAX_INTEGER;
        }
        // "For ever" is no greatest age.
        if max_age_s == MAX_INTEGER {
            max_age_s = 0;
        }
        if max_age_s != 0 && max_age_s < min_age_s {
            return Err("max_age: is less than min_age".to_owned());
        }
        Ok(Rule { kind, status: self.status.clone(), min_age_s, max_age_s, content_only: self.content_only })
    }
}

/// An age as people write it, in seconds: `45s`, `90m`, `12h`, `30d`, `2w`, `1y` (365 days), `forever`.
pub(crate) fn seconds(text: &str) -> Result<u64, String> {
    if text == "forever" {
        return Ok(MAX_INTEGER);
    }
    let wrong = || format!("{text:?} is not an age; write 45s, 90m, 12h, 30d, 2w, 1y or forever");
    let unit = text.chars().last().ok_or_else(wrong)?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3_600,
        'd' => 86_400,
        'w' => 7 * 86_400,
        'y' => 365 * 86_400,
        _ => return Err(wrong()),
    };
    let number: u64 = text[..text.len() - 1].trim_end().parse().map_err(|_| wrong())?;
    let age = number.checked_mul(seconds).filter(|age| *age > 0 && *age < MAX_INTEGER);
    age.ok_or_else(wrong)
}

impl Size {
    /// In bytes.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn bytes(&self) -> Result<u64, String> {
        const UNITS: [(&str, u64); 8] = [
            ("KiB", 1 << 10),
            ("MiB", 1 << 20),
            ("GiB", 1 << 30),
            ("TiB", 1 << 40),
            ("kB", 1_000),
            ("MB", 1_000_000),
            ("GB", 1_000_000_000),
            ("B", 1),
        ];
        let text = match self {
            Self::Bytes(bytes) => return Ok((*bytes).min(MAX_INTEGER)),
            Self::Text(text) => text,
        };
        let wrong = || format!("{text:?} is not a size; write 500MB, 2GiB or a number of bytes");
        let (number, unit) = UNITS.iter().find_map(|(unit, bytes)| Some((text.strip_suffix(unit)?, bytes))).unwrap_or((text, &1));
        let number: u64 = number.trim_end().parse().map_err(|_| wrong())?;
        number.checked_mul(*unit).filter(|bytes| *bytes < MAX_INTEGER).ok_or_else(wrong)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(toml: &str) -> Result<RetentionPolicy, String> {
        basic_toml::from_str::<RetentionConfig>(toml).map_err(|error| error.to_string())?.policy()
    }

    #[test]
    fn ages_and_sizes_are_understood() {
        let ages = ["45s", "90m", "12h", "30d", "2w", "1y", "forever"].map(|text| seconds(text).unwrap());
        assert_eq!(ages, [45, 5_400, 43_200, 2_592_000, 1_209_600, 31_536_000, MAX_INTEGER]);
        for wrong in ["", "30", "d", "-1d", "0d", "1 month", "99999999999999999y", "1\u{b5}"] {
            assert!(seconds(wrong).is_err(), "{wrong}");
        }
        let size = |text: &str| Size::Text(text.to_owned()).bytes();
        assert_eq!(["7", "7B", "2kB", "2KiB", "3 MiB", "1GiB"].map(|text| size(text).unwrap()), [7, 7, 2_000, 2_048, 3 << 20, 1 << 30]);
        assert!(["", "GiB", "1.5GiB", "-1", "99999999999TiB"].iter().all(|text| size(text).is_err()));
    }

    #[test]
    fn exemptions_come_first_and_the_ages_beside_the_rules_last() {
        let policy = policy(
            "max_age = \"30d\"\nmin_age = \"1d\"\n[[rules]]\nkind = \"log\"\nmax_age = \"7d\"\n[[rules]]\nkind = \"audit\"\nkeep = true\n",
        )
        .unwrap();
        let kinds: Vec<_> = policy.rules.iter().map(|rule| (rule.kind, rule.min_age_s, rule.max_age_s)).collect();
        assert_eq!(kinds, [(Some(2), MAX_INTEGER, 0), (Some(3), 0, 604_800), (None, 86_400, 2_592_000)]);
    }

    #[test]
    fn what_makes_no_policy_is_said_with_its_key() {
        for (toml, key) in [
            ("max_age = \"x\"", "max_age"),
            ("min_age = \"2d\"\nmax_age = \"1d\"", "max_age"),
            ("max_bytes = \"1 PB\"", "max_bytes"),
            ("max_bytes = 1000", "max_bytes"),
            ("max_entries = 10", "max_entries"),
            ("min_free = \"1GiB\"", "min_free"),
            ("[[rules]]\nkind = \"open\"", "kind"),
            ("[[rules]]\nstatus = \"Not So\"", "status"),
            ("[[rules]]\nkeep = true\nmax_age = \"1d\"", "keep"),
            ("[[rules]]\nodd = 1", "odd"),
        ] {
            let why = policy(toml).unwrap_err();
            assert!(why.contains(key), "{toml}: {why}");
        }
        let nine = (0..9).fold(String::new(), |all, n| format!("{all}[[rules]]\nstatus = \"s{n}\"\n"));
        assert!(policy(&nine).unwrap_err().contains("at most 8"));
    }
}
