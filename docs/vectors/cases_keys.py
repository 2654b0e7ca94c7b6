"""Vector cases of key changes (format.md section 13.4): databases first, then exports."""

import json

from cases_database import remove, tip
from exports import export_text
from notes import Key, public_key
from remover import RETENTION, add_policy, add_tombstone, remove_content
from writer import LOG_KEYS, LOG_SEEDS, Log, add_key_change, fixed, open_event

OTHER_SEED = fixed("another key", 32)
COSIGNS = str(Key("lowlight/vectors", 4, public_key(LOG_SEEDS[1])))  # of type 4, its seed is that of key 1
WEAK = str(Key("lowlight/vectors", 1, b"\1" + bytes(31)))  # a public key of low order
NO_POINT = str(Key("lowlight/vectors", 1, b"\2" + bytes(31)))  # 32 bytes that are no point of the curve
WRONG_ID = "+".join([*LOG_KEYS[0].split("+")[:2], LOG_KEYS[1].split("+", 2)[2]])
VIOLATION = "key_violation"


def begun(vkey=None):
    """A log of an open entry, which may name a key, and a log entry with content."""
    log = Log("keys")
    vkey = LOG_KEYS[vkey] if isinstance(vkey, int) else vkey
    log.add("open", event=open_event(log.log_id, policy=RETENTION, vkey=vkey))
    log.add("log", contents=[(2, "before", None)])
    return log


def changed(*steps, vkey=None):
    """Such a log and key changes from 2 on, each (old, new) or (old, new, what is wrong with it); a log entry ends it."""
    log = begun(vkey)
    for old, new, *wrong in steps:
        add_key_change(log, old, new, **(wrong[0] if wrong else {}))
    log.add("log")
    return log


def not_signed(vkey=None):
    """A key change at 2 with a signature that is none."""
    log = begun(vkey)
    old = "" if vkey is None else LOG_KEYS[vkey]
    log.add("key_change", event={"old_vkey": old, "new_vkey": LOG_KEYS[1], "signature": fixed("signature", 64)})
    return log


def weakly_signed():
    """A rotation from a key of low order: without the strict rules any text would be signed so."""
    log = begun(WEAK)
    log.add("key_change", event={"old_vkey": WEAK, "new_vkey": LOG_KEYS[1], "signature": b"\1" + bytes(63)})
    return log


