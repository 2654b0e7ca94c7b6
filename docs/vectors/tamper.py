"""Tampered copies of a database, seeded: every kind of tamper section 8 can tell, and some honest copies.

What no verifier can see is left out: a salt of a hash-only slot, `run` and `cursor`.
"""

import contextlib
import json
import os
import random
import shutil
import sqlite3

from codec import EVENTS, Bad, parse
from columns import COLUMNS
from tamper_removed import KINDS as REMOVED_KINDS
from tamper_removed import RemovedTamper

MAX_TRIES = 50


def bit_flip(rng, data):
    """Bytes with one bit changed; a byte added when there are none."""
    if not data:
        return bytes([rng.randrange(256)])
    found = bytearray(data)
    found[rng.randrange(len(found))] ^= 1 << rng.randrange(8)
    return bytes(found)


def other_text(rng, text):
    """Another text."""
    choices = [text + "x", text[:-1], text.swapcase(), "", text + "é", "x" * 300, text + "\0", text.replace("a", "b"),
               None]
    return rng.choice([choice for choice in choices if choice != text])


def other_int(rng, number):
    """Another integer."""
    choices = [number + 1, number - 1, number ^ 1 << rng.randrange(62), 0, 1, -1, 2**63 - 1, rng.randrange(2**31), 255,
               None]
    return rng.choice([choice for choice in choices if choice is None or choice != number and abs(choice) < 2**63])


