"""Exports: verification (format.md sections 7 and 8) and writing."""

import hashlib
import json

from chain import Chain, Problems
from columns import LeafOnly, Removed, Row, WrongLine, parse_object, plain_int, row_from_json, row_to_json, unhex
from keys import KEY_CHANGE, OPEN
from notes import inclusion, root_from_inclusion
from removal import OVERWRITTEN, POLICY_KIND, TOMBSTONE, TOP, Rules
from tree import Tree, edge_levels, genesis, right_edge, root_of
from verifier import Unreadable, report, unreadable

MAX_LINE = 33_554_432
PREAMBLE = {"lowlight", "version", "log_id", "size", "root", "first", "end", "frontier", "right_edge", "asked",
            "tombstones"}
EXPLAINING = (OPEN, TOMBSTONE, POLICY_KIND, KEY_CHANGE)  # kinds of the entries of a preamble
TRAILER = {"lowlight", "count", "digest", "verdict", "problems_total"}


def hashes(value, size=32):
    """List of hex hashes."""
    if not isinstance(value, list):
        raise WrongLine("not a list")
    found = [unhex(item) for item in value]
    if any(len(item) != size for item in found):
        raise WrongLine("hash of another length")
    return found


class Preamble:
    """First object of an export."""

    def __init__(self, found):
        if found.get("lowlight") != "export":
            raise WrongLine("no preamble")
        if type(found.get("version")) is not int or found["version"] != 1:
            raise WrongLine("export version")
        self.first, self.end, self.size = (plain_int(found.get(name)) for name in ("first", "end", "size"))
        if set(found) != (PREAMBLE | {"prev"} if self.first else PREAMBLE):
            raise WrongLine("keys of the preamble")
        if not self.first <= self.end <= self.size or not 0 < self.size < 2**56:
            raise WrongLine("range of the preamble")
        if not isinstance(found["asked"], dict) or not isinstance(found["tombstones"], list):
            raise WrongLine("asked or tombstones")
        self.log_id, = hashes([found["log_id"]], 16)
        self.root, = hashes([found["root"]])
        self.prev = hashes([found["prev"]])[0] if self.first else genesis(self.log_id)
        self.frontier, self.right_edge = hashes(found["frontier"]), hashes(found["right_edge"])
        self.tombstones = [explaining(item) for item in found["tombstones"]]

    def rules(self, problems):
        """13.2: the open entry, policies, key changes and tombstones that are shown to be in the log; what is wrong with others."""
        counted = []
        for row, prev, proof in self.tombstones:
            shown = not row.error and row.kind in EXPLAINING and row.leaf == row.leaf_at(prev, row.seq)
            shown = shown and all(value == (None, None) for value in row.contents.values()) and (row.kind != OPEN or self.opens(row, prev))
            ascends = not counted or row.seq > counted[-1].seq
            if shown and ascends and root_from_inclusion(row.seq, self.size, row.leaf, proof) == self.root:
                counted.append(row)
            else:
                problems.add(row.seq, "root_mismatch", "entry of the preamble")
        return Rules(self.log_id, counted if counted and counted[0].kind == OPEN else [])

    def opens(self, row, prev):
        """Whether an open entry is that of this log."""
        return row.seq == 0 and prev == genesis(self.log_id) and row.event["log_id"] == self.log_id


def explaining(item):
    """Entry line of the preamble: the row, the leaf before, the proof."""
    if not isinstance(item, dict) or not {"prev", "proof"} <= set(item):
        raise WrongLine("tombstones")
    row = row_from_json({name: value for name, value in item.items() if name not in ("prev", "proof")})
    if not isinstance(row, Row):
        raise WrongLine("tombstones")
    return row, hashes([item["prev"]])[0], hashes(item["proof"])


