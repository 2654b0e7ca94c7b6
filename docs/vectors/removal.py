"""Section 13 of format.md: what tombstones explain, and what policies allow."""

from bisect import bisect_right

from codec import KINDS, POLICY, UNKNOWN
from keys import OPEN, Keys, signing_key
from notes import ed25519

TOP = 8  # level of the blocks from which whole entries are removed
INFERENCE, TOMBSTONE, POLICY_KIND = (KINDS.index(name) for name in ("inference", "tombstone", "policy"))
NEVER_REMOVED = {KINDS.index(name) for name in ("open", "policy", "key_change", "import")}
UNDECLARED = {"number": 0, "max_entries": 0, "max_bytes": 0, "rules": []}
NO_RULE = {"min_age_s": 0, "max_age_s": 0, "content_only": 0}
SECOND = 1_000_000_000
OVERWRITTEN = bytes(16)  # the salt of a content row that is about to be deleted


class Tombstone:
    """What one tombstone says."""

    def __init__(self, row):
        self.seq, self.recorded, self.clock = row.seq, row.recorded, row.clock
        self.fields, self.runs = row.event["fields"], row.event["runs"]
        self.policy = row.event["cause"].get("policy")  # None: erasure
        self.whole = self.fields == 0

    def covers_field(self, field):
        """Whether it covers a field of the entries it covers."""
        return self.whole or self.fields >> field & 1 == 1


def rule_for(policy, kind, status):
    """The rule of a policy for an entry; `status` is None unless it is an inference."""
    for rule in policy["rules"]:
        if rule["kind"] in (None, kind) and rule["status"] in (None, status):
            return rule
    return NO_RULE


def age_at(tombstone, row):
    """Age of an entry at a tombstone, in nanoseconds."""
    return 0 if tombstone.clock == 0 or row.clock == 0 else max(0, tombstone.recorded - row.recorded)


def is_due(policy, rule, age):
    """Whether content under a rule of a policy may go at an age."""
    if age < rule["min_age_s"] * SECOND:
        return False
    old = rule["max_age_s"] != 0 and age >= rule["max_age_s"] * SECOND
    return old or policy["max_entries"] != 0 or policy["max_bytes"] != 0


def rules_of(policy):
    """All rules of a policy; that for entries that match none is one of them unless there is a rule that all match."""
    for_all = any(rule["kind"] is None and rule["status"] is None for rule in policy["rules"])
    return policy["rules"] if for_all else [*policy["rules"], NO_RULE]


def less(ours, theirs):
    """Whether a limit is stricter than another; 0 is no limit."""
    return ours != 0 and (theirs == 0 or ours < theirs)


def keeps_less(new, old):
    """Whether a policy keeps less than another."""
    if less(new["max_entries"], old["max_entries"]) or less(new["max_bytes"], old["max_bytes"]):
        return True
    named = {rule["status"] for policy in (new, old) for rule in policy["rules"]} - {None}
    for kind in range(len(KINDS)):
        for status in [*sorted(named), ""] if kind == INFERENCE else [None]:  # no token is empty: one in no rule
            ours, theirs = rule_for(new, kind, status), rule_for(old, kind, status)
            if (ours["min_age_s"] < theirs["min_age_s"] or less(ours["max_age_s"], theirs["max_age_s"])
                    or theirs["content_only"] and not ours["content_only"]):
                return True
    return False


def signed_text(log_id, seq, policy):
    """What the signature of a policy signs (section 3)."""
    return b"lowlight/policy/v1\0" + log_id + seq.to_bytes(8, "little") + POLICY.put(policy)


