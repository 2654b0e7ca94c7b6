//! Storage of one's own: a sink in memory, fed by the core's batches and checked by the core's verifier.
//!
//! `cargo run --example custom_sink`

use lowlight_core::entry::{Clock, Open, Retention, Role, SlotState};
use lowlight_core::sink::{Content, Sealed};
use lowlight_core::source::{Item, Start, Tip};
use lowlight_core::{Batch, Digest, Draft, EntrySource, Event, FieldId, Frontier, Head, LogId, Salt, Sink, verify};
use lowlight_host::record::{Parts, Preparation};
use lowlight_host::{ContentMode, Record};
use std::convert::Infallible;
use std::error::Error;

/// An entry as this sink keeps it: body, leaf, and the openings of its contents.
struct Row(Vec<u8>, Digest, Vec<(FieldId, [u8; 16], String)>);

/// Entries in memory; what is appended shows only after `commit`.
struct Memory {
    head: Head,
    rows: Vec<Row>,
    pending: Vec<Row>,
}

impl Sink for Memory {
    type Error = Infallible;
    fn begin(&mut self) -> Result<Head, Infallible> {
        Ok(self.head.clone())
    }
    fn append(&mut self, sealed: &Sealed<'_>) -> Result<(), Infallible> {
        let openings = sealed.contents.iter().map(|content| (content.field, content.salt.0, content.value.to_owned()));
        self.pending.push(Row(sealed.body.to_vec(), sealed.leaf, openings.collect()));
        Ok(())
    }
    fn commit(&mut self, head: &Head) -> Result<(), Infallible> {
        self.rows.append(&mut self.pending);
        self.head = head.clone();
        Ok(())
    }
    fn rollback(&mut self) {
        self.pending.clear();
    }
}

/// Each entry, then its contents.
struct Rows<'m>(std::vec::IntoIter<Item<'m>>);

impl EntrySource for Rows<'_> {
    type Error = Infallible;
    fn next(&mut self) -> Result<Option<Item<'_>>, Infallible> {
        Ok(self.0.next())
    }
}

type Found = Vec<(Option<u64>, &'static str)>;

/// Verifies what is in memory.
fn problems(log_id: LogId, memory: &Memory) -> Result<Found, Box<dyn Error>> {
    let mut items = Vec::new();
    for (seq, Row(body, leaf, openings)) in (0..).zip(&memory.rows) {
        items.push(Item::Entry { seq, body, leaf: *leaf, facts: None });
        let content = |(field, salt, value)| Item::Content { seq, field, salt: Some(salt), value };
        items.extend(openings.iter().map(|(field, salt, value)| content((*field, *salt, Some(value.as_bytes())))));
    }
    let (size, head) = (memory.head.size(), memory.head.leaf);
    let tip = Tip { size, head, hashes: memory.head.frontier.hashes().copied().collect(), last_seq: size - 1 };
    let start = Start { log_id, first: 0, prev: None, frontier: Frontier::new(), tip: Some(tip), end: None };
    let verdict = verify::verify::<_, 8>(&mut Rows(items.into_iter()), start).map_err(|(never, _)| never)?;
    Ok(verdict.problems.kept().iter().map(|problem| (problem.seq, problem.kind.name())).collect())
}

fn main() -> Result<(), Box<dyn Error>> {
    let log_id = LogId(*b"sixteen bytes id");
    let mut memory = Memory { head: Head::genesis(&log_id), rows: Vec::new(), pending: Vec::new() };
    // Times and salts are arguments: the core has neither clock nor randomness.
    let (mode, clock) = (ContentMode::Full, Clock::Unset);
    let with = Preparation {
        redactor: None,
        mode,
        content_cap: 8192,
        app: None,
        environment: None,
        estimate_tokens: false,
        recorded: 1,
        monotonic: 1,
        clock,
    };
    let prepared = Record::inference("phi-3-mini").prepare(&with)?;
    let [head, texts] = prepared.bytes();
    let Parts { header, event, .. } = Parts::new(head, texts).ok_or("not encoded")?;
    let prompt = Content { field: FieldId::PROMPT, value: "is it on?", salt: Salt([7; 16]), state: SlotState::Kept, cut_from: None };

    let mut batch = Batch::begin(&mut memory)?;
    let policy = Retention::default();
    let open = Open { log_id, role: Role::Host, true_random: false, policy, vkey: None, erasure_vkey: None, predecessor: None };
    batch.append(Draft { header: header.clone(), event: Event::Open(open), contents: &[] })?;
    batch.append(Draft { header: header.clone(), event: event.clone(), contents: &[prompt] })?;
    let head = batch.commit()?;
    println!("{} entries, root {}", head.size(), head.frontier.root());

    // A batch that is dropped never happened.
    Batch::begin(&mut memory)?.append(Draft { header, event, contents: &[] })?;
    assert_eq!((memory.rows.len(), problems(log_id, &memory)?), (2, vec![]));
    println!("intact");
    "is it off?".clone_into(&mut memory.rows[1].2[0].2);
    println!("after a change: {:?}", problems(log_id, &memory)?);
    assert_eq!(problems(log_id, &memory)?, [(Some(1), "content_mismatch")]);
    Ok(())
}
