"""Vector cases of exports with removals (format.md sections 7 and 13): honest ones, and one per single failure."""

import json

from cases_removed import after, erased, explained_by, overwritten, with_rules
from exports import dump, export_objects, export_text, join, trailer_for
from remover import (DAY, ERASURE_SEED, RETENTION, RUNS, add_policy, add_tombstone, large_log, remove_content, remove_entries,
                     removed_log, rule, small_log)
from writer import fixed

JUNK = fixed("junk", 32).hex()


def at(found, seq):
    """Place of the line of a seq among the objects of an export."""
    return next(place for place, line in enumerate(found) if place and line["seq"] == seq)


def explaining(found, seq):
    """The entry of a seq in the preamble."""
    return next(line for line in found[0]["tombstones"] if line["seq"] == seq)


def honest(maker):
    """Exports with removals, without a fault."""
    log = removed_log()

    def text(name, about, log=log, **asked):
        """One vector."""
        maker.text("removed-" + name, about, None, export_text(log, **asked))

    text("gaps", "a block partly gone with survivors, one wholly gone")
    text("json", "JSON form", array=True)
    text("begins-in-gap", "the range begins in a gap", first=50)
    text("ends-in-gap", "the range ends in a gap", first=3, end=300)
    text("in-gap", "nothing but removed entries", first=200, end=420)
    text("after-gap", "the range begins after a gap: nothing of it is absent", first=512)
    text("leaf-only", "entries that the filter left out, one after a gap", keep={0, 3, 101, 513})
    text("neighbours", "two tombstones explain one run of absent entries", explained_by([*RUNS[:-1], (102, 300)], [(300, 512)]))
    text("content-erased", "content erased", erased([(1, 2)], [0, 1], contents=[(12, "request 17", None)]))
    text("content-retention", "content gone by age", erased([(4, 5)], [2], 1, 2))
    text("content-pending", "covered content that is still there, and some that is gone", erased([(1, 3)], [0], gone=[(1, 2)]))
    text("entry-pending", "a covered entry that is still there, another without its content",
         erased([(1, 2), (4, 5)], (), 1, 40, gone=[(1, 2)]))

    def with_reason(found):
        """Puts values where nobody checks them."""
        explaining(found, 6)["fields"][0].update(salt="00" * 16, value="request 18")

    maker.objects("removed-reason", "a reason in the preamble", (1, "content_mismatch"), with_reason,
                  log=erased([(1, 2)], [0, 1], contents=[(12, "request 17", None)]))
    odd = erased([(4, 5)], [2], 2, 2)
    text("number-outside", "a tombstone under another number, outside of the range: only its reach counts", odd, end=5)


def element(seq, /, **values):
    """Changes keys of an entry in the preamble."""
    return lambda found: explaining(found, seq).update(values)


def without(seq):
    """Leaves an entry out of the preamble."""
    return lambda found: found[0]["tombstones"].remove(explaining(found, seq))


