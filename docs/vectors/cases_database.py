"""Vector cases of databases: honest ones, and one per single failure of section 8."""

import os
import tempfile

from codec import SLOTS, encode_body, parse
from tree import Tree, leaf
from verifier import verify_database
from writer import Log, fixed, honest_log, open_event, plain_log, write_database


def as_json(value):
    """One column value of a vector."""
    return {"hex": value.hex()} if isinstance(value, bytes) else value


def database_vector(name, about, rows, expected, extra_sql=()):
    """One vector; `expected` is (verdict, first) and must be what the verifier says."""
    with tempfile.TemporaryDirectory(prefix="lowlight-vectors-") as folder:
        path = os.path.join(folder, "lowlight.db")
        write_database(rows, path, extra_sql)
        found = verify_database(path)
    problems = [[p["seq"], p["kind"]] for p in found["problems"]]
    first = tuple(problems[0]) if problems else None
    assert (found["verdict"], first) == expected, (name, expected, found)
    return {"name": "database-" + name, "type": "database", "about": about,
            "rows": {table: [{key: as_json(value) for key, value in row.items() if value is not None} for row in part]
                     for table, part in rows.items()},
            "extra_sql": list(extra_sql), "verdict": found["verdict"],
            "first": {"seq": first[0], "kind": first[1]} if first else None, "problems": problems,
            **about_removal(name, found)}


def about_removal(name, found):
    """What a vector about removal says besides."""
    keys = ("gaps", "gaps_total", "erased", "pending_erase", "not_checked")
    return {key: found[key] for key in keys} if name.startswith("removed-") else {}


class Maker:
    """Collects vectors, each from a fresh copy of an honest log."""

    def __init__(self):
        self.found = []

    def case(self, name, about, first, change=None, sql=(), log=None):
        """`first` is None (intact), "unreadable" or (seq, kind); `change(rows, entries)` tampers."""
        rows = (log or honest_log()).rows()
        if change:
            change(rows, rows["entry"])
        verdict = "intact" if first is None else "unreadable" if first == "unreadable" else "broken"
        expected = (verdict, first if verdict == "broken" else None)
        self.found.append(database_vector(name, about, rows, expected, sql))


def setter(seq, **values):
    """Changes columns of one entry."""
    return lambda rows, entries: entries[seq].update(values)


def tip(**values):
    """Changes columns of the tip row."""
    return lambda rows, entries: rows["log"][0].update(values)


def earlier_tip(rows, log, size):
    """Puts back the tip row of fewer entries."""
    tree = Tree()
    for value in log.leaves[:size]:
        tree.push(value)
    rows["log"][0].update(size=size, head=log.leaves[size - 1], frontier=b"".join(tree.hashes))


def remove(rows, start, count=1, renumber=False):
    """Removes entries with their contents, and renumbers the later ones."""
    def moved(number, unit):
        """Where a row goes."""
        return number - count * unit if renumber and number >= (start + count) * unit else number

    rows["entry"] = [{**row, "seq": moved(row["seq"], 1)} for row in rows["entry"]
                     if not start <= row["seq"] < start + count]
    rows["content"] = [{**row, "id": moved(row["id"], 64)} for row in rows["content"]
                       if not start <= row["id"] >> 6 < start + count]


def double(rows, seq):
    """Doubles an entry with its contents and renumbers the later ones."""
    rows["entry"] = [row for old in rows["entry"] for row in (
        [old, {**old, "seq": seq + 1}] if old["seq"] == seq else [{**old, "seq": old["seq"] + (old["seq"] > seq)}])]
    contents = [{**row, "id": row["id"] + 64 * (row["id"] >> 6 > seq)} for row in rows["content"]]
    contents += [{**row, "id": row["id"] + 64} for row in rows["content"] if row["id"] >> 6 == seq]
    rows["content"] = sorted(contents, key=lambda row: row["id"])


def swap(rows, one, other):
    """Swaps two entries with their contents."""
    places = {one: other, other: one}
    rows["entry"] = sorted(({**row, "seq": places.get(row["seq"], row["seq"])} for row in rows["entry"]),
                           key=lambda row: row["seq"])
    rows["content"] = sorted(({**row, "id": places.get(row["id"] >> 6, row["id"] >> 6) * 64 + row["id"] % 64}
                              for row in rows["content"]), key=lambda row: row["id"])


