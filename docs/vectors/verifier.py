"""Verification of databases: format.md section 8. Exports are in exports.py."""

import contextlib
import os
import re
import shutil
import sqlite3
import tempfile
import urllib.parse

from chain import Chain, Problems
from columns import COLUMNS, Row, SqlText
from removal import Nodes, Rules
from tree import Tree, genesis

APPLICATION_ID = 0x4C574C54
FORMAT_MD = os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, "format.md")
LISTED = 100
NO_TEXT = 0  # in place of a value that is not TEXT: it matches no commitment and is not NULL
SQLITE_ERRORS = (sqlite3.Error, UnicodeDecodeError)  # the latter for a message that is not UTF-8


def schema_statements():
    """The statements of section 9."""
    with open(FORMAT_MD, encoding="utf-8") as file:
        text = file.read()
    block = text[text.index("## 9. Schema"):].split("```sql\n")[1].split("```")[0]
    return [statement.strip() for statement in re.split(r";\s*\n", block) if statement.strip()]


def schema_objects():
    """The rows `sqlite_schema` must have: (type, name) to sql text."""
    found = {("index", "sqlite_autoindex_cursor_1"): None}
    for statement in schema_statements():
        words = statement.split()
        found[words[1].lower(), words[2]] = statement
    return found


class Unreadable(Exception):
    """Nothing can be told about this input."""


def report(problems, entries=0, records=0, first=None, last=None, root=None, chain=None):
    """The result of a verification."""
    listed, gaps = problems.listed(), chain.gaps if chain else []
    not_checked = ["tail", "rewrite", "rollback"]
    if gaps:
        not_checked.append("retention_age")  # of entries that are gone nothing tells how old they were
    return {"verdict": "broken" if listed else "intact", "entries": entries, "records": records, "first_seq": first,
            "last_seq": last, "root": root,
            "problems": [{"seq": seq, "kind": kind, "detail": detail} for seq, kind, detail in listed[:LISTED]],
            "problems_total": len(listed), "gaps": gaps[:LISTED], "gaps_total": len(gaps),
            "erased": chain.erased if chain else 0, "pending_erase": chain.pending if chain else 0,
            "not_checked": not_checked}


def unreadable(detail):
    """The result when nothing can be told."""
    return {**report(Problems()), "verdict": "unreadable", "detail": detail}


@contextlib.contextmanager
def opened(path):
    """A connection that writes nothing beside the database, with what is still in its WAL."""
    beside = [path + end for end in ("-wal", "-journal") if os.path.exists(path + end)]
    with tempfile.TemporaryDirectory(prefix="lowlight-verify-") as folder:
        mode = "mode=ro&immutable=1"
        if any(os.path.getsize(name) for name in beside):
            for name in [path, *beside]:
                shutil.copyfile(name, os.path.join(folder, "lowlight.db" + name[len(path):]))
            path, mode = os.path.join(folder, "lowlight.db"), "mode=rw"
        uri = "file:%s?%s" % (urllib.parse.quote(os.path.abspath(path)), mode)
        connection = sqlite3.connect(uri, uri=True, isolation_level=None)
        try:
            connection.text_factory = SqlText
            connection.execute("PRAGMA query_only = 1")
            connection.execute("PRAGMA trusted_schema = 0")
            yield connection
        finally:
            connection.close()


# The tables that ANALYZE makes, with SQLite's own text for them.
STATISTICS = {"sqlite_stat1": "CREATE TABLE sqlite_stat1(tbl,idx,stat)",
              "sqlite_stat4": "CREATE TABLE sqlite_stat4(tbl,idx,neq,nlt,ndlt,sample)"}


