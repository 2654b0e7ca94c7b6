"""Removal from a log in memory, as section 13 of format.md asks for it: tombstones first, then rows, then nodes."""

from notes import Key, public_key, sign
from removal import OVERWRITTEN, TOP, signed_text
from tree import edge_levels, root_of
from writer import BASE_TIME, Log, add_key_change, fixed, open_event

DAY = 86_400
ERASURE_SEED = fixed("erasure key", 32)
ERASURE_KEY = Key("vectors-erasure", 1, public_key(ERASURE_SEED))
BLOCK = 1 << TOP


def rule(kind, status, least, most, content_only=0):
    """One rule of a policy."""
    return {"kind": kind, "status": status, "min_age_s": least, "max_age_s": most, "content_only": content_only}


# Logs go after a day, inferences that failed after ten, audit entries lose nothing but content.
RETENTION = {"number": 1, "max_entries": 0, "max_bytes": 0, "rules": [
    rule(3, None, 0, DAY), rule(1, "error", 2 * DAY, 10 * DAY), rule(2, None, 180 * DAY, 0, 1),
    rule(1, None, DAY, 30 * DAY)]}


def at(days):
    """Time of an entry, some days after the log began."""
    return {"recorded": BASE_TIME + int(days * DAY) * 1_000_000_000}


def seqs_of(runs):
    """Seqs of (start, end) runs."""
    return [seq for start, end in runs for seq in range(start, end)]


def add_tombstone(log, runs, fields=(), policy=None, days=400, contents=(), **columns):
    """Appends a tombstone for (start, end) runs: of whole entries without `fields`, an erasure without `policy`."""
    cause = {"case": 1} if policy is None else {"case": 0, "policy": policy}
    event = {"fields": sum(1 << field for field in fields), "cause": cause,
             "runs": [{"start": start, "length": end - start} for start, end in runs]}
    return log.add("tombstone", {**at(days), **columns}, event, contents)


def add_policy(log, policy, seed=None):
    """Appends a policy, signed when there is a seed."""
    signature = sign(seed, signed_text(log.log_id, len(log.entries), policy)) if seed else None
    return log.add("policy", event={"policy": policy, "signature": signature})


def remove_content(log, runs, fields=range(64)):
    """Deletes content rows."""
    for seq in seqs_of(runs):
        for field in fields:
            log.content.pop(seq * 64 + field, None)


def overwrite_content(log, runs, fields=range(64)):
    """Overwrites content rows that are about to be deleted: salts with zeros, values with something as long."""
    for key in [seq * 64 + field for seq in seqs_of(runs) for field in fields]:
        if key in log.content:
            value = log.content[key][1]
            log.content[key] = (OVERWRITTEN, value and "0" * len(value.encode()))


def remove_entries(log, runs, cuts=()):
    """Deletes whole entries; their nodes are cut where checkpoints of the journal end."""
    seqs = set(seqs_of(runs))
    assert all(seq // BLOCK < len(log.entries) // BLOCK for seq in seqs), "a block that is not complete"
    remove_content(log, runs)
    log.gone |= seqs
    log.low = low_nodes(log, cuts)


def low_nodes(log, cuts):
    """The rows of `node` below level 8."""
    found = {}
    for seq in sorted(log.gone):
        if seq + 1 not in log.gone:
            found[seq] = log.leaves[seq]
    for start, end in pieces(log, cuts):
        for level in edge_levels(start, end):
            if level < TOP:
                found[(level << 56) + (start >> level)] = root_of(log.leaves[start:start + (1 << level)])
            start += 1 << level
    return found


def pieces(log, cuts):
    """Runs of absent entries, cut at blocks and at the sizes of checkpoints."""
    start = None
    for seq in [*sorted(log.gone), None]:
        if start is not None and (seq != last + 1 or seq % BLOCK == 0 or seq in cuts):
            yield start, last + 1
            start = None
        start, last = seq if start is None else start, seq


def small_log(name="removal", policy=RETENTION, opening=None, **columns):
    """Entries of several kinds and statuses with contents; nothing is removed yet. `opening`: columns of entry 0."""
    log = Log(name)
    log.add("open", opening, event=open_event(log.log_id, policy=policy, erasure_vkey=str(ERASURE_KEY)))
    log.add("inference", {"operation": "chat", "model": "tiny-1b", "status": "ok", **columns},
            contents=[(0, "question", None), (1, "answer", None), (40, None, None)])
    log.add("inference", {"operation": "chat", "model": "tiny-1b", "status": "error", **columns},
            contents=[(0, "question two", None), (5, "out of memory", None)])
    log.add("audit", {"event_type": "user.login", "registered": 1, **columns}, contents=[(4, "alice", None)])
    log.add("log", columns, contents=[(2, "retry", None)])
    add_key_change(log, None, 0)
    return log


def large_log(name="gaps", count=516):
    """A log of two complete blocks and a few entries more, of several kinds: small entries, most without content."""
    log = small_log(name)
    for seq in range(len(log.entries), count):
        if seq == 101:
            add_policy(log, {**RETENTION, "number": 2})
        elif seq % 50 == 0:
            log.add("audit", {"event_type": "door.opened", "registered": 0}, contents=[(4, "bob", None)])
        elif seq % 40 == 0:
            log.add("inference", {"operation": "chat", "model": "tiny-1b", "status": "ok"}, contents=[(0, "q", None)])
        else:
            log.add("log", contents=[(2, "m%d" % seq, None)] if seq % 60 == 0 else ())
    return log


SURVIVORS = (0, 3, 5, 100, 101)
RUNS = [(1, 3), (4, 5), (6, 100), (102, 512)]


def removed_log(name="gaps", cuts=()):
    """A large log of whose two blocks only some entries survived, content of one of them erased."""
    log = large_log(name)
    add_tombstone(log, [(100, 101)], [4], contents=[(12, "request 17", None)])
    add_tombstone(log, RUNS, policy=2)
    log.add("log")
    remove_content(log, [(100, 101)])
    remove_entries(log, RUNS, cuts)
    return log


def sample_log(name="sample removed"):
    """A log with everything that is removed at all, and with what is still to go."""
    log = large_log(name, 790)
    runs = [*RUNS, (520, 600), (602, 767)]
    add_tombstone(log, [(100, 101), (601, 602)], [4, 0, 2], contents=[(12, "request 17", None)])
    add_tombstone(log, runs, policy=2)
    add_tombstone(log, [(780, 781)], [2], policy=2)
    add_tombstone(log, [(512, 513), (600, 601)], [0, 1, 2, 4])
    for number in range(20):
        log.add("log", at(400 + number), contents=[(2, "after %d" % number, None)])
    add_tombstone(log, [(514, 516)], policy=2, days=420)
    add_tombstone(log, [(800, 803)], [2], days=421)
    remove_content(log, [(100, 101), (601, 602), (780, 781), (802, 803)])
    overwrite_content(log, [(800, 801)])
    remove_entries(log, runs, (70, 130, 300, 650))
    return log
