//! Proofs of entries of a real log: every kind of place in the tree, and every bit of a proof file.

use crate::seen::LONG;
use lowlight_core::note::Key;
use lowlight_host::keys::LogKey;
use lowlight_host::store::Layout;
use lowlight_host::{Record, Recorder, prove};
use lowlight_tests::{db, fill, scratch};

/// A signed log of `count` records, and its vkey.
fn signed(dir: &std::path::Path, count: u64) -> String {
    let vkey = LogKey::create(&Layout::new(dir), "k").unwrap().key().to_string();
    fill(dir, count);
    vkey
}

#[test]
fn an_entry_is_proved_wherever_it_stands_in_the_tree() {
    let dir = scratch();
    let vkey = signed(dir.path(), 800);
    let keys = [Key::parse(&vkey).unwrap()];
    for seq in [0, 1, 2, 3, 127, 128, 255, 256, 257, 511, 512, 767, 768, 800, 803] {
        let proof = prove::entry(dir.path(), seq, None, &|_| true).unwrap();
        let report = prove::verify(&proof, &[], &keys);
        assert_eq!((report.verdict, report.first_seq, report.level), ("intact", Some(seq), "checkpoint"), "{report:?}");
    }
    assert!(prove::entry(dir.path(), 804, None, &|_| true).is_err());
    for old in [1, 2, 3, 255, 256, 257, 600, 803] {
        let proof = prove::growth(dir.path(), old, None).unwrap();
        assert!(proof.starts_with(format!("old {old}\n").as_bytes()));
    }
}

#[test]
fn every_bit_of_a_proof_counts() {
    let dir = scratch();
    let vkey = signed(dir.path(), 20);
    let keys = [Key::parse(&vkey).unwrap()];
    let proof = prove::entry(dir.path(), 11, None, &|_| true).unwrap();
    assert_eq!(prove::verify(&proof, &[], &keys).verdict, "intact");
    for place in 0..proof.len() {
        for bit in 0..8 {
            let mut bent = proof.clone();
            bent[place] ^= 1 << bit;
            let report = prove::verify(&bent, &[], &keys);
            assert_ne!(report.verdict, "intact", "byte {place}, bit {bit}");
            assert!(report.entry.is_none(), "what is not proved is not shown: byte {place}, bit {bit}");
        }
        assert_ne!(prove::verify(&proof[..place], &[], &keys).verdict, "intact", "cut at {place}");
    }
}

#[test]
fn a_hidden_field_and_its_salt_are_not_in_the_proof() {
    let dir = scratch();
    LogKey::create(&Layout::new(dir.path()), "k").unwrap();
    let recorder = Recorder::builder(dir.path()).open().unwrap();
    recorder.record(Record::inference("m").prompt("shown words").response("secret words")).unwrap();
    recorder.close(LONG).unwrap();
    let database = db(dir.path());
    let (seq, salt): (i64, Vec<u8>) = database
        .query_row("SELECT id / 64, salt FROM content WHERE value = 'secret words'", [], |row| Ok((row.get(0)?, row.get(1)?)))
        .unwrap();
    let seq = u64::try_from(seq).unwrap();
    let file = prove::entry(dir.path(), seq, None, &|field| field == lowlight_core::FieldId::PROMPT).unwrap();
    let parsed = lowlight_core::note::ProofFile::parse(&file).unwrap();
    let mut extra = Vec::new();
    parsed.extra(|byte| extra.push(byte));
    let holds = |what: &[u8]| extra.windows(what.len()).any(|window| window == what);
    assert!(holds(b"shown words"));
    assert!(!holds(b"secret words") && !holds(&salt));
    // Opened, it is longer: both values are in it.
    let open = prove::entry(dir.path(), seq, None, &|_| true).unwrap();
    assert!(String::from_utf8(open).unwrap().len() > file.len());
}
