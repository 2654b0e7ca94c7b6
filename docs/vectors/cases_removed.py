"""Vector cases of databases with removals (format.md section 13): honest ones, and one per single failure."""

from cases_database import earlier_tip
from remover import (DAY, ERASURE_KEY, ERASURE_SEED, RETENTION, RUNS, add_policy, add_tombstone, large_log, overwrite_content,
                     remove_content, remove_entries, removed_log, rule, small_log)
from writer import BASE_TIME, Log, fixed, open_event

JUNK = fixed("junk", 32)
LIMITED = {**RETENTION, "max_entries": 1000}
WITHOUT = {"number": 0, "max_entries": 0, "max_bytes": 0, "rules": []}


def with_rules(number, *rules, **values):
    """A policy of these rules."""
    return {"number": number, "max_entries": 0, "max_bytes": 0, "rules": list(rules), **values}


def erased(runs, fields, policy=None, days=400, gone=None, log=None, **columns):
    """A small log with one tombstone at 6; what it covers is gone, or `gone` is."""
    log = log or small_log()
    add_tombstone(log, runs, fields, policy, days, **columns)
    log.add("log")
    remove_content(log, runs if gone is None else gone, fields or range(64))
    return log


def contents(maker):
    """Content that is gone, without a fault."""
    maker.case("removed-content-erased", "content of two fields erased", None, log=erased(
        [(1, 2)], [0, 1], contents=[(4, "officer", None), (12, "request 17", None)]))
    maker.case("removed-content-hash-only", "the salt of a hash-only slot erased", None, log=erased([(1, 2)], [40]))
    maker.case("removed-content-retention", "content gone by age", None, log=erased([(4, 5)], [2], 1, 2))
    maker.case("removed-content-status", "content gone by the rule of its status", None,
               log=erased([(2, 3)], [0, 5], 1, 11))
    maker.case("removed-content-limit", "content gone by a limit of entries, old enough", None,
               log=erased([(3, 4)], [4], 1, 181, log=small_log(policy=LIMITED)))
    maker.case("removed-content-bytes", "content gone by a limit of bytes", None,
               log=erased([(4, 5)], [2], 1, 0, log=small_log(policy={**RETENTION, "max_bytes": 1000})))
    maker.case("removed-content-of-pending", "an entry covered whole is there, its content is gone", None,
               log=erased([(4, 5)], (), 1, 2))
    log = small_log()
    add_tombstone(log, [(3, 4)], [4], 1, 2)
    maker.case("removed-content-both", "retention would not allow it, an erasure covers it too", None,
               log=erased([(3, 4)], [4], log=log))
    maker.case("removed-content-pending", "covered content that is still there", None, log=erased([(1, 3)], [0], gone=[]))
    maker.case("removed-content-partly", "some of the covered content is still there", None,
               log=erased([(1, 3)], [0], gone=[(1, 2)]))
    maker.case("removed-entry-pending", "a covered entry that is still there", None,
               log=erased([(4, 5)], (), 1, 2, gone=[]))


def content_faults(maker):
    """Content that is gone and should not be."""
    def fault(name, about, first, change=None, log=None):
        """One vector."""
        maker.case("removed-" + name, about, first, change, log=log)

    not_covered = erased([(1, 2)], [0], gone=[(1, 2)])
    del not_covered.content[1 * 64 + 1]
    fault("content-not-covered", "content of another field gone as well", (1, "content_mismatch"), log=not_covered)
    fault("content-differs", "covered content that is still there, changed", (1, "content_mismatch"),
          lambda rows, _: rows["content"][0].update(value="another"), log=erased([(1, 2)], [0], gone=[]))
    late = erased([(1, 2)], [0])
    fault("content-after-end", "the tombstone comes after the end that the tip row gives: it explains nothing", (1, "content_mismatch"),
          lambda rows, _: earlier_tip(rows, late, 6), log=late)
    at_entry = "policy_violation"
    fault("min-age", "younger than the least age", (2, at_entry), log=erased([(2, 3)], [0, 5], 1, 1))
    fault("max-age", "not old enough, and no limit", (4, at_entry), log=erased([(4, 5)], [2], 1, 0.5))
    fault("no-limit", "a rule without a greatest age, and no limit", (3, at_entry), log=erased([(3, 4)], [4], 1))
    fault("clock-entry", "the clock of the entry was not set", (4, at_entry),
          log=erased([(4, 5)], [2], 1, log=small_log(clock=0)))
    fault("clock-tombstone", "the clock of the tombstone was not set", (4, at_entry), log=erased([(4, 5)], [2], 1, clock=0))
    fault("age-negative", "a tombstone older than what it removes", (4, at_entry), log=erased([(4, 5)], [2], 1, -9))
    fault("undeclared", "retention without a declared policy", (4, at_entry),
          log=erased([(4, 5)], [2], 0, log=small_log(policy={**LIMITED, "number": 0})))
    fault("two-retentions", "two tombstones of retention cover it, none allows it", (3, at_entry),
          log=erased([(3, 4)], [4], 1, log=erased([(3, 5)], [4], 1, 2, gone=[])))


