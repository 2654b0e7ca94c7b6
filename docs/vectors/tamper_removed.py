"""What may be done to the removals of a database: to tombstones, to nodes below level 8, to what survived beside gaps.

What no verifier can see is left out: covered content that was still to go, nodes that nothing needs.
"""

from codec import EVENTS, Bad, parse
from removal import TOMBSTONE, Nodes


class RemovedTamper:
    """The part of a tamper that is about removals; `db` and `rng` are those of the copy."""

    def tombstones(self):
        """Seq and payload of all tombstones that can be read."""
        found = []
        for seq, event in self.db.execute("SELECT seq, event FROM entry WHERE kind = ? ORDER BY seq", (TOMBSTONE,)):
            try:
                found.append((seq, parse(EVENTS[TOMBSTONE], event or b"")))
            except Bad:
                continue  # an earlier tamper
        return found

    def is_covered(self, key):
        """Whether a tombstone covers a content row: its absence is no fault then."""
        seq, field = key >> 6, key & 63
        return any((event["fields"] == 0 or event["fields"] >> field & 1)
                   and any(run["start"] <= seq < run["start"] + run["length"] for run in event["runs"])
                   for _, event in self.tombstones())

    def absent_runs(self):
        """Runs (start, end) of entries that are not there."""
        seqs = [seq for seq in self.seqs() if seq >= 0]
        return [(one + 1, other) for one, other in zip([-1, *seqs], seqs) if other > one + 1]

    def needed(self):
        """Ids of the nodes below level 8 that stand for something, and of the leaves before entries."""
        nodes, found = Nodes(dict(self.db.execute("SELECT id, hash FROM node"))), set()
        for start, end in self.absent_runs():
            while start < end:
                item = nodes.item(start, end)
                if item:
                    found.add((item[0] << 56) + (start >> item[0]))
                start = start + (1 << item[0]) if item else nodes.next_start(start, end)
            found.add(end - 1)
        return sorted(key for key in found & set(nodes.hashes) if key >> 56 < 8)

    def low_node(self):
        """A node that stands for removed entries, or the leaf before an entry: changed, removed or moved."""
        found = self.needed()
        if not found:
            return None
        key, what = self.rng.choice(found), self.rng.choice(["change", "change", "remove", "move", "cut"])
        if what == "remove":
            self.db.execute("DELETE FROM node WHERE id = ?", (key,))
        elif what == "move":
            self.db.execute("UPDATE node SET id = id + 100000 WHERE id = ?", (key,))
        else:
            old, = self.db.execute("SELECT hash FROM node WHERE id = ?", (key,)).fetchone()
            new = old[:-1] if what == "cut" else bytes([old[0] ^ 1 << self.rng.randrange(8)]) + old[1:]
            self.db.execute("UPDATE node SET hash = ? WHERE id = ?", (new, key))
        return "node %d: %s" % (key, what)

    def tombstone(self):
        """What a tombstone covers, or its cause."""
        found = self.tombstones()
        if not found:
            return None
        seq, event = self.rng.choice(found)
        runs = event["runs"]
        what = self.rng.choice(["runs", "longer", "shorter", "fields", "cause", "none"])
        if what == "fields":
            event["fields"] ^= 1 << self.rng.randrange(8)
        elif what == "cause":
            event["cause"] = {"case": 1} if "policy" in event["cause"] else {"case": 0, "policy": 2}
        elif what == "none":
            event["runs"] = []
        elif not runs:
            return None
        elif what == "runs":
            runs.pop(self.rng.randrange(len(runs)))
        else:
            run = self.rng.choice(runs)
            run["length"] += 1 if what == "longer" or run["length"] == 1 else -1
        new = EVENTS[TOMBSTONE].put(event)
        if new == self.get(seq, "event"):
            return None
        self.set("entry", seq, "event", new)
        return "tombstone %d: %s" % (seq, what)

    def tombstone_gone(self):
        """A tombstone removed."""
        found = self.tombstones()
        if not found:
            return None
        seq = self.rng.choice(found)[0]
        self.drop(seq)
        return "tombstone %d removed" % seq

    def zero_salt(self):
        """Content overwritten that no tombstone covers."""
        key = self.a_content()
        if key is None:
            return None
        self.set("content", key, "salt", bytes(16))
        if self.rng.random() < 0.5:
            self.set("content", key, "value", "")
        return "content %d: salt overwritten" % key

    def survivor(self):
        """Entries beside a gap removed, sometimes with the leaf of one in their place."""
        gaps = self.absent_runs()
        if not gaps:
            return None
        start, end = self.rng.choice(gaps)
        seq = self.rng.choice([start - 1, end] if start else [end])
        leaf = self.get(seq, "leaf")
        self.drop(seq)
        if self.rng.random() < 0.5:
            self.db.execute("INSERT OR REPLACE INTO node VALUES (?, ?)", (seq, leaf))
            return "entry %d beside a gap removed, its leaf put there" % seq
        return "entry %d beside a gap removed" % seq

    def refill(self):
        """A copy of an entry put into a gap."""
        gaps = self.absent_runs()
        if not gaps:
            return None
        start, end = self.rng.choice(gaps)
        seq, target = self.pick(), self.rng.choice([start, end - 1, self.rng.randrange(start, end)])
        self.copy(seq, target)
        return "entry %d copied into the gap at %d" % (seq, target)

    def dig(self):
        """A whole block removed, or all of it that is left: the node of level 8 stands for it."""
        last = self.seqs()[-1]
        if last < 256:
            return None
        block = self.rng.randrange((last + 1) // 256)
        if not self.db.execute("SELECT 1 FROM entry WHERE seq >> 8 = ? LIMIT 1", (block,)).fetchone():
            return None
        self.drop(block * 256, 256)
        return "block %d removed" % block


KINDS = ["low_node", "low_node", "tombstone", "tombstone_gone", "survivor", "refill", "dig", "zero_salt"]