def honest(maker):
    """Databases without a fault."""
    maker.case("honest", "every kind of entry", None)
    maker.case("honest-one", "only the open entry", None, log=plain_log(1))
    maker.case("honest-600", "600 entries: two nodes of level 8, one of level 9", None, log=plain_log(600))
    maker.case("honest-300", "300 entries: one node of level 8", None, log=plain_log(300, "three hundred"))
    maker.case("honest-index", "an additional index is noted and no fault", None,
               sql=["CREATE INDEX mine ON entry (app)"])
    maker.case("honest-analyze", "tables of ANALYZE are no fault", None, sql=["ANALYZE"])
    maker.case("honest-bookkeeping", "run and cursor are not evidence", None, sql=[
        "INSERT INTO run VALUES (1, 2, 3, NULL, 64)", "INSERT INTO cursor VALUES ('x', 9)"])


def unreadable(maker):
    """Databases about which nothing can be told."""
    for name, sql in (("application-id", "PRAGMA application_id = 1"), ("user-version", "PRAGMA user_version = 2"),
                      ("format", "UPDATE log SET format = 2"), ("log-row", "DELETE FROM log"),
                      ("no-entry", "DELETE FROM entry")):
        maker.case("unreadable-" + name, "cannot be told: " + sql, "unreadable", sql=[sql])
    maker.case("unreadable-log-id", "log_id of 15 bytes", "unreadable", tip(log_id=bytes(15)))
    maker.case("unreadable-head", "head of 31 bytes", "unreadable", tip(head=bytes(31)))
    maker.case("unreadable-frontier", "frontier of 33 bytes", "unreadable", tip(frontier=bytes(33)))


def schema(maker):
    """One additional, missing or different object each."""
    for name, sql in (
            ("trigger", "CREATE TRIGGER t AFTER INSERT ON entry BEGIN DELETE FROM entry WHERE seq = new.seq; END"),
            ("view", "CREATE VIEW v AS SELECT seq FROM entry"), ("table", "CREATE TABLE t (a INTEGER)"),
            ("index-missing", "DROP INDEX entry_recorded"), ("view-missing", "DROP VIEW contents"),
            ("table-missing", "DROP TABLE cursor"), ("differs", "ALTER TABLE run ADD COLUMN extra TEXT")):
        maker.case("schema-" + name, "schema: " + sql.split(" BEGIN")[0], (None, "schema"), sql=[sql])


def order(maker):
    """8.2: presence and order."""
    maker.case("missing", "entry 5 removed", (5, "missing"), lambda rows, _: remove(rows, 5))
    maker.case("missing-several", "entries 3 to 6 removed", (3, "missing"), lambda rows, _: remove(rows, 3, 4))
    maker.case("missing-head", "entry 0 removed", (0, "missing"), lambda rows, _: remove(rows, 0))
    maker.case("missing-contents-left", "entry 2 removed, its contents left: they lie in a missing run", (2, "missing"),
               lambda rows, entries: entries.pop(2))
    maker.case("inserted-after-end", "a copy of entry 5 after the end the tip row gives", (13, "inserted"),
               lambda rows, entries: entries.append({**entries[5], "seq": 13}))
    maker.case("inserted-negative", "a row of entry with a negative seq is not read", (None, "inserted"),
               lambda rows, entries: entries.insert(0, {**entries[5], "seq": -5}))
    maker.case("inserted-negative-content", "a row of content with a negative id is not read", (None, "inserted"),
               lambda rows, _: rows["content"].insert(0, {"id": -5, "salt": bytes(16), "value": "x"}))
    maker.case("rule-2-unchecked", "entry 4 removed and 5 changed: 5 cannot be checked", (4, "missing"),
               lambda rows, entries: (setter(5, lost=4)(rows, entries), remove(rows, 4)))