class Lines:
    """Objects of an export as (bytes, whether the comma is as it must be); None at the end."""

    def __init__(self, stream):
        self.stream, self.array, self.closed = stream, False, False

    def line(self):
        """Next line without its newline; None at the end. A line that is too long is cut."""
        data = self.stream.readline(MAX_LINE)
        if not data:
            return None
        if not data.endswith(b"\n") and len(data) == MAX_LINE:
            while data and not data.endswith(b"\n"):
                data = self.stream.readline(MAX_LINE)
            return b""
        return data[:-1] if data.endswith(b"\n") else data

    def start(self):
        """First object."""
        found = self.line()
        if found == b"[":
            self.array = True
            found = self.line()
            if found is None or not found.endswith(b","):
                raise Unreadable("no preamble")
            found = found[:-1]
        if found is None:
            raise Unreadable("empty")
        return found

    def next(self):
        """Next object and whether a comma followed it (None in NDJSON)."""
        found = self.line()
        if found is None:
            return None
        if not self.array:
            return found, None
        if found == b"]":
            self.closed = True
            return None
        return (found[:-1], True) if found.endswith(b",") else (found, False)


class Export:
    """One verification of an export."""

    def __init__(self, stream):
        self.lines, self.problems = Lines(stream), Problems()
        self.digest = hashlib.sha256()
        self.entries = self.records = self.between = 0
        self.first = self.last = self.chain = None
        self.lines_of = {POLICY_KIND: [], KEY_CHANGE: []}  # seqs of entry lines of these kinds in the range

    def run(self):
        """The report."""
        text = self.lines.start()
        try:
            self.head = Preamble(parse_object(text))
        except WrongLine as problem:
            raise Unreadable("preamble: %s" % problem) from None
        self.digest.update(text + b"\n")
        self.chain = Chain(self.problems, self.head.prev, self.head.first, self.start_tree())
        self.chain.rules = self.head.rules(self.problems)
        self.end_of_lines(self.middle())
        self.chain.check_rules(self.head.first, self.head.end)
        self.uncounted()
        self.root()
        if self.lines.array and not self.lines.closed:
            self.problems.add(None, "malformed", "the closing bracket is absent")
        root = self.head.root.hex() if self.chain.sound else None
        return report(self.problems, self.entries, self.records, self.first, self.last, root, self.chain)

    def uncounted(self):
        """13.2 and 13.4: policies in the range that a preamble which has any element does not have, and key changes."""
        rules = self.chain.rules
        policies, changes = {seq for seq, _, _ in rules.policies}, {seq for seq, _ in rules.keys.changes}
        if self.head.tombstones:
            self.lacking(POLICY_KIND, policies, "policy_violation")
        self.lacking(KEY_CHANGE, changes, "key_violation")

    def lacking(self, kind, counted, problem):
        """Entry lines of a kind that are not among those that count."""
        for seq in set(self.lines_of[kind]) - counted:
            self.problems.add(seq, problem, "an entry that the preamble lacks")

    def start_tree(self):
        """Tree at `first`, None when the number of hashes does not fit."""
        try:
            return Tree(self.head.first, self.head.frontier)
        except ValueError:
            return None

    def middle(self):
        """Lines up to the trailer; the trailer or None."""
        fits, self.chain.tree = self.chain.tree is not None, self.chain.tree or Tree()
        self.fits = fits
        while True:
            found = self.lines.next()
            if found is None:
                return None
            text, comma = found
            trailer = self.one(text, comma)
            if trailer:
                return trailer
            self.digest.update(text + b"\n")
            self.between += 1

    def one(self, text, comma):
        """One line; the trailer when it is that."""
        try:
            found = parse_object(text)
            if found.get("lowlight") == "end":
                trailer = self.trailer(found)
                if comma:
                    self.problems.add(None, "malformed", "comma after the trailer")
                return trailer
            if comma is False:
                raise WrongLine("comma absent")
            row = row_from_json(found)
        except WrongLine as problem:
            self.chain.malformed_line(str(problem))
            return None
        if isinstance(row, Removed):
            self.removed(row)
        else:
            self.row(row)
        return None

    def trailer(self, found):
        """Trailer with the right keys."""
        if set(found) != TRAILER or found["verdict"] not in ("intact", "broken"):
            raise WrongLine("trailer")
        plain_int(found["problems_total"])
        return {"count": plain_int(found["count"]), "digest": hashes([found["digest"]])[0], "broken": found["verdict"] == "broken"}

    def seen(self, first, last):
        """Seqs that a line speaks of."""
        self.first = first if self.first is None else min(first, self.first)
        self.last = last if self.last is None else max(last, self.last)

    def removed(self, item):
        """Line of removed entries."""
        chain, end = self.chain, item.seq + (1 << item.level)
        if item.seq < chain.expected or end > self.head.end:
            chain.decide(item.seq, "inserted", "a removed item that overlaps or reaches beyond the end")
            return
        chain.skip_to(item.seq)
        chain.removed(item.seq, item.level, item.node, item.leaf)

    def row(self, row):
        """One entry line or leaf-only line."""
        chain, seq = self.chain, row.seq
        self.entries += 1
        self.seen(seq, seq)
        if not row.leaf_only:
            self.records += row.kind in (1, 2, 3)
        if seq >= self.head.end:
            chain.decide(seq, "inserted", "after the end of the range")
            return
        if seq < chain.expected:
            chain.decide(seq, "inserted" if seq == chain.expected - 1 else "reordered", "seq is not ascending")
            return
        if seq > chain.expected:
            chain.skip_to(seq)
        if not row.leaf_only and row.kind in self.lines_of:
            self.lines_of[row.kind].append(seq)
        fine = chain.place(row)
        contents = {} if row.leaf_only else {k: v for k, v in row.contents.items() if v != (None, None)}
        if fine and not isinstance(row, LeafOnly):
            chain.contents(row, contents)
            if seq == 0:
                chain.head(row, self.head.log_id)

    def end_of_lines(self, trailer):
        """The last entry, what is missing at the end, and the trailer."""
        chain = self.chain
        chain.settle()
        if trailer is None:
            self.problems.add(chain.expected, "truncated", "no trailer")
            chain.sound = chain.sound and chain.expected >= self.head.end
            return
        if chain.expected < self.head.end:
            chain.skip_to(self.head.end)
        if trailer["count"] != self.between:
            self.problems.add(None, "root_mismatch", "count of the trailer")
        if trailer["digest"] != self.digest.digest():
            self.problems.add(None, "root_mismatch", "digest of the trailer")
        if trailer["broken"]:
            self.problems.add(None, "broken", "the log did not verify when it was exported")
        after = self.lines.line() if self.lines.array else None
        self.lines.closed = after == b"]"
        if after not in (None, b"]") or self.lines.line() is not None:
            self.problems.add(None, "malformed", "something after the trailer")
            self.lines.closed = True

    def root(self):
        """The range, with what covers the rest, must give the root."""
        if not self.chain.sound:
            return
        levels = edge_levels(self.head.end, self.head.size)
        if not self.fits or len(levels) != len(self.head.right_edge):
            self.problems.add(None, "root_mismatch", "number of hashes")
            return
        for level, value in zip(levels, self.head.right_edge):
            self.chain.tree.push(value, level)
        if self.chain.tree.root() != self.head.root:
            self.problems.add(None, "root_mismatch", "the entries do not give the root")