def overwritten(fields, runs=((1, 2),), covered=None, policy=None, days=400, log=None):
    """A small log whose content in `fields` was overwritten, and a tombstone of `covered` (else `fields`)."""
    log = erased(list(runs), fields if covered is None else covered, policy, days, gone=[], log=log)
    overwrite_content(log, runs, fields)
    return log


def overwriting(maker):
    """13.1: content rows whose salt is zeros."""
    def case(name, about, log, first=None, change=None):
        """One vector."""
        maker.case("removed-zero-" + name, about, first, change, log=log)

    def row(position, **values):
        """Changes one content row."""
        return lambda rows, _: rows["content"][position].update(values)

    def add(key, position):
        """Adds an overwritten content row."""
        return lambda rows, _: rows["content"].insert(position, {"id": key, "salt": bytes(16), "value": ""})

    wrong, refused = (1, "content_mismatch"), "policy_violation"
    case("salt", "covered content that was overwritten: it counts as erased and is not pending", overwritten([0, 1]))
    case("partly", "of the covered content of one entry some was overwritten", overwritten([0], covered=[0, 1]))
    case("value", "a salt of zeros, the value still there", overwritten([0]), None, row(0, value="question"))
    case("null", "a salt of zeros, no value", overwritten([0]), None, row(0, value=None))
    case("hash-only", "the salt of a covered hash-only slot overwritten", overwritten([40]))
    case("hash-only-value", "a covered hash-only slot with a salt of zeros and a value", overwritten([40]), None, row(2, value="0"))
    case("whole", "content of a covered entry that is still there was overwritten", overwritten([2], [(4, 5)], (), 1, 2))
    case("retention", "content overwritten by age", overwritten([2], [(4, 5)], None, 1, 2))
    case("min-age", "content overwritten, younger than the least age", overwritten([0, 5], [(2, 3)], None, 1, 1), (2, refused))
    case("no-slot", "an overwritten content row without a slot, covered", overwritten([0], covered=[0, 2]), None, add(64 + 2, 2))
    case("no-slot-not-covered", "an overwritten content row without a slot, not covered", overwritten([0]), wrong, add(64 + 2, 2))
    case("other-field", "a salt of zeros, a tombstone of another field", overwritten([1], covered=[0]), wrong)
    case("other-entry", "a salt of zeros, a tombstone of another entry", overwritten([4], [(3, 4)]), wrong, row(0, salt=bytes(16)))
    log = small_log()
    overwrite_content(log, [(1, 2)], [1])
    case("not-covered", "a salt of zeros and no tombstone", log, wrong)
    case("not-covered-hash-only", "a hash-only slot with a salt of zeros and no tombstone: nothing can be checked", small_log(),
         None, row(2, salt=bytes(16)))
    case("salt-15", "covered content with a salt of 15 zero bytes", overwritten([0]), wrong, row(0, salt=bytes(15)))
    case("salt-one", "covered content with a salt of zeros but for one bit", overwritten([0]), wrong,
         row(0, salt=bytes(15) + b"\1"))
    case("left", "overwritten content of an entry that is gone: covered, so it is absent", removed_log(), None, add(60 * 64 + 2, 0))
    case("left-not-covered", "overwritten content of an entry that never was", removed_log(), (9000, "content_mismatch"),
         lambda rows, _: rows["content"].append({"id": 9000 * 64 + 2, "salt": bytes(16), "value": ""}))