# Name, what it is about, seqs of violations, log. These are vectors of databases and of exports.
BOTH = [
    ("first", "the first key, signed by itself", [], changed((None, 0))),
    ("rotation", "a rotation, signed by the key that the open entry names", [], changed((0, 1), vkey=0)),
    ("two", "two rotations one after the other", [], changed((0, 1), (1, 2), vkey=0)),
    ("first-two", "a first key and a rotation from it", [], changed((None, 0), (0, 1))),
    ("back", "a rotation back to a key that was in force before", [], changed((0, 1), (1, 0), vkey=0)),
    ("same", "a change from a key to itself", [], changed((0, 0), vkey=0)),
    ("open-empty", "the open entry names an empty text: no key is in force", [], changed((None, 0), vkey="")),
    ("signature", "a rotation with a wrong signature", [2], not_signed(0)),
    ("first-signature", "a first key with a wrong signature", [2], not_signed()),
    ("signed-by-new", "a rotation signed by the new key", [2], changed((0, 1, {"seed": LOG_SEEDS[1]}), vkey=0)),
    ("signed-by-other", "a first key signed by another", [2], changed((None, 0, {"seed": OTHER_SEED}))),
    ("old-other", "another old key than that in force, and signed by it", [2], changed((1, 2), vkey=0)),
    ("old-none", "an old key although none is in force", [2], changed((0, 1))),
    ("old-empty", "no old key although one is in force, signed by the new one", [2], changed((None, 1), vkey=0)),
    ("old-empty-signed", "no old key although one is in force, signed by that", [2], changed(
        (None, 1, {"seed": LOG_SEEDS[0]}), vkey=0)),
    ("old-before", "the key before that in force is the old one", [3], changed((0, 1), (0, 2), vkey=0)),
    ("new-type-4", "the new key is of type 4, signed by the old one", [2], changed((0, COSIGNS), vkey=0)),
    ("first-type-4", "the first key is of type 4, signed by itself", [2], changed((None, COSIGNS, {"seed": LOG_SEEDS[1]}))),
    ("new-junk", "the new key is no vkey, signed by the old one", [2], changed((0, "another key"), vkey=0)),
    ("new-wrong-id", "the new key has another key id than its own", [2], changed((0, WRONG_ID), vkey=0)),
    ("new-no-point", "the new key is a vkey of 32 bytes that are no point, signed by the old one", [], changed((0, NO_POINT), vkey=0)),
    ("other-seq", "a signature for another seq", [2], changed((0, 1, {"seq": 3}), vkey=0)),
    ("other-log", "a signature for another log", [2], changed((0, 1, {"log_id": fixed("other", 16)}), vkey=0)),
    ("other-new", "a signature for another new key", [2], changed((0, 1, {"new": LOG_KEYS[2]}), vkey=0)),
    ("other-split", "a signature of the same texts, split elsewhere", [2], changed(
        (0, 1, {"old": LOG_KEYS[0] + LOG_KEYS[1][:1], "new": LOG_KEYS[1][1:]}), vkey=0)),
    ("in-force", "a change with a wrong signature is in force: the next one fits it", [2], changed(
        (0, 1, {"seed": OTHER_SEED}), (1, 2), vkey=0)),
    ("in-force-old", "a change with another old key is in force: the next one fits it", [2], changed((2, 1), (1, 0), vkey=0)),
    ("in-force-not", "a change with a wrong signature is in force: the key before is not", [2, 3], changed(
        (0, 1, {"seed": OTHER_SEED}), (0, 2), vkey=0)),
    ("in-force-junk", "a new key that is no vkey is in force: nothing is signed by it, what follows fits", [2, 3], changed(
        (0, "another key"), ("another key", 1, {"seed": OTHER_SEED}), (1, 2), vkey=0)),
    ("open-junk", "the open entry names no vkey: nothing is signed by it, what follows fits", [2], changed(
        ("another key", 1, {"seed": OTHER_SEED}), (1, 2), vkey="another key")),
    ("open-type-4", "the open entry names a key of type 4: it signs no entries", [2], changed(
        (COSIGNS, 0, {"seed": LOG_SEEDS[1]}), (0, 2), vkey=COSIGNS)),
    ("open-weak", "the open entry names a key of low order", [2], weakly_signed()),
]


def first_of(seqs):
    """What a vector says of violations."""
    return (seqs[0], VIOLATION) if seqs else None


def violations(problems):
    """Seqs of the violations among the problems of a vector."""
    return [seq for seq, kind in problems if kind == VIOLATION]


def database_changes(maker):
    """Key changes in a database."""
    for name, about, seqs, log in BOTH:
        maker.case("key-" + name, about, first_of(seqs), log=log)
        assert violations(maker.found[-1]["problems"]) == seqs, name


def covered(wrong=True):
    """A key change at 2, covered whole by a tombstone after it."""
    log = not_signed(0) if wrong else changed((0, 1), vkey=0)
    add_tombstone(log, [(2, 3)], policy=1)
    return log


def database_counting(maker):
    """Which key changes count, and what else is told of them."""
    two = changed((0, 1), (1, 2), vkey=0)

    def case(name, about, first, change, expected, log=two, sql=()):
        """One vector with a list of problems."""
        maker.case("key-" + name, about, first, change, sql, log)
        assert maker.found[-1]["problems"] == [list(one) for one in expected], (name, maker.found[-1]["problems"])

    def each(name, about, change, *expected, log=two):
        """One vector whose problems have seqs."""
        case(name, about, expected[0], change, expected, log)

    def event(**changes):
        """Changes columns of entry 2, a key change."""
        return lambda rows, entries: entries[2].update(changes)

    other = changed((0, 3), vkey=0).entries[2]["event"]
    each("modified", "a key change whose columns were changed counts", event(run=9), (2, "modified"))
    each("modified-new", "the new key of a change was changed: the next one does not fit", event(event=other),
         (2, "modified"), (3, VIOLATION))
    each("malformed", "a key change that is no body does not count: the next one does not fit",
         event(event=two.entries[2]["event"] + b"\0"), (2, "malformed"), (3, VIOLATION))
    each("missing", "a key change removed: the next one does not fit", lambda rows, _: remove(rows, 2), (2, "missing"), (3, VIOLATION))
    each("renumbered", "an entry removed, later ones renumbered: signatures are for other seqs",
         lambda rows, _: remove(rows, 1, 1, True), (1, "missing"), (2, VIOLATION), log=changed((0, 1), (1, 2), vkey=0))
    each("covered", "a key change that is not signed and is covered whole", None, (2, "policy_violation"), log=covered())
    each("covered-fine", "a key change that is signed and is covered whole", None, (2, "policy_violation"), log=covered(False))
    log = Log("no open")
    log.add("log")
    add_key_change(log, None, 0)
    add_key_change(log, 0, 1)
    each("no-open", "entry 0 is not open: no key is in force", None, (0, "malformed"), log=log)
    case("log-row", "log_id of the tip row changed: signatures are for another log", (2, VIOLATION), tip(log_id=bytes(16)),
         [(2, VIOLATION), (3, VIOLATION), (None, "root_mismatch")])
    # What a verifier does not find through such an index counts for nothing, and nothing else depends on it.
    case("index", "entry_rules lacks a key change", (None, "schema"), None, [(None, "schema")], changed((None, 0)), [
        "DROP INDEX entry_rules", "CREATE INDEX entry_rules ON entry (seq) WHERE kind IN (6, 7)",
        "PRAGMA writable_schema = 1",
        "UPDATE sqlite_schema SET sql = 'CREATE INDEX entry_rules ON entry (seq) WHERE kind >= 6 AND kind <= 8'"
        " WHERE name = 'entry_rules'"])
    case("index-text", "entry_rules of tombstones and policies only", (None, "schema"), None, [(None, "schema")], changed((None, 0)), [
        "DROP INDEX entry_rules", "CREATE INDEX entry_rules ON entry (seq) WHERE kind IN (6, 7)"])


