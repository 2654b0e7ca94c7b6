"""A log writer: honest logs made from the specification, for the vectors and for trying the verifier."""

import hashlib
import os
import sqlite3

from codec import COLUMN_KINDS, EVENTS, KINDS, SLOTS, UNKNOWN, decode_body, encode_body
from keys import change_text
from notes import Key, public_key, sign
from tree import Tree, commitment, genesis, leaf
from verifier import APPLICATION_ID, schema_statements

BASE_TIME = 1_767_225_600_000_000_000  # 2026-01-01T00:00:00Z


def fixed(label, size):
    """Bytes that look random and are always the same for a label."""
    return hashlib.shake_256(("lowlight vectors " + label).encode()).digest(size)


def uuid7(nanoseconds, label):
    """UUIDv7 of a time."""
    data = bytearray((max(nanoseconds, 0) // 1_000_000).to_bytes(6, "big") + fixed(label, 10))
    data[6] = data[6] & 0x0F | 0x70
    data[8] = data[8] & 0x3F | 0x80
    return bytes(data)


class Log:
    """An honest log in memory."""

    def __init__(self, name="log"):
        self.name, self.log_id = name, fixed(name + " log id", 16)
        self.entries, self.leaves, self.content, self.node = [], [], {}, {}
        self.gone = set()  # seqs of whole entries that were removed; `entries` and `leaves` still have them
        self.low = {}  # nodes that stand for them
        self.tree, self.prev = Tree(), genesis(self.log_id)

    def header(self, seq):
        """Plain header of an entry."""
        recorded = BASE_TIME + seq * 1_500_000_000
        return {"recorded": recorded, "monotonic": 1_000_000 + seq * 1_500_000_000, "run": 1, "clock": 2,
                "id": uuid7(recorded, "%s id %d" % (self.name, seq)), "severity": 2, "redactions": 0,
                "redaction_kinds": 0, "redaction_policy": 0}

    def add(self, kind, columns=None, event=None, contents=()):
        """Appends an entry: kind name, columns, the payload of `event`, contents as (field, value, cut_from)."""
        seq, slots = len(self.entries), []
        for field, value, cut in contents:
            salt = fixed("%s salt %d %d" % (self.name, seq, field), 16)
            hashed = value is None or isinstance(value, bytes)
            data = b"hashed only" if value is None else value if isinstance(value, bytes) else value.encode()
            slots.append({"field": field, "state": int(hashed), "cut_from": cut,
                          "commitment": commitment(salt, field, data)})
            self.content[seq * 64 + field] = (salt, None if hashed else value)
        if kind == "unknown":
            row = {"seq": seq, "kind": UNKNOWN, **columns}
        else:
            number = KINDS.index(kind)
            row = {"seq": seq, "kind": number, **self.header(seq), **(columns or {}), "fields": SLOTS.put(slots)}
            if number not in COLUMN_KINDS:
                row["event"] = EVENTS[number].put(event)
        return self.append(row)

    def append(self, row):
        """Appends a row: chain, tree, nodes."""
        body = encode_body(row)
        decode_body(body)
        row["leaf"] = self.prev = leaf(self.prev, body)
        for level, index, value in self.tree.push(self.prev):
            if level >= 8:
                self.node[(level << 56) + index] = value
        self.entries.append(row)
        self.leaves.append(self.prev)
        return row

    def rows(self):
        """The rows of a database as plain objects."""
        return {"log": [{"id": 1, "log_id": self.log_id, "format": 1, "size": len(self.entries), "head": self.prev,
                         "frontier": b"".join(self.tree.hashes)}],
                "entry": [dict(row) for row in self.entries if row["seq"] not in self.gone],
                "content": [{"id": key, "salt": salt, "value": value}
                            for key, (salt, value) in sorted(self.content.items())],
                "node": [{"id": key, "hash": value} for key, value in sorted({**self.node, **self.low}.items())]}


def write_database(rows, path, extra_sql=()):
    """Makes a database of rows (absent keys are NULL), then runs further statements."""
    if os.path.exists(path):
        os.remove(path)
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        connection.execute("PRAGMA synchronous = 0")
        connection.execute("PRAGMA journal_mode = MEMORY")
        connection.execute("PRAGMA application_id = %d" % APPLICATION_ID)
        connection.execute("PRAGMA user_version = 1")
        connection.execute("BEGIN")
        for statement in schema_statements():
            connection.execute(statement)
        for table in ("log", "entry", "content", "node"):
            for row in rows[table]:
                names, marks = ", ".join(row), ", ".join("?" * len(row))
                connection.execute("INSERT INTO %s (%s) VALUES (%s)" % (table, names, marks), list(row.values()))
        connection.execute("COMMIT")
        for statement in extra_sql:
            connection.execute(statement)
    finally:
        connection.close()


LOG_SEEDS = [fixed("log key %d" % number, 32) for number in range(4)]
LOG_KEYS = [str(Key("lowlight/vectors", 1, public_key(seed))) for seed in LOG_SEEDS]


def add_key_change(log, old, new, /, seed=None, **signed):
    """Appends a change from one of LOG_KEYS (None: it is the first) to another; `signed`: what is signed in place of the truth.

    `old` and `new` may be other texts, `seed` another than that of the key that must sign.
    """
    number = new if old is None else old
    seed = LOG_SEEDS[number] if seed is None else seed
    vkeys = ["" if key is None else key if isinstance(key, str) else LOG_KEYS[key] for key in (old, new)]
    text = {"log_id": log.log_id, "seq": len(log.entries), "old": vkeys[0], "new": vkeys[1], **signed}
    return log.add("key_change", event={"old_vkey": vkeys[0], "new_vkey": vkeys[1], "signature": sign(seed, change_text(**text))})


POLICY = {"number": 1, "max_entries": 100_000, "max_bytes": 0,
          "rules": [{"kind": 3, "status": None, "min_age_s": 86_400, "max_age_s": 0, "content_only": False}]}


def open_event(log_id, **changes):
    """Payload of `open`."""
    return {"log_id": log_id, "role": 0, "true_random": 1, "policy": POLICY, **changes}


def honest_log(name="honest"):
    """Twelve entries or so with every kind."""
    log = Log(name)
    log.add("open", event=open_event(log.log_id, vkey=LOG_KEYS[0]))
    log.add("lifecycle", event={"case": 0, "software": "vectors 1", "build": "a1b2c3", "device": None})
    log.add("inference", {"occurred": BASE_TIME - 5, "app": "kiosk", "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736",
                          "operation": "chat", "provider": "local", "model": "tiny-1b", "status": "ok",
                          "duration_ns": 87_300_000, "ttft_ns": 12_000_000, "input_tokens": 17, "output_tokens": 5,
                          "tokens_source": 0, "attempt": 1},
            contents=[(0, "Wie spät ist es?", None), (1, "Es ist zwölf Uhr.", 2_000_000), (40, None, None)])
    log.add("audit", {"event_type": "user.login", "registered": 1, "action": "login", "outcome": "success",
                      "auth_method": "pin"}, contents=[(4, "alice", None), (11, '{"role":"admin"}', None)])
    log.add("log", {"severity": 3, "target": "app::net", "file": "src/net.rs", "line": 42, "function": "send"},
            contents=[(2, "retry", None)])
    log.add("gap", {"reason": 0, "lost": 3, "lost_from": BASE_TIME, "lost_to": BASE_TIME + 9})
    log.add("policy", event={"policy": {**POLICY, "number": 2}, "signature": None})
    add_key_change(log, 0, 1)
    log.add("import", event={"log_id": fixed("device", 16), "first": 0, "end": 4, "head_before": fixed("before", 32),
                             "head_after": fixed("after", 32), "digest": fixed("digest", 32)})
    log.add("unknown", {"raw": b"\x02future body"})
    log.add("inference", {"operation": "embed", "model": "tiny-embed", "status": "error", "error_type": "oom"},
            contents=[(0, "", None), (5, "out of memory", None)])
    log.add("tombstone", event={"fields": 0b10, "cause": {"case": 0, "policy": 2},
                                "runs": [{"start": 0, "length": 2}]})
    log.add("lifecycle", event={"case": 1, "received": 12, "written": 12, "lost": 0})
    return log


def plain_log(count, name="plain"):
    """An `open`, then many small entries; every tenth has a content value."""
    log = Log(name)
    log.add("open", event=open_event(log.log_id))
    for seq in range(1, count):
        log.add("log", contents=[(2, "m%d" % seq, None)] if seq % 10 == 0 else ())
    return log