def present(maker):
    """13.1: entries that are there although tombstones of whole entries cover them, and how old they are."""
    def case(name, about, log, seq=None):
        """One vector."""
        maker.case("removed-present-" + name, about, None if seq is None else (seq, "policy_violation"), log=log)

    def covered(runs, days=2, log=None, **columns):
        """Entries covered by a tombstone of cause retention and all there."""
        return erased(runs, (), 1, days, gone=[], log=log, **columns)

    def limited(days, seq=3):
        """Entry 3 covered, under a limit of entries."""
        return covered([(seq, seq + 1)], days, small_log(policy=LIMITED))

    case("young", "an entry that is there, younger than its least age", covered([(1, 2)]), 1)
    case("max-age", "an entry that is there, younger than its greatest age, and no limit", covered([(1, 2)], 29), 1)
    case("old", "an entry that is there and old enough", covered([(1, 2)], 31))
    case("content-only", "an entry that is there, and whose rule says content only", limited(181), 3)
    case("content-only-gone", "a content_only entry covered whole, only its content is gone", erased(
        [(3, 4)], (), 1, 181, log=small_log(policy=LIMITED)), 3)
    case("limit", "an entry that is there, old enough for a limit of entries", limited(2, 1))
    case("clock", "an entry that is there, its clock was not set", covered([(4, 5)], log=small_log(clock=0)), 4)
    log = small_log()
    log.add("lifecycle", event={"case": 4, "digest": fixed("digest", 32)})
    case("no-rule", "an entry that is there and matches no rule, and no limit", covered([(6, 7)], log=log), 6)
    log = small_log(policy=LIMITED)
    log.add("lifecycle", event={"case": 4, "digest": fixed("digest", 32)})
    case("no-rule-limit", "an entry that is there and matches no rule, a limit of entries", covered([(6, 7)], log=log))
    log = small_log()
    add_tombstone(log, [(1, 2)], [0], days=2)
    case("tombstone", "a young tombstone inside of a run of old entries", covered([(4, 5), (6, 7)], log=log))
    log = small_log()
    log.add("unknown", {"raw": b"\x02future body"})
    case("unknown", "an entry that is not understood inside of a run", covered([(4, 5), (6, 7)], log=log))
    case("two", "two tombstones of whole entries, the second allows it", covered([(1, 2)], 31, covered([(1, 2)])))
    case("two-young", "two tombstones of whole entries, none allows it", covered([(1, 2)], 3, covered([(1, 2)])), 1)
    case("erased", "an erasure of a field does not allow the removal of the entry", erased(
        [(1, 2)], [0], log=covered([(1, 2)]), gone=[]), 1)
    case("erasure", "an erasure of content has no age to wait for", erased([(1, 2), (3, 5)], [0, 2, 4], days=0))
    case("erasure-pending", "an erasure of content that is still there, at once", erased([(1, 2)], [0], days=0, gone=[]))
    maker.case("removed-erasure-whole-young", "an erasure of whole entries, one is there: the entry has no fault", (6, "policy_violation"),
               log=erased([(4, 5)], (), days=0, gone=[]))
    maker.case("removed-present-failed", "an entry that is there, covered, younger than its least age, changed",
               (1, "modified"), column(1, run=9), log=covered([(1, 2)]))


