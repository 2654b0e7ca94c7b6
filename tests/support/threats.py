"""The table of docs/threat-model.md, cell by cell: attackers with the rights of their class against a real log.

    threats.py LOWLIGHT

The log has several thousand entries, retention and erasures in it, a key, a witness in a directory of its own, and a checkpoint that was
copied elsewhere in its middle. E edits files; F edits and recomputes every hash, with the second implementation (docs/vectors);
R does that and has every key on the box. Set-ups: A nothing kept elsewhere; A+ the checkpoint; B the log's key is known to the
auditor; D the witness is asked; files: the auditor knows the witness's key and has only the files. A cell says the exit code of
verify: 0 intact (not noticed, or nothing to notice), 1 broken, 2 could not tell.
"""

import argparse
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(ROOT, "docs", "vectors"))

import base64  # noqa: E402
from codec import SLOTS, encode_body, parse  # noqa: E402
from notes import Key, public_key, sign, unbase64  # noqa: E402
from removal import Nodes  # noqa: E402
from tree import Tree, commitment, leaf, node  # noqa: E402

RECORDS = 2000
TOML = """[retention]
max_entries = 3000
[[retention.rules]]
kind = "audit"
keep = true
[witness]
%s
command = ["%s", "witness", "--state", "%s", "serve"]
"""


def records(count, start=0):
    """Lines for `record`."""
    for number in range(start, start + count):
        if number % 40 == 9:
            yield {"kind": "audit", "event_type": "auth.login", "principal": "alice", "outcome": "ok"}
        else:
            yield {"model": "m", "prompt": "reading %d" % number, "response": "fine", "user": "u%d" % (number % 7)}


class Box:
    """The attacked machine, and what is kept elsewhere."""

    def __init__(self, lowlight, folder):
        self.lowlight, self.folder = lowlight, folder
        self.environment = {**os.environ, "LOWLIGHT_CONFIG": self.at("lowlight.toml")}
        with open(self.at("lowlight.toml"), "w", encoding="utf-8"):
            pass
        self.vkey = self.run("keys", "init", "--path", self.at("logs")).stdout.decode().strip()
        keys = self.run("witness", "--state", self.at("witness"), "init", "--name", "witness.example").stdout.decode()
        self.run("witness", "--state", self.at("witness"), "trust", self.vkey)
        with open(self.at("lowlight.toml"), "w", encoding="utf-8") as file:
            file.write(TOML % (keys, lowlight, self.at("witness")))
        self.record(RECORDS)
        self.run("erase", "--user", "u3", "--yes", "--path", self.at("logs"))
        self.record(RECORDS, RECORDS)
        self.run("prune", "--path", self.at("logs"))
        shutil.copytree(self.at("logs"), self.at("older"))
        self.keep("kept")
        self.record(300, 2 * RECORDS)
        self.run("erase", "--user", "u5", "--yes", "--path", self.at("logs"))
        self.policies(keys)

    def policies(self, keys):
        """What auditors demand in set-ups B, D and files."""
        with open(self.at("kept"), encoding="utf-8") as file:
            origin = file.readline().strip()
        head = 'origins = ["%s"]\nkeys = ["%s"]\n' % (origin, self.vkey)
        vkey = next(line for line in keys.splitlines() if line.startswith("vkey"))
        fresh = '[[witness]]\n%s\ncommand = ["%s", "witness", "--state", "%s", "serve"]\n' % (keys, self.lowlight, self.at("witness"))
        for name, text in (("B", ""), ("D", fresh), ("files", "[[witness]]\n%s\n" % vkey), ("age", 'max_age = "1s"\n[[witness]]\n%s\n' % vkey)):
            with open(self.at(name + ".policy"), "w", encoding="utf-8") as file:
                file.write(head + text)

    def at(self, name):
        """A path."""
        return os.path.join(self.folder, name)

    def run(self, *arguments, feed=b""):
        """The command."""
        return subprocess.run([self.lowlight, *arguments], input=feed, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              env=self.environment, check=False)

    def record(self, count, start=0, log="logs"):
        """Records."""
        feed = "".join(json.dumps(line) + "\n" for line in records(count, start)).encode()
        done = self.run("record", "--path", self.at(log), feed=feed)
        assert done.returncode == 0, done.stderr

    def keep(self, name, log="logs"):
        """Copies the newest checkpoint elsewhere."""
        with open(self.at(name), "wb") as file:
            file.write(self.run("checkpoint", "--path", self.at(log)).stdout)

    def verify(self, *more, log="attacked"):
        """Exit code and report."""
        done = self.run("verify", "--json", "--path", self.at(log), *more)
        return done.returncode, json.loads(done.stdout)

    def answers(self):
        """Exit codes in the set-ups."""
        found = {"A": self.verify()[0], "A+": self.verify("--checkpoint", self.at("kept"))[0]}
        for name in ("B", "D", "files"):
            found[name] = self.verify("--policy", self.at(name + ".policy"))[0]
        return found

    def attacked(self, source="logs"):
        """The log again, for an attacker."""
        shutil.rmtree(self.at("attacked"), ignore_errors=True)
        shutil.copytree(self.at(source), self.at("attacked"))
        return sqlite3.connect(self.at("attacked/lowlight.db"), isolation_level=None)