def malformed(maker):
    """8.1: rows whose columns do not make a body."""
    log = honest_log()
    slots = parse(SLOTS, log.entries[2]["fields"])
    cases = [
        ("null", "recorded is NULL", 4, {"recorded": None}), ("null-fields", "fields is NULL", 4, {"fields": None}),
        ("null-model", "model is NULL", 2, {"model": None}), ("null-raw", "raw is NULL", 9, {"raw": None}),
        ("foreign", "a column of another kind", 4, {"operation": "chat"}),
        ("foreign-unknown", "a column beside raw", 9, {"run": 1}),
        ("foreign-raw", "raw beside columns", 4, {"raw": b"\x02"}),
        ("kind-10", "kind 10 in the column", 4, {"kind": 10}), ("kind-other", "kind of another row", 4, {"kind": 5}),
        ("clock", "clock 3", 4, {"clock": 3}), ("severity", "severity -1", 4, {"severity": -1}),
        ("line", "line 2^32", 4, {"line": 2**32}), ("run", "run negative", 4, {"run": -1}),
        ("registered", "registered 2", 3, {"registered": 2}), ("id", "id of 15 bytes", 4, {"id": bytes(15)}),
        ("id-17", "id of 17 bytes", 4, {"id": bytes(17)}), ("text-cap", "app of 65 bytes", 4, {"app": "a" * 65}),
        ("text-nul", "U+0000 in app", 4, {"app": "a\0b"}), ("token", "capital in status", 2, {"status": "OK"}),
        ("empty-model", "model empty", 2, {"model": ""}), ("lost", "lost 0", 5, {"lost": 0}),
        ("event", "a byte after event", 6, {"event": log.entries[6]["event"] + b"\0"}),
        ("event-empty", "event empty", 6, {"event": b""}),
        ("fields", "a byte after fields", 2, {"fields": log.entries[2]["fields"] + b"\0"}),
        ("fields-order", "fields not ascending", 2, {"fields": SLOTS.put(slots[::-1])}),
        ("fields-shift", "a byte of fields moved to event", 6, {"event": log.entries[6]["event"] + b"\0",
                                                                 "fields": b""}),
        ("raw-empty", "raw empty", 9, {"raw": b""}),
        ("raw-known", "raw is a body that is understood", 9, {"raw": encode_body({**log.entries[5], "seq": 9})}),
        ("raw-refused", "raw is of version 1 and known kind, and refused", 9,
         {"raw": encode_body({**log.entries[5], "seq": 9}) + b"\0"}),
        ("raw-large", "raw of 2,049 bytes", 9, {"raw": b"\x02" + bytes(2048)}),
        ("leaf", "leaf of 31 bytes", 4, {"leaf": bytes(31)}),
        ("large", "a body over 2,048 bytes", 6, {"fields": SLOTS.put([
            {"field": i, "state": 1, "cut_from": 2**62, "commitment": bytes(32)} for i in range(16)]),
            "event": big_policy()}),
    ]
    for name, about, seq, values in cases:
        maker.case("malformed-" + name, about, (seq, "malformed"), setter(seq, **values))
    maker.case("malformed-utf8", "app is not UTF-8", (4, "malformed"),
               sql=["UPDATE entry SET app = CAST(x'61ff' AS TEXT) WHERE seq = 4"])
    maker.case("malformed-raw-seq", "seq inside raw differs from the row's", (1, "malformed"), log=other_seq_log())
    maker.case("malformed-after-failed", "entry 4 fails, entry 5 is malformed", (4, "broken"),
               lambda rows, entries: (setter(4, line=1)(rows, entries), setter(5, clock=9)(rows, entries)))
    maker.case("malformed-head-kind", "entry 0 checks and is not open", (0, "malformed"), log=no_open_log())
    maker.case("malformed-head-log-id", "entry 0 checks and names another log", (0, "malformed"), log=other_open_log())


def big_policy():
    """A key_change payload does not fit a policy: eight long rules and a signature."""
    from codec import EVENTS
    rule = {"kind": 1, "status": "s" * 32, "min_age_s": 2**62, "max_age_s": 2**62, "content_only": 1}
    return EVENTS[0].put({"log_id": bytes(16), "role": 0, "true_random": 0, "vkey": "v" * 256,
                          "erasure_vkey": "w" * 256, "policy": {"number": 1, "max_entries": 0, "max_bytes": 0,
                                                                "rules": [rule] * 8},
                          "predecessor": {"root": bytes(32)}})


def other_seq_log():
    """An entry of unknown kind whose seq inside is another."""
    from cases_body import unknown_kind
    log = Log("other seq")
    log.add("open", event=open_event(log.log_id))
    log.add("unknown", {"raw": unknown_kind(10, seq=2)})
    return log