def preambles(maker):
    """Entries of the preamble with one fault."""
    def fault(name, about, first, change, log=None, **asked):
        """One vector."""
        maker.objects("removed-" + name, about, first, change, log=log or removed_log(), **asked)

    def elements(found):
        """The list."""
        return found[0]["tombstones"]

    fault("preamble-altered", "a tombstone of the preamble altered: it explains nothing", (1, "unexplained_gap"),
          lambda found: explaining(found, 517).update(event=explained_by([(1, 512)]).entries[516]["event"].hex()))
    fault("preamble-content", "the tombstone that explains erased content altered", (1, "content_mismatch"),
          element(6, run=9), log=erased([(1, 2)], [0, 1]))
    fault("preamble-outside", "a tombstone outside of the range altered", (1, "unexplained_gap"), element(517, run=9), end=300)
    fault("preamble-proof", "a wrong hash in a proof", (1, "unexplained_gap"),
          lambda found: explaining(found, 517)["proof"].__setitem__(0, JUNK))
    fault("preamble-proof-short", "a hash too few in a proof", (1, "unexplained_gap"),
          lambda found: explaining(found, 517)["proof"].pop())
    fault("preamble-prev", "another leaf before", (1, "unexplained_gap"), element(517, prev=JUNK))
    fault("preamble-leaf", "another leaf", (1, "unexplained_gap"), element(517, leaf=JUNK))
    fault("preamble-clock", "an entry that is not canonical", (1, "unexplained_gap"), element(517, clock="none"))
    fault("preamble-seq", "another seq", (1, "unexplained_gap"), element(517, seq=518))
    fault("preamble-policy", "a policy altered: the one before is in force", (101, "root_mismatch"), element(101, run=9))
    fault("preamble-kind", "an entry of another kind", (514, "root_mismatch"), lambda found: elements(found).insert(
        3, {**found[at(found, 514)], "prev": large_log().leaves[513].hex(), "proof": []}))
    fault("preamble-absent", "the tombstone left out", (1, "unexplained_gap"), without(517))
    fault("preamble-none", "nothing in the preamble", (1, "unexplained_gap"), lambda found: elements(found).clear())
    fault("preamble-order", "two entries of the preamble swapped: the second does not count", (100, "content_mismatch"), lambda found: elements(
        found).insert(3, elements(found).pop()))
    fault("preamble-twice", "an entry of the preamble twice", (517, "root_mismatch"), lambda found: elements(found).append(
        explaining(found, 517)))
    fault("preamble-first", "the open entry left out: nothing counts", (1, "unexplained_gap"), without(0))
    fault("preamble-open", "the open entry altered: nothing counts", (0, "root_mismatch"), element(0, run=9))
    fault("preamble-key", "a key that is not named", "unreadable", element(517, extra=1))
    fault("preamble-no-proof", "no proof", "unreadable", lambda found: explaining(found, 517).pop("proof"))
    fault("preamble-prev-31", "a leaf before of 31 bytes", "unreadable", element(517, prev=JUNK[2:]))
    fault("preamble-leaf-only", "a leaf-only line", "unreadable", lambda found: elements(found).append(
        {"seq": 518, "leaf": JUNK, "prev": JUNK, "proof": []}))


def lines(maker):
    """Lines of removed entries with one fault."""
    def fault(name, about, first, change, log=None, **asked):
        """One vector; `change` gets the objects and the places of lines by seq."""
        maker.objects("removed-" + name, about, first, lambda found: change(found, lambda seq: at(found, seq)),
                      log=log or removed_log(), **asked)

    def put(seq, /, **values):
        """Changes keys of one line."""
        return lambda found, place: found[place(seq)].update(values)

    def pop(seq, name):
        """Removes a key of one line."""
        return lambda found, place: found[place(seq)].pop(name)

    fault("node", "a node changed", (None, "root_mismatch"), put(32, node=JUNK))
    fault("line-absent", "a line of removed entries left out", (32, "root_mismatch"), lambda found, place: found.pop(place(32)))
    fault("odd", "a position that is not divisible", (64, "malformed"), put(64, seq=72))
    fault("level-9", "a level above 8", (256, "malformed"), put(256, removed=9))
    fault("level-text", "a level that is no number", (64, "malformed"), put(64, removed="5"))
    fault("node-31", "a node of 31 bytes", (64, "malformed"), put(64, node=JUNK[2:]))
    fault("leaf-31", "a leaf of 31 bytes", (96, "malformed"), put(96, leaf=JUNK[2:]))
    fault("leaf-at-0", "a leaf beside a node of level 0", (4, "malformed"), put(4, leaf=JUNK))
    fault("line-key", "a key that is not named", (64, "malformed"), put(64, count=32))
    fault("overlap", "a line of removed entries that overlaps those before", (96, "inserted"), lambda found, place: found.insert(
        place(100), dict(found[place(96)])))
    fault("overlap-entry", "a line of removed entries over an entry that is there", (3, "inserted"),
          lambda found, place: found.insert(place(4), {"seq": 3, "removed": 0, "node": JUNK}))
    fault("beyond", "a line of removed entries that reaches beyond the end", (256, "inserted"), put(256, removed=8), end=300)
    fault("leaf-absent", "no leaf before an entry", (100, "root_mismatch"), pop(96, "leaf"))
    fault("leaf-changed", "another leaf before an entry", (100, "modified"), put(96, leaf=JUNK))
    fault("leaf-before-leaf-only", "no leaf before a leaf-only line is no fault", None, pop(96, "leaf"), keep={0, 101})
    fault("leaf-in-gap", "a leaf that nothing needs is no fault", None, put(64, leaf=JUNK))
    fault("survivor", "a survivor replaced by its leaf as a removed item", (3, "unexplained_gap"), lambda found, place: found.__setitem__(
        place(3), {"seq": 3, "removed": 0, "node": found[place(3)]["leaf"]}))
    fault("survivor-absent", "the line of a survivor left out", (3, "unexplained_gap"), lambda found, place: found.pop(place(3)))
    fault("end-absent", "lines of removed entries at the end of the range left out", (256, "root_mismatch"),
          lambda found, place: found.__delitem__(slice(place(256), None)), end=300)
    fault("tail-absent", "entries at the end left out", (517, "unexplained_gap"),
          lambda found, place: found.__delitem__(slice(place(517), None)))
    fault("after-failed", "an entry before a gap changed", (5, "broken"), put(5, run=9))
    fault("untold", "removed items in a log without tombstones", (6, "unexplained_gap"),
          lambda found, place: found.__setitem__(slice(place(6), place(8)), [
              {"seq": 6, "removed": 0, "node": large_log().leaves[6].hex()},
              {"seq": 7, "removed": 0, "node": large_log().leaves[7].hex()}]), log=large_log(), end=12)


