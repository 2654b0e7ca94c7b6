//! An inference that is under way: start, mark the first token, finish.

use super::{Recorder, Ticket};
use crate::record::{Record, RecordError, nanoseconds};
use lowlight_core::entry::Inference;
use std::time::Instant;

/// Measures one inference. Dropped without being finished it is recorded as `cancelled`.
///
/// ```
/// # use lowlight_host::Recorder;
/// # let dir = tempfile::tempdir()?;
/// # let recorder = Recorder::builder(dir.path().join("logs")).open()?;
/// let mut span = recorder.span("phi-3-mini").prompt("is the door open?");
/// span.first_token();
/// span.finish("no", |usage| usage.output_tokens = Some(1))?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Span {
    recorder: Recorder,
    model: String,
    prompt: Option<String>,
    started: Instant,
    first_token_ns: Option<u64>,
    finished: bool,
}

impl Span {
    pub(super) fn new(recorder: Recorder, model: &str) -> Self {
        let model = model.to_owned();
        Self { recorder, model, prompt: None, started: Instant::now(), first_token_ns: None, finished: false }
    }

    /// Sets the prompt.
    #[must_use]
    pub fn prompt(mut self, text: impl Into<String>) -> Self {
        self.prompt = Some(text.into());
        self
    }

    /// Marks the first token; later calls change nothing.
    pub fn first_token(&mut self) {
        let elapsed = self.elapsed();
        self.first_token_ns.get_or_insert(elapsed);
    }

    /// Records the inference with its response; `usage` may set tokens, cost and the rest.
    ///
    /// # Errors
    ///
    /// What `usage` set breaks the format's limits.
    pub fn finish(mut self, response: &str, usage: impl FnOnce(&mut Inference<'_>)) -> Result<Ticket, RecordError> {
        self.finished = true;
        self.recorder.record(self.record().response(response).with(usage))
    }

    /// Records the inference as failed.
    ///
    /// # Errors
    ///
    /// The model's name is empty.
    pub fn fail(mut self, error: &str) -> Result<Ticket, RecordError> {
        self.finished = true;
        self.recorder.record(self.record().error(error))
    }

    fn elapsed(&self) -> u64 {
        nanoseconds(self.started.elapsed())
    }

    fn record(&self) -> Record<'_> {
        let (duration, ttft) = (self.elapsed(), self.first_token_ns);
        let record = Record::inference(&self.model).with(|inference| {
            inference.duration_ns = Some(duration);
            inference.ttft_ns = ttft;
        });
        match &self.prompt {
            Some(prompt) => record.prompt(prompt.as_str()),
            None => record,
        }
    }
}

impl Drop for Span {
    fn drop(&mut self) {
        if !self.finished {
            let record = self.record().with(|inference| inference.status = "cancelled");
            // Only an empty model name is refused here, and there is nobody to tell.
            let _ = self.recorder.record(record);
        }
    }
}