def early(maker):
    """13.2: tombstones of cause retention that come too early for everything, and some that just do not."""
    def case(name, about, is_fine, log, seq=6):
        """One vector."""
        maker.case("removed-early-" + name, about, None if is_fine else (seq, "policy_violation"), log=log)

    def field(days, policy=RETENTION, opening=None, **columns):
        """Content covered by retention, and all there: only the tombstone itself can have a fault."""
        return erased([(4, 5)], [2], 1, days, gone=[], log=small_log(policy=policy, opening=opening), **columns)

    def whole(policy, days=2):
        """A young tombstone covered whole: only the tombstone at 7 can have a fault."""
        log = small_log(policy=policy)
        add_tombstone(log, [(1, 2)], [0])
        return erased([(6, 7)], (), 1, days, gone=[], log=log)

    day = BASE_TIME + DAY * 1_000_000_000
    waits = {"max_entries": 1000}
    case("max-age", "no limit, and entry 0 younger than every greatest age", False, field(0.5))
    case("nanosecond", "a nanosecond before entry 0 is old enough", False, field(1, recorded=day - 1))
    case("exact", "entry 0 exactly old enough", True, field(1))
    case("only-one", "old enough for one rule, younger than the least age of it", False, field(
        1, with_rules(1, rule(3, None, 2 * DAY, DAY))))
    case("limit-min-age", "a limit, and entry 0 younger than the least age of all rules", False, field(
        1, with_rules(1, rule(3, None, 3 * DAY, 0), rule(None, None, 2 * DAY, 0), **waits)))
    case("limit-exact", "a limit, and entry 0 exactly as old as one least age", True, field(
        2, with_rules(1, rule(3, None, 3 * DAY, 0), rule(None, None, 2 * DAY, 0), **waits)))
    case("limit-no-match", "a limit, and entries that match no rule", True, field(0, with_rules(1, rule(3, None, 2 * DAY, 0), **waits)))
    case("limit-status", "a limit, and a rule of one status and any kind, which not all match", True, field(
        0, with_rules(1, rule(None, "error", 2 * DAY, 0), max_bytes=1000)))
    case("no-rules", "no rules and no limit", False, field(400, with_rules(1)))
    case("no-rules-limit", "no rules and a limit", True, field(0, with_rules(1, max_bytes=1000)))
    every = rule(None, None, 0, DAY, 1)
    case("content-only", "whole entries, and a rule for all that says content only", False, whole(with_rules(1, every, **waits)), 7)
    case("content-only-field", "content, and a rule for all that says content only", True, field(2, with_rules(1, every, **waits)))
    case("content-only-no-match", "whole entries, rules that say content only, entries that match none, a limit", True, whole(
        with_rules(1, rule(3, None, 0, DAY, 1), **waits)))
    case("content-only-no-limit", "whole entries, rules that say content only, entries that match none, no limit", False, whole(
        with_rules(1, rule(3, None, 0, DAY, 1))), 7)
    case("content-only-one", "whole entries, one of the rules does not say content only", True, whole(
        with_rules(1, rule(1, None, 0, DAY), every)))
    case("clock", "the clock of entry 0 was not set", False, field(400, opening={"clock": 0}))
    case("clock-tombstone", "the clock of the tombstone was not set", False, field(400, clock=0))
    case("clock-limit", "the clock of entry 0 was not set, a limit and no least age", True, field(0, LIMITED, {"clock": 0}))
    case("negative", "a tombstone older than entry 0", False, field(-9))
    longer = {**RETENTION, "number": 2, "rules": [rule(3, None, 0, 2 * DAY), *RETENTION["rules"][1:]]}
    log = small_log()
    add_policy(log, longer)
    case("in-force", "old enough for the policy of the open entry, not for that in force", False, erased(
        [(4, 5)], [2], 2, 1, gone=[], log=log), 7)
    log = large_log("early")
    add_tombstone(log, [(6, 100), (102, 512)], policy=2, days=0.5)
    remove_entries(log, [(6, 100), (102, 512)])
    case("gone", "entries gone before anything was old enough", False, log, 516)
    log = Log("no open")
    log.add("log", contents=[(2, "zero", None)])
    add_policy(log, RETENTION)
    add_tombstone(log, [(0, 1)], [2], 1, 0.5)
    maker.case("removed-early-no-open", "entry 0 is not open: nothing is too early, and a policy needs no signature",
               (0, "malformed"), log=log)