def explained(log, gone=True):
    """Content of 1 erased by a tombstone: what is in the preamble then is there for its sake as well."""
    add_tombstone(log, [(1, 2)], [2])
    if gone:
        remove_content(log, [(1, 2)])
    return log


def without(*seqs):
    """Leaves entries out of the preamble."""
    def change(found):
        """The change."""
        kept = [line for line in found[0]["tombstones"] if line["seq"] not in seqs]
        assert len(kept) + len(seqs) == len(found[0]["tombstones"]), seqs
        found[0]["tombstones"] = kept
    return change


def element(seq, **values):
    """Changes keys of an entry in the preamble."""
    return lambda found: next(line for line in found[0]["tombstones"] if line["seq"] == seq).update(values)


def nothing(found):
    """Leaves nothing in the preamble."""
    assert found[0]["tombstones"]
    found[0]["tombstones"].clear()


def export_changes(maker):
    """Key changes in the range of an export."""
    for name, about, seqs, log in BOTH:
        maker.text("key-" + name, about, first_of(seqs), export_text(log))
        assert violations(maker.found[-1]["problems"]) == seqs, name


def export_ranges(maker):
    """Key changes inside and outside of the range."""
    def case(name, about, expected, log, seqs=None, **asked):
        """One vector; `seqs` of what the preamble must hold."""
        text = export_text(log, **asked)
        held = [line["seq"] for line in json.loads(text.split("\n", 1)[0])["tombstones"]]
        assert seqs is None or held == seqs, (name, held)
        maker.text("key-" + name, about, expected, text)

    wrong = {"seed": OTHER_SEED}
    two = changed((0, 1), (1, 2), vkey=0)
    case("range-before", "key changes before the range, none in it: nothing in the preamble", None, two, [], first=4)
    case("range-after", "key changes after the range, none in it: nothing in the preamble", None, two, [], end=2)
    case("range-empty", "an empty range: nothing in the preamble", None, two, [], first=3, end=3)
    case("range-rotation", "a key change before the range, a rotation in it", None, two, [0, 2, 3], first=3)
    case("range-first", "a first key before the range, a rotation in it", None, changed((None, 0), (0, 1)), [0, 2, 3], first=3)
    case("range-later", "a key change in the range, a rotation after it", None, two, [0, 2, 3], end=3)
    case("range-wrong-before", "a wrong signature before the range is not told", None,
         changed((0, 1, wrong), (1, 2), vkey=0), [0, 2, 3], first=3)
    case("range-wrong-after", "a wrong signature after the range is not told", None,
         changed((0, 1), (1, 2, wrong), vkey=0), [0, 2, 3], end=3)
    case("range-wrong-both", "wrong signatures before the range and in it", (3, VIOLATION),
         changed((0, 1, wrong), (1, 2, wrong), vkey=0), [0, 2, 3], first=3)
    case("range-old-other", "a rotation in the range, from another key than that before the range", (3, VIOLATION),
         changed((0, 1), (0, 2), vkey=0), [0, 2, 3], first=3)
    case("leaf-only", "a key change left out by the filter", None, two, [0, 2, 3], keep={0, 3})
    case("leaf-only-wrong", "a wrong signature, the key change left out by the filter", (2, VIOLATION), changed((0, 1, wrong), vkey=0),
         [0, 2], keep={0, 1})
    case("covered", "a key change that is not signed and is covered whole", (2, "policy_violation"), covered())
    log = begun(0)
    add_policy(log, {**RETENTION, "number": 2})
    add_key_change(log, 0, 1)
    case("policy", "a policy and a key change in the range: both are in the preamble", None, log, [0, 2, 3])
    case("policy-before", "a policy before the range, a key change in it", None, log, [0, 2, 3], first=3)
    log = explained(changed((0, 1), vkey=0), gone=False)
    case("tombstone", "a tombstone that does not touch the range is not in the preamble", None, log, [0, 2], first=2)
    case("tombstone-only", "a tombstone that touches the range, a key change after it", None, log, [0, 2, 4], end=2)


