"""Damages the files of a log, region by region and as a whole, and looks at what the command makes of it.

    damage.py LOWLIGHT [--every N] [--seed S] [--region BYTES] [--only TEXT]

Each case is a copy of a log with one file damaged in one way; the command reads it, records a line into it, and reads it again.
Whatever was damaged: it ends in time with 0, 1 or 2; "intact" is said of what was recorded and of nothing else; readers write
nothing; nothing is deleted; recording goes on unless a file is foreign, newer or unsafe; what went wrong is said. The logs are new in
each run and the damage depends on the seed: --only runs the cases whose name has that text in it. At the end commands that break
these promises must be caught.
"""

import argparse
import collections
import concurrent.futures
import json
import os
import random
import re
import shutil
import sqlite3
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(ROOT, "docs", "vectors"))
from tree import Tree  # noqa: E402

DB, WAL, SHM, JOURNAL, KEY, CONFIG = ("log/lowlight.db", "log/lowlight.db-wal", "log/lowlight.db-shm", "log/checkpoints",
                                      "log/keys/log.key", "lowlight.toml")
DATABASE = (DB, WAL, SHM)
# A log that was closed; one whose recorder was killed; a copy of that without what only belongs to the machine.
FILES = {"closed": (DB, JOURNAL, KEY, CONFIG), "killed": (DB, WAL, SHM), "copied": (DB, WAL)}
REGIONS = ("zeros", "ones", "random", "bit", "other", "cut")
WHOLE = ("empty", "gone", "garbage", "header", "foreign", "newer", "directory", "link", "link to other", "swapped", "owner", "mode")
# What a recorder says of a database that it leaves alone, and of nothing else.
FOREIGN, NEWER, UNSAFE, OWNER, MODE = ("is not a Lowlight log", "has format version", "move it away", "belongs to another user", "chmod")
REFUSED = {"header": FOREIGN, "foreign": FOREIGN, "newer": NEWER, "directory": UNSAFE, "link": UNSAFE, "link to other": UNSAFE,
           "owner": OWNER, "mode": MODE}
TIME, EVERY_READER, NOBODY, TEXT = 20, 4, 65534, "after the damage"
SETTINGS = """# Of a test.
app = "%s"
checkpoint_entries = 50
batch_entries = 20
max_loss_window_ms = 50
event_types = ["valve.opened"]
[redact]
keys = ["badge"]
[[redact.rules]]
name = "delivery"
pattern = 'D-[0-9]{4}'
"""
RETENTION = '[retention]\nmax_entries = 500\n[[retention.rules]]\nkind = "audit"\nmin_age = "1y"\n'
Case = collections.namedtuple("Case", "base file way offset region seed")
Done = collections.namedtuple("Done", "code out err")
Log = collections.namedtuple("Log", "home vkey lines roots sizes")  # entries that each database file has without its -wal


def lines(first, count):
    """Records with content."""
    for number in range(first, first + count):
        kind = {"kind": "audit", "event_type": "auth.login"} if number % 40 == 9 else {"model": "m", "prompt": "prompt %d" % number}
        yield json.dumps({**kind, "user": "bob" if number % 9 else "carol", "metadata": {"n": "m" * (number % 50)}}) + "\n"


def read(path):
    """What is at a path: bytes, where a link points to, or None for a directory."""
    if os.path.islink(path):
        return os.readlink(path)
    with open(path, "rb") as file:
        return file.read()