def tombstone_faults(maker):
    """Tombstones that break a rule themselves."""
    maker.case("removed-reaches-itself", "a tombstone covers its own seq", (6, "policy_violation"),
               log=erased([(4, 7)], [2]))
    maker.case("removed-reaches-later", "a tombstone covers an entry that comes later", (6, "policy_violation"),
               log=erased([(4, 5), (7, 8)], [2]))
    maker.case("removed-covers-open", "entry 0 covered whole", (0, "policy_violation"),
               log=erased([(0, 1)], (), 1, gone=[]))
    maker.case("removed-covers-open-field", "content of entry 0 covered is no fault", None, log=erased([(0, 2)], [0]))
    maker.case("removed-erasure-whole", "an erasure of whole entries", (6, "policy_violation"),
               log=erased([(4, 5)], (), gone=[]))
    maker.case("removed-number-other", "another policy number than that in force", (6, "policy_violation"),
               log=erased([(4, 5)], [2], 2))
    maker.case("removed-number-0", "retention under number 0", (6, "policy_violation"), log=erased([(4, 5)], [2], 0))
    log = small_log()
    add_policy(log, {**RETENTION, "number": 2})
    maker.case("removed-number-older", "the number of the policy before", (7, "policy_violation"),
               log=erased([(4, 5)], [2], 1, log=log))
    maker.case("removed-never", "a key_change covered whole, still there", (5, "policy_violation"),
               log=erased([(5, 6)], (), 1, gone=[]))
    log = small_log()
    add_policy(log, {**RETENTION, "number": 2})
    maker.case("removed-never-policy", "a policy covered whole, still there", (6, "policy_violation"),
               log=erased([(6, 7)], (), 2, gone=[], log=log))
    # Nothing else depends on the policy: what a verifier does not find through such an index counts for nothing.
    maker.case("removed-index", "entry_rules lacks a policy", (None, "schema"), log=after({**RETENTION, "number": 2}), sql=[
        "DROP INDEX entry_rules", "CREATE INDEX entry_rules ON entry (seq) WHERE kind IN (6)",
        "PRAGMA writable_schema = 1",
        "UPDATE sqlite_schema SET sql = 'CREATE INDEX entry_rules ON entry (seq) WHERE kind >= 6 AND kind <= 8'"
        " WHERE name = 'entry_rules'"])


def after(policy, seed=None, before=RETENTION, **changes):
    """A log whose policy is followed by another at 1."""
    log = Log("policies")
    log.add("open", event={**open_event(log.log_id, policy=before, erasure_vkey=str(ERASURE_KEY)), **changes})
    add_policy(log, policy, seed)
    log.add("log")
    return log


def policies(maker):
    """Policies that follow one another."""
    def case(name, about, log, is_fine=False):
        """One vector."""
        maker.case("removed-policy-" + name, about, None if is_fine else (1, "policy_violation"), log=log)

    longer = {**RETENTION, "number": 2, "rules": [rule(3, None, 0, 2 * DAY), *RETENTION["rules"][1:]]}
    shorter = with_rules(2, rule(None, None, 0, 60))
    case("longer", "a policy that keeps more, not signed", after(longer), True)
    case("signed", "a policy that keeps less, signed by the erasure key", after(shorter, ERASURE_SEED), True)
    undeclared = {**LIMITED, "number": 0}
    case("declared", "a policy after none was declared, and no erasure key is named", after(
        shorter, before=undeclared, erasure_vkey=None), True)
    case("declared-signed", "a policy after none was declared, signed by the erasure key", after(
        shorter, ERASURE_SEED, undeclared), True)
    case("declared-unsigned", "a policy after none was declared, an erasure key is named, not signed", after(
        shorter, before=undeclared))
    case("declared-other-key", "a policy after none was declared, signed by another key", after(
        shorter, fixed("another key", 32), undeclared))
    case("declared-bad-key", "a policy after none was declared, and the erasure key is none", after(
        shorter, ERASURE_SEED, undeclared, erasure_vkey="vectors-erasure+00000000+AAAA"))
    case("declared-empty-key", "a policy after none was declared, and the erasure key is an empty text", after(
        shorter, before=undeclared, erasure_vkey=""))
    case("declared-limit", "a policy with a limit after none was declared, not signed", after(
        with_rules(1, max_bytes=10**12), before=undeclared))
    case("declared-keeps", "a policy that keeps all after none was declared, not signed", after(
        with_rules(1, rule(3, None, DAY, 0), rule(2, None, 0, 0, 1)), before=undeclared), True)
    case("split", "other rules that keep the same", after(with_rules(
        2, rule(2, None, 180 * DAY, 0, 1), rule(1, "error", 2 * DAY, 10 * DAY), rule(3, "ok", 0, 60),
        rule(1, "ok", DAY, 30 * DAY), rule(1, None, DAY, 30 * DAY), rule(3, None, 0, DAY))), True)
    case("number", "a number that is not larger", after({**longer, "number": 1}))
    case("number-0", "back to undeclared", after(WITHOUT, ERASURE_SEED))
    case("unsigned", "a policy that keeps less, not signed", after(shorter))
    case("other-key", "a policy that keeps less, signed by another key", after(shorter, fixed("another key", 32)))
    case("no-key", "a policy that keeps less, and no erasure key is named", after(shorter, ERASURE_SEED, erasure_vkey=None))
    case("bad-key", "a policy that keeps less, and the erasure key is none", after(
        shorter, ERASURE_SEED, erasure_vkey="vectors-erasure+00000000+AAAA"))
    log = Log("policies")
    log.add("open", event=open_event(log.log_id, policy=RETENTION, erasure_vkey=str(ERASURE_KEY)))
    log.add("log")
    signature = after(shorter, ERASURE_SEED).entries[1]["event"][-64:]
    log.add("policy", event={"policy": shorter, "signature": signature})
    maker.case("removed-policy-other-seq", "a signature for another seq", (2, "policy_violation"), log=log)
    one = with_rules(1, rule(1, "error", DAY, 0), rule(1, None, DAY, 9 * DAY, 1), max_bytes=500)
    for name, about, policy in (
            ("min-age", "a smaller least age for one status", with_rules(
                2, rule(1, "error", 9, 0), rule(1, None, DAY, 9 * DAY, 1), max_bytes=500)),
            ("max-age", "a greatest age where there was none", with_rules(
                2, rule(1, "error", DAY, 99 * DAY), rule(1, None, DAY, 9 * DAY, 1), max_bytes=500)),
            ("content-only", "whole entries where it was content only", with_rules(
                2, rule(1, "error", DAY, 0), rule(1, None, DAY, 9 * DAY), max_bytes=500)),
            ("max-bytes", "fewer bytes", {**one, "number": 2, "max_bytes": 400}),
            ("max-entries", "a limit of entries where there was none", {**one, "number": 2, "max_entries": 9}),
            ("status", "one status named that has a greatest age now", {**one, "number": 2, "rules": [
                rule(1, "cancelled", DAY, 8 * DAY, 1), *one["rules"]]}),
            ("rule-gone", "a rule left out", {**one, "number": 2, "rules": one["rules"][:1]})):
        case(name, about, after(policy, before=one))
    log = after(shorter)
    add_policy(log, {**shorter, "number": 3})
    maker.case("removed-policy-in-force", "a policy that broke a rule is in force nevertheless", (1, "policy_violation"),
               log=log)