class Forger:
    """F, and with a seed R: a log in which everything from one entry on says something else, with every hash recomputed."""

    def __init__(self, connection, seed=None, name="lowlight"):
        self.db, self.seed, self.name = connection, seed, name
        self.log_id, self.size = connection.execute("SELECT log_id, size FROM log").fetchone()
        self.nodes = Nodes(dict(connection.execute("SELECT id, hash FROM node")))
        self.leaves = dict(connection.execute("SELECT seq, leaf FROM entry"))

    def subtree(self, level, index):
        """A node of the tree as it was."""
        stored = self.nodes.hashes.get((level << 56) + index)
        if stored or level == 0:
            return stored or self.leaves[index]
        return node(self.subtree(level - 1, 2 * index), self.subtree(level - 1, 2 * index + 1))

    def tree_at(self, size):
        """The tree of the first entries."""
        levels, hashes, at = [k for k in range(size.bit_length() - 1, -1, -1) if size >> k & 1], [], 0
        for level in levels:
            hashes.append(self.subtree(level, at >> level))
            at += 1 << level
        return Tree(size, hashes)

    def rewrite(self, seq, change, end=None):
        """Changes the entry at `seq`, and all hashes from there on; up to `end` only."""
        rows = self.rows(seq)
        change(rows[0])
        rows = [row for row in rows if end is None or row["seq"] < end]
        prev = self.leaves.get(seq - 1) or self.nodes.leaf(seq - 1)
        tree, partial = self.tree_at(seq), {}
        self.db.execute("BEGIN")
        self.db.execute("DELETE FROM entry WHERE seq >= ?", (seq + len(rows),))
        self.db.execute("DELETE FROM content WHERE id >= ?", ((seq + len(rows)) * 64,))
        self.db.execute("DELETE FROM node WHERE id >> 56 >= 8 AND ((id & ((1 << 56) - 1)) + 1) << (id >> 56) > ?", (seq,))
        for row in rows:
            prev = leaf(prev, encode_body({name: value for name, value in row.items() if name != "leaf" and value is not None}))
            self.db.execute("UPDATE entry SET fields = ?, model = ?, leaf = ? WHERE seq = ?", (row["fields"], row["model"], prev, row["seq"]))
            for level, index, value in tree.push(prev):
                if level >= 8:
                    self.db.execute("INSERT INTO node VALUES (?, ?)", ((level << 56) + index, value))
            partial[tree.size] = (tree.root(), [h for k, h in zip(tree.levels, tree.hashes) if k < 8])
        self.db.execute("UPDATE log SET size = ?, head = ?, frontier = ?", (tree.size, prev, b"".join(tree.hashes)))
        self.db.execute("COMMIT")
        return partial

    def rows(self, seq):
        """Rows from one on."""
        cursor = self.db.execute("SELECT * FROM entry WHERE seq >= ? ORDER BY seq", (seq,))
        return [dict(zip([column[0] for column in cursor.description], values)) for values in cursor]

    def journal(self, path, seq, partial):
        """Makes the journal fit: lines of the old history go, and are written again, signed with the key if there is one."""
        with open(path, encoding="utf-8") as file:
            lines = [json.loads(line) for line in file]
        out = [line for line in lines if line["size"] <= seq]
        for line in lines:
            if line["size"] > seq and line["size"] in partial:
                root, hashes = partial[line["size"]]
                text = "%s/%s\n%d\n%s\n" % (self.name, self.log_id.hex(), line["size"], base64.b64encode(root).decode())
                note = text
                if self.seed:
                    key = Key(self.name, 1, public_key(self.seed))
                    note = text + "\n\u2014 %s %s\n" % (key.name, base64.b64encode(key.id + sign(self.seed, text.encode())).decode())
                out.append({**line, "root": root.hex(), "partial": [h.hex() for h in hashes], "note": note})
        with open(path, "w", encoding="utf-8") as file:
            file.writelines(json.dumps(line) + "\n" for line in out)


def seed_of(box):
    """R reads the key."""
    with open(box.at("logs/keys/log.key"), encoding="ascii") as file:
        return unbase64(file.read().strip().split("+", 4)[4])[1:]


def other_model(row):
    """What a forged entry says."""
    row["model"] = "another"


