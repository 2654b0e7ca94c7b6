//! The tree against another implementation of RFC 6962 (the crate ct-merkle), at every size.

use ct_merkle::mem_backed_tree::MemoryBackedTree;
use lowlight_core::{Digest, Frontier, LogId, chain};
use sha2::Sha256;

/// Leaves of a log whose bodies are the numbers from 0, as the chain makes them, and what RFC 6962 hashes for each.
fn leaves() -> impl Iterator<Item = (Digest, Vec<u8>)> {
    let mut prev = LogId([7; 16]).genesis();
    (0_u64..).map(move |number| {
        let body = number.to_le_bytes();
        let input = [&prev.0[..], &body].concat();
        prev = chain::leaf(&prev, &body);
        (prev, input)
    })
}

#[test]
fn the_root_is_that_of_another_implementation_at_every_size() {
    let (mut ours, mut theirs) = (Frontier::new(), MemoryBackedTree::<Sha256, Vec<u8>>::new());
    for (leaf, input) in leaves().take(1_100) {
        ours.push(leaf, |_, _, _| {});
        theirs.push(input);
        assert_eq!(ours.root().0[..], theirs.root().as_bytes()[..], "size {}", ours.size());
    }
}

#[test]
fn the_comparison_notices_another_leaf() {
    let (mut ours, mut theirs) = (Frontier::new(), MemoryBackedTree::<Sha256, Vec<u8>>::new());
    for (leaf, mut input) in leaves().take(9) {
        ours.push(leaf, |_, _, _| {});
        input[0] ^= u8::from(theirs.len() == 4);
        theirs.push(input);
    }
    assert_ne!(ours.root().0[..], theirs.root().as_bytes()[..]);
}

#[test]
fn a_frontier_that_was_stored_grows_as_before() {
    let mut whole = Frontier::new();
    for (leaf, _) in leaves().take(300) {
        let mut stored = Frontier::from_hashes(whole.size(), whole.hashes().copied()).unwrap();
        whole.push(leaf, |_, _, _| {});
        stored.push(leaf, |_, _, _| {});
        assert_eq!(stored, whole);
        assert_eq!(stored.root(), whole.root());
    }
}