def twice_removed():
    """A tombstone of whole entries, itself removed by a later one."""
    log = large_log("twice", 300)
    add_tombstone(log, [(10, 20)], policy=2)
    while len(log.entries) < 514:
        log.add("log")
    add_tombstone(log, RUNS, policy=2)
    remove_entries(log, RUNS)
    return log


def explained_by(*tombstones):
    """Blocks of which everything in RUNS is gone, and tombstones with these runs."""
    log = large_log("by")
    for runs in tombstones:
        add_tombstone(log, runs, policy=2)
    remove_entries(log, RUNS)
    return log


def many_gaps():
    """More gaps than are listed."""
    log = large_log("many", 260)
    runs = [(seq, seq + 1) for seq in range(7, 256, 2) if seq != 101]
    for start in range(0, len(runs), 32):
        add_tombstone(log, runs[start:start + 32], policy=2)
    remove_entries(log, runs)
    return log


def gaps(maker):
    """Whole entries that are gone, without a fault."""
    maker.case("removed-gaps", "a block partly gone with survivors, one wholly gone", None, log=removed_log())
    block = large_log("block")
    add_tombstone(block, [(6, 101), (102, 250), (256, 512)], policy=2)
    remove_entries(block, [(6, 101), (102, 250), (256, 512)])
    maker.case("removed-block", "the second block gone as a whole, of the first the end is there", None, log=block)
    maker.case("removed-cut", "nodes cut at the sizes 70, 130 and 300 of checkpoints", None, log=removed_log(cuts=(70, 130, 300)))
    maker.case("removed-tombstone", "a tombstone gone by one that covers it", None, log=twice_removed())
    maker.case("removed-neighbours", "two tombstones explain one run of absent entries", None, log=explained_by(
        [*RUNS[:-1], (102, 300)], [(300, 512)]))
    maker.case("removed-overlap", "two tombstones cover the same entries: the first explains them", None, log=explained_by(
        [(200, 300)], RUNS))
    maker.case("removed-many", "more gaps than are listed", None, log=many_gaps())
    maker.case("removed-stray", "a node of level 3 that nothing needs is ignored", None,
               lambda rows, _: rows["node"].insert(0, {"id": (3 << 56) + 33, "hash": JUNK}), log=removed_log())


