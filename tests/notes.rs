//! Proofs, notes, checkpoints and witnesses against the vectors that other projects published.

use ct_merkle::mem_backed_tree::MemoryBackedTree;
use lowlight_core::note::base64::Base64;
use lowlight_core::note::cosignature::{self, Cosignature};
use lowlight_core::note::key::verify;
use lowlight_core::note::witness::{Refusal, Request, Seen};
use lowlight_core::note::{Algorithm, Checkpoint, Ed25519, Key, Note, NoteError, ProofFile, Signer, base64};
use lowlight_core::tree::{self, proof};
use lowlight_core::{Digest, Frontier};
use lowlight_host::export::unhex;
use lowlight_tests::repository;
use serde_json::Value;
use sha2::Sha256;
use std::collections::BTreeSet;
use std::convert::Infallible;

fn published(name: &str) -> Value {
    let path = repository().join("docs/vectors/published").join(name).with_extension("json");
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

fn bytes(value: &Value) -> Vec<u8> {
    unhex(text(value)).unwrap()
}

fn array<const N: usize>(value: &Value) -> [u8; N] {
    bytes(value).try_into().unwrap()
}

fn from_base64(value: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    base64::decode(text(value).as_bytes(), |byte| out.push(byte)).unwrap();
    out
}

/// Leaf hash of RFC 6962: what a log's chain makes with the leaf before in front of the body.
fn leaf(data: &[u8]) -> Digest {
    use sha2::Digest as _;
    Digest(Sha256::new().chain_update([0]).chain_update(data).finalize().into())
}

/// Complete subtrees over leaves, by level and index.
#[derive(Default)]
struct Nodes {
    levels: Vec<Vec<Digest>>,
    tree: Frontier,
}

impl Nodes {
    fn push(&mut self, leaf: Digest) {
        let levels = &mut self.levels;
        let mut keep = |level: u8, hash: Digest| {
            levels.resize_with(levels.len().max(usize::from(level) + 1), Vec::new);
            levels[usize::from(level)].push(hash);
        };
        keep(0, leaf);
        self.tree.push(leaf, |level, _, hash| keep(level, *hash));
    }

    fn at(&self) -> impl FnMut(u8, u64) -> Result<Digest, Infallible> + '_ {
        |level, index| Ok(self.levels[usize::from(level)][index as usize])
    }
}

#[test]
fn hashes_are_those_of_rfc_6962() {
    for case in list(&published("rfc6962_hasher")["vectors"]) {
        use sha2::Digest as _;
        let found = match text(&case["kind"]) {
            "empty" => tree::empty_root(),
            "leaf" => leaf(&bytes(&case["data"])),
            // The vector's inputs are not 32 bytes long, as those of a tree are.
            _ => Digest(
                Sha256::new().chain_update([1]).chain_update(bytes(&case["left"])).chain_update(bytes(&case["right"])).finalize().into(),
            ),
        };
        assert_eq!(found.to_string(), text(&case["want"]), "{case}");
    }
    let reference = published("rfc6962_reference_tree");
    let mut nodes = Nodes::default();
    assert_eq!(nodes.tree.root().to_string(), text(&reference["empty_root"]));
    for (data, root) in list(&reference["leaves_hex"]).iter().zip(list(&reference["roots_size_1_to_8"])) {
        nodes.push(leaf(&bytes(data)));
        assert_eq!(nodes.tree.root().to_string(), text(root));
        let Ok(by_parts) = proof::subtree(0, nodes.tree.size(), &mut nodes.at());
        assert_eq!(by_parts, nodes.tree.root());
    }
}

/// The hashes of a probe's proof; `None` where one is not 32 bytes, which no parser lets through.
fn probe(case: &Value) -> Option<Vec<Digest>> {
    list(&case["proof"]).iter().map(|hash| Digest::from_slice(&from_base64(hash))).collect()
}

