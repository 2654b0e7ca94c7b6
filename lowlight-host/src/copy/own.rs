//! The log as one pass over it gives it, in step with its copy.
//!
//! 1. Everything that is compared comes from this pass, and its root must be the one that the verification found: what a look-up
//!    by key finds may be something else, in a file whose pages were forged.

use crate::store::{DbSource, Reader, StoreError};
use lowlight_core::source::{EntrySource as _, Item};
use lowlight_core::{Digest, Frontier};

/// What stands for entries of the log: one entry, or a node for some that were removed.
#[derive(Debug, Clone)]
pub(super) struct Piece {
    pub(super) seq: u64,
    pub(super) level: u8,
    pub(super) hash: Digest,
    /// Of an entry that can be read.
    pub(super) body: Option<Vec<u8>>,
    pub(super) is_removed: bool,
}

impl Piece {
    fn end(&self) -> u64 {
        self.seq.saturating_add(1 << self.level)
    }
}

/// The pass, and the tree of all that lies behind it.
#[derive(Debug)]
pub(super) struct Own<'r> {
    source: DbSource<'r>,
    /// What comes next.
    piece: Option<Piece>,
    tree: Option<Frontier>,
    /// The size at which the root is wanted, and the root there.
    wanted: u64,
    root: Option<Digest>,
}

impl<'r> Own<'r> {
    /// Begins; the root is kept that the log has at `wanted` entries.
    pub(super) fn begin(reader: &'r Reader, wanted: u64) -> Result<Self, StoreError> {
        let mut own = Self { source: reader.everything(false), piece: None, tree: Some(Frontier::new()), wanted, root: None };
        own.read()?;
        Ok(own)
    }

    fn read(&mut self) -> Result<(), StoreError> {
        self.piece = loop {
            break match self.source.next()? {
                Some(Item::Entry { seq, body, leaf, .. }) => {
                    Some(Piece { seq, level: 0, hash: leaf, body: Some(body.to_vec()), is_removed: false })
                }
                Some(Item::Malformed { seq: Some(seq), leaf: Some(hash), .. }) => {
                    Some(Piece { seq, level: 0, hash, body: None, is_removed: false })
                }
                Some(Item::Removed { seq, level, node, .. }) => Some(Piece { seq, level, hash: node, body: None, is_removed: true }),
                Some(_) => continue,
                None => None,
            };
        };
        Ok(())
    }

    /// Goes on to entry `seq`: what stands for it, if anything does.
    pub(super) fn at(&mut self, seq: u64) -> Result<Option<&Piece>, StoreError> {
        while let Some(piece) = self.piece.take_if(|piece| piece.end() <= seq) {
            self.push(&piece);
            self.read()?;
        }
        Ok(self.piece.as_ref().filter(|piece| piece.seq <= seq))
    }

    fn push(&mut self, piece: &Piece) {
        // Something missing, or twice, and there is no tree any more.
        let tree = self.tree.take().filter(|tree| tree.size() == piece.seq);
        self.tree = tree.and_then(|mut tree| tree.push_subtree(piece.level, piece.hash, |_, _, _| {}).then_some(tree));
        if let Some(tree) = self.tree.as_ref().filter(|tree| tree.size() == self.wanted) {
            self.root = Some(tree.root());
        }
    }

    /// The root of the first `size` entries, where the pass is no further; `None` when the log does not give it.
    pub(super) fn root_at(&mut self, size: u64) -> Result<Option<Digest>, StoreError> {
        self.at(size)?;
        Ok(self.tree.as_ref().filter(|tree| tree.size() == size).map(Frontier::root))
    }

    /// Goes on to the end; the root at the wanted size.
    pub(super) fn finish(mut self) -> Result<Option<Digest>, StoreError> {
        self.at(u64::MAX)?;
        Ok(self.root)
    }
}
