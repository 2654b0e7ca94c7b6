"""Tampered copies of an export, seeded; half of them with a trailer that fits again.

What no verifier can see is left out: `asked`, the trailer's `verdict` and `problems_total`, salts of hash-only slots
(when the trailer is made to fit), the log id of a range that does not begin at 0, the leaf of a removed item that no
whole entry follows, `prev` of a range that does not begin with a whole entry, values of contents in the preamble.
"""

import json
import os
import random

from codec import EVENTS, FIELD_IDS, parse
from exports import dump, join, trailer_for
from removal import TOMBSTONE
from tamper import bit_flip

KINDS = ["remove", "double", "swap", "value", "value", "slot", "leaf", "preamble", "trailer_gone", "trailer", "cut",
         "garbage", "garbage_inside", "unknown_key", "renumber", "to_leaf_only", "removed_line", "preamble_entry"]


def load(path):
    """Objects of an export in either form."""
    with open(path, encoding="utf-8") as file:
        lines = [line.rstrip("\n") for line in file]
    if lines[0] == "[":
        lines = [line.rstrip(",") for line in lines[1:-1]]
    return lines


def flip_hex(rng, text):
    """Hex with one bit changed."""
    return bit_flip(rng, bytes.fromhex(text)).hex()


class TamperExport:
    """Lines of an export and what may be done to them."""

    def __init__(self, lines, rng):
        self.head, self.lines, self.trailer = lines[0], lines[1:-1], lines[-1]
        self.rng, self.fix, self.tail, self.cut_at = rng, rng.random() < 0.5, "", None

    def pick(self):
        """Number of a random line between."""
        return self.rng.randrange(len(self.lines))

    def remove(self):
        """A line removed."""
        index = self.pick()
        del self.lines[index]
        return "line %d removed" % index

    def double(self):
        """A line doubled."""
        index = self.pick()
        self.lines.insert(index, self.lines[index])
        return "line %d doubled" % index

    def swap(self):
        """Two lines swapped."""
        one, other = self.pick(), self.pick()
        if one == other:
            return None
        self.lines[one], self.lines[other] = self.lines[other], self.lines[one]
        return "lines %d and %d swapped" % (one, other)

    def change(self, index, found, what):
        """Puts an object back as a line."""
        self.lines[index] = dump(found)
        return "line %d: %s" % (index, what)

    def other(self, value):
        """Another value of the same JSON type."""
        if isinstance(value, bool):
            return not value
        if isinstance(value, int):
            return self.rng.choice([value + 1, 2**63, -1, value ^ 64, 1.5])
        return self.rng.choice([value + "x", value[:-1], value.swapcase() + "é", "x" * 400, None, 5])

    def value(self):
        """A value of a column changed or its key removed."""
        index = self.pick()
        found = json.loads(self.lines[index])
        name = self.rng.choice([name for name in found if name not in ("fields", "seq", "leaf")] or ["leaf"])
        old = found[name]
        if self.rng.random() < 0.15:
            del found[name]
        else:
            found[name] = self.other(old)
            if found[name] == old:
                return None
        return self.change(index, found, name)

    def slot(self):
        """A content value, its salt, its commitment or the whole slot."""
        index = self.pick()
        found = json.loads(self.lines[index])
        if not found.get("fields"):
            return None
        slot = self.rng.choice(found["fields"])
        name = self.rng.choice(["commitment", "salt", "value", "erase", "drop", "cut_from", "field"])
        if name == "drop":
            found["fields"].remove(slot)
        elif name == "erase" and "value" in slot and not self.is_pending(found["seq"], FIELD_IDS[slot["field"]]):
            del slot["salt"], slot["value"]
        elif name == "cut_from":
            slot["cut_from"] = slot.get("cut_from", 0) + 1
        elif name == "field":
            slot["field"] = "before" if slot["field"] != "before" else "after"
        elif name in slot and (name != "salt" or slot["state"] == "kept"):
            slot[name] = slot[name] + "!" if name == "value" else flip_hex(self.rng, slot[name])
        else:
            return None
        return self.change(index, found, "slot %s" % name)

    def leaf(self):
        """The leaf of a line."""
        index = self.pick()
        found = json.loads(self.lines[index])
        if "removed" in found and "kind" not in json.loads((self.lines + ["{}"])[index + 1]):
            return None
        found["leaf"] = self.rng.choice([flip_hex(self.rng, found["leaf"])] * 3 + [found["leaf"][:-2]])
        return self.change(index, found, "leaf")

    def renumber(self):
        """A line removed and the later ones renumbered, or the seq of one changed."""
        index = self.pick()
        if self.rng.random() < 0.5:
            found = json.loads(self.lines[index])
            found["seq"] += self.rng.choice([1, 2, 1000, -found["seq"] or 5])
            return self.change(index, found, "seq")
        del self.lines[index]
        for later in range(index, len(self.lines)):
            found = json.loads(self.lines[later])
            found["seq"] -= 1
            self.lines[later] = dump(found)
        return "line %d removed, later ones renumbered" % index

    def to_leaf_only(self):
        """A line made leaf-only with another leaf."""
        index = self.pick()
        found = json.loads(self.lines[index])
        return self.change(index, {"seq": found["seq"], "leaf": flip_hex(self.rng, found["leaf"])}, "leaf only")

    def removed_line(self):
        """A line of removed entries: its place, level or node; or an entry made one."""
        index = self.pick()
        found = json.loads(self.lines[index])
        if "removed" not in found:
            what, found = "made removed", {"seq": found["seq"], "removed": 0, "node": found["leaf"]}
            if self.is_pending(found["seq"]):
                return None
        else:
            what = self.rng.choice(["seq", "removed", "node", "drop", "again"])
            if what == "drop":
                del self.lines[index]
                return "removed entries: line %d dropped" % index
            if what == "again":
                self.lines.insert(self.rng.randrange(index + 1, len(self.lines) + 1), self.lines[index])
                return "removed entries: line %d again" % index
            found[what] = flip_hex(self.rng, found[what]) if what == "node" else found[what] + self.rng.choice([1, -1, 8])
        return self.change(index, found, "removed entries: %s" % what)

    def is_pending(self, seq, field=None):
        """Whether a tombstone in the preamble may cover an entry as a whole, or a field of it: then that may be gone."""
        for line in json.loads(self.head).get("tombstones", []):
            if line["kind"] == "tombstone":
                event = parse(EVENTS[TOMBSTONE], bytes.fromhex(line["event"]))
                covers = event["fields"] == 0 or field is not None and event["fields"] >> field & 1
                if covers and any(run["start"] <= seq < run["start"] + run["length"] for run in event["runs"]):
                    return True
        return False

    def has_entry(self, seq):
        """Whether a line of a whole entry has a seq."""
        return any(found["seq"] == seq and "kind" in found for found in map(json.loads, self.lines))

    def preamble_entry(self):
        """An entry of the preamble: altered, out of order, or the open entry, a policy or a key change left out."""
        found = json.loads(self.head)
        entries = found["tombstones"]
        if not entries:
            return None
        index = self.rng.randrange(len(entries))
        one, what = entries[index], self.rng.choice(["run", "prev", "leaf", "proof", "event", "less", "order", "open", "rule"])
        if what == "run":
            one["run"] += 1
        elif what in ("prev", "leaf", "event"):
            one[what] = flip_hex(self.rng, one[what])
        elif what == "proof":
            place = self.rng.randrange(len(one["proof"]))
            one["proof"][place] = flip_hex(self.rng, one["proof"][place])
        elif what == "less":
            one["proof"].pop()
        elif what == "open":
            entries.pop(0)
        elif what == "rule":
            if one["kind"] not in ("policy", "key_change") or not self.has_entry(one["seq"]):
                return None  # nobody can tell that one outside of the range was left out
            del entries[index]
        else:
            entries.insert(index, entries[-1])
        self.head = dump(found)
        return "entry %d of the preamble: %s" % (index, what)

    def unknown_key(self):
        """A key the format does not name, or a key twice."""
        index = self.pick()
        extra = self.rng.choice(['"extra":1', '"leaf":"00"', '"seq":1'])
        self.lines[index] = self.lines[index][:-1] + "," + extra + "}"
        return "line %d: %s added" % (index, extra)

    def preamble(self):
        """A value of the preamble."""
        found = json.loads(self.head)
        names = ["size", "root", "first", "end", "frontier", "prev", "right_edge", "version", "lowlight", "tombstones"]
        name = self.rng.choice(names + ([] if found["first"] else ["log_id"]))
        old = found.get(name)
        if name == "prev" and self.lines and "kind" not in json.loads(self.lines[0]):
            return None  # nothing of the range is chained to it
        if name == "tombstones":
            del found[name]
        elif name == "prev" and old is None:
            found[name] = found["root"]
        elif isinstance(old, int):
            found[name] = self.rng.choice([old + 1, max(old - 1, 0), 0, old * 2, -1])
        elif isinstance(old, list):
            found[name] = old[:-1] if old and self.rng.random() < 0.5 else old + [found["root"]]
        elif name == "lowlight":
            found[name] = "exports"
        else:
            found[name] = flip_hex(self.rng, old)
        if found.get(name) == old:
            return None
        self.head = dump(found)
        return "preamble: %s" % name

    def trailer_gone(self):
        """No trailer."""
        self.trailer, self.fix = None, False
        return "trailer removed"

    def change_trailer(self):
        """Count or digest of the trailer."""
        found = json.loads(self.trailer)
        name = self.rng.choice(["count", "digest", "verdict", "extra"])
        if name == "count":
            found[name] += 1
        elif name == "digest":
            found[name] = flip_hex(self.rng, found[name])
        else:
            found[name] = "perhaps"
        self.trailer, self.fix = dump(found), False
        return "trailer: %s" % name

    def cut(self):
        """Cut off in the middle of a line."""
        self.cut_at, self.fix = self.rng.random(), False
        return "cut off in mid-line"

    def garbage(self):
        """Something after the end."""
        self.tail = self.rng.choice(["\n", "garbage\n", "{}\n", self.lines[-1] + "\n", "\x00\x01", "{"])
        return "appended %r" % self.tail[:20]

    def garbage_inside(self):
        """A line that is no line of the format."""
        index = self.pick()
        new = self.rng.choice(["", "null", "[]", "{}", "{\"seq\":1}", "nonsense", "\ufeff" + self.lines[index],
                               self.lines[index].replace("}", "", 1), "[" * 5000, '{"lowlight":"end"}'])
        self.lines[index] = new
        return "line %d is %r" % (index, new[:20])

    def text(self, array):
        """The export after all that."""
        lines = [self.head, *self.lines]
        if self.fix:
            lines.append(dump(trailer_for(lines)))
        elif self.trailer:
            lines.append(self.trailer)
        if self.cut_at is not None:
            keep = 1 + int(self.cut_at * (len(lines) - 1))
            size = self.rng.randrange(1, len(lines[keep]) - 1)
            whole = "".join(line + (",\n" if array else "\n") for line in lines[:keep])
            return ("[\n" if array else "") + whole + lines[keep][:size]
        return join(lines, array) + self.tail