def write(path, data):
    """A private file, made anew."""
    with open(path, "wb", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
        file.write(data)


def files(home):
    """Everything below a folder but locks."""
    found = [os.path.join(folder, name) for folder, _, names in os.walk(home) for name in names if not name.endswith(".lock")]
    return {os.path.relpath(path, home): read(path) for path in found}


def readable(path):
    """Id of the log in a database file, where its log row makes sense."""
    try:
        connection = sqlite3.connect("file:%s?immutable=1" % path, uri=True)
        log, size, head, frontier = connection.execute("SELECT log_id, size, head, frontier FROM log").fetchone()
        connection.close()
        is_valid = len(log) == 16 and len(head) == 32 and 0 <= size < 2**56 and len(frontier) == 32 * bin(size).count("1")
        return log.hex() if is_valid else None
    except (sqlite3.Error, TypeError, OverflowError):
        return None


class World:
    """The command, two logs as they should be, and a place for damaged copies of one of them."""

    def __init__(self, lowlight, folder):
        self.lowlight, self.folder = lowlight, folder
        self.log, self.other = self.build("gate-7", 560), self.build("press-2", 460)
        self.foreign = os.path.join(folder, "foreign.db")
        with sqlite3.connect(self.foreign) as connection:
            connection.executescript("CREATE TABLE customer (name TEXT); INSERT INTO customer VALUES ('Ann'); PRAGMA application_id = 7")
        connection.close()

    def run(self, home, *arguments, feed=b"", config=None):
        """The command on the log in a folder; the code is None when it does not end."""
        environment = {**os.environ, "LOWLIGHT_CONFIG": config or os.path.join(home, CONFIG), "TMPDIR": os.path.join(home, "tmp")}
        try:
            done = subprocess.run([self.lowlight, "--path", os.path.join(home, "log"), *arguments], input=feed, capture_output=True,
                                  check=False, env=environment, timeout=TIME)
        except subprocess.TimeoutExpired as late:
            return Done(None, late.stdout or b"", late.stderr or b"")
        return Done(done.returncode, done.stdout, done.stderr)

    def must(self, home, *arguments, feed=""):
        """Output of a command that must work."""
        done = self.run(home, *arguments, feed=feed.encode())
        if done.code != 0:
            sys.exit("%s: exit %s: %s" % (" ".join(arguments), done.code, (done.out + done.err)[-800:].decode()))
        return done.out.decode()

    def build(self, name, count):
        """A log with a key, an erasure and a gap, in the three forms."""
        top = os.path.join(self.folder, name)
        closed, killed, copied = (os.path.join(top, base) for base in FILES)
        os.makedirs(os.path.join(closed, "tmp"))
        write(os.path.join(closed, CONFIG), (SETTINGS % name).encode())
        vkey = self.must(closed, "keys", "init", "--name", name).strip()
        self.must(closed, "record", feed="".join(lines(0, count)))
        leaves = self.leaves(closed)
        write(os.path.join(closed, CONFIG), (SETTINGS % name + RETENTION).encode())
        for arguments in (["erase", "--user", "carol", "--yes"], ["prune"], ["record"]):
            self.must(closed, *arguments, feed="".join(lines(count, 20)))
        shutil.copytree(closed, killed)
        self.kill(killed, count + 20)
        shutil.copytree(killed, copied, ignore=shutil.ignore_patterns("*-shm"))
        leaves.update(self.leaves(copied))
        tree, roots = Tree(), {}
        for seq in range(len(leaves)):
            tree.push(leaves[seq])
            roots[tree.root().hex()] = seq + 1
        report = json.loads(self.must(copied, "verify", "--json"))
        if roots.get(report["root"]) != len(leaves) or not report["gaps"] or not report["erased"] or report["problems"]:
            sys.exit("%s is not the log that it should be: %s" % (name, report))
        size = json.loads(self.must(closed, "verify", "--json"))["last_seq"] + 1
        return Log(top, vkey, self.must(copied, "query", "--all", "--json").splitlines(), roots,
                   {"closed": size, "killed": len(leaves), "copied": len(leaves), "without wal": size})

    def leaves(self, home):
        """The leaf of each entry that is there."""
        exported = [json.loads(line) for line in self.must(home, "export", "--format", "ndjson").splitlines()]
        return {line["seq"]: bytes.fromhex(line["leaf"]) for line in exported if "leaf" in line and "removed" not in line}

    def kill(self, home, first):
        """Records in several commits, and kills the recorder: the -wal stays."""
        environment = {**os.environ, "LOWLIGHT_CONFIG": os.path.join(home, CONFIG)}
        with subprocess.Popen([self.lowlight, "--path", os.path.join(home, "log"), "record", "--ack"], stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE, env=environment) as recorder:
            for batch in range(6):
                recorder.stdin.write("".join(lines(first + 10 * batch, 10)).encode())
                recorder.stdin.flush()
                for _ in range(10):
                    assert b"durable" in recorder.stdout.readline(), "not recorded"
            recorder.kill()
        assert os.path.getsize(os.path.join(home, WAL)) > 4096, "there is no -wal"

    def cases(self, options):
        """All cases, or every so many of those of a region."""
        for base, names in FILES.items():
            for name in names:
                length = os.path.getsize(os.path.join(self.log.home, base, name))
                region = min(options.region, max(2, length // 256))
                for number, way in enumerate(REGIONS):
                    # Of what is in two forms, each has every other region; each way begins with another one.
                    for place in range(number % options.every, -(-length // region), options.every):
                        if base == "closed" or name == SHM or (place // options.every + number) % 2 == (base == "copied"):
                            yield Case(base, name, way, place * region, region, options.seed)
                yield from (Case(base, name, way, 0, region, options.seed) for way in WHOLE if name == DB or way not in ("header", "newer"))


def damaged(case, data, other):
    """The bytes of a file with a region damaged."""
    chance, end = random.Random("%s %s" % (title(case), case.seed)), min(case.offset + case.region, len(data))
    length, start = end - case.offset, case.offset % max(1, len(other) - case.region)
    if case.way == "cut":
        return data[:case.offset]
    if case.way == "bit":
        place, bit = chance.randrange(case.offset, end), chance.randrange(8)
        return data[:place] + bytes([data[place] ^ 1 << bit]) + data[place + 1:]
    piece = {"zeros": bytes(length), "ones": b"\xff" * length, "other": other[start:start + length]}.get(case.way) or chance.randbytes(length)
    return data[:case.offset] + piece + data[end:]


def damage(world, case, home):
    """Damages a file of a copy; False when that changes nothing."""
    path, other = os.path.join(home, case.file), read(os.path.join(world.other.home, case.base, case.file))
    data, target = read(path), os.path.join(home, "target")
    if case.way in REGIONS:
        changed = damaged(case, data, other)
        write(path, changed)
        return changed != data
    if case.way in ("owner", "mode"):
        os.chown(path, NOBODY, NOBODY) if case.way == "owner" else os.chmod(path, 0o644)
    elif case.way == "newer":
        with sqlite3.connect(path) as connection:
            connection.execute("PRAGMA user_version = 9")
        connection.close()
    elif case.way in ("directory", "gone") or case.way.startswith("link"):
        os.unlink(path)
        if case.way == "directory":
            os.mkdir(path, 0o700)
        elif case.way != "gone":
            write(target, data if case.way == "link" else b"Not for a recorder.\n")
            os.symlink(target, path)
    else:
        foreign = read(world.foreign)
        write(path, {"empty": b"", "garbage": random.Random(case.seed).randbytes(len(data)), "swapped": other, "foreign": foreign,
                     "header": foreign[:100] + data[100:]}[case.way])
    return True


def title(case):
    """The name of a case."""
    return "%s/%s %s at %d" % (case.base, case.file.replace("log/", ""), case.way, case.offset)


def observe(world, case, home, run):
    """Damages a copy and runs the command on it; what was seen, None when nothing was damaged."""
    source = os.path.join(world.log.home, case.base)
    shutil.copytree(source, home)
    if not damage(world, case, home):
        return None
    seen, good, record = {"before": files(home)}, os.path.join(source, CONFIG), json.dumps({"model": "m", "prompt": TEXT}) + "\n"
    seen["verify"], seen["query"] = run(home, "verify", "--json"), run(home, "query", "--all", "--json")
    if case.way not in REGIONS or case.offset // case.region % EVERY_READER == 0:
        seen["export"], seen["stats"] = run(home, "export", "--format", "ndjson"), run(home, "stats", "--json")
        seen["verify export"] = run(home, "verify", "--json", "-", feed=seen["export"].out)
    seen["between"] = files(home)
    seen["record"] = run(home, "record", feed=record.encode())
    seen["after"] = files(home)
    seen["verify again"], seen["query again"] = run(home, "verify", "--json", config=good), run(home, "query", "--all", "--json", config=good)
    seen["find"], seen["stats again"] = run(home, "query", "--json", "--contains", TEXT, config=good), run(home, "stats", "--json", config=good)
    return seen