def no_open_log():
    """A log that begins with something else."""
    log = Log("no open")
    log.add("log")
    log.add("log")
    return log


def other_open_log():
    """A log whose open entry names another log but is chained to this one."""
    log = Log("other open")
    log.add("open", event=open_event(bytes(16)))
    log.add("log")
    return log


def skipped_log():
    """Entry 3 is chained to entry 1, and entry 2 is nothing of this chain (rule 5)."""
    log = plain_log(6, "skipped")
    entries = log.entries
    entries[2]["leaf"] = fixed("junk", 32)
    for seq, prev in ((3, entries[1]["leaf"]), (4, None), (5, None)):
        entries[seq]["leaf"] = leaf(prev or entries[seq - 1]["leaf"], encode_body(entries[seq]))
    log.tree = Tree()
    for row in entries:
        log.tree.push(row["leaf"])
    log.prev = entries[-1]["leaf"]
    return log


def chain(maker):
    """8.3: the decision table."""
    junk = fixed("junk", 32)
    maker.case("rule-3-modified", "a column of entry 4 changed", (4, "modified"), setter(4, line=43))
    maker.case("rule-3-modified-optional", "an optional column of entry 2 removed", (2, "modified"),
               setter(2, provider=None))
    maker.case("rule-3-commitment", "a commitment in the fields of entry 4 changed", (4, "modified"),
               lambda rows, entries: entries[4].update(fields=entries[4]["fields"][:-1] + b"\0"))
    maker.case("rule-3-head", "a column of entry 0 changed", (0, "modified"), setter(0, run=2))
    maker.case("rule-3-raw", "raw changed", (9, "modified"), setter(9, raw=b"\x02future body!"))
    maker.case("rule-4-leaf", "the stored leaf of entry 4 changed", (4, "modified"), setter(4, leaf=junk))
    maker.case("rule-5-foreign", "an entry the next one is not chained to", (2, "broken"), log=skipped_log())
    maker.case("rule-6-removed", "entry 5 removed, later ones renumbered", (5, "missing"),
               lambda rows, _: remove(rows, 5, 1, True))
    maker.case("rule-6-removed-three", "entries 4 to 6 removed, later ones renumbered", (4, "missing"),
               lambda rows, _: remove(rows, 4, 3, True))
    maker.case("rule-6-head", "entry 0 removed, later ones renumbered", (0, "missing"),
               lambda rows, _: remove(rows, 0, 1, True))
    maker.case("rule-6-doubled", "entry 4 doubled, later ones renumbered", (5, "inserted"),
               lambda rows, _: double(rows, 4))
    maker.case("rule-7-adjacent", "entries 5 and 6 swapped", (5, "reordered"), lambda rows, _: swap(rows, 5, 6))
    maker.case("rule-7-swapped", "entries 3 and 7 swapped", (3, "reordered"), lambda rows, _: swap(rows, 3, 7))
    maker.case("rule-8-both", "column and leaf of entry 4 changed", (4, "broken"), setter(4, line=43, leaf=junk))
    maker.case("rule-8-two", "columns of entries 4 and 5 changed", (4, "broken"),
               lambda rows, entries: (setter(4, line=43)(rows, entries), setter(5, lost=4)(rows, entries)))
    maker.case("log-id", "log_id of the tip row changed", (None, "root_mismatch"), tip(log_id=bytes(16)),
               log=plain_log(13, "log id"))