METHODS = {"trailer": "change_trailer"}


def one_copy(lines, rng, index, count):
    """One tampered export and what was done."""
    found, done = TamperExport(lines, rng), []
    if count >= 20 and index % 20 == 19:
        found.fix = False
        return found, done
    kinds = [KINDS[index % len(KINDS)]]
    if index % 10 == 7:
        kinds += rng.sample(["remove", "value", "leaf", "slot"], 2)
    for kind in kinds:
        for _ in range(50):
            if not found.lines:
                break
            try:
                what = getattr(found, METHODS.get(kind, kind))()
            except (ValueError, KeyError, TypeError, AttributeError):
                what = None  # a line an earlier tamper has made unfit for this one
            if what:
                done.append({"kind": kind, "what": what, "trailer_fits": found.fix})
                break
            kind = rng.choice(KINDS)
    return found, done


def tamper_export(source, outdir, seed, count):
    """Writes the copies and the manifest."""
    os.makedirs(outdir, exist_ok=True)
    rng, lines, manifest = random.Random(seed), load(source), []
    width = max(3, len(str(count - 1)))
    for index in range(count):
        found, done = one_copy(lines, rng, index, count)
        array = rng.random() < 0.3
        name = "%0*d.%s" % (width, index, "json" if array else "ndjson")
        with open(os.path.join(outdir, name), "w", encoding="utf-8", newline="") as file:
            file.write(found.text(array))
        manifest.append({"file": name, "honest": not done, "done": done})
    with open(os.path.join(outdir, "manifest.json"), "w", encoding="utf-8") as file:
        json.dump({"seed": seed, "source": os.path.basename(source), "copies": manifest}, file, indent=1)
    return 0