#[test]
fn published_probes_of_proofs_are_judged_as_published() {
    let root = |value: &Value| Digest::from_slice(&from_base64(value));
    for case in list(&published("merkle_inclusion_probes")["vectors"]) {
        let found = (|| {
            let (index, size) = (case["leafIdx"].as_u64()?, case["treeSize"].as_u64()?);
            Some(proof::verify_inclusion(index, size, &root(&case["leafHash"])?, &probe(case)?, &root(&case["root"])?))
        })();
        assert_eq!(found.unwrap_or(false), !case["wantErr"].as_bool().unwrap(), "{case}");
    }
    // Some roots there are placeholders of another length: their equality is what counts.
    let padded = |value: &Value| {
        let mut out = from_base64(value);
        out.resize(32, 0);
        Digest::from_slice(&out)
    };
    for case in list(&published("merkle_consistency_probes")["vectors"]) {
        let found = (|| {
            let (old, new) = (case["size1"].as_u64()?, case["size2"].as_u64()?);
            Some(proof::verify_consistency(old, new, &padded(&case["root1"])?, &padded(&case["root2"])?, &probe(case)?))
        })();
        assert_eq!(found.unwrap_or(false), !case["wantErr"].as_bool().unwrap(), "{case}");
    }
}

/// Ours and another implementation's tree over the same leaves.
#[derive(Default)]
struct Both {
    nodes: Nodes,
    tree: MemoryBackedTree<Sha256, Vec<u8>>,
}

impl Both {
    fn push(&mut self) {
        let data = self.nodes.tree.size().to_le_bytes().to_vec();
        self.nodes.push(leaf(&data));
        self.tree.push(data);
    }

    fn check_inclusion(&self, index: u64) {
        let size = self.nodes.tree.size();
        let Ok(ours) = proof::inclusion(index, size, &mut self.nodes.at());
        let ours = ours.unwrap();
        let theirs = self.tree.prove_inclusion(index as usize);
        assert_eq!(ours.iter().flat_map(|hash| hash.0).collect::<Vec<_>>(), theirs.as_bytes(), "leaf {index} of {size}");
        let root = Digest::from_slice(self.tree.root().as_bytes()).unwrap();
        assert!(proof::verify_inclusion(index, size, &self.nodes.levels[0][index as usize], &ours, &root));
    }

    fn check_consistency(&self, old: u64) {
        let new = self.nodes.tree.size();
        let Ok(ours) = proof::consistency(old, new, &mut self.nodes.at());
        let ours = ours.unwrap();
        let theirs = self.tree.prove_consistency((new - old) as usize);
        assert_eq!(ours.iter().flat_map(|hash| hash.0).collect::<Vec<_>>(), theirs.as_bytes(), "{old} to {new}");
        let Ok(old_root) = proof::subtree(0, old, &mut self.nodes.at());
        let new_root = Digest::from_slice(self.tree.root().as_bytes()).unwrap();
        assert!(proof::verify_consistency(old, new, &old_root, &new_root, &ours));
    }
}

#[test]
fn proofs_are_those_of_another_implementation_for_all_small_trees() {
    let mut both = Both::default();
    for size in 1..=300 {
        both.push();
        (0..size).for_each(|index| both.check_inclusion(index));
        (1..size).for_each(|old| both.check_consistency(old));
    }
}

#[test]
fn proofs_are_those_of_another_implementation_for_large_trees() {
    // Sizes and places from a fixed sequence: a failure names them.
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    let mut below = |most: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % most
    };
    let mut both = Both::default();
    for size in [below(1 << 20) + 1, (1 << 20) - 1, 1 << 20] {
        while both.nodes.tree.size() < size {
            both.push();
        }
        [0, size - 1, below(size), below(size)].into_iter().for_each(|index| both.check_inclusion(index));
        [1, below(size - 1) + 1, size / 2].into_iter().for_each(|old| both.check_consistency(old));
    }
}