def policies(maker):
    """Rules of tombstones, policies and ages."""
    def fault(name, about, first, log, **asked):
        """One vector."""
        maker.text("removed-" + name, about, first, export_text(log, **asked))

    fault("min-age", "younger than the least age", (2, "policy_violation"), erased([(2, 3)], [0, 5], 1, 1))
    fault("min-age-outside", "younger than the least age, the tombstone outside of the range", (2, "policy_violation"),
          erased([(2, 3)], [0, 5], 1, 1), end=4)
    fault("number-other", "another policy number than that in force", (6, "policy_violation"), erased([(4, 5)], [2], 2, 2))
    fault("number-leaf-only", "another policy number, the tombstone left out by the filter", (6, "policy_violation"),
          erased([(4, 5)], [2], 2, 2), keep={4})
    fault("never", "a key_change covered whole, still there", (5, "policy_violation"), erased([(4, 6)], (), 1, gone=[(4, 5)]))
    log = small_log()
    add_tombstone(log, [(1, 2)], [0])
    remove_content(log, [(1, 2)], [1])
    fault("content-not-covered", "content of another field gone", (1, "content_mismatch"), log)
    lines = [dump(item) for item in export_objects(removed_log())]
    trailer = trailer_for(lines)
    maker.text("removed-count", "count says how many entries, not how many lines", (None, "root_mismatch"),
               join([*lines, dump({**trailer, "count": 519})]))
    maker.text("removed-truncated", "cut off in a gap", (128, "truncated"), join(
        lines[:next(n for n, line in enumerate(lines) if n and json.loads(line)["seq"] == 128)]))


def overwriting(maker):
    """13.1: salts of zeros."""
    def zero(seq, place=0, **values):
        """Overwrites one slot of a line."""
        return lambda found: found[at(found, seq)]["fields"][place].update(salt="00" * 16, **values)

    def case(name, about, change, first=None, log=None):
        """One vector."""
        maker.objects("removed-zero-" + name, about, first, change, log=log or erased([(1, 2)], [0, 40], gone=[]))

    case("salt", "covered content with a salt of zeros: it counts as erased", zero(1, value="0000"))
    case("value", "a salt of zeros, the value still there", zero(1))
    case("hash-only", "a covered hash-only slot with a salt of zeros", zero(1, 2))
    case("min-age", "a salt of zeros, younger than the least age", zero(2), (2, "policy_violation"), erased([(2, 3)], [0], 1, 1, gone=[]))
    case("other-field", "a salt of zeros, a tombstone of another field", zero(1, 1), (1, "content_mismatch"))
    case("not-covered", "a salt of zeros and no tombstone", zero(4), (4, "content_mismatch"), small_log())
    case("not-covered-hash-only", "a hash-only slot with a salt of zeros and no tombstone: nothing can be checked", zero(1, 2),
         None, small_log())
    maker.text("removed-zero-left-out", "an export leaves out what was overwritten", None, export_text(overwritten([0, 1])))