class Tamper(RemovedTamper):
    """One copy of a database and what may be done to it."""

    def __init__(self, connection, rng):
        self.db, self.rng = connection, rng

    def seqs(self):
        """Seqs of all entries."""
        return [row[0] for row in self.db.execute("SELECT seq FROM entry ORDER BY seq")]

    def pick(self, first=0):
        """A random seq, not before the position `first`."""
        found = self.seqs()[first:]
        return self.rng.choice(found) if found else None

    def set(self, table, key, name, value):
        """Changes one value."""
        column = "seq" if table == "entry" else "id"
        self.db.execute("UPDATE %s SET %s = ? WHERE %s = ?" % (table, name, column), (value, key))

    def altered(self, value):
        """Another value of the same storage class."""
        if isinstance(value, bytes):
            return self.rng.choice([bit_flip(self.rng, value)] * 4 + [value + b"\0", value[:-1]])
        return other_text(self.rng, value) if isinstance(value, str) else other_int(self.rng, value)

    def column(self):
        """A random column of a random entry."""
        seq = self.pick()
        names = [name for name in COLUMNS[1:] if self.get(seq, name) is not None]
        name = self.rng.choice(names)
        old = self.get(seq, name)
        new = self.altered(old)
        if new == old or (name in ("kind", "leaf") and new is None):
            return None
        self.set("entry", seq, name, new)
        return "entry %d: %s %r -> %r" % (seq, name, old, new)

    def get(self, seq, name):
        """One value of an entry."""
        return self.db.execute("SELECT %s FROM entry WHERE seq = ?" % name, (seq,)).fetchone()[0]

    def null_column(self):
        """A column that is NULL gets a value, or text that is not UTF-8."""
        seq, name = self.pick(), self.rng.choice(COLUMNS[2:-1])
        sql = {"INTEGER": "7", "TEXT": "CAST(x'61ff62' AS TEXT)", "BLOB": "x'00'"}
        kinds = {row[1]: row[2] for row in self.db.execute("PRAGMA table_info(entry)")}
        before = self.get_raw(seq, name)
        self.db.execute("UPDATE entry SET %s = %s WHERE seq = ?" % (name, sql[kinds[name]]), (seq,))
        return None if self.get_raw(seq, name) == before else "entry %d: %s set" % (seq, name)

    def get_raw(self, seq, name):
        """One value of an entry as a literal."""
        return self.db.execute("SELECT quote(CAST(%s AS BLOB)) FROM entry WHERE seq = ?" % name, (seq,)).fetchone()[0]

    def leaf(self):
        """The stored leaf of an entry."""
        seq = self.pick()
        self.set("entry", seq, "leaf", bit_flip(self.rng, self.get(seq, "leaf")))
        return "entry %d: leaf" % seq

    def a_content(self):
        """Id of a random kept content that no tombstone covers."""
        found = [key for key, in self.db.execute("SELECT id FROM content WHERE value IS NOT NULL ORDER BY id")]
        found = [key for key in found if not self.is_covered(key)]
        return self.rng.choice(found) if found else None

    def content_change(self):
        """A content value or its salt."""
        key = self.a_content()
        if key is None:
            return None
        name = self.rng.choice(["salt", "value", "value"])
        old, = self.db.execute("SELECT %s FROM content WHERE id = ?" % name, (key,)).fetchone()
        new = self.altered(old)
        if new == old:
            return None
        self.set("content", key, name, new)
        return "content %d: %s" % (key, name)

    def content_delete(self):
        """A content row deleted."""
        key = self.a_content()
        if key is None:
            return None
        self.db.execute("DELETE FROM content WHERE id = ?", (key,))
        return "content %d deleted" % key

    def content_move(self):
        """A content row moved to another slot or entry, or two swapped."""
        key, other = self.a_content(), self.a_content()
        target = self.rng.choice([(key or 0) ^ 1, (key or 0) + 64, (key or 0) + 6400])
        if key is None or self.db.execute("SELECT 1 FROM content WHERE id = ?", (target,)).fetchone():
            if key is None or key == other:
                return None
            self.db.execute("UPDATE content SET id = -1 WHERE id = ?", (key,))
            self.db.execute("UPDATE content SET id = ? WHERE id = ?", (key, other))
            self.db.execute("UPDATE content SET id = ? WHERE id = -1", (other,))
            return "contents %d and %d swapped" % (key, other)
        self.set("content", key, "id", target)
        return "content %d moved to %d" % (key, target)

    def content_add(self):
        """A content row that has no slot."""
        key = (self.pick() + self.rng.choice([0, 0, 0, 5000])) * 64 + self.rng.randrange(64)
        if self.db.execute("SELECT 1 FROM content WHERE id = ?", (key,)).fetchone():
            return None
        self.db.execute("INSERT INTO content VALUES (?, ?, 'added')", (key, self.rng.randbytes(16)))
        return "content %d added" % key

    def shift(self, start, by):
        """Renumbers entries from `start` on, with their contents."""
        for table, key, unit in (("entry", "seq", 1), ("content", "id", 64)):
            far = 10**9 * unit
            self.db.execute("UPDATE %s SET %s = %s + ? WHERE %s >= ?" % (table, key, key, key), (far, start * unit))
            self.db.execute("UPDATE %s SET %s = %s - ? WHERE %s >= ?" % (table, key, key, key), (far - by * unit, far))

    def drop(self, seq, count=1):
        """Removes entries with their contents."""
        self.db.execute("DELETE FROM entry WHERE seq >= ? AND seq < ?", (seq, seq + count))
        self.db.execute("DELETE FROM content WHERE id >= ? AND id < ?", (seq * 64, (seq + count) * 64))

    def remove(self):
        """Entries removed, the others left as they are."""
        seq, count = self.pick(), self.rng.choice([1, 1, 2, 5])
        if len(self.seqs()) <= count:
            return None
        if self.rng.random() < 0.2:
            self.db.execute("DELETE FROM entry WHERE seq = ?", (seq,))
            return "entry %d removed, its contents left" % seq
        self.drop(seq, count)
        return "entries %d to %d removed" % (seq, seq + count - 1)

    def remove_renumber(self):
        """Entries removed and the later ones renumbered."""
        seq, count = self.pick(), self.rng.choice([1, 1, 1, 2, 3])
        if len(self.seqs()) <= count or not self.db.execute("SELECT 1 FROM entry WHERE seq >= ?",
                                                            (seq + count,)).fetchone():
            return None
        self.drop(seq, count)
        self.shift(seq + count, -count)
        return "entries %d to %d removed, later ones renumbered" % (seq, seq + count - 1)

    def double(self):
        """An entry doubled and the later ones renumbered."""
        seq = self.pick()
        self.shift(seq + 1, 1)
        self.copy(seq, seq + 1)
        return "entry %d doubled, later ones renumbered" % seq

    def copy(self, seq, target):
        """Copies an entry with its contents to a free seq."""
        rest = ", ".join(COLUMNS[1:])
        self.db.execute("INSERT INTO entry (seq, %s) SELECT ?, %s FROM entry WHERE seq = ?" % (rest, rest),
                        (target, seq))
        self.db.execute("INSERT INTO content SELECT id + ?, salt, value FROM content WHERE id >> 6 = ?",
                        ((target - seq) * 64, seq))

    def append(self):
        """A copy of an entry after the end."""
        seq, last = self.pick(), self.seqs()[-1]
        self.copy(seq, last + 1)
        return "entry %d copied to the end" % seq

    def insert_between(self):
        """A copy of an entry put somewhere, the later ones renumbered."""
        seq, target = self.pick(), self.pick(1)
        if target is None:
            return None
        self.shift(target, 1)
        self.copy(seq if seq < target else seq + 1, target)
        return "entry %d copied to %d, later ones renumbered" % (seq, target)

    def swap(self):
        """Two entries swapped with their contents."""
        one = self.pick()
        other = self.rng.choice([self.pick(), one + 1, one + 2])
        if one == other or other not in self.seqs():
            return None
        spare = 10**12
        for before, after in ((one, spare), (other, one), (spare, other)):
            self.db.execute("UPDATE entry SET seq = ? WHERE seq = ?", (after, before))
            self.db.execute("UPDATE content SET id = id + ? WHERE id >> 6 = ?", ((after - before) * 64, before))
        return "entries %d and %d swapped" % (one, other)

    def move(self):
        """The seq of one entry changed."""
        seq, target = self.pick(), self.rng.choice(self.seqs()) + self.rng.choice([1, 7, 100, 10**6])
        if target in self.seqs():
            return None
        self.db.execute("UPDATE entry SET seq = ? WHERE seq = ?", (target, seq))
        return "entry %d moved to %d" % (seq, target)

    def truncate(self):
        """The tail cut off, the tip row left."""
        seq = self.pick(1)
        if seq is None:
            return None
        self.drop(seq, 10**9)
        return "cut off from %d on" % seq

    def head(self):
        """Entry 0 removed, sometimes the later ones renumbered."""
        if self.seqs()[0] != 0 or len(self.seqs()) < 2:
            return None
        self.drop(0)
        if self.rng.random() < 0.5:
            return "entry 0 removed"
        self.shift(1, -1)
        return "entry 0 removed, later ones renumbered"

    def log_row(self):
        """A column of the tip row."""
        name = self.rng.choice(["log_id", "format", "size", "size", "head", "frontier"])
        old, = self.db.execute("SELECT %s FROM log" % name).fetchone()
        new = self.rng.choice([old + 1, old - 1, 0, old * 2, 2**40]) if name == "size" else self.altered(old)
        if new is None or new == old:
            return None
        self.db.execute("UPDATE log SET %s = ?" % name, (new,))
        return "log: %s" % name

    def node(self):
        """A row of `node` of level 8 or above changed, removed or added."""
        found = [row[0] for row in self.db.execute("SELECT id FROM node WHERE id >> 56 >= 8 ORDER BY id")]
        what = self.rng.choice(["change", "remove", "add", "move"]) if found else "add"
        if what == "add":
            key = (self.rng.choice([-1, 8, 9, 20]) << 56) + self.rng.choice([3, 7, 100])
            if key in found:
                return None
            self.db.execute("INSERT INTO node VALUES (?, ?)", (key, self.rng.randbytes(32)))
            return "node %d added" % key
        key = self.rng.choice(found)
        if what == "remove":
            self.db.execute("DELETE FROM node WHERE id = ?", (key,))
        elif what == "move":
            self.set("node", key, "id", key + 1000)
        else:
            old, = self.db.execute("SELECT hash FROM node WHERE id = ?", (key,)).fetchone()
            self.set("node", key, "hash", bit_flip(self.rng, old))
        return "node %d: %s" % (key, what)

    def foreign(self):
        """An object in the schema that does not belong there, or one dropped."""
        sql = self.rng.choice([
            "CREATE TRIGGER hide AFTER INSERT ON entry BEGIN DELETE FROM entry WHERE seq = new.seq; END",
            "CREATE TRIGGER content_watch BEFORE UPDATE ON content BEGIN SELECT 1; END",
            "CREATE VIEW extra AS SELECT seq FROM entry",
            "CREATE TABLE extra (a INTEGER)",
            "CREATE TABLE extra (a INTEGER PRIMARY KEY AUTOINCREMENT)",
            "DROP INDEX entry_recorded",
            "DROP INDEX entry_rules",
            "DROP VIEW entries",
            "DROP TABLE run",
            "ALTER TABLE entry ADD COLUMN extra TEXT",
            "ALTER TABLE node RENAME TO nodes"])
        self.db.execute(sql)
        return sql

    def version(self):
        """Another version of the format, or another application."""
        sql = self.rng.choice(["PRAGMA user_version = 2", "PRAGMA user_version = 0", "PRAGMA application_id = 1",
                               "UPDATE log SET format = 2"])
        self.db.execute(sql)
        return sql