def forge(box, seq, seed=None, source="logs", journal=True):
    """F or R rewrites from an entry on."""
    connection = box.attacked(source)
    forger = Forger(connection, seed)
    found = connection.execute("SELECT min(seq) FROM entry WHERE kind = 1 AND seq >= ?", (seq,)).fetchone()[0]
    seq = found or connection.execute("SELECT max(seq) FROM entry WHERE kind = 1").fetchone()[0]
    partial = forger.rewrite(seq, other_model)
    connection.close()
    if journal:
        forger.journal(box.at("attacked/checkpoints"), seq, partial)
    if seed is None:
        # F cannot make cosignatures either; what does not fit is taken away.
        os.path.exists(box.at("attacked/witnessed")) and os.unlink(box.at("attacked/witnessed"))


def edits(box):
    """E, each attack once."""
    for name, sql in (
            ("E changes a value", "UPDATE entry SET model = 'other' WHERE seq = (SELECT max(seq) - 90 FROM entry WHERE kind = 1)"),
            ("E changes content", "UPDATE content SET value = 'nothing happened' WHERE id = (SELECT max(id) FROM content WHERE id & 63 = 0)"),
            ("E removes an exempt entry inside a gap", "DELETE FROM content WHERE id >> 6 = (SELECT min(seq) FROM entry WHERE kind = 2);"
             "DELETE FROM entry WHERE seq = (SELECT min(seq) FROM entry WHERE kind = 2)"),
            ("E removes an entry", "DELETE FROM entry WHERE seq = (SELECT max(seq) - 50 FROM entry)"),
            ("E removes entry 0", "DELETE FROM entry WHERE seq = 0"),
            ("E removes erased content's tombstone", "DELETE FROM entry WHERE seq = (SELECT max(seq) FROM entry WHERE kind = 6)"),
            ("E swaps two entries", "UPDATE entry SET seq = -1 WHERE seq = 4200; UPDATE entry SET seq = 4200 WHERE seq = 4201;"
             "UPDATE entry SET seq = 4201 WHERE seq = -1"),
            ("E inserts an entry", "CREATE TEMP TABLE t AS SELECT * FROM entry WHERE seq = 4200; UPDATE entry SET seq = seq + 100000 WHERE seq > 4200;"
             "UPDATE entry SET seq = seq - 99999 WHERE seq > 100000; UPDATE t SET seq = 4201; INSERT INTO entry SELECT * FROM t"),
            ("E adds a trigger", "CREATE TRIGGER t AFTER INSERT ON entry BEGIN DELETE FROM entry WHERE seq = new.seq; END"),
            ("a bit rots", "UPDATE entry SET leaf = CAST(substr(leaf, 1, 31) || CASE substr(leaf, 32) WHEN x'00' THEN x'01' ELSE x'00' END AS BLOB)"
             " WHERE seq = 4100"),
            ("E cuts the tail, tip untouched", "DELETE FROM content WHERE id >> 6 > 4200; DELETE FROM entry WHERE seq > 4200")):
        connection = box.attacked()
        connection.executescript(sql)
        connection.close()
        yield name, box.answers(), {"A": 1, "A+": 1, "B": 1, "D": 1, "files": 1}


def histories(box):
    """F and R."""
    size = json.loads(box.run("stats", "--json", "--path", box.at("logs")).stdout)["chain"]["size"]
    with open(box.at("kept"), encoding="utf-8") as file:
        kept = int(file.read().split("\n")[1])
    seed = seed_of(box)
    forge(box, kept - 800)
    yield "F rewrites what was sealed", box.answers(), {"A": 0, "A+": 1, "B": 2, "D": 1, "files": 2}
    forge(box, size - 3)
    yield "F rewrites the newest entries, younger than what was kept", box.answers(), {"A": 0, "A+": 0, "B": 2, "D": 1, "files": 2}
    forge(box, kept - 800, seed)
    yield "R rewrites, cosignatures left there", box.answers(), {"A": 0, "A+": 1, "B": 1, "D": 1, "files": 1}
    os.unlink(box.at("attacked/witnessed"))
    yield "R rewrites, cosignatures taken away", box.answers(), {"A": 0, "A+": 1, "B": 0, "D": 1, "files": 2}
    forge(box, kept - 800, seed, "older")
    os.unlink(box.at("attacked/witnessed"))
    yield "R puts an older state back and rewrites it", box.answers(), {"A": 0, "A+": 1, "B": 0, "D": 1, "files": 2}
    shutil.rmtree(box.at("attacked"))
    shutil.copytree(box.at("older"), box.at("attacked"))
    yield "the whole box is put back to an older state", box.answers(), {"A": 0, "A+": 0, "B": 0, "D": 1, "files": 0}
    yield "the same, where a checkpoint of the newer state was kept", {"A+": box.verify("--checkpoint", box.at("now"))[0]}, {"A+": 1}