def verify_export(stream):
    """Report on an export."""
    try:
        return Export(stream).run()
    except (Unreadable, OSError) as problem:
        return unreadable(str(problem))


def dump(found):
    """One object as a line without its end."""
    return json.dumps(found, ensure_ascii=False, separators=(",", ":"))


def preamble(log, first, end):
    """Preamble of the range [first, end) of a log."""
    leaves = log.leaves
    tree = Tree()
    for value in leaves[:first]:
        tree.push(value)
    whole = Tree(tree.size, tree.hashes)
    for value in leaves[first:]:
        whole.push(value)
    found = {"lowlight": "export", "version": 1, "log_id": log.log_id.hex(), "size": len(leaves),
             "root": whole.root().hex(), "first": first, "end": end, "frontier": [h.hex() for h in tree.hashes]}
    if first:
        found["prev"] = leaves[first - 1].hex()
    found["right_edge"] = [h.hex() for h in right_edge(leaves, end)]
    return {**found, "asked": {}, "tombstones": list(explanations(log, first, end))}


def touches(log, seq, first, end):
    """Whether an entry is a tombstone with a run that touches a range."""
    columns = log.entries[seq]
    return seq not in log.gone and columns["kind"] == TOMBSTONE and any(
        run["start"] < end and run["start"] + run["length"] > first for run in Row(seq, columns).event["runs"])


