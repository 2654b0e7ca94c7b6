//! Spans: an inference that is measured from its start to its first token and its end, also when it never ends.
//!
//! `cargo run --example span`

use lowlight_core::entry::TokensSource;
use lowlight_host::store::{Filter, Reader};
use lowlight_host::view::Views;
use lowlight_host::{Recorder, Span};
use std::error::Error;
use std::thread::sleep;
use std::time::Duration;

/// Stands for a model that streams: one word at a time.
fn generate(span: &mut Span, answer: &str) -> Vec<String> {
    let mut words = Vec::new();
    for word in answer.split(' ') {
        sleep(Duration::from_millis(2));
        span.first_token();
        words.push(word.to_owned());
    }
    words
}

fn main() -> Result<(), Box<dyn Error>> {
    let dir = tempfile::tempdir()?;
    let logs = dir.path().join("logs");
    let recorder = Recorder::builder(&logs).open()?;

    // A stream is recorded whole: a secret that spans two pieces would not be found in either.
    let mut span = recorder.span("phi-3-mini").prompt("is the door open?");
    let words = generate(&mut span, "no, it closed at nine");
    let count = words.len() as u64;
    span.finish(&words.join(" "), |usage| {
        usage.output_tokens = Some(count);
        usage.tokens_source = Some(TokensSource::Reported);
        usage.finish_reason = Some("stop");
    })?;

    // It failed: error text, status `error`.
    recorder.span("phi-3-mini").prompt("a very long prompt").fail("context window exceeded")?;

    // The caller went away: dropped without an end, it is recorded as `cancelled`.
    drop(recorder.span("phi-3-mini").prompt("never mind"));

    recorder.close(Duration::from_secs(5))?;

    let reader = Reader::open(&logs)?;
    let mut inferences = Filter::default();
    inferences.and("kind = 1", []);
    let mut statuses = Vec::new();
    for view in Views::new(reader.source(0..reader.tip().size, &inferences, true)) {
        let view = view?;
        let milliseconds = |name| view.text(name).and_then(|text| text.parse::<f64>().ok());
        let (ttft, latency) = (milliseconds("ttft_ms"), milliseconds("latency_ms"));
        let status = view.text("status").unwrap_or_default();
        println!("{status:<10} first token known: {:<5}  prompt: {}", ttft.is_some(), view.text("prompt").unwrap_or_default());
        assert!(latency.is_some());
        if status == "ok" {
            assert!(ttft > Some(0.0) && ttft < latency);
            assert_eq!(view.text("output_tokens").as_deref(), Some("5"));
        }
        statuses.push(status);
    }
    assert_eq!(statuses, ["ok", "error", "cancelled"]);
    Ok(())
}