#[test]
fn ed25519_is_strict() {
    for case in list(&published("ed25519_rfc8032")["vectors"]) {
        let (public, message, signature) = (array(&case["pub"]), bytes(&case["msg"]), array(&case["sig"]));
        let mut signer = Ed25519::from_seed(&array(&case["seed"]));
        let Ok(made) = signer.sign(&message);
        assert_eq!((signer.public(), made), (public, signature));
        assert!(verify(&public, &message, &signature));
        assert!(!verify(&public, b"another message", &signature));
    }
    let mut accepted = 0;
    for case in list(&published("ed25519_edge_cases")["vectors"]) {
        let flags: BTreeSet<_> = list(&case["flags"]).iter().map(text).collect();
        let want = ["low_order_A", "low_order_R", "low_order_residue"].iter().all(|flag| !flags.contains(flag));
        let found = verify(&array(&case["key"]), text(&case["msg"]).as_bytes(), &array(&case["sig"]));
        assert_eq!(found, want, "{case}");
        accepted += u32::from(want);
    }
    assert!(accepted > 0);
}

/// The bytes of a note in a vector.
fn note_bytes(case: &Value) -> Vec<u8> {
    if case["note"].is_string() { text(&case["note"]).as_bytes().to_vec() } else { from_base64(&case["note_b64"]) }
}

/// Names of the keys of a case whose signature is on its note.
fn verified(case: &Value) -> Result<Vec<String>, NoteError> {
    let bytes = note_bytes(case);
    let note = Note::parse(&bytes)?;
    let mut names = Vec::new();
    for key in list(&case["vkeys"]).iter().map(|vkey| Key::parse(text(vkey)).unwrap()) {
        if note.signature_of(&key)?.is_some() {
            names.push(key.name.to_owned());
        }
    }
    Ok(names)
}

#[test]
fn signed_notes_are_those_of_the_specification() {
    let golang = published("signed_note_golang");
    for case in list(&golang["open_ok"]) {
        let want: Vec<_> = list(&case["verified"]).iter().map(|name| text(name).to_owned()).collect();
        assert_eq!(verified(case), Ok(want), "{}", case["desc"]);
    }
    assert!(list(&golang["open_unverified"]).iter().all(|case| verified(case) == Ok(Vec::new())));
    assert!(list(&golang["open_bad_signature"]).iter().all(|case| verified(case) == Err(NoteError::BadSignature)));
    for case in list(&golang["open_malformed"]) {
        assert!(verified(case).is_err(), "{}", case["desc"]);
    }
    assert!(list(&golang["vkey_bad"]).iter().all(|case| Key::parse(text(&case["vkey"])) == Err(NoteError::BadKey)));
    for case in list(&golang["sign"]) {
        let keys = &golang["skeys"][case["skey_index"].as_u64().unwrap() as usize];
        let key = Key::parse(text(&keys["vkey"])).unwrap();
        assert_eq!(key.to_string(), text(&keys["vkey"]));
        let mut out = format!("{}\n", text(&case["text"]));
        key.sign(&mut signer(text(&keys["skey"])), text(&case["text"]), 0, &mut out).unwrap().unwrap();
        assert_eq!(out, text(&case["want_note"]));
    }
    let example = &published("c2sp_examples")["signed_note"];
    let key = Key::parse(text(&example["vkey"])).unwrap();
    assert!(Note::parse(text(&example["note"]).as_bytes()).unwrap().signature_of(&key).unwrap().is_some());
    for case in list(&published("armoredwitness_attestations")["vectors"]) {
        let key = Key::parse(text(&case["vkey"])).unwrap();
        assert!(Note::parse(text(&case["note"]).as_bytes()).unwrap().signature_of(&key).unwrap().is_some());
    }
}

/// The private key in the form of golang.org/x/mod.
fn signer(skey: &str) -> Ed25519 {
    let encoded = skey.splitn(5, '+').last().unwrap();
    let [_, seed @ ..] = base64::decode_array::<33>(encoded.as_bytes()).unwrap();
    Ed25519::from_seed(&seed)
}

#[test]
fn checkpoints_are_read_as_the_specification_says() {
    let cases = published("checkpoint_bodies");
    for case in list(&cases["ok"]) {
        let found = Checkpoint::parse(text(&case["body"])).unwrap();
        assert_eq!((found.origin, found.size), (text(&case["origin"]), case["size"].as_u64().unwrap()));
        assert_eq!(found.root, leaf(text(&case["root_is_leaf_hash_of"]).as_bytes()));
        assert_eq!(found.to_string(), text(&case["body"]));
    }
    for case in list(&cases["bad"]) {
        assert_eq!(Checkpoint::parse(text(&case["body"])), Err(NoteError::NotCheckpoint), "{}", case["desc"]);
    }
    for body in ["a\n01\n", "a\n+1\n", "a\n9223372036854775808\n", "a\n1 \n"] {
        let body = format!("{body}{}\n", Base64(&[7; 32]));
        assert!(Checkpoint::parse(&body).is_err(), "{body}");
    }
}

