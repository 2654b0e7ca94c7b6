//! Configuration: `lowlight.toml`, then `LOWLIGHT_*` variables; unknown keys are errors.
//!
//! 1. Each value says where it came from.
//! 2. A file that is named but not there, or not valid, stops the program before anything is recorded.

mod copy;
mod retention;
mod witness;

pub use copy::CopyConfig;
pub(crate) use retention::seconds;
pub use retention::{RetentionConfig, RuleConfig, Size};
pub use witness::WitnessConfig;

use crate::record::ContentMode;
use crate::recorder::{Builder, MAX_BATCH, MAX_QUEUE, MAX_QUEUE_BYTES, Recorder, VerifyAtStart};
use crate::redact::RedactConfig;
use lowlight_core::OverflowPolicy;
use lowlight_core::entry::{MAX_CONTENT, is_token};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Everything that can be configured. Absent means the default of [`Builder`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(missing_docs, reason = "docs/guide.md has the table of keys; each is the builder option of that name")]
pub struct Config {
    pub enabled: Option<bool>,
    pub app: Option<String>,
    pub environment: Option<String>,
    pub estimate_tokens: Option<bool>,
    pub content: Option<Content>,
    pub content_cap: Option<usize>,
    pub queue_entries: Option<usize>,
    pub queue_bytes: Option<usize>,
    pub overflow: Option<Overflow>,
    pub overflow_sample_one_in: Option<u32>,
    pub block_ms: Option<u64>,
    pub sample_one_in: Option<u32>,
    pub batch_entries: Option<usize>,
    pub batch_bytes: Option<usize>,
    pub max_loss_window_ms: Option<u64>,
    pub checkpoint_entries: Option<u64>,
    pub checkpoint_interval_s: Option<u64>,
    pub verify_at_start: Option<Verify>,
    pub retention: Option<RetentionConfig>,
    pub witness: Option<WitnessConfig>,
    pub copy: Option<CopyConfig>,
    pub event_types: Option<Vec<String>>,
    pub redact: Option<RedactConfig>,
}

/// `content` in the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "as in ContentMode")]
pub enum Content {
    Full,
    HashOnly,
    None,
}

/// `overflow` in the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "as in OverflowPolicy")]
pub enum Overflow {
    DropNewest,
    DropOldest,
    Sample,
    Block,
}

/// `verify_at_start` in the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "as in VerifyAtStart")]
pub enum Verify {
    Tail,
    Full,
    Off,
}

/// Why a configuration was not accepted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file could not be read.
    #[error("configuration {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is not valid.
    #[error("configuration {path}: {why}; `lowlight config show` lists the keys")]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong, with its line.
        why: String,
    },
    /// A value is outside its range.
    #[error("{origin}: {key} is {value}, but must be {range}")]
    Range {
        /// The key.
        key: &'static str,
        /// What it was set to.
        value: String,
        /// What it may be.
        range: &'static str,
        /// Where it was set.
        origin: String,
    },
    /// The retention is none that can be kept.
    #[error("{origin}: retention: {why}")]
    Retention {
        /// What is wrong, with its key.
        why: String,
        /// Where it was set.
        origin: String,
    },
    /// The witness cannot be asked.
    #[error("{origin}: witness: {why}")]
    Witness {
        /// What is wrong, with its key.
        why: String,
        /// Where it was set.
        origin: String,
    },
    /// The copy cannot be made there.
    #[error("{origin}: copy: {why}")]
    Copy {
        /// What is wrong, with its key.
        why: String,
        /// Where it was set.
        origin: String,
    },
    /// A variable is not valid.
    #[error("variable {name}: {why}; unset it or correct it")]
    Variable {
        /// Its name.
        name: String,
        /// What is wrong.
        why: String,
    },
}

/// A configuration with the source of each key.
#[derive(Debug, Clone, Default)]
pub struct Loaded {
    /// The values.
    pub config: Config,
    /// Key and where it came from, for keys that are set.
    pub sources: Vec<(String, String)>,
}

/// Variables that are read elsewhere.
const OTHER_VARIABLES: [&str; 2] = ["LOWLIGHT_PATH", "LOWLIGHT_CONFIG"];