KINDS = ["column", "column", "column", "null_column", "leaf", "content_change", "content_delete", "content_move",
         "content_add", "remove", "remove_renumber", "double", "append", "insert_between", "swap", "move", "truncate",
         "head", "log_row", "node", "foreign", "version", *REMOVED_KINDS]


def apply(connection, rng, kind):
    """Does one tamper; None when it was not possible."""
    connection.execute("SAVEPOINT one")
    try:
        done = getattr(Tamper(connection, rng), kind)()
    except (sqlite3.IntegrityError, sqlite3.OperationalError, OverflowError):
        done = None
    if done is None:
        connection.execute("ROLLBACK TO one")
    connection.execute("RELEASE one")
    return done


def one_copy(path, rng, kinds):
    """Tampers with a copy; the list of what was done."""
    connection = sqlite3.connect(path, isolation_level=None)
    done = []
    try:
        connection.execute("PRAGMA synchronous = 0")
        for kind in kinds:
            for _ in range(MAX_TRIES):
                if kind == "version" and connection.in_transaction:
                    break
                found = apply(connection, rng, kind)
                if found:
                    done.append({"kind": kind, "what": found})
                    break
                kind = rng.choice(KINDS)
    finally:
        connection.close()
    return done


def clean_copy(source, target):
    """A copy without WAL and free pages; nothing is written beside the source."""
    work = target + ".source"
    for end in ("", "-wal"):
        if os.path.exists(source + end):
            shutil.copyfile(source + end, work + end)
    connection = sqlite3.connect(work, isolation_level=None)
    connection.execute("PRAGMA journal_mode = DELETE")
    connection.execute("VACUUM INTO ?", (target,))
    connection.close()
    for end in ("", "-wal", "-shm", "-journal"):
        with contextlib.suppress(FileNotFoundError):
            os.remove(work + end)


def plan(rng, index, count):
    """Which tampers copy number `index` gets."""
    if count >= 20 and index % 20 == 19:
        return []
    if index % 10 == 7:
        return [rng.choice(KINDS) for _ in range(rng.choice([2, 2, 3, 4]))]
    return [KINDS[index % len(KINDS)] if index % 2 else rng.choice(KINDS)]


def tamper_database(source, outdir, seed, count):
    """Writes the copies and the manifest."""
    os.makedirs(outdir, exist_ok=True)
    rng, clean, manifest = random.Random(seed), os.path.join(outdir, "clean.tmp"), []
    with contextlib.suppress(FileNotFoundError):
        os.remove(clean)
    clean_copy(source, clean)
    width = max(3, len(str(count - 1)))
    for index in range(count):
        name = "%0*d.db" % (width, index)
        path = os.path.join(outdir, name)
        shutil.copyfile(clean, path)
        done = one_copy(path, rng, plan(rng, index, count))
        manifest.append({"file": name, "honest": not done, "done": done})
    os.remove(clean)
    with open(os.path.join(outdir, "manifest.json"), "w", encoding="utf-8") as file:
        json.dump({"seed": seed, "source": os.path.basename(source), "copies": manifest}, file, indent=1)
    return 0