#[test]
fn cosignatures_of_witness_devices_verify() {
    let case = published("cosignature_v1_armoredwitness");
    let note = Note::parse(text(&case["note"]).as_bytes()).unwrap();
    for (vkey, want) in list(&case["witness_vkeys_type01"]).iter().zip(list(&case["want"])) {
        // They were published with the type of plain signatures.
        let key = Key { algorithm: Algorithm::CosignatureV1, ..Key::parse(text(vkey)).unwrap() };
        assert_eq!((key.name, &key.id()[..]), (text(&want["name"]), &bytes(&want["key_id_04"])[..]));
        let verified = note.signature_of(&key).unwrap().unwrap();
        assert_eq!(verified.time, want["timestamp"].as_u64());
        let forged = text(&case["note"]).replace("\n611\n", "\n612\n");
        assert_eq!(Note::parse(forged.as_bytes()).unwrap().signature_of(&key), Err(NoteError::BadSignature));
    }
    let examples = published("c2sp_examples");
    let layout = &examples["signed_message_layout"];
    let message = cosignature::message(layout["timestamp"].as_u64().unwrap(), text(&layout["note_body"])).unwrap();
    assert_eq!(message, text(&layout["want_message"]).as_bytes());
    let parsed = &examples["cosigned_checkpoint_parse_only"];
    let note = Note::parse(text(&parsed["note"]).as_bytes()).unwrap();
    let lines: Vec<_> = note.signatures().collect();
    assert_eq!(&lines[0].id[..], bytes(&parsed["log_key_id_hex"]));
    assert_eq!(Cosignature::of(&lines[1]).map(|it| it.time), parsed["witness_timestamp"].as_u64());
    Checkpoint::parse(note.text).unwrap();
}

#[test]
fn proof_files_are_those_of_the_specification() {
    let cases = published("tlog_proof_format");
    for case in list(&cases["ok"]) {
        let file = ProofFile::parse(text(&case["file"]).as_bytes()).unwrap();
        assert_eq!((file.index, file.checkpoint), (case["index"].as_u64().unwrap(), text(&case["checkpoint"]).as_bytes()));
        assert!(file.proof.iter().map(|hash| Base64(&hash.0).to_string()).eq(list(&case["hashes_b64"]).iter().map(text)));
        let mut extra = Vec::new();
        file.extra(|byte| extra.push(byte));
        let has_extra = case["extra_b64"].is_string();
        assert_eq!(file.extra.is_some(), has_extra);
        let mut out = String::new();
        ProofFile::write(&mut out, has_extra.then_some(&extra), file.index, &file.proof).unwrap();
        assert_eq!(out + text(&case["checkpoint"]), text(&case["file"]));
    }
    for case in list(&cases["bad"]) {
        assert_eq!(ProofFile::parse(text(&case["file"]).as_bytes()), Err(NoteError::NotProof), "{}", case["desc"]);
    }
}