impl Loaded {
    /// Reads the configuration: `file` if given, else `./lowlight.toml`, else the system's configuration folder; then
    /// `variables`.
    pub fn read(file: Option<&Path>, variables: impl IntoIterator<Item = (String, String)>) -> Result<Self, ConfigError> {
        let found = match file {
            Some(file) => Some(file.to_path_buf()),
            None => default_files().into_iter().find(|path| path.exists()),
        };
        let mut loaded = Self::default();
        if let Some(path) = found {
            let text = std::fs::read_to_string(&path).map_err(|source| ConfigError::Read { path: path.clone(), source })?;
            loaded.merge_file(&path, &text)?;
        }
        for (name, value) in variables {
            if let Some(key) = name.strip_prefix("LOWLIGHT_").filter(|_| !OTHER_VARIABLES.contains(&name.as_str())) {
                loaded.merge_variable(&name, &key.to_ascii_lowercase(), &value)?;
            }
        }
        loaded.check()?;
        Ok(loaded)
    }

    /// Refuses values that could only be taken for others.
    fn check(&self) -> Result<(), ConfigError> {
        let it = &self.config;
        let size = |value: Option<usize>| value.map(|value| value as u64);
        let one = |value: Option<u32>| value.map(u64::from);
        let numbers = [
            ("queue_entries", size(it.queue_entries), 1, MAX_QUEUE as u64, "1 to 16384"),
            ("queue_bytes", size(it.queue_bytes), 1024, MAX_QUEUE_BYTES as u64, "1024 to 1073741824 (1 GiB)"),
            ("batch_entries", size(it.batch_entries), 1, MAX_BATCH as u64, "1 to 1000"),
            ("batch_bytes", size(it.batch_bytes), 1, u64::MAX, "1 or more"),
            ("checkpoint_entries", it.checkpoint_entries, 1, u64::MAX, "1 or more"),
            ("checkpoint_interval_s", it.checkpoint_interval_s, 1, u64::MAX, "1 or more"),
            ("content_cap", size(it.content_cap), 8 << 10, MAX_CONTENT as u64, "8192 to 16777216"),
            ("sample_one_in", one(it.sample_one_in), 1, u64::MAX, "1 or more"),
            ("overflow_sample_one_in", one(it.overflow_sample_one_in), 1, u64::MAX, "1 or more"),
        ];
        let wrong = |key, value: String, range| {
            let origin = self.source(key).to_owned();
            Err(ConfigError::Range { key, value, range, origin })
        };
        for (key, value, least, most, range) in numbers {
            if let Some(value) = value.filter(|value| !(least..=most).contains(value)) {
                return wrong(key, value.to_string(), range);
            }
        }
        if let Some(Err(why)) = it.retention.as_ref().map(RetentionConfig::policy) {
            return Err(ConfigError::Retention { why, origin: self.source("retention").to_owned() });
        }
        if let Some(Err(why)) = it.witness.as_ref().map(WitnessConfig::options) {
            return Err(ConfigError::Witness { why, origin: self.source("witness").to_owned() });
        }
        if let Some(Err(why)) = it.copy.as_ref().map(CopyConfig::options) {
            return Err(ConfigError::Copy { why, origin: self.source("copy").to_owned() });
        }
        let foreign = it.event_types.iter().flatten().find(|name| !is_token(name, 64));
        foreign.map_or(Ok(()), |name| wrong("event_types", format!("{name:?}"), "names of 1 to 64 of a-z 0-9 _ . -"))
    }

    fn merge_file(&mut self, path: &Path, text: &str) -> Result<(), ConfigError> {
        let wrong = |error: basic_toml::Error| ConfigError::File { path: path.to_path_buf(), why: error.to_string() };
        self.config = basic_toml::from_str(text).map_err(wrong)?;
        let table: serde_json::Map<String, serde_json::Value> = basic_toml::from_str(text).map_err(wrong)?;
        self.sources = table.keys().map(|key| (key.clone(), path.display().to_string())).collect();
        Ok(())
    }

    fn merge_variable(&mut self, name: &str, key: &str, value: &str) -> Result<(), ConfigError> {
        let wrong = |why: String| ConfigError::Variable { name: name.to_owned(), why };
        // A value is TOML where it can be (numbers, true, lists) and a plain word otherwise.
        let value = match (key, value) {
            ("enabled", "0") => "false".to_owned(),
            ("enabled", "1") => "true".to_owned(),
            _ => value.to_owned(),
        };
        // A JSON string is a TOML basic string.
        let quoted = format!("{key} = {}", serde_json::Value::from(value.as_str()));
        let parsed = basic_toml::from_str::<Config>(&format!("{key} = {value}")).or_else(|_| basic_toml::from_str::<Config>(&quoted));
        let single = parsed.map_err(|error| wrong(error.to_string()))?;
        let mut all = self.config.values();
        all.extend(single.values());
        self.config = serde_json::from_value(all.into()).map_err(|error| wrong(error.to_string()))?;
        self.sources.retain(|(known, _)| known != key);
        self.sources.push((key.to_owned(), format!("variable {name}")));
        Ok(())
    }

