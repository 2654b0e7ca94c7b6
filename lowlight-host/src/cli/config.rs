//! `lowlight config show`.

use super::args::{Cli, ConfigAction, ConfigArgs};
use super::{Outcome, load_config, stdout, text};
use serde_json::Value;
use std::io::Write;

/// Every key with its default as JSON and, where it is another one, that of `record`: a pipe can wait. In the order of the
/// guide.
const KEYS: [(&str, &str, &str); 23] = [
    ("enabled", "true", ""),
    ("app", "null", ""),
    ("environment", "null", ""),
    ("estimate_tokens", "false", ""),
    ("content", "\"full\"", ""),
    ("content_cap", "1048576", ""),
    ("queue_entries", "8192", ""),
    ("queue_bytes", "8388608", ""),
    ("overflow", "\"drop_newest\"", "\"block\""),
    ("overflow_sample_one_in", "10", ""),
    ("block_ms", "100", "60000"),
    ("sample_one_in", "1", ""),
    ("batch_entries", "250", ""),
    ("batch_bytes", "262144", ""),
    ("max_loss_window_ms", "1000", ""),
    ("checkpoint_entries", "10000", ""),
    ("checkpoint_interval_s", "60", ""),
    ("verify_at_start", "\"tail\"", ""),
    ("retention", "null", ""),
    ("witness", "null", ""),
    ("copy", "null", ""),
    ("event_types", "[]", ""),
    ("redact", "{}", ""),
];

pub(super) fn run(cli: &Cli, args: &ConfigArgs) -> Outcome {
    let ConfigAction::Show = args.action;
    let loaded = load_config(cli)?;
    let values = loaded.config.values();
    let mut out = stdout();
    for (key, default, of_record) in KEYS {
        let source = loaded.source(key);
        let set = values.get(key);
        let of_record = Some(of_record).filter(|of_record| set.is_none() && !of_record.is_empty());
        let of_record: Option<Value> = of_record.map(serde_json::from_str).transpose().map_err(std::io::Error::from)?;
        let value = set.map_or_else(|| serde_json::from_str(default), |set| Ok(set.clone())).map_err(std::io::Error::from)?;
        if cli.json {
            let mut object = serde_json::json!({ "key": key, "value": value, "source": source });
            if let Some(of_record) = of_record {
                object["record"] = of_record;
            }
            writeln!(out, "{object}")?;
        } else {
            let also = of_record.map(|of_record| format!(" (record: {})", words(&of_record))).unwrap_or_default();
            writeln!(out, "{key:<24} {:<32} {}", text::safe(&(words(&value) + &also)), text::safe(source))?;
        }
    }
    out.flush()?;
    Ok(0)
}

fn words(value: &Value) -> String {
    match value {
        Value::Null => "(none)".to_owned(),
        Value::String(text) => text.clone(),
        Value::Object(table) if table.is_empty() => "every built-in rule".to_owned(),
        other => other.to_string(),
    }
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
            [retention]
            [witness]
            [copy]
            [redact]
        "#;
        let config: Config = basic_toml::from_str(all).unwrap();
        let values = config.values();
        let mut shown: Vec<_> = KEYS.iter().map(|(key, ..)| *key).collect();
        shown.sort_unstable();
        assert_eq!(values.keys().map(String::as_str).collect::<Vec<_>>(), shown);
    }
}