def node_change(level, index, value=None):
    """Another hash for one row of `node`, or none."""
    def change(rows, _):
        """The change."""
        found = [row for row in rows["node"] if row["id"] == (level << 56) + index]
        assert found or value == JUNK, (level, index)
        rows["node"] = [row for row in rows["node"] if row not in found]
        rows["node"] += [{"id": (level << 56) + index, "hash": value}] if value else []
    return change


def drop(*seqs, node=None):
    """Entries go with their contents; `node` is put in their place."""
    def change(rows, _):
        """The change."""
        rows["entry"] = [row for row in rows["entry"] if row["seq"] not in seqs]
        rows["content"] = [row for row in rows["content"] if row["id"] >> 6 not in seqs]
        rows["node"] += [node] if node else []
    return change


def column(seq, **values):
    """Changes columns of an entry."""
    return lambda rows, entries: next(row for row in entries if row["seq"] == seq).update(values)


def gap_faults(maker):
    """Gaps with one fault."""
    def fault(name, about, first, change=None, log=None):
        """One vector."""
        maker.case("removed-" + name, about, first, change, log=log or removed_log())

    fault("survivor", "a survivor removed inside a gap", (3, "unexplained_gap"), drop(3))
    fault("survivor-node", "a survivor removed inside a gap, its leaf put in its place", (3, "unexplained_gap"),
          drop(3, node={"id": 3, "hash": large_log().leaves[3]}))
    fault("two-survivors", "two survivors beside each other removed", (100, "unexplained_gap"), drop(100, 101))
    fault("outside", "an entry removed outside of any block that has gaps", (514, "unexplained_gap"), drop(514))
    fault("node-absent", "a node absent", (6, "root_mismatch"), node_change(1, 3))
    fault("node-changed", "a node changed", (255, "root_mismatch"), node_change(5, 1, JUNK))
    fault("node-short", "a node of 31 bytes is none", (6, "root_mismatch"), node_change(1, 3, JUNK[:31]))
    fault("leaf-absent", "the leaf before a survivor absent", (100, "root_mismatch"), node_change(0, 99))
    fault("leaf-changed", "the leaf before a survivor changed", (100, "modified"), node_change(0, 99, JUNK))
    fault("leaf-node-changed", "a leaf that is node and leaf before, changed", (5, "broken"), node_change(0, 4, JUNK))
    fault("block-absent", "the node of a block that is gone absent", (256, "root_mismatch"), node_change(8, 1))
    fault("block-changed", "the node of a block that is gone changed", (511, "root_mismatch"), node_change(8, 1, JUNK))
    fault("above-changed", "the node above two blocks changed", (511, "root_mismatch"), node_change(9, 0, JUNK))
    fault("stray-8", "a node of level 8 of no block", (None, "root_mismatch"), node_change(8, 5, JUNK))
    fault("content-left", "content of an entry that is gone", (60, "content_mismatch"),
          lambda rows, _: rows["content"].insert(5, {"id": 60 * 64 + 2, "salt": JUNK[:16], "value": "left"}))
    fault("tombstone-gone", "the tombstone that explains the gaps gone", (1, "unexplained_gap"), drop(517))
    fault("tombstone-changed", "a tombstone changed: it explains less, and is not what was signed into the chain",
          (102, "unexplained_gap"), column(517, event=explained_by([RUNS[0], RUNS[1], RUNS[2]]).entries[516]["event"]))
    fault("before-gap", "an entry before a gap changed", (5, "broken"), column(5, run=9))
    fault("after-gap", "an entry after a gap changed", (100, "modified"), column(100, run=9))
    fault("partly", "more is gone than the tombstone covers", (500, "unexplained_gap"), log=explained_by(
        [*RUNS[:-1], (102, 500)]))
    fault("inside", "a run in the middle is not covered", (200, "unexplained_gap"), log=explained_by(
        [*RUNS[:-1], (102, 200), (400, 512)]))
    fault("returned", "an entry put back into a gap", (32, "root_mismatch"),
          lambda rows, entries: entries.insert(2, dict(large_log().entries[50])))
    fault("no-tombstone", "no tombstone of whole entries in the log, and two blocks gone", (1, "missing"),
          drop(*range(1, 512)), log=large_log("untold"))


PARTS = (contents, content_faults, overwriting, present, early, tombstone_faults, policies, gaps, gap_faults)