    /// Where a key came from.
    pub fn source(&self, key: &str) -> &str {
        self.sources.iter().find(|(known, _)| known == key).map_or("default", |(_, source)| source)
    }
}

fn default_files() -> Vec<PathBuf> {
    let home = std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".config"));
    let user = std::env::var_os("XDG_CONFIG_HOME").map(PathBuf::from).or(home);
    let mut files = vec![PathBuf::from("lowlight.toml")];
    files.extend(user.map(|folder| folder.join("lowlight/lowlight.toml")));
    files.push(PathBuf::from("/etc/lowlight/lowlight.toml"));
    files
}

impl Config {
    /// The keys that are set, with their values.
    pub fn values(&self) -> serde_json::Map<String, serde_json::Value> {
        match serde_json::to_value(self) {
            Ok(serde_json::Value::Object(mut values)) => {
                values.retain(|_, value| !value.is_null());
                values
            }
            // A struct of plain values is an object.
            _ => serde_json::Map::new(),
        }
    }

    /// Whether recording is on at all.
    pub fn is_enabled(&self) -> bool {
        self.enabled.unwrap_or(true)
    }

    /// The redaction part, defaults filled in.
    pub fn redaction(&self) -> RedactConfig {
        self.redact.clone().unwrap_or_default()
    }

    /// A builder for a log in `path` with these options.
    pub fn builder(&self, path: &Path) -> Builder {
        let mut builder = Recorder::builder(path).redact(self.redaction());
        let defaults = builder.queue_bounds();
        builder = builder.queue(self.queue_entries.unwrap_or(defaults.0), self.queue_bytes.unwrap_or(defaults.1));
        let batch = builder.batch_bounds();
        builder = builder.batch(self.batch_entries.unwrap_or(batch.0), self.batch_bytes.unwrap_or(batch.1));
        if let Some(app) = &self.app {
            builder = builder.app(app.as_str());
        }
        if let Some(environment) = &self.environment {
            builder = builder.environment(environment.as_str());
        }
        if let Some(estimate) = self.estimate_tokens {
            builder = builder.estimate_tokens(estimate);
        }
        if let Some(content) = self.content {
            builder = builder.content(match content {
                Content::Full => ContentMode::Full,
                Content::HashOnly => ContentMode::HashOnly,
                Content::None => ContentMode::None,
            });
        }
        if let Some(cap) = self.content_cap {
            builder = builder.content_cap(cap);
        }
        if let Some(overflow) = self.overflow {
            builder = builder.overflow(match overflow {
                Overflow::DropNewest => OverflowPolicy::DropNewest,
                Overflow::DropOldest => OverflowPolicy::DropOldest,
                Overflow::Sample => OverflowPolicy::Sample { one_in: self.overflow_sample_one_in.unwrap_or(10) },
                Overflow::Block => OverflowPolicy::Block,
            });
        }
        if let Some(milliseconds) = self.block_ms {
            builder = builder.block_for(Duration::from_millis(milliseconds));
        }
        if let Some(one_in) = self.sample_one_in {
            builder = builder.sample(one_in);
        }
        if let Some(milliseconds) = self.max_loss_window_ms {
            builder = builder.max_loss_window(Duration::from_millis(milliseconds));
        }
        let (entries, interval) = builder.checkpoint_bounds();
        let interval = self.checkpoint_interval_s.map_or(interval, Duration::from_secs);
        builder = builder.checkpoints(self.checkpoint_entries.unwrap_or(entries), interval);
        // Checked when it was read.
        if let Some(retention) = &self.retention
            && let (Ok(policy), Ok(min_free)) = (retention.policy(), retention.min_free())
        {
            builder = builder.retention(policy).min_free(min_free).min_inodes(retention.min_inodes.unwrap_or(0));
            if let Some(seconds) = retention.interval_s {
                builder = builder.retention_interval(Duration::from_secs(seconds.max(1)));
            }
        }
        if let Some(Ok(options)) = self.witness.as_ref().map(WitnessConfig::options) {
            builder = builder.witness(options);
        }
        if let Some(Ok(options)) = self.copy.as_ref().map(CopyConfig::options) {
            builder = builder.copy(options);
        }
        if let Some(verify) = self.verify_at_start {
            builder = builder.verify_at_start(match verify {
                Verify::Tail => VerifyAtStart::Tail,
                Verify::Full => VerifyAtStart::Full,
                Verify::Off => VerifyAtStart::Off,
            });
        }
        builder
    }
}
