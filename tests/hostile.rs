//! Parsers of what comes from elsewhere, fed with real files that were mutated: no panic, no hang, and whatever was changed is
//! not taken for what it was.
//!
//! Seeds are fixed: a failing one is printed. `LOWLIGHT_ROUNDS` makes it longer.

use lowlight_core::note::witness::Request;
use lowlight_core::note::{Attestation, Checkpoint, Key, Note, ProofFile};
use lowlight_host::copy::{Copier, compare};
use lowlight_host::export::{self, Form, verify_export};
use lowlight_host::keys::LogKey;
use lowlight_host::prove;
use lowlight_host::store::{Layout, Reader};
use lowlight_host::verify::{Kept, Report, VerifyPolicy};
use lowlight_host::witness::{Witness, serve};
use lowlight_host::{Record, Recorder};
use lowlight_tests::scratch;
use std::path::Path;
use std::time::Duration;

struct Random(u64);

impl Random {
    fn next(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % below.max(1)
    }
}

/// Changes some bytes, lines or lengths.
fn mutate(seed: u64, original: &[u8]) -> Vec<u8> {
    let mut random = Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
    let mut bytes = original.to_vec();
    for _ in 0..=random.next(3) {
        let at = random.next(bytes.len());
        match random.next(8) {
            0 => bytes.truncate(at),
            1 if !bytes.is_empty() => bytes[at] ^= 1 << random.next(8),
            2 => bytes.insert(at, b"\n\0 +/=\"{}[]-0\xff"[random.next(14)]),
            3 if !bytes.is_empty() => drop(bytes.remove(at)),
            4 => {
                let end = (at + random.next(200)).min(bytes.len());
                let piece = bytes[at..end].to_vec();
                let to = random.next(bytes.len());
                bytes.splice(to..to, piece);
            }
            5 => {
                let end = (at + random.next(60)).min(bytes.len());
                bytes.drain(at..end);
            }
            6 => {
                let digits = [&b"18446744073709551616"[..], b"-1", b"9223372036854775807", b"0", b"00", b"1e9"][random.next(6)];
                if let Some(place) = bytes.iter().skip(at).position(u8::is_ascii_digit) {
                    bytes.splice(at + place..=at + place, digits.iter().copied());
                }
            }
            _ => {
                let line = bytes.iter().skip(at).position(|byte| *byte == b'\n').map_or(bytes.len(), |to| at + to);
                let rest = bytes.split_off(line);
                bytes.splice(0..0, rest);
            }
        }
    }
    bytes
}

fn rounds() -> u64 {
    std::env::var("LOWLIGHT_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(1)
}

/// Calls `check` with mutations of `original`, and says which seed failed.
fn hold(what: &str, count: u64, original: &[u8], check: &dyn Fn(&[u8], bool)) {
    for seed in 0..count * rounds() {
        let bytes = if seed == 0 { original.to_vec() } else { mutate(seed, original) };
        let same = bytes == original;
        let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| check(&bytes, same)));
        assert!(done.is_ok(), "{what}: seed {seed}");
    }
}

/// A log with a key, content, and something removed.
fn log(dir: &Path) -> String {
    let vkey = LogKey::create(&Layout::new(dir), "lowlight").unwrap().key().to_string();
    let policy = lowlight_host::removal::RetentionPolicy { max_entries: 300, ..Default::default() };
    let recorder = Recorder::builder(dir).retention(policy).upkeep().open().unwrap();
    for number in 0..600 {
        let _ticket = recorder.record(Record::inference("m").prompt(format!("p{number}")).actor("bob")).unwrap();
    }
    recorder.flush(Duration::from_secs(30)).unwrap();
    recorder.prune(Duration::from_secs(30)).unwrap();
    recorder.close(Duration::from_secs(30)).unwrap();
    vkey
}

fn checkpoint(dir: &Path) -> String {
    let reader = Reader::open(dir).unwrap();
    let journal = lowlight_host::checkpoints::Checkpoints::open(dir).unwrap().of(reader.log_id());
    journal.newest(u64::MAX).unwrap().unwrap().note.unwrap()
}