def ages(maker):
    """13.1 and 13.2: entries that are there and covered whole, and tombstones that come too early."""
    def case(name, about, seq, log, /, **asked):
        """One vector."""
        maker.text("removed-" + name, about, seq and (seq, "policy_violation"), export_text(log, **asked))

    def covered(runs, days=2, log=None):
        """Entries covered by a tombstone of cause retention and all there."""
        return erased(runs, (), 1, days, gone=[], log=log)

    limited = {**RETENTION, "max_entries": 1000}
    case("present-young", "an entry that is there, covered whole, younger than its least age", 1, covered([(1, 2)]))
    case("present-young-outside", "the same, the tombstone outside of the range", 1, covered([(1, 2)]), end=3)
    case("present-young-leaf-only", "the same, the entry left out by the filter", None, covered([(1, 2)]), keep={0, 3})
    case("present-old", "an entry that is there, covered whole, old enough", None, covered([(1, 2)], 31))
    case("present-content-only", "an entry that is there, covered whole, and whose rule says content only", 3, covered(
        [(3, 4)], 181, small_log(policy=limited)))
    log = small_log()
    add_tombstone(log, [(1, 2)], [0], days=2)
    case("present-tombstone", "a young tombstone inside of a run of old entries", None, covered([(4, 5), (6, 7)], log=log))
    early = erased([(4, 5)], [2], 1, 0.5, gone=[])
    case("early", "a tombstone too early for everything", 6, early)
    case("early-outside", "a tombstone too early for everything, outside of the range", None, early, end=5)
    case("early-leaf-only", "a tombstone too early for everything, left out by the filter", 6, early, keep={0, 4})
    case("early-without-open", "a tombstone too early for everything, entry 0 outside of the range", 6, early, first=4)
    case("early-exact", "a tombstone not too early by a hair", None, erased([(4, 5)], [2], 1, 1, gone=[]))
    waits = with_rules(1, rule(None, None, 2 * DAY, 0), max_entries=1000)
    case("early-limit", "a limit, and entry 0 younger than every least age", 6, erased(
        [(4, 5)], [2], 1, 1, gone=[], log=small_log(policy=waits)))
    log = large_log("early")
    add_tombstone(log, [(6, 100), (102, 512)], policy=2, days=0.5)
    remove_entries(log, [(6, 100), (102, 512)])
    case("early-gone", "entries gone before anything was old enough", 516, log)


def with_policy(count=1, gone=None):
    """A small log with more policies, from 6 on, and content of 1 and 4 erased; what of it is gone."""
    log = small_log()
    for number in range(2, 2 + count):
        add_policy(log, {**RETENTION, "number": number})
    return erased([(1, 2), (4, 5)], [0, 2], log=log, gone=gone)


def declared(seed=None):
    """A log whose undeclared policy is followed by one that keeps less, and with content erased."""
    log = after(with_rules(1, rule(None, None, 0, 60)), seed, with_rules(0))
    return erased([(2, 3)], [2], log=log)


def left_out(maker):
    """13.2: policies in the range that the preamble lacks, and which policies must be signed."""
    def case(name, about, expected, change, log=None, /, **asked):
        """One vector."""
        maker.objects("removed-policy-" + name, about, expected, change, log=log or with_policy(), **asked)

    def keep(found):
        """Changes nothing."""

    def only_open(found):
        """Leaves nothing but the open entry in the preamble."""
        del found[0]["tombstones"][1:]

    # From an entry with content that is covered on; the key change at 5 is left out by the filter.
    lacks, part = (6, "policy_violation"), {"first": 4, "keep": {4, 6, 7, 8}}
    case("counts", "a policy in the range and in the preamble", None, keep)
    case("left-out", "a policy in the range left out of the preamble", lacks, without(6))
    case("left-out-second", "the second of two policies in the range left out", (7, "policy_violation"),
         without(7), with_policy(2))
    case("left-out-only-open", "nothing but the open entry in the preamble", (1, "content_mismatch"), only_open)
    case("left-out-only-open-range", "nothing but the open entry in the preamble, nothing absent in the range", lacks, only_open,
         with_policy(gone=[]), **part)
    case("left-out-open", "the open entry left out, so nothing counts, no policy either", lacks, without(0),
         with_policy(gone=[]), **part)
    case("left-out-leaf-only", "a policy left out of the preamble, and by the filter", None, without(6), keep={1, 4})
    case("left-out-outside", "a policy outside of the range left out of the preamble", None, without(6), end=5)
    case("left-out-altered", "a policy in the range altered in the preamble", (6, "root_mismatch"), element(6, run=9))
    case("left-out-empty", "a policy in the range and nothing in the preamble", None,
         lambda found: found[0]["tombstones"].clear(), with_policy(gone=[]), **part)
    none = after({**RETENTION, "number": 2})
    case("no-tombstone", "a policy in the range of a log without tombstones, nothing in the preamble", None, keep, none)
    case("declared-unsigned", "a policy after none was declared, an erasure key is named, not signed", (1, "policy_violation"), keep,
         declared())
    case("declared-signed", "a policy after none was declared, signed by the erasure key", None, keep, declared(ERASURE_SEED))
    case("declared-outside", "a policy after none was declared, not signed, outside of the range", None, keep, declared(), first=2)


PARTS = (honest, preambles, lines, policies, overwriting, ages, left_out)