def tails(box):
    """What is younger than the newest checkpoint is not covered by anything."""
    # A recorder that was killed leaves entries behind its last checkpoint.
    feed = "".join(json.dumps(line) + "\n" for line in records(60)).encode()
    box.attacked().close()
    shutil.rmtree(box.at("killed"), ignore_errors=True)
    shutil.copytree(box.at("logs"), box.at("killed"))
    process = subprocess.Popen([box.lowlight, "record", "--ack", "--path", box.at("killed")], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                               stderr=subprocess.DEVNULL, env={**box.environment, "LOWLIGHT_CONFIG": os.devnull})
    process.stdin.write(feed)
    process.stdin.flush()
    for _ in range(60):
        process.stdout.readline()
    process.kill()
    process.wait()
    with open(box.at("killed/checkpoints"), encoding="utf-8") as file:
        sealed = json.loads(file.readlines()[-1])["size"]
    shutil.rmtree(box.at("attacked"))
    shutil.copytree(box.at("killed"), box.at("attacked"))
    connection = sqlite3.connect(box.at("attacked/lowlight.db"), isolation_level=None)
    forger = Forger(connection)
    assert forger.size > sealed + 20, (forger.size, sealed)
    forger.rewrite(sealed + 5, lambda row: None, sealed + 10)
    connection.close()
    yield "the young tail is cut, tip rewritten", box.answers(), {"A": 0, "A+": 0, "B": 0, "D": 0, "files": 0}


def shown(box):
    """What cannot be called a fault is shown."""
    shutil.rmtree(box.at("attacked"), ignore_errors=True)
    shutil.copytree(box.at("logs"), box.at("attacked"))
    before = box.verify()[1]
    box.run("erase", "--user", "u1", "--yes", "--path", box.at("attacked"))
    code, report = box.verify("--policy", box.at("B.policy"))
    assert code == 0 and report["erased"] > before["erased"], report
    found = {"A": box.verify()[0], "A+": box.verify("--checkpoint", box.at("kept"))[0]}
    yield "R removes with a tombstone: shown as erased", found, {"A": 0, "A+": 0}
    code, report = box.verify("--policy", box.at("age.policy"), log="logs")
    assert code == 2 and "s ago" in report["error"], report
    yield "silence shows as age, where a policy says how much", {"D": code}, {"D": 2}


def forks(box):
    """Two histories to two readers."""
    seed = seed_of(box)
    with open(box.at("kept"), encoding="utf-8") as file:
        kept = int(file.read().split("\n")[1])
    forge(box, kept - 500, seed)
    os.unlink(box.at("attacked/witnessed"))
    assert box.verify("--checkpoint", box.at("now"), "--key", box.vkey)[1]["problems"][0]["kind"] in ("forked", "rewritten")
    both = box.verify("--checkpoint", box.at("now"), "--key", box.vkey)[1]["problems"]
    assert "forked" in [problem["kind"] for problem in both], both
    yield "two histories, each shown to one reader", {"A": box.verify()[0], "B": box.verify("--policy", box.at("B.policy"))[0],
                                                       "A+": box.verify("--checkpoint", box.at("now"))[0]}, {"A": 0, "B": 0, "A+": 1}


def gone(box):
    """Nothing is left."""
    connection = box.attacked()
    connection.executescript("DELETE FROM entry; DELETE FROM content; DELETE FROM node")
    connection.close()
    yield "all entries gone", box.answers(), {"A": 2, "A+": 2, "B": 2, "D": 2, "files": 2}
    shutil.rmtree(box.at("attacked"))
    yield "everything gone", box.answers(), {"A": 2, "A+": 2, "B": 2, "D": 2, "files": 2}


def program():
    """Path of the command, the only argument."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("lowlight", help="the command, such as target/release/lowlight")
    return parser.parse_args().lowlight


def main():
    """Exits 1 when a cell is another than the table has."""
    lowlight, wrong, cells = os.path.abspath(program()), 0, 0
    with tempfile.TemporaryDirectory(prefix="lowlight-threats-") as folder:
        box = Box(lowlight, folder)
        box.keep("now")
        honest = box.attacked()
        honest.close()
        report = box.verify()[1]
        assert report["gaps_total"] > 0 and report["erased"] > 500, report
        rows = [("an honest log", box.answers(), dict.fromkeys(("A", "A+", "B", "D", "files"), 0))]
        for part in (edits, histories, tails, shown, forks, gone):
            for row in part(box):
                rows.append(row)
                name, found, wanted = row
                print("%-5s %-58s %s" % ("ok" if found == wanted else "WRONG", name, " ".join("%s %d" % answer for answer in found.items())), flush=True)
                wrong += found != wanted
                cells += len(found)
        assert rows[0][1] == rows[0][2], rows[0]
    print("%d cells" % cells)
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
