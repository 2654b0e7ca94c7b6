"""Sections 11 and 12 of format.md: the journal of checkpoints, checkpoints kept elsewhere, proofs of entries and of growth."""

import json
import os

from codec import SLOTS, Bad, decode_body, parse
from notes import (Key, Malformed, consistency, consistent, decimal, digest, inclusion, open_note, parse_checkpoint, parse_proof_file,
                   public_key, root_from_inclusion, sign, to_base64)
from tree import Tree, commitment, genesis, leaf, node, root_of
from verifier import opened


def leaves_of(path):
    """Log id and stored leaves of a database."""
    with opened(path) as connection:
        log_id = connection.execute("SELECT log_id FROM log").fetchone()[0]
        return log_id, [row[0] for row in connection.execute("SELECT leaf FROM entry NOT INDEXED ORDER BY seq")]


class Stored:
    """The tree of a database: from its leaves, and from nodes where entries were removed (section 13)."""

    def __init__(self, path):
        with opened(path) as connection:
            self.log_id, self.size = connection.execute("SELECT log_id, size FROM log").fetchone()
            self.leaves = dict(connection.execute("SELECT seq, leaf FROM entry NOT INDEXED"))
            self.rows = dict(connection.execute("SELECT id, hash FROM node"))

    def node(self, level, index):
        """The hash of a complete subtree, None where it cannot be told."""
        if level == 0 and index in self.leaves:
            return self.leaves[index]
        left = self.node(level - 1, 2 * index) if level else None
        right = self.node(level - 1, 2 * index + 1) if left else None
        return node(left, right) if right else self.rows.get((level << 56) + index)

    def frontier(self, size):
        """The complete subtrees of a size as (level, hash)."""
        levels = [k for k in range(size.bit_length() - 1, -1, -1) if size >> k & 1]
        return [(k, self.node(k, (size >> k) - 1)) for k in levels]

    def root(self, size):
        """The root of a size."""
        hashes = [value for _, value in self.frontier(size)]
        if None in hashes:
            raise Malformed("nodes of size %d" % size)
        return Tree(size, hashes).root()


def read_checkpoint(raw, keys=()):
    """Origin, size and root of a signed checkpoint, or of the text of one when no key is asked for."""
    if b"\n\n" not in raw and not keys:
        return parse_checkpoint(raw.decode())
    text, found = open_note(raw, keys)
    if keys and not found:
        raise Malformed("not signed by a trusted key")
    return parse_checkpoint(text)


def fits(path, raw, keys=()):
    """`match`, or the kind of the problem that a checkpoint kept elsewhere shows."""
    origin, size, root = read_checkpoint(raw, keys)
    stored = Stored(path)
    if origin.rpartition("/")[2] != stored.log_id.hex():
        return "rewritten"
    if size > stored.size:
        return "rolled_back"
    return "match" if stored.root(size) == root else "rewritten"


def check_journal(folder, keys=()):
    """Number of checkpoints in a journal that agree with the log beside it; Malformed for one that does not."""
    stored = Stored(os.path.join(folder, "lowlight.db"))
    count, before = 0, -1
    with open(os.path.join(folder, "checkpoints"), "rb") as file:
        for line in file.read().split(b"\n")[:-1]:
            found = json.loads(line)
            if found["log"] != stored.log_id.hex():
                continue
            size, root = found["size"], bytes.fromhex(found["root"])
            partial = [value.hex() for level, value in stored.frontier(size) if level < 8 and value]
            if size <= before or stored.root(size) != root or found["partial"] != partial:
                raise Malformed("journal, size %d" % size)
            if read_checkpoint(found["note"].encode(), keys)[1:] != (size, root):
                raise Malformed("note of size %d" % size)
            count, before = count + 1, size
    return count


def check_proof(raw, keys=()):
    """Seq and opened values of a proof of an entry; Malformed when it does not hold."""
    extra, index, hashes, note = parse_proof_file(raw)
    _, size, root = read_checkpoint(note, keys)
    if extra is None or extra[:1] != b"\1":
        raise Malformed("extra")
    prev, rest = extra[1:33], extra[33:]
    length = int.from_bytes(rest[:4], "little")
    body, rest = rest[4:4 + length], rest[4 + length:]
    if root_from_inclusion(index, size, leaf(prev, body), hashes) != root:
        raise Malformed("inclusion")
    try:
        columns = decode_body(body)
    except Bad as problem:
        raise Malformed("body") from problem
    slots = {slot["field"]: slot["commitment"] for slot in parse(SLOTS, columns.get("fields", b"\0"))}
    values, before = {}, -1
    while rest:
        field, salt, length = int.from_bytes(rest[:2], "little"), rest[2:18], int.from_bytes(rest[18:22], "little")
        value, rest = rest[22:22 + length], rest[22 + length:]
        if field <= before or len(value) != length or commitment(salt, field, value) != slots.get(field):
            raise Malformed("opening")
        values[field], before = value, field
    if columns["seq"] != index:
        raise Malformed("seq")
    return index, values


def check_growth(raw, old_raw, keys=()):
    """Old and new size of a proof of growth from a checkpoint that was kept."""
    head, _, note = raw.partition(b"\n\n")
    lines = head.decode().split("\n")
    if not lines[0].startswith("old "):
        raise Malformed("growth")
    origin, size, root = read_checkpoint(note, keys)
    old_origin, old, old_root = read_checkpoint(old_raw, keys)
    hashes = [digest(line) for line in lines[1:]]
    if decimal(lines[0][4:]) != old or origin != old_origin or not consistent(old, size, old_root, root, hashes):
        raise Malformed("growth")
    return old, size


class Maker:
    """Makes what the command is to accept: checkpoints and proofs of a log, under a key of its own."""

    def __init__(self, path, seed, name="second"):
        self.log_id, self.leaves = leaves_of(path)
        self.path, self.seed, self.key = path, seed, Key(name, 1, public_key(seed))

    def checkpoint(self, size, root=None):
        """A signed checkpoint."""
        root = root_of(self.leaves[:size]) if root is None else root
        text = "%s/%s\n%d\n%s\n" % (self.key.name, self.log_id.hex(), size, to_base64(root))
        signature = to_base64(self.key.id + sign(self.seed, text.encode()))
        return ("%s\n\u2014 %s %s\n" % (text, self.key.name, signature)).encode()

    def proof(self, index, size, body, openings=()):
        """A proof of an entry; `openings` are (field, salt, value)."""
        prev = self.leaves[index - 1] if index else genesis(self.log_id)
        extra = b"\1" + prev + len(body).to_bytes(4, "little") + body
        for field, salt, value in openings:
            extra += field.to_bytes(2, "little") + salt + len(value).to_bytes(4, "little") + value
        lines = ["c2sp.org/tlog-proof@v1", "extra " + to_base64(extra), "index %d" % index]
        lines += [to_base64(item) for item in inclusion(index, self.leaves[:size])]
        return "\n".join(lines).encode() + b"\n\n" + self.checkpoint(size)

    def growth(self, old, size):
        """A proof of growth."""
        lines = ["old %d" % old] + [to_base64(item) for item in consistency(old, self.leaves[:size])]
        return "\n".join(lines).encode() + b"\n\n" + self.checkpoint(size)