def export_preambles(maker):
    """Key changes that the preamble lacks."""
    two = changed((0, 1), (1, 2), vkey=0)
    mixed = explained(changed((0, 1), (1, 2), vkey=0))

    def case(name, about, expected, change, log=mixed, problems=None, **asked):
        """One vector."""
        maker.objects("key-" + name, about, expected, change, log=log, **asked)
        found = maker.found[-1]["problems"]
        assert problems is None or found == [list(one) for one in problems], (name, found)

    lacks = (2, VIOLATION)
    case("preamble-empty", "key changes in the range, nothing in the preamble", lacks, nothing, two, [lacks, (3, VIOLATION)])
    case("preamble-empty-leaf-only", "nothing in the preamble, the key changes left out by the filter", None, nothing, two, keep={0, 1})
    case("preamble-empty-covered", "a key change covered whole, nothing in the preamble", lacks, nothing, covered(False))
    case("left-out", "a key change in the range left out of the preamble", lacks, without(2), mixed, [lacks, (3, VIOLATION)])
    case("left-out-second", "the second of two key changes in the range left out", (3, VIOLATION), without(3), mixed, [(3, VIOLATION)])
    case("left-out-both", "both key changes in the range left out", lacks, without(2, 3), mixed, [lacks, (3, VIOLATION)])
    case("left-out-leaf-only", "a key change left out of the preamble, and by the filter", None, without(3), mixed, keep={0, 1, 2})
    case("left-out-leaf-only-first", "a key change left out of the preamble, and by the filter: the next one does not fit",
         (3, VIOLATION), without(2), mixed, keep={0, 1, 3})
    case("left-out-before", "a key change before the range left out of the preamble: that in the range does not fit",
         (3, VIOLATION), without(2), two, first=3)
    case("left-out-outside", "key changes outside of the range left out of the preamble", None, without(2, 3), mixed, end=2)
    case("left-out-wrong", "a key change with a wrong signature left out of the preamble", lacks, without(2), explained(not_signed(0)))
    case("left-out-covered", "a key change covered whole and left out of the preamble", (2, "policy_violation"), without(2), covered(False))
    case("altered", "a key change in the range altered in the preamble: it does not count", (2, "root_mismatch"), element(2, run=9), mixed,
         [(2, "root_mismatch"), (3, VIOLATION)])
    case("altered-outside", "a key change outside of the range altered in the preamble", (2, "root_mismatch"), element(2, run=9), mixed,
         [(2, "root_mismatch")], end=2)
    case("open-left-out", "the open entry left out of the preamble: nothing counts", lacks, without(0), two, [lacks, (3, VIOLATION)])
    case("open-altered", "the open entry altered in the preamble: nothing counts", (0, "root_mismatch"), element(0, run=9), two,
         [(0, "root_mismatch"), lacks, (3, VIOLATION)])
    case("order", "two key changes of the preamble swapped: the second does not count", (2, "root_mismatch"), lambda found: found[0][
        "tombstones"].insert(1, found[0]["tombstones"].pop()), two, [(2, "root_mismatch"), (3, VIOLATION)])
    log = changed((0, 1), vkey=0)
    add_policy(log, {**RETENTION, "number": 2})
    case("policy-left-out", "a policy in the range left out of the preamble that a key change calls for", (4, "policy_violation"),
         without(4), log, [(4, "policy_violation")])


DATABASE = (database_changes, database_counting)
EXPORT = (export_changes, export_ranges, export_preambles)