#[test]
fn mutated_notes_checkpoints_and_requests_are_refused_or_the_same() {
    let dir = scratch();
    let vkey = log(dir.path());
    let (note, key) = (checkpoint(dir.path()), Key::parse(&vkey).unwrap());
    let text = note.split_once("\n\n").unwrap().0.to_owned() + "\n";
    hold("note", 6_000, note.as_bytes(), &|bytes, _| {
        if let Ok(parsed) = Note::parse(bytes)
            && let Ok(Some(_)) = parsed.signature_of(&key)
        {
            assert_eq!(parsed.text, text, "what is signed was not changed");
        }
        if let Ok(all) = Kept::parse_all(bytes, &[key]) {
            assert!(all.iter().all(|kept| kept.size() > 0));
        }
        let _ = std::str::from_utf8(bytes).map(Checkpoint::parse);
        let _ = std::str::from_utf8(bytes).map(Attestation::parse);
        let _ = std::str::from_utf8(bytes).map(Key::parse);
    });
    let request = format!("old 3\n{}\n{note}", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n".repeat(5));
    hold("request", 20_000, request.as_bytes(), &|bytes, _| drop(Request::parse(bytes)));
}

#[test]
fn mutated_proofs_are_refused_or_the_same() {
    let dir = scratch();
    let vkey = log(dir.path());
    let key = [Key::parse(&vkey).unwrap()];
    let proof = prove::entry(dir.path(), 500, None, &|_| true).unwrap();
    let growth = prove::growth(dir.path(), 400, None).unwrap();
    let honest = prove::verify(&proof, &[], &key).entry;
    hold("proof", 4_000, &proof, &|bytes, _| {
        let report = prove::verify(bytes, &[], &key);
        if report.verdict == "intact" {
            assert_eq!(report.entry, honest, "{:?}", report.notes);
        }
        let _ = ProofFile::parse(bytes);
    });
    hold("growth", 2_000, &growth, &|bytes, same| {
        let report = prove::verify(bytes, &[], &key);
        assert!(same || report.verdict != "intact", "without a checkpoint nothing is proved");
    });
}

#[test]
fn mutated_policies_are_refused_or_demand_something() {
    let dir = scratch();
    let info = Witness::init(dir.path().join("w"), "w.example").unwrap().info();
    let key = LogKey::create(&Layout::new(dir.path().join("k")), "lowlight").unwrap().key().to_string();
    let text = format!(
        "origins = [\"lowlight/{}\"]\nkeys = [\"{key}\"]\nquorum = 1\nmax_age = \"1d\"\n[[witness]]\nvkey = \"{}\"\n",
        "0".repeat(32),
        info.witness
    );
    hold("policy", 20_000, text.as_bytes(), &|bytes, _| {
        let Ok(text) = std::str::from_utf8(bytes) else { return };
        if let Ok(policy) = VerifyPolicy::parse(text) {
            assert!(!policy.keys().is_empty());
            let mut report = Report { verdict: "intact", ..Report::unreadable("") };
            policy.judge(&mut report, Some(&"0".repeat(32)), Ok(&[]), 0);
            assert_eq!(report.verdict, "unreadable", "{text}");
        }
    });
}

#[test]
fn mutated_exports_are_not_intact_unless_nothing_that_counts_was_changed() {
    let dir = scratch();
    log(dir.path());
    let reader = Reader::open(dir.path()).unwrap();
    let mut text = Vec::new();
    export::write(&reader, &export::Options::default(), Form::Ndjson, &mut text, &mut |_| {}).unwrap();
    let root = verify_export(text.as_slice()).root;
    assert!(root.is_some());
    hold("export", 300, &text, &|bytes, _| {
        let report = verify_export(bytes);
        if report.verdict == "intact" {
            assert_eq!(report.root, root, "the log is the one it was");
        }
    });
}

#[test]
fn mutated_copies_and_witness_streams_do_no_harm() {
    let dir = scratch();
    let logs = dir.path().join("logs");
    let vkey = log(&logs);
    let copy = dir.path().join("copy");
    std::fs::create_dir(&copy).unwrap();
    Copier::new(&copy, false).catch_up(&Layout::new(&logs)).unwrap();
    let file = std::fs::read_dir(&copy).unwrap().flatten().next().unwrap().path();
    let text = std::fs::read(&file).unwrap();
    hold("copy", 150, &text, &|bytes, same| {
        std::fs::write(&file, bytes).unwrap();
        let mut report = Report { verdict: "intact", ..Report::unreadable("") };
        let _ = compare(&logs, &copy, &mut report);
        assert!(!same || report.verdict == "intact", "{report:?}");
    });
    let mut witness = Witness::init(dir.path().join("witness"), "w").unwrap();
    witness.trust(&vkey).unwrap();
    let request = format!("old 0\n\n{}", checkpoint(&logs));
    let origin = request.lines().nth(2).unwrap().to_owned();
    let stream = format!("info\nadd {}\n{request}latest {origin}\nattest {origin} {}\n", request.len(), "0f".repeat(32));
    let witness = std::cell::RefCell::new(witness);
    hold("stream", 400, stream.as_bytes(), &|bytes, _| {
        let mut out = Vec::new();
        let _ = serve(&mut witness.borrow_mut(), &mut &bytes[..], &mut out);
        assert!(out.len() < 64 << 10);
    });
}