def explanations(log, first, end):
    """The open entry, all policies and key changes, and the tombstones that touch a range; nothing where the range needs none."""
    changes = any(columns["kind"] == KEY_CHANGE for columns in log.entries[first:end])
    if not changes and not any(touches(log, seq, first, end) for seq in range(len(log.entries))):
        return
    for seq, columns in enumerate(log.entries):
        if seq in log.gone or columns["kind"] not in EXPLAINING:
            continue
        if columns["kind"] == TOMBSTONE and not touches(log, seq, first, end):
            continue
        line = row_to_json(columns, {})
        line["prev"] = (log.leaves[seq - 1] if seq else genesis(log.log_id)).hex()
        yield {**line, "proof": [value.hex() for value in inclusion(seq, log.leaves)]}


def contents_of(log, seq):
    """Contents of an entry: field ids to (salt, value); those that were overwritten are absent."""
    found = {field: log.content.get(seq * 64 + field, (OVERWRITTEN, None)) for field in range(64)}
    return {field: content for field, content in found.items() if content[0] != OVERWRITTEN}


def removed_lines(log, start, end):
    """Lines of removed items for [start, end), of which nothing is there any more."""
    while start < end:
        level = min(TOP, edge_levels(start, end)[0])
        stop = start + (1 << level)
        line = {"seq": start, "removed": level, "node": root_of(log.leaves[start:stop]).hex()}
        if level and stop == end:
            line["leaf"] = log.leaves[stop - 1].hex()
        yield line
        start = stop


def export_objects(log, first=0, end=None, keep=None):
    """Preamble and lines of a range; entries not in `keep` are leaf-only."""
    end = len(log.leaves) if end is None else end
    found, seq = [preamble(log, first, end)], first
    while seq < end:
        start = seq
        while seq in log.gone and seq < end:
            seq += 1
        found += removed_lines(log, start, seq)
        if seq == end:
            if start < seq:
                found[-1].pop("leaf", None)  # no line follows that needs it
        elif keep is not None and seq not in keep:
            found.append({"seq": seq, "leaf": log.leaves[seq].hex()})
        else:
            found.append(row_to_json(log.entries[seq], contents_of(log, seq)))
        seq += 1
    return found


def trailer_for(lines, verdict="intact", total=0):
    """Trailer that fits lines already dumped."""
    digest = hashlib.sha256("".join(line + "\n" for line in lines).encode())
    return {"lowlight": "end", "count": len(lines) - 1, "digest": digest.hexdigest(), "verdict": verdict,
            "problems_total": total}


def join(lines, array=False):
    """Lines to the text of an export, as NDJSON or as JSON."""
    if array:
        return "[\n" + ",\n".join(lines) + "\n]\n"
    return "".join(line + "\n" for line in lines)


def export_text(log, array=False, **asked):
    """An export of a log."""
    lines = [dump(found) for found in export_objects(log, **asked)]
    return join(lines + [dump(trailer_for(lines))], array)