#[test]
fn a_witness_answers_as_the_specification_says() {
    let case = published("witness_litewitness");
    let keys = [Key::parse(text(&case["log_vkey"])).unwrap()];
    let mut seen = Seen::nothing();
    for turn in list(&case["conversation"]) {
        let request = Request::parse(text(&turn["request"]).as_bytes()).unwrap();
        let found = if request.origin() == keys[0].name { request.decide(&seen, &keys) } else { Err(Refusal::UnknownOrigin) };
        let status = found.map_or_else(Refusal::status, |_| 200);
        let want = turn["http_status"].as_u64().unwrap();
        let older = text(&turn["body"]).contains("unknown log");
        assert_eq!(u64::from(status), if older { 404 } else { want }, "{turn}");
        match found {
            Ok(next) => seen = next,
            Err(Refusal::Conflict(size)) => assert_eq!(format!("{size}\n"), text(&turn["body"])),
            Err(_) => {}
        }
    }
    assert_eq!(seen.size, case["final_state"]["size"].as_u64().unwrap());
    assert_eq!(Base64(&seen.root.0).to_string(), text(&case["final_state"]["root_b64"]));
    let example = &published("c2sp_examples")["add_checkpoint_request_parse_only"];
    let request = Request::parse(text(&example["body"]).as_bytes()).unwrap();
    assert_eq!((request.old, request.proof.len() as u64), (example["old_size"].as_u64().unwrap(), example["proof_len"].as_u64().unwrap()));
    assert_eq!(Note::parse(request.checkpoint).unwrap().signatures().count() as u64, example["signature_lines"].as_u64().unwrap());
}

/// A request to grow from `old` by a proof.
fn grow(old: u64, proof: &[String], checkpoint: &str) -> String {
    let lines: String = proof.iter().map(|line| format!("{line}\n")).collect();
    format!("old {old}\n{lines}\n{checkpoint}")
}

#[test]
fn a_witness_follows_a_log_and_its_cosignature_verifies() {
    let case = published("witness_monkeys");
    let keys = [Key::parse(text(&case["log_vkey"])).unwrap()];
    let (five, eight) = (text(&case["checkpoint_5"]), text(&case["checkpoint_8"]));
    let proof: Vec<_> = list(&case["consistency_5_to_8_hex"]).iter().map(|hash| Base64(&bytes(hash)).to_string()).collect();
    let decide = |request: &str, seen: &Seen| Request::parse(request.as_bytes()).and_then(|request| request.decide(seen, &keys));
    let seen = decide(&grow(0, &[], five), &Seen::nothing()).unwrap();
    // The same again is answered again; anything else about it is not.
    assert_eq!(decide(&grow(5, &[], five), &seen), Ok(seen));
    assert_eq!(decide(&grow(0, &[], five), &seen), Err(Refusal::Conflict(5)));
    assert_eq!(decide(&grow(0, &proof, five), &Seen::nothing()), Err(Refusal::Inconsistent));
    assert_eq!(decide(&grow(5, &[], eight), &seen), Err(Refusal::Inconsistent));
    assert_eq!(decide(&grow(6, &proof, five), &seen), Err(Refusal::Malformed));
    assert_eq!(decide(&grow(8, &proof, eight), &seen), Err(Refusal::Conflict(5)));
    assert_eq!(decide(&grow(5, &proof, &eight.replace("\n8\n", "\n9\n")), &seen), Err(Refusal::Untrusted));
    assert_eq!(decide(&grow(5, &proof[..3], eight), &seen), Err(Refusal::Inconsistent));
    assert_eq!(decide(&grow(5, &vec![proof[0].clone(); 64], eight), &seen), Err(Refusal::Malformed));
    assert_eq!(Request::parse(eight.as_bytes()).unwrap_err(), Refusal::Malformed);
    let other = Seen { root: Digest([1; 32]), ..seen };
    assert_eq!(decide(&grow(5, &[], five), &other), Err(Refusal::Inconsistent), "the same size with another root");
    assert_eq!(decide(&grow(5, &proof, eight), &seen).unwrap().size, 8);

    let plain = Key::parse(text(&case["witness_vkey_type01"])).unwrap();
    let witness = Key { algorithm: Algorithm::CosignatureV1, ..plain };
    let mut signer = signer(text(&case["witness_skey"]));
    assert_eq!(signer.public(), witness.public);
    let (mut cosigned, body) = (eight.to_owned(), Note::parse(eight.as_bytes()).unwrap().text);
    witness.sign(&mut signer, body, 1_700_000_000, &mut cosigned).unwrap().unwrap();
    let note = Note::parse(cosigned.as_bytes()).unwrap();
    assert_eq!(note.signature_of(&witness).unwrap().unwrap().time, Some(1_700_000_000));
    assert!(note.signature_of(&keys[0]).unwrap().is_some());
    assert_eq!(note.signature_of(&plain), Ok(None), "another algorithm is another key");
}