class Database:
    """One verification of a database."""

    def __init__(self, connection):
        self.db, self.problems = connection, Problems()
        self.entries = self.records = 0
        self.first = self.last = self.chain = None
        self.ended = False
        self.tables = set()  # only these are read: a view or a virtual table could do anything

    def pragma(self, name):
        """An integer in the header of the file."""
        return self.db.execute("PRAGMA " + name).fetchone()[0]

    def run(self):
        """The report."""
        if self.pragma("application_id") != APPLICATION_ID:
            raise Unreadable("another application_id")
        if self.pragma("user_version") != 1:
            raise Unreadable("user_version")
        self.schema()
        if not {"log", "entry"} <= self.tables:
            raise Unreadable("no log row or no entries")
        self.tip()
        try:
            self.last = self.db.execute("SELECT max(seq) FROM entry WHERE typeof(seq) = 'integer'").fetchone()[0]
        except SQLITE_ERRORS as problem:
            raise Unreadable("no entries: %s" % problem) from None
        if type(self.last) is not int or self.last < 0:
            raise Unreadable("no entries")
        try:
            self.walk()
        except SQLITE_ERRORS as problem:
            self.stopped(problem)
        root = self.chain.tree.root().hex() if self.chain and self.chain.sound and self.chain.tree.size else None
        return report(self.problems, self.entries, self.records, self.first, self.last, root, self.chain)

    def stopped(self, problem):
        """An I/O error: what was found until then stands."""
        if self.chain:
            self.chain.settle()
        if not self.problems.listed():
            raise Unreadable("I/O error: %s" % problem)

    def tip(self):
        """The row of `log`."""
        try:
            found = self.db.execute("SELECT log_id, format, size, head, frontier FROM log WHERE id = 1").fetchone()
        except SQLITE_ERRORS as problem:
            raise Unreadable("no log row: %s" % problem) from None
        if found is None:
            raise Unreadable("no log row")
        self.log_id, version, self.size, self.tip_head, frontier = found
        if type(version) is not int or version != 1:
            raise Unreadable("log.format")
        lengths = ((self.log_id, 16), (self.tip_head, 32))
        if any(type(value) is not bytes or len(value) != size for value, size in lengths):
            raise Unreadable("log row")
        if type(frontier) is not bytes or len(frontier) % 32 or type(self.size) is not int:
            raise Unreadable("log row")
        self.frontier = [frontier[i:i + 32] for i in range(0, len(frontier), 32)]

    def schema(self):
        """Section 5: the schema is exactly that of section 9."""
        wanted = schema_objects()
        for kind, name, sql in self.db.execute("SELECT type, name, sql FROM sqlite_schema"):
            text = [None if v is None else bytes(v).decode("utf-8", "replace") for v in (kind, name, sql)]
            key = (text[0], text[1])
            if text[0] == "table" and (text[2] or "").upper().startswith("CREATE TABLE"):
                self.tables.add(text[1])
            if key in wanted:
                if wanted.pop(key) != text[2]:
                    self.problems.add(None, "schema", "%s %s differs" % key)
            elif not (text[0] == "index" and self.is_plain_index(name) or text[0] == "table" and STATISTICS.get(text[1]) == text[2]):
                self.problems.add(None, "schema", "%s %s does not belong here" % key)
        for key in wanted:
            self.problems.add(None, "schema", "%s %s is missing" % key)
        rows = self.db.execute("SELECT count(*) FROM log").fetchone()[0]
        if rows != 1:
            self.problems.add(None, "schema", "log has %d rows" % rows)
        self.indexes()

    def is_plain_index(self, name):
        """An index that only speeds up reading: a unique, partial or computed one can make inserts fail."""
        return self.db.execute(
            "SELECT count(*) FROM sqlite_schema AS it, pragma_index_list(it.tbl_name) AS list WHERE it.type = 'index'"
            " AND it.name = ? AND list.name = it.name AND list.\"unique\" = 0 AND list.partial = 0"
            " AND NOT EXISTS (SELECT 1 FROM pragma_index_info(it.name) WHERE cid < 0)", (str(name, "utf-8", "replace"),)).fetchone()[0] == 1

    def indexes(self):
        """Section 5: the indexes hold what the table holds."""
        for index, columns, where in (("entry_recorded", "recorded, seq", "seq >= 0"), ("entry_rules", "seq", "kind >= 6 AND kind <= 8")):
            try:
                one, other = (sorted(self.db.execute("SELECT %s FROM entry %s WHERE %s" % (columns, how, where)), key=repr)
                              for how in ("NOT INDEXED", "INDEXED BY " + index))
            except SQLITE_ERRORS:
                continue  # an index that cannot serve this query differs from section 9
            if one != other:
                self.problems.add(None, "schema", "%s differs from the table" % index)

    def rows(self, table, sql):
        """Rows of a table; nothing when it is absent or lacks a column (a schema problem then)."""
        if table not in self.tables:
            return iter(())
        try:
            return self.db.execute(sql)
        except sqlite3.OperationalError:
            if not self.problems.schema:
                raise
            return iter(())

    def walk(self):
        """The pass over entries, with their contents beside."""
        chain = self.chain = Chain(self.problems, genesis(self.log_id), 0, Tree())
        chain.tip_shift = self.size - 1 - self.last
        self.nodes = dict(self.rows("node", "SELECT id, hash FROM node"))
        self.nodes_seen = set()
        chain.rules, chain.nodes = self.rules(), Nodes(self.nodes)
        chain.after_item = lambda seq: self.check_nodes(seq, True)
        self.orphans = []
        where = "WHERE typeof(id) = 'integer' AND id >= 0 ORDER BY id"
        self.content = self.rows("content", "SELECT id, salt, value FROM content " + where)
        self.next_content = next(self.content, None)
        where = "WHERE typeof(seq) = 'integer' AND seq >= 0 ORDER BY seq"
        for values in self.rows("entry", "SELECT %s FROM entry %s" % (", ".join(COLUMNS), where)):
            columns = dict(zip(COLUMNS, values))
            self.entries += 1
            self.first = columns["seq"] if self.first is None else self.first
            self.one(Row(columns["seq"], columns))
        self.contents_of(None)
        self.foreign_nodes()
        self.end_of_pass()
        chain.check_rules()
        self.orphan_contents()
        self.negative_keys()

    def rules(self):
        """The open entry, and all tombstones, policies and key changes that can be read, as far as the tip row counts."""
        where = "seq = 0 OR seq > 0 AND seq < %d AND kind >= 6 AND kind <= 8" % self.size
        sql = "SELECT %s FROM entry NOT INDEXED WHERE %s ORDER BY seq" % (", ".join(COLUMNS), where)
        found = [dict(zip(COLUMNS, values)) for values in self.rows("entry", sql)]
        rows = [Row(columns["seq"], columns) for columns in found]
        return Rules(self.log_id, [row for row in rows if not row.error])

    def contents_of(self, seq):
        """Contents of an entry; what lies before it belongs to no entry."""
        found = {}
        while self.next_content and (seq is None or self.next_content[0] >> 6 <= seq):
            key, salt, value = self.next_content
            if value is not None and not isinstance(value, SqlText):
                value = NO_TEXT
            if key >> 6 == seq:
                found[key & 63] = (salt, value)
            elif not self.chain.rules.is_overwritten(key >> 6, key & 63, salt) and self.orphans[-1:] != [key >> 6]:
                self.orphans.append(key >> 6)
            self.next_content = next(self.content, None)
        return found

    def one(self, row):
        """One entry."""
        chain, contents = self.chain, self.contents_of(row.seq)
        self.records += row.kind in (1, 2, 3)
        if self.ended and row.seq + chain.shift >= self.size:
            chain.decide(row.seq, "inserted", "after the end the tip row gives")
            return
        if row.seq > chain.expected:
            chain.skip_to(row.seq)
        fine = chain.place(row)
        if fine:
            chain.contents(row, contents)
            if row.seq == 0:
                chain.head(row, self.log_id)
        if chain.sound:
            self.check_nodes(row.seq, chain.failed is None)
            self.ended = chain.failed is None and self.tip_fits()

    def tip_fits(self):
        """Rule 5 of 8.4."""
        tree = self.chain.tree
        return tree.size == self.size and tree.hashes == self.frontier and self.chain.prev == self.tip_head

    def check_nodes(self, seq, check):
        """Nodes of level 8 and above that an entry or a removed item completed must be in `node`."""
        for level, index, value in self.chain.completed:
            if level < 8:
                continue
            key = (level << 56) + index
            if check and self.nodes.get(key) != value:
                self.problems.add(seq, "root_mismatch", "node of level %d, index %d" % (level, index))
            self.nodes_seen.add(key)

    def foreign_nodes(self):
        """Rows of `node` that are not nodes of the tree; those below level 8 stand for removed entries or for nothing."""
        if self.chain.sound:
            for key in sorted(set(self.nodes) - self.nodes_seen):
                if not 0 <= key >> 56 < 8:
                    self.problems.add(None, "root_mismatch", "node %d is not in the tree" % key)

    def end_of_pass(self):
        """8.4: the last entry, then the tip."""
        chain, head = self.chain, self.tip_head
        last = -1 if chain.last_used is None else chain.last_used
        count = last + chain.shift + 1
        if chain.undecided():
            if head == chain.prev and count < self.size:
                chain.decide(last, "missing", "an entry before the last one")
                return
            if head in (chain.prev, chain.failed.alt):
                chain.decide(last, "modified", "the tip row has its leaf")
                chain.sound = chain.sound and head == chain.prev
            elif head == chain.failed.before:
                chain.decide(last, "inserted", "the tip row has the leaf before")
            else:
                chain.decide(last, "broken", "nothing after it tells what happened")
        if chain.sound and self.tip_fits() and count == self.size:
            return
        ours = chain.sound and chain.tree.size == count and chain.tree.hashes == self.frontier
        if count < self.size and len(self.frontier) == bin(self.size).count("1") and not ours:
            self.problems.add(last + 1, "truncated", "the tip row says %d entries" % self.size)
        elif chain.sound:
            self.problems.add(None, "root_mismatch", "the tip row does not fit the entries")

    def orphan_contents(self):
        """Contents of entries that are not there."""
        for seq in self.orphans:
            excused = any(start <= seq < end for start, end in self.chain.missing_runs)
            if not excused and not self.last + 1 <= seq < self.size:
                self.problems.add(seq, "content_mismatch", "content without an entry")

    def negative_keys(self):
        """Rows that are not read."""
        for table, key in (("entry", "seq"), ("content", "id")):
            if next(self.rows(table, "SELECT 1 FROM %s WHERE %s < 0 LIMIT 1" % (table, key)), None):
                self.problems.add(None, "inserted", "a negative key in %s" % table)
                return


def verify_database(path):
    """Report on a database file."""
    try:
        with opened(path) as connection:
            return Database(connection).run()
    except (Unreadable, OSError, *SQLITE_ERRORS) as problem:
        return unreadable(str(problem))