class Rules:
    """The open entry, tombstones, policies and key changes of a log, ascending: those that count."""

    def __init__(self, log_id=b"", rows=()):
        self.log_id, self.key, self.tombstones = log_id, None, []
        self.opening, self.names_key = None, False  # the open entry, and whether it names an erasure key
        self.keys = Keys(log_id, rows)
        self.policies = []  # (seq, policy, signature), the open entry first
        for row in rows:
            if row.kind == OPEN and row.seq == 0:
                self.policies.append((0, row.event["policy"], None))
                self.opening, self.names_key = row, row.event["erasure_vkey"] is not None
                self.key = signing_key(row.event["erasure_vkey"])
            elif row.kind == POLICY_KIND:
                self.policies.append((row.seq, row.event["policy"], row.event["signature"]))
            elif row.kind == TOMBSTONE:
                self.tombstones.append(Tombstone(row))
        self.any_whole = any(tombstone.whole for tombstone in self.tombstones)
        self.cut()

    def cut(self):
        """Cuts all seqs where another set of tombstones begins to cover them, so that one seq is found fast."""
        changes = {}
        for place, tombstone in enumerate(self.tombstones):
            for run in tombstone.runs:
                changes.setdefault(run["start"], []).append((place, True))
                changes.setdefault(run["start"] + run["length"], []).append((place, False))
        self.bounds, self.active, now = sorted(changes), [], set()
        for bound in self.bounds:
            now = now - {place for place, begins in changes[bound] if not begins}
            now = now | {place for place, begins in changes[bound] if begins}
            self.active.append([self.tombstones[place] for place in sorted(now)])

    def covering(self, seq):
        """Tombstones that cover a seq, ascending."""
        place = bisect_right(self.bounds, seq) - 1
        return self.active[place] if place >= 0 else []

    def pieces(self, start, end):
        """[start, end) as (start, end, seq of the tombstone that explains it or None), neighbours differ."""
        found, place = [], bisect_right(self.bounds, start)
        while start < end:
            stop = min(end, self.bounds[place]) if place < len(self.bounds) else end
            by = next((tombstone.seq for tombstone in self.covering(start) if tombstone.whole), None)
            if found and found[-1][2] == by:
                found[-1] = (found[-1][0], stop, by)
            else:
                found.append((start, stop, by))
            start, place = stop, place + 1
        return found

    def in_force(self, seq):
        """The policy in force at a seq."""
        found = UNDECLARED
        for at, policy, _ in self.policies:
            if at < seq or at == 0:
                found = policy
        return found if found["number"] else UNDECLARED

    def allows(self, tombstone, row, whole=False):
        """Whether a tombstone of cause retention allows the removal of content of an entry, or of the whole entry."""
        policy = self.in_force(tombstone.seq)
        rule = rule_for(policy, row.kind, row.status if row.kind == INFERENCE else None)
        return is_due(policy, rule, age_at(tombstone, row)) and not (whole and rule["content_only"])

    def too_early(self, tombstone):
        """Whether nothing in the log can have been old enough for a tombstone of cause retention."""
        if self.opening is None:
            return False
        policy, age = self.in_force(tombstone.seq), age_at(tombstone, self.opening)
        return not any(is_due(policy, rule, age) for rule in rules_of(policy)
                       if not (tombstone.whole and rule["content_only"]))

    def is_overwritten(self, seq, field, salt):
        """13.1: whether a content row is absent: covered, and its salt zeros."""
        return type(salt) is bytes and salt == OVERWRITTEN and any(
            tombstone.covers_field(field) for tombstone in self.covering(seq))

    def slot(self, row, field):
        """What explains a slot without a content row: None (nothing), True, or False (explained, not allowed)."""
        covering = [tombstone for tombstone in self.covering(row.seq) if tombstone.covers_field(field)]
        if not covering:
            return None
        return any(tombstone.policy is None or self.allows(tombstone, row) for tombstone in covering)

    def fault_of_entry(self, row):
        """13.1: why an entry that is there must not go although a tombstone of whole entries covers it, else None."""
        covering = [tombstone for tombstone in self.covering(row.seq) if tombstone.whole]
        if not covering or row.kind in (TOMBSTONE, UNKNOWN):
            return None
        if row.kind in NEVER_REMOVED:
            return "an entry of this kind is never removed"
        allowed = any(tombstone.policy is None or self.allows(tombstone, row, True) for tombstone in covering)
        return None if allowed else "removal of the whole entry"

    def is_pending(self, seq, fields):
        """Whether an entry that is there, or content of it that is there, is to go."""
        return any(tombstone.whole or any(tombstone.covers_field(field) for field in fields)
                   for tombstone in self.covering(seq))

    def faults(self):
        """What is wrong with tombstones and policies themselves, as (seq, detail)."""
        for tombstone in self.tombstones:
            for detail in self.faults_of(tombstone):
                yield tombstone.seq, detail
        for seq, policy, signature in self.policies:
            if seq == 0:
                continue
            before = self.in_force(seq)
            if policy["number"] <= before["number"]:
                yield seq, "number is not larger than that in force"
            needs_key = before["number"] or self.names_key
            if needs_key and keeps_less(policy, before) and not self.is_signed(seq, policy, signature):
                yield seq, "keeps less than the policy in force and is not signed"

    def faults_of(self, tombstone):
        """What is wrong with one tombstone."""
        if any(run["start"] + run["length"] > tombstone.seq for run in tombstone.runs):
            yield "reaches its own seq"
        if tombstone.whole and any(run["start"] == 0 for run in tombstone.runs):
            yield "covers entry 0"
        if tombstone.policy is None and tombstone.whole:
            yield "erasure of whole entries"
        if tombstone.policy is not None and (
                tombstone.policy == 0 or tombstone.policy != self.in_force(tombstone.seq)["number"]):
            yield "not under the policy in force"
        if tombstone.policy is not None and self.too_early(tombstone):
            yield "nothing was old enough"

    def is_signed(self, seq, policy, signature):
        """Whether the erasure key signed a policy."""
        if self.key is None or signature is None:
            return False
        return ed25519(self.key.public, signed_text(self.log_id, seq, policy), signature)


class Nodes:
    """The rows of `node`, as the removed items they can be."""

    def __init__(self, rows):
        self.hashes = {key: value for key, value in rows.items() if type(value) is bytes and len(value) == 32}
        self.starts = sorted({(key & (1 << 56) - 1) << (key >> 56) for key in self.hashes if 0 <= key >> 56 <= TOP})

    def item(self, start, end):
        """The largest node (level, hash) below a block's, else that, that begins at `start` and ends by `end`, or None."""
        for level in [*range(TOP - 1, -1, -1), TOP]:  # a block that checkpoints cut has smaller nodes besides its own
            value = self.hashes.get((level << 56) + (start >> level))
            if value is not None and start % (1 << level) == 0 and start + (1 << level) <= end:
                return level, value
        return None

    def next_start(self, start, end):
        """The first place after `start` where a node begins, at most `end`."""
        place = bisect_right(self.starts, start)
        return min(end, self.starts[place]) if place < len(self.starts) else end

    def leaf(self, seq):
        """The leaf of a removed entry, or None."""
        return self.hashes.get(seq)