def contents(maker):
    """8.3: contents."""
    def change(position, **values):
        """Changes columns of one content row."""
        return lambda rows, entries: rows["content"][position].update(values)

    maker.case("content-value", "a value changed", (2, "content_mismatch"), change(0, value="Wie spät ist es"))
    maker.case("content-salt", "a salt changed", (2, "content_mismatch"), change(0, salt=bytes(16)))
    maker.case("content-salt-15", "a salt of 15 bytes", (2, "content_mismatch"), change(0, salt=bytes(15)))
    maker.case("content-null", "a value of a kept slot is NULL", (2, "content_mismatch"), change(0, value=None))
    maker.case("content-hash-only-value", "a value where only a hash belongs", (2, "content_mismatch"),
               change(2, value="hashed only"))
    maker.case("content-hash-only-salt", "the salt of a hash-only slot is 17 bytes", (2, "content_mismatch"),
               change(2, salt=bytes(17)))
    maker.case("content-hash-only-absent", "the row of a hash-only slot is absent", (2, "content_mismatch"),
               lambda rows, _: rows["content"].pop(2))
    maker.case("content-absent", "a content row is absent without a tombstone", (2, "content_mismatch"),
               lambda rows, _: rows["content"].pop(0))
    maker.case("content-moved", "a content row moved to another field", (2, "content_mismatch"),
               change(0, id=2 * 64 + 7))
    maker.case("content-added", "a content row without a slot", (6, "content_mismatch"),
               lambda rows, _: rows["content"].append({"id": 6 * 64 + 2, "salt": bytes(16), "value": "added"}))
    maker.case("content-orphan", "contents of an entry that never was", (50, "content_mismatch"),
               lambda rows, _: rows["content"].append({"id": 50 * 64, "salt": bytes(16), "value": "added"}))


def tip_cases(maker):
    """8.4: nodes and the tip row."""
    def replaced(rows, entries):
        """Changes column and leaf of the last entry."""
        entries[-1].update(run=9, leaf=fixed("junk", 32))

    junk, last = fixed("junk", 32), honest_log().leaves[-1]
    maker.case("tip-1-missing", "entry 11 removed, entry 12 renumbered", (11, "missing"),
               lambda rows, _: remove(rows, 11, 1, True))
    maker.case("tip-2-columns", "a column of the last entry changed", (12, "modified"), setter(12, run=9))
    maker.case("tip-2-leaf", "the leaf of the last entry changed", (12, "modified"), setter(12, leaf=junk))
    maker.case("tip-3-inserted", "an entry added that the tip row counts and is not chained to", (13, "inserted"),
               lambda rows, entries: (entries.append({**entries[5], "seq": 13, "leaf": junk}),
                                      rows["log"][0].update(size=14)))
    maker.case("tip-4-broken", "column and leaf of the last entry changed", (12, "broken"), replaced)
    maker.case("tip-6-truncated", "the last three entries cut off", (10, "truncated"),
               lambda rows, _: remove(rows, 10, 3))
    maker.case("tip-6-contents-left", "the tail cut off, contents of it left", (2, "truncated"),
               lambda rows, entries: entries.__delitem__(slice(2, None)))
    maker.case("tip-7-size-more", "size one more than there are entries", (None, "root_mismatch"), tip(size=14))
    maker.case("tip-7-size-less", "size one less than there are entries", (None, "root_mismatch"), tip(size=12))
    maker.case("tip-7-head", "head changed", (None, "root_mismatch"), tip(head=junk))
    maker.case("tip-7-frontier", "frontier changed", (None, "root_mismatch"), tip(frontier=junk * 2 + last))
    maker.case("tip-7-frontier-more", "a hash too many in frontier", (None, "root_mismatch"), lambda rows, _: rows[
        "log"][0].update(frontier=rows["log"][0]["frontier"] + junk))
    maker.case("tip-older", "the tip row is that of ten entries", (10, "inserted"),
               lambda rows, _: earlier_tip(rows, honest_log(), 10))
    for name, about, key in (("level-8", "level 8", 8 << 56), ("negative", "a negative level", -3)):
        maker.case("node-" + name, "a node of %s in a small log" % about, (None, "root_mismatch"), lambda rows, _, key=key: rows[
            "node"].append({"id": key, "hash": last}))
    maker.case("node-level-3", "a node below level 8 that nothing needs is ignored", None, lambda rows, _: rows["node"].append(
        {"id": 3 << 56, "hash": junk}))
    large = plain_log(260, "tiles")
    maker.case("node-changed", "a node changed", (255, "root_mismatch"),
               lambda rows, _: rows["node"][0].update(hash=junk), log=large)
    maker.case("node-absent", "a node removed", (255, "root_mismatch"), lambda rows, _: rows["node"].clear(), log=large)


def database_vectors():
    """All vectors of databases."""
    import cases_keys
    import cases_removed
    maker = Maker()
    for part in (honest, unreadable, schema, order, malformed, chain, contents, tip_cases, *cases_removed.PARTS, *cases_keys.DATABASE):
        part(maker)
    return maker.found
