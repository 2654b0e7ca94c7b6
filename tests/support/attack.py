"""Attackers who recompute every hash, against a real log: what is found with nothing kept elsewhere, and with a checkpoint.

    attack.py LOWLIGHT

The attackers work with the second implementation (docs/vectors), so that a defect of the first does not help or betray
them. Each row says what `verify` has to answer: exit code and first kind, "-" for none. docs/threat-model.md has the table.
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

import evidence  # noqa: E402
from codec import SLOTS, parse  # noqa: E402
from notes import unbase64  # noqa: E402
from tree import commitment, genesis, root_of  # noqa: E402
from writer import Log, write_database  # noqa: E402

RECORDS = 3000


def load(path):
    """A log as the attacker has it in memory: id, rows of columns, contents by id."""
    connection = sqlite3.connect(path)
    connection.row_factory = sqlite3.Row
    rows = [{name: value for name, value in zip(row.keys(), row) if value is not None}
            for row in connection.execute("SELECT * FROM entry ORDER BY seq")]
    content = {row["id"]: (row["salt"], row["value"]) for row in connection.execute("SELECT * FROM content")}
    log_id = connection.execute("SELECT log_id FROM log").fetchone()[0]
    connection.close()
    return log_id, rows, content


def forge(source, target, change):
    """Writes `target` as `source` would be after `change(rows, content)`, with every hash recomputed."""
    log_id, rows, content = load(source)
    rows, content = change(rows, content)
    log = Log()
    log.log_id, log.prev = log_id, genesis(log_id)
    for seq, row in enumerate(rows):
        old = row["seq"]
        moved = {seq * 64 + key % 64: value for key, value in content.items() if key // 64 == old} if old != seq else None
        log.content.update(moved if moved is not None else {key: content[key] for key in range(old * 64, old * 64 + 64) if key in content})
        log.append({**{name: value for name, value in row.items() if name != "leaf"}, "seq": seq})
    write_database(log.rows(), target)
    os.chmod(target, 0o600)


def says(rows, content, seq, text):
    """Another text in the prompt of an entry, under the same salt."""
    key = seq * 64
    salt = content[key][0]
    content[key] = (salt, text)
    slots = parse(SLOTS, rows[seq]["fields"])
    slots[0]["commitment"] = commitment(salt, 0, text.encode())
    rows[seq]["fields"] = SLOTS.put(slots)


def rewrite_one(rows, content):
    """One prompt says something else."""
    says(rows, content, 1500, "nothing happened")
    return rows, content


def rewrite_all(rows, content):
    """Every prompt says something else."""
    for row in rows:
        if row["kind"] == 1:
            says(rows, content, row["seq"], "all is well")
    return rows, content


def remove_one(rows, content):
    """One entry is gone, the later ones renumbered."""
    return rows[:1500] + rows[1501:], {key: value for key, value in content.items() if key // 64 != 1500}


def insert_one(rows, content):
    """One entry stands twice, the later ones renumbered."""
    return rows[:1500] + [rows[1500]] + rows[1500:], content


def swap_two(rows, content):
    """Two entries change places."""
    rows[1500], rows[1501] = rows[1501], rows[1500]
    return rows, content


def cut_tail(rows, content):
    """The newest entries are gone, the tip fits."""
    return rows[:2000], {key: value for key, value in content.items() if key // 64 < 2000}


def cut_young(rows, content):
    """Only what is younger than the checkpoint is gone."""
    return rows[:-5], {key: value for key, value in content.items() if key // 64 < len(rows) - 5}


# attack, change; exit and first kind: own journal left there, no journal, journal forged with the log's key; checkpoint kept
F = [
    ("rewrites one entry", rewrite_one, (1, "rewritten"), (0, "-"), (0, "-"), (1, "rewritten")),
    ("rewrites everything", rewrite_all, (1, "rewritten"), (0, "-"), (0, "-"), (1, "rewritten")),
    ("removes an entry", remove_one, (1, "rewritten"), (0, "-"), (0, "-"), (1, "rewritten")),
    ("inserts an entry", insert_one, (1, "rewritten"), (0, "-"), (0, "-"), (1, "rewritten")),
    ("swaps two entries", swap_two, (1, "rewritten"), (0, "-"), (0, "-"), (1, "rewritten")),
    ("cuts the log back", cut_tail, (0, "-"), (0, "-"), (0, "-"), (1, "rolled_back")),
    ("cuts what is younger than the checkpoint", cut_young, (0, "-"), (0, "-"), (0, "-"), (0, "-")),
]


class Box:
    """The attacked machine: a signed log and what somebody kept elsewhere."""

    def __init__(self, lowlight, folder):
        self.lowlight, self.folder = lowlight, folder
        self.vkey = self.run("keys", "init", "--path", self.at("logs")).stdout.decode().strip()
        lines = "".join('{"model":"m","prompt":"reading %d","user":"u%d"}\n' % (n, n % 5) for n in range(RECORDS))
        self.run("record", "--path", self.at("logs"), feed=lines)
        with open(self.at("kept"), "wb") as file:
            file.write(self.run("checkpoint", "--path", self.at("logs")).stdout)
        self.run("record", "--path", self.at("logs"), feed='{"model":"m","prompt":"later"}\n' * 20)

    def at(self, name):
        """A path on the machine."""
        return os.path.join(self.folder, name)

    def run(self, *arguments, feed=""):
        """The command."""
        return subprocess.run([self.lowlight, *arguments], input=feed.encode(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)

    def verdict(self, log, *more):
        """Exit code and first kind."""
        done = self.run("verify", "--json", "--path", self.at(log), *more)
        found = json.loads(done.stdout)
        problems = found["problems"]
        # Whoever is not sure says so.
        assert done.returncode or more or "rewrite" in found["not_checked"], found
        return done.returncode, problems[0]["kind"] if problems else "-"

    def copy(self, name):
        """The log directory again, under another name."""
        shutil.rmtree(self.at(name), ignore_errors=True)
        shutil.copytree(self.at("logs"), self.at(name))
        return self.at(name)

    def sign_again(self, log):
        """R has the key: every checkpoint of the journal is made to fit the forged log."""
        with open(os.path.join(self.at(log), "keys", "log.key"), encoding="ascii") as file:
            seed = unbase64(file.read().strip().split("+", 4)[4])[1:]
        maker = evidence.Maker(os.path.join(self.at(log), "lowlight.db"), seed, "lowlight")
        path, lines = os.path.join(self.at(log), "checkpoints"), []
        with open(path, encoding="utf-8") as file:
            for line in map(json.loads, file):
                line["size"] = min(line["size"], len(maker.leaves))
                line["root"] = root_of(maker.leaves[:line["size"]]).hex()
                line["note"] = maker.checkpoint(line["size"]).decode()
                if not lines or lines[-1]["size"] < line["size"]:
                    lines.append(line)
        with open(path, "w", encoding="utf-8") as file:
            file.writelines(json.dumps(line) + "\n" for line in lines)
        assert str(maker.key) == self.vkey


def attack(box, change):
    """The four answers to one attack."""
    forge(box.at("logs/lowlight.db"), os.path.join(box.copy("forged"), "lowlight.db"), change)
    left = box.verdict("forged")
    kept = box.verdict("forged", "--checkpoint", box.at("kept"), "--key", box.vkey)
    os.rename(box.at("forged/checkpoints"), box.at("journal"))
    none = box.verdict("forged")
    without = box.verdict("forged", "--checkpoint", box.at("kept"))
    os.rename(box.at("journal"), box.at("forged/checkpoints"))
    box.sign_again("forged")
    signed = box.verdict("forged")
    held = box.verdict("forged", "--checkpoint", box.at("kept"))
    return left, none, signed, kept, without, held


def program():
    """Path of the command, the only argument."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("lowlight", help="the command, such as target/release/lowlight")
    return parser.parse_args().lowlight


