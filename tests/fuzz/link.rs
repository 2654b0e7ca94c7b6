//! The link to a device: whatever comes over a line, to a host and to a device with a log and a witness.
//!
//! Input: a first byte that is even: bytes of a line. Odd: messages, `length u8 | kind u8 | payload`, which are framed here: what is behind a
//! checksum is not found by chance.
#![no_main]

use libfuzzer_sys::fuzz_target;
use lowlight_core::LogId;
use lowlight_core::frame::{HEAD, Receiver, seal, wire};
use lowlight_core::link::{Answer, Ask, Request, parse_answer};
use lowlight_embedded::sim::Sim;
use lowlight_embedded::{Blocking, FlashLog, Link, Options, Provisioning, Witness, wait};
use std::convert::Infallible;

struct Out(Vec<u8>);

impl embedded_io::ErrorType for Out {
    type Error = Infallible;
}

impl embedded_io::Write for Out {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Infallible> {
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}

fn line(bytes: &[u8]) -> Vec<u8> {
    let Some((mode, mut rest)) = bytes.split_first() else { return Vec::new() };
    if mode % 2 == 0 {
        return rest.to_vec();
    }
    let mut line = Vec::new();
    while let [length, kind, after @ ..] = rest {
        let (payload, after) = after.split_at(after.len().min((*length).into()));
        let mut buffer = [0; 512];
        buffer[HEAD..HEAD + payload.len()].copy_from_slice(payload);
        line.extend(wire(seal(&mut buffer, *kind, 1, payload.len()).expect("it fits")));
        rest = after;
    }
    line
}

/// What parses is emitted the same again.
fn host(kind: u8, payload: &[u8]) {
    if let Some(request) = Request::parse(kind, payload) {
        let mut buffer = [0; 9];
        assert_eq!(request.emit(&mut buffer), (kind, payload));
    }
    if let Some(ask) = Ask::parse(kind, payload) {
        let mut buffer = vec![0; HEAD + payload.len()];
        assert_eq!(ask.emit(&mut buffer), Some((kind, payload.len())));
        assert_eq!(&buffer[HEAD..], payload);
    }
    match Answer::parse(kind, payload) {
        Some(Answer::Status(status)) => assert_eq!(status.emit(), payload),
        Some(Answer::Entries(entries)) => assert!(entries.bodies().all(|body| !body.is_empty())),
        _ => {}
    }
    let _ = parse_answer(payload);
}

fn made(bytes: &mut [u8]) {
    bytes.fill(3);
}

fuzz_target!(|bytes: &[u8]| {
    let line = line(bytes);
    let mut receiver = Receiver::<4096>::new();
    for byte in &line {
        if receiver.push(*byte) {
            let message = receiver.message().expect("it is whole");
            host(message.kind, message.payload);
        }
    }
    let mounted = wait(FlashLog::<_, 128>::mount(Sim::<4, 512>::new(2, 1), 0..1024, Options::default(), LogId([1; 16])));
    let mut log = mounted.expect("a region");
    wait(log.append(&[&[1, 2, 3], &[4]])).expect("there is room");
    let provisioning = Provisioning { over_the_line: true, random: Some(made) };
    let mut witness = wait(Witness::mount(Sim::<4, 1024>::new(6, 1), 0..6 * 1024, provisioning)).expect("a region");
    let (mut link, mut out) = (Link::<2048>::new(), Blocking(Out(Vec::new())));
    for byte in &line {
        if link.push(*byte) {
            let Ok(is_answered) = wait(link.answer_witness(&mut witness, &mut out));
            if !is_answered {
                let Ok(()) = wait(link.answer(&mut log, &mut out));
            }
        }
    }
    // What it says is messages, and a host understands them.
    let mut receiver = Receiver::<4096>::new();
    for byte in &out.0.0 {
        if receiver.push(*byte) {
            let message = receiver.message().expect("it is whole");
            let is_understood = Answer::parse(message.kind, message.payload).is_some()
                || (Ask::is_kind(message.kind & 0x7F) && parse_answer(message.payload).is_some());
            assert!(is_understood, "kind {}", message.kind);
        }
    }
    assert_eq!((log.flash().violations, witness.into_inner().violations), (0, 0));
    assert_eq!(log.status().next, 2);
});
