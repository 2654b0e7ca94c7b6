"""Hashes of format.md section 4: commitments, chain, Merkle tree."""

import hashlib

EMPTY_ROOT = hashlib.sha256(b"").digest()


def sha(*parts):
    """SHA-256 of the parts joined."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.digest()


def commitment(salt, field, value):
    """Commitment of one content value."""
    return sha(b"lowlight/field/v1\0", salt, field.to_bytes(2, "little"), len(value).to_bytes(4, "little"), value)


def genesis(log_id):
    """What the first entry of a log is chained to."""
    return sha(b"lowlight/genesis/v1\0", (16).to_bytes(2, "little"), log_id)


def leaf(prev, body):
    """Chain hash and leaf of one entry."""
    return sha(b"\0", prev, body)


def node(left, right):
    """Inner node."""
    return sha(b"\1", left, right)


class Tree:
    """A growing tree: the complete subtrees from left to right."""

    def __init__(self, size=0, hashes=()):
        self.size = size
        self.levels = [k for k in range(size.bit_length() - 1, -1, -1) if size >> k & 1]
        self.hashes = list(hashes)
        if len(self.levels) != len(self.hashes):
            raise ValueError("number of hashes does not fit the size")

    def push(self, value, level=0):
        """Adds a leaf, or a complete subtree of a level; returns the nodes completed as (level, index, hash)."""
        self.size += 1 << level
        done = [(level, (self.size >> level) - 1, value)]
        while self.levels and self.levels[-1] == level:
            self.levels.pop()
            value = node(self.hashes.pop(), value)
            level += 1
            done.append((level, (self.size >> level) - 1, value))
        self.levels.append(level)
        self.hashes.append(value)
        return done

    def root(self):
        """Root of what was added."""
        if not self.hashes:
            return EMPTY_ROOT
        value = self.hashes[-1]
        for left in reversed(self.hashes[:-1]):
            value = node(left, value)
        return value


def root_of(leaves):
    """Root by the recursive definition."""
    if len(leaves) < 2:
        return leaves[0] if leaves else EMPTY_ROOT
    k = 1 << ((len(leaves) - 1).bit_length() - 1)
    return node(root_of(leaves[:k]), root_of(leaves[k:]))


def edge_levels(start, end):
    """Levels of the nodes that cover [start, end) from left to right, as `right_edge` has them."""
    levels = []
    while start < end:
        level = 0
        while start % (2 << level) == 0 and start + (2 << level) <= end:
            level += 1
        levels.append(level)
        start += 1 << level
    return levels


def right_edge(leaves, start):
    """The nodes that cover [start, len(leaves))."""
    nodes = []
    for level in edge_levels(start, len(leaves)):
        nodes.append(root_of(leaves[start:start + (1 << level)]))
        start += 1 << level
    return nodes
