"""The pass over the entries: format.md sections 8.2 and 8.3, and what of 8.4 and 13 is done on the way."""

from codec import UNKNOWN
from removal import Rules
from tree import commitment, genesis

ORDER_FAULTS = ("missing", "inserted", "reordered", "broken")
MAX_OPEN_FAULTS = 32


class Problems:
    """What was found: at most one problem per seq, and any number without one."""

    def __init__(self):
        self.schema, self.by_seq, self.tail = [], {}, []

    def add(self, seq, kind, detail):
        """Adds a problem unless its seq has one already."""
        if seq is not None:
            self.by_seq.setdefault(seq, (kind, detail))
        elif kind == "schema":
            self.schema.append((kind, detail))
        else:
            self.tail.append((kind, detail))

    def listed(self):
        """All problems in the order of section 8."""
        by_seq = [(seq, *self.by_seq[seq]) for seq in sorted(self.by_seq)]
        return [(None, *p) for p in self.schema] + by_seq + [(None, *p) for p in self.tail]


class Failed:
    """The entry before, when it did not check."""

    def __init__(self, seq, alt, before):
        self.seq, self.alt, self.before = seq, alt, before


class Chain:
    """State of the pass."""

    def __init__(self, problems, prev, first, tree):
        self.problems, self.prev, self.expected, self.tree = problems, prev, first, tree
        self.shift, self.sound, self.failed, self.open_faults = 0, True, None, []
        self.missing_runs, self.last_used, self.tip_shift = [], None, None
        self.completed = []  # nodes the latest entry or removed item completed
        self.rules, self.nodes, self.after_item = Rules(), None, None
        self.lacks_leaf = False  # the latest is a removed item that does not give the leaf of its last entry
        self.absent_runs = {}  # where the latest run of each problem of absent entries ended
        self.gaps, self.erased, self.pending = [], 0, 0

    def decide(self, seq, kind, detail):
        """Reports a problem of an entry and what it does to the tree."""
        self.problems.add(seq, kind, detail)
        if kind in ORDER_FAULTS:
            self.sound = False

    def settle(self):
        """An undecided entry before becomes broken, and is forgotten."""
        if self.failed:
            self.decide(self.failed.seq, "broken", "nothing after it tells what happened")
            self.failed = None

    def undecided(self):
        """Whether the last entry failed and has no problem yet."""
        return self.failed is not None and self.failed.seq not in self.problems.by_seq

    def skip_to(self, seq):
        """8.2: entries from the expected seq to before `seq` are absent; nodes of a database may stand for them."""
        self.settle()
        while self.expected < seq:
            start = self.expected
            item = self.nodes and self.nodes.item(start, seq)
            if item:
                level, value = item
                self.removed(start, level, value, self.nodes.leaf(start + (1 << level) - 1))
                continue
            self.expected = self.nodes.next_start(start, seq) if self.nodes else seq
            self.absent(start, self.expected, False)
            self.prev, self.sound, self.lacks_leaf = None, False, False

    def removed(self, start, level, value, leaf):
        """13.1: a removed item in its place."""
        self.settle()
        end = start + (1 << level)
        self.absent(start, end, True)
        self.prev, self.expected = value if level == 0 else leaf, end
        self.lacks_leaf = self.prev is None
        self.completed = self.tree.push(value, level) if self.sound else []
        if self.after_item:
            self.after_item(end - 1)

    def absent(self, start, end, has_item):
        """13.1: what explains entries that are not there, and what is wrong with that."""
        for first, stop, by in self.rules.pieces(start, end):
            if by is not None:
                self.gap(first, stop - 1, by)
                kind = None if has_item else "root_mismatch"
            else:
                kind = "unexplained_gap" if has_item or self.rules.any_whole else "missing"
                self.missing_runs.append((first, stop))
            if kind is None:
                continue
            if self.absent_runs.get(kind) != first:
                self.decide(first, kind, "absent entries")
            self.absent_runs[kind] = stop

    def gap(self, first, last, by):
        """13.3: an explained run of absent entries."""
        self.erased += last - first + 1
        if self.gaps and self.gaps[-1]["last"] == first - 1 and self.gaps[-1]["explained_by"] == by:
            self.gaps[-1]["last"] = last
        else:
            self.gaps.append({"first": first, "last": last, "explained_by": by})

    def malformed_line(self, detail):
        """An export line that is no line of the format: it takes the place of the expected entry."""
        self.settle()
        self.problems.add(self.expected, "malformed", detail)
        self.prev, self.sound, self.last_used, self.lacks_leaf = None, False, self.expected, False
        self.expected += 1

    def place(self, row):
        """8.3 for a row in its place; True when it is neither malformed nor failed."""
        self.expected, self.last_used = row.seq + 1, row.seq
        if row.error:
            self.settle()
            self.problems.add(row.seq, "malformed", row.error)
            fine = False
        elif row.leaf_only or self.prev is None:
            self.settle()
            if self.lacks_leaf and not row.leaf_only:
                self.problems.add(row.seq, "root_mismatch", "the leaf of the removed entry before is absent")
            fine = True
        else:
            fine = self.link(row)
        self.prev, self.lacks_leaf = row.leaf, False
        self.completed = []
        if row.leaf is None:
            self.sound = False
        elif self.sound:
            self.completed = self.tree.push(row.leaf)
        return fine

    def link(self, row):
        """Rules 3 to 9."""
        seq, failed, position = row.seq, self.failed, row.seq + self.shift
        recomputed = row.leaf_at(self.prev, position)
        if recomputed == row.leaf:
            if failed:
                self.decide(failed.seq, "modified", "columns do not give the stored leaf")
            self.failed = None
            return True
        if seq == 0 and self.fits_own_log_id(row):
            return True
        if failed and self.after_failed(row, failed, position):
            self.failed = None
            return True
        for index, (other, prev) in enumerate(self.open_faults):
            if row.leaf_at(prev, other) == row.leaf:
                self.swap(index, row)
                break
        else:
            if failed:
                self.decide(failed.seq, "broken", "nothing after it tells what happened")
                self.decide(seq, "broken", "follows an entry that failed")
            elif len(self.open_faults) < MAX_OPEN_FAULTS:
                self.open_faults.append((seq, self.prev))
        self.failed = Failed(seq, recomputed, self.prev)
        return False

    def fits_own_log_id(self, row):
        """The first entry of a log that is chained to its own log id and not to that of the tip."""
        if row.kind != 0:
            return False
        if row.leaf_at(genesis(row.event["log_id"]), 0) != row.leaf:
            return False
        self.problems.add(None, "root_mismatch", "log id")
        return True

    def after_failed(self, row, failed, position):
        """Rules 4, 5 and 6: the row tells what happened to the entry before."""
        if row.leaf_at(failed.alt, position) == row.leaf:
            self.decide(failed.seq, "modified", "stored leaf is not that of the columns")
            self.sound = False
            return True
        if row.leaf_at(failed.before, position) == row.leaf:
            self.decide(failed.seq, "broken", "does not belong here")
            return True
        more_rows = self.tip_shift is not None and self.tip_shift < self.shift
        for shift in (self.shift + 1, self.shift - 1 if more_rows else None, self.tip_shift):
            if shift in (None, self.shift):
                continue
            moved = row.seq + shift
            if row.leaf in (row.leaf_at(self.prev, moved), row.leaf_at(failed.before, moved)):
                kind = "missing" if shift > self.shift else "inserted"
                self.decide(failed.seq, kind, "seqs from here on are shifted by %d" % -shift)
                self.shift = shift
                return True
        return False

    def swap(self, index, row):
        """Rule 7: the row is one that belongs where an earlier one failed."""
        other, _ = self.open_faults.pop(index)
        if self.failed and self.failed.seq != other:
            self.decide(self.failed.seq, "broken", "nothing after it tells what happened")
        if self.problems.by_seq.get(other, ("broken",))[0] == "broken":
            self.problems.by_seq.pop(other, None)
        self.decide(other, "reordered", "the entry of this place is at %d" % row.seq)
        self.decide(row.seq, "reordered", "the entry of place %d" % other)

    def contents(self, row, contents):
        """8.3, contents: `contents` maps field ids to (salt, value); None where there is none."""
        contents = {field: content for field, content in contents.items()
                    if not self.rules.is_overwritten(row.seq, field, content[0])}
        known = {field for field in contents if any(slot["field"] == field for slot in row.slots)}
        self.pending += row.kind != UNKNOWN and self.rules.is_pending(row.seq, known)
        for slot in row.slots:
            salt, value = contents.get(slot["field"], (None, None))
            fault = None
            explained = None if slot["field"] in contents else self.rules.slot(row, slot["field"])
            if explained is not None:
                self.erased += 1
                if not explained:
                    self.problems.add(row.seq, "policy_violation", "removal of field %d" % slot["field"])
                continue
            if slot["state"] == 0 and salt is None and value is None:
                fault = "absent without a tombstone"
            elif type(salt) is not bytes or len(salt) != 16:
                fault = "salt"
            elif slot["state"] == 1:
                fault = None if value is None else "a value where only a hash belongs"
            elif not isinstance(value, bytes):
                fault = "no value"
            elif commitment(salt, slot["field"], value) != slot["commitment"]:
                fault = "differs from its commitment"
            if fault:
                self.problems.add(row.seq, "content_mismatch", "field %d: %s" % (slot["field"], fault))
        if set(contents) - {slot["field"] for slot in row.slots}:
            self.problems.add(row.seq, "content_mismatch", "content without a slot")
        fault = self.rules.fault_of_entry(row)
        if fault:
            self.problems.add(row.seq, "policy_violation", fault)

    def check_rules(self, first=0, end=2**63):
        """13.2 and 13.4: tombstones, policies and key changes themselves, after the pass: what is wrong with the row comes first."""
        for kind, faults in (("policy_violation", self.rules.faults()), ("key_violation", self.rules.keys.faults())):
            for seq, detail in faults:
                if first <= seq < end:
                    self.problems.add(seq, kind, detail)

    def head(self, row, log_id):
        """8.4: entry 0, which checks, must be the `open` of this log."""
        if row.kind != 0:
            self.problems.add(0, "malformed", "entry 0 is not open")
        elif row.event["log_id"] != log_id and not self.problems.tail:
            self.problems.add(0, "malformed", "log id of the open entry")
