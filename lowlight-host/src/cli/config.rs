//! `lowlight config show`.

use super::args::{Cli, ConfigAction, ConfigArgs};
use super::{Outcome, load_config, stdout, text};
use std::io::Write;

/// Every key with its default as JSON and, where that does not say it all, in words; in the order of the guide.
const KEYS: [(&str, &str, &str); 20] = [
    ("enabled", "true", ""),
    ("app", "null", "(none)"),
    ("environment", "null", "(none)"),
    ("estimate_tokens", "false", ""),
    ("content", "\"full\"", ""),
    ("content_cap", "1048576", ""),
    ("queue_entries", "8192", ""),
    ("queue_bytes", "8388608", ""),
    ("overflow", "\"drop_newest\"", "drop_newest (record: block)"),
    ("overflow_sample_one_in", "10", ""),
    ("block_ms", "100", "100 (record: 60000)"),
    ("sample_one_in", "1", ""),
    ("batch_entries", "250", ""),
    ("batch_bytes", "262144", ""),
    ("max_loss_window_ms", "1000", ""),
    ("checkpoint_entries", "10000", ""),
    ("checkpoint_interval_s", "60", ""),
    ("verify_at_start", "\"tail\"", ""),
    ("event_types", "[]", ""),
    ("redact", "{}", "every built-in rule"),
];

/// Defaults of `record` where they are others: a pipe can wait.
const RECORD: [(&str, &str); 2] = [("overflow", "\"block\""), ("block_ms", "60000")];

pub(super) fn run(cli: &Cli, args: &ConfigArgs) -> Outcome {
    let ConfigAction::Show = args.action;
    let loaded = load_config(cli)?;
    let values = loaded.config.values();
    let mut out = stdout();
    for (key, default, words) in KEYS {
        let source = loaded.source(key);
        let default: serde_json::Value = serde_json::from_str(default).map_err(std::io::Error::from)?;
        if cli.json {
            let mut object = serde_json::json!({ "key": key, "value": values.get(key).unwrap_or(&default), "source": source });
            let of_record = RECORD.iter().find(|(of, _)| *of == key && !values.contains_key(key));
            if let (Some((_, value)), Some(object)) = (of_record, object.as_object_mut()) {
                object.insert("record".to_owned(), serde_json::from_str(value).map_err(std::io::Error::from)?);
            }
            writeln!(out, "{object}")?;
        } else {
            let plain = |value: &serde_json::Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            let value = match values.get(key) {
                None if !words.is_empty() => words.to_owned(),
                value => plain(value.unwrap_or(&default)),
            };
            writeln!(out, "{key:<24} {:<32} {}", text::safe(&value), text::safe(source))?;
        }
    }
    out.flush()?;
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    #[test]
    fn every_key_is_shown() {
        let all = r#"
            enabled = true
            app = "a"
            environment = "e"
            estimate_tokens = true
            content = "full"
            content_cap = 1
            queue_entries = 1
            queue_bytes = 1
            overflow = "sample"
            overflow_sample_one_in = 1
            block_ms = 1
            sample_one_in = 1
            batch_entries = 1
            batch_bytes = 1
            max_loss_window_ms = 1
            checkpoint_entries = 1
            checkpoint_interval_s = 1
            verify_at_start = "off"
            event_types = []
            [redact]
        "#;
        let config: Config = basic_toml::from_str(all).unwrap();
        let values = config.values();
        let mut shown: Vec<_> = KEYS.iter().map(|(key, ..)| *key).collect();
        shown.sort_unstable();
        assert_eq!(values.keys().map(String::as_str).collect::<Vec<_>>(), shown);
    }
}