def main():
    """Exits 1 when an answer is another than the table has."""
    lowlight, wrong = os.path.abspath(program()), 0
    with tempfile.TemporaryDirectory() as folder:
        box = Box(lowlight, folder)
        assert box.verdict("logs", "--checkpoint", box.at("kept"), "--key", box.vkey) == (0, "-"), "an honest log"
        forge(box.at("logs/lowlight.db"), os.path.join(box.copy("same"), "lowlight.db"), lambda rows, content: (rows, content))
        assert box.verdict("same", "--checkpoint", box.at("kept")) == (0, "-"), "the attacker's tool changes nothing by itself"
        for name, change, *wanted in F:
            left, none, signed, kept, without, held = attack(box, change)
            found = [left, none, signed]
            # Against the same checkpoint the answer does not depend on the journal, but that a fork can be proved as well.
            ok = found == list(wanted[:3]) and without == held == wanted[3] and kept[0] == wanted[3][0] and kept[1] in (wanted[3][1], "forked")
            wrong += not ok
            print("%-6s %-42s journal left %s, removed %s, signed again %s; checkpoint kept %s" % (
                "ok" if ok else "WRONG", name, *("%d %s" % answer for answer in (*found, kept))))
        shutil.rmtree(box.at("forged"))
        gone = box.run("verify", "--path", box.at("forged"), "--checkpoint", box.at("kept")).returncode
        print("%-6s everything gone: exit %d" % ("ok" if gone == 2 else "WRONG", gone))
        wrong += gone != 2
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
