"""Damages the files of a log, region by region and as a whole, and looks at what the command makes of it.

    damage.py LOWLIGHT [--every N] [--seed S] [--region BYTES] [--only TEXT]

Each case is a copy of a log with one file damaged in one way; the command reads it, records a line into it, and reads it again.
Whatever was damaged: it ends in time with 0, 1 or 2; "intact" is said of what was recorded and of nothing else; readers write
nothing; nothing is deleted; recording goes on unless a file is foreign, newer or unsafe; what went wrong is said. The damage depends
on the seed; --only runs the cases whose name has a text in it. At the end commands that break these promises must be caught.
"""

import argparse
import collections
import concurrent.futures
import json
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(ROOT, "docs", "vectors"))

from damage_rules import CONFIG, DB, JOURNAL, KEY, REGIONS, SHM, TEXT, WAL, Case, Done, judge, planted, title  # noqa: E402
from tree import Tree  # noqa: E402

# A log that was closed; one whose recorder was killed; a copy of that without what only belongs to the machine; one killed in its
# first second, with all that was recorded in the -wal.
FILES = {"closed": (DB, JOURNAL, KEY, CONFIG), "killed": (DB, WAL, SHM), "copied": (DB, WAL), "young": (DB, WAL)}
WHOLE = ("empty", "gone", "garbage", "header", "foreign", "newer", "ahead", "directory", "link", "link to other", "swapped", "owner", "mode")
ONLY = {"header": DB, "newer": DB, "ahead": JOURNAL}
TIME, EVERY_READER, NOBODY, SHOWN = 20, 4, 65534, 10
READERS = {"export": ["export", "--format", "ndjson"], "stats": ["stats", "--json"], "inspect": ["inspect", "DB"], "doctor": ["doctor"],
           "checkpoint": ["checkpoint"]}
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
RETENTION = '[retention]\n%s[[retention.rules]]\nkind = "audit"\nmin_age = "1y"\n'
# Where it is; its key; what is listed of it; sizes by root; how many entries the database has, and how many with its -wal.
Log = collections.namedtuple("Log", "home vkey lines roots least size")


def lines(first, count):
    """Records with content."""
    for number in range(first, first + count):
        kind = {"kind": "audit", "event_type": "auth.login"} if number % 40 == 9 else {"model": "m", "prompt": "prompt %d" % number}
        yield json.dumps({**kind, "user": "bob" if number % 9 else "carol", "metadata": {"n": "m" * (number % 50)}}) + "\n"


def read(path):
    """What is in a file, or where a link points to."""
    with open(path, "rb") as file:
        return os.readlink(path) if os.path.islink(path) else file.read()


def write(path, data):
    """A private file, made anew."""
    with open(path, "wb", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
        file.write(data)


def files(home):
    """Everything below a folder but locks."""
    found = [os.path.join(folder, name) for folder, _, names in os.walk(home) for name in names]
    return {os.path.relpath(path, home): read(path) for path in found if not path.endswith(".lock")}


class World:
    """The command, two logs as they should be, and a place for damaged copies of one of them."""

    def __init__(self, lowlight, folder):
        self.lowlight, self.folder = lowlight, folder
        self.logs, self.others = self.build("gate-7", 560), self.build("press-2", 460)
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
        """A log with a key, an erasure and a gap, and a young one, in all forms."""
        closed, killed, copied, young = (os.path.join(self.folder, name, base) for base in FILES)
        for home in (closed, young):
            os.makedirs(os.path.join(home, "tmp"))
            write(os.path.join(home, CONFIG), (SETTINGS % name).encode())
            vkey = self.must(home, "keys", "init", "--name", name).strip()
        self.kill(young, 0)
        self.must(closed, "record", feed="".join(lines(0, count)))
        leaves = self.leaves(closed)
        self.must(closed, "erase", "--user", "carol", "--yes")
        # From then on the log keeps all: nothing else is removed while it is looked at.
        for most, command in (("max_entries = 300\n", "prune"), ("", "record")):
            write(os.path.join(closed, CONFIG), (SETTINGS % name + RETENTION % most).encode())
            self.must(closed, command, feed="".join(lines(count, 20)))
        shutil.copytree(closed, killed)
        self.kill(killed, count + 20)
        shutil.copytree(killed, copied, ignore=shutil.ignore_patterns("*-shm"))
        os.unlink(os.path.join(young, SHM))
        size = json.loads(self.must(closed, "verify", "--json"))["last_seq"] + 1
        logs = {base: self.log(home, vkey, leaves, size) for base, home in (("closed", closed), ("killed", killed), ("copied", copied))}
        return {**logs, "young": self.log(young, vkey, {}, 0)}

    def log(self, home, vkey, leaves, least):
        """What is known of a log; `leaves` those of entries that are not there any more."""
        exported = self.leaves(home)
        leaves, tree, roots = {**leaves, **exported}, Tree(), {}
        for seq in range(len(leaves)):
            tree.push(leaves[seq])
            roots[tree.root().hex()] = seq + 1
        report = json.loads(self.must(home, "verify", "--json"))
        is_whole = roots.get(report["root"]) == len(leaves) == report["last_seq"] + 1 and not report["problems"]
        if not is_whole or (least and not (report["gaps"] and report["erased"])):
            sys.exit("%s is not the log that it should be: %s" % (home, report))
        return Log(home, vkey, self.must(home, "query", "--all", "--json").splitlines(), roots, least, len(leaves))

    def sealed(self, base):
        """How many entries the newest checkpoint of a log has."""
        return max(json.loads(line)["size"] for line in read(os.path.join(self.logs[base].home, JOURNAL)).splitlines())

    def leaves(self, home):
        """The leaf of each entry that is there."""
        exported = [json.loads(line) for line in self.must(home, "export", "--format", "ndjson").splitlines()]
        return {line["seq"]: bytes.fromhex(line["leaf"]) for line in exported if "leaf" in line and "removed" not in line}

    def kill(self, home, first):
        """Records in several commits, and kills the recorder: the -wal stays."""
        command = [self.lowlight, "--path", os.path.join(home, "log"), "--config", os.path.join(home, CONFIG), "record", "--ack"]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as recorder:
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
                length = os.path.getsize(os.path.join(self.logs[base].home, name))
                region = min(options.region, max(2, length // 256))
                for number, way in enumerate(REGIONS):
                    # Of what is in two forms, each has half of the regions; each way begins with another one.
                    for place in range(number % options.every, -(-length // region), options.every):
                        if base in ("closed", "young") or name == SHM or (bin(place).count("1") + number) % 2 == (base == "copied"):
                            yield Case(base, name, way, place * region, region, options.seed)
                yield from (Case(base, name, way, 0, region, options.seed) for way in WHOLE if ONLY.get(way, name) == name)


def damaged(case, data, other):
    """The bytes of a file with a region damaged."""
    chance, end = random.Random("%s %s" % (title(case), case.seed)), min(case.offset + case.region, len(data))
    length, start = end - case.offset, case.offset % max(1, len(other) - case.region)
    if case.way == "cut":
        return data[:case.offset]
    if case.way == "bit":
        place, bit = chance.randrange(case.offset, end), chance.randrange(8)
        return data[:place] + bytes([data[place] ^ 1 << bit]) + data[place + 1:]
    piece = {"zeros": bytes(length), "ones": b"\xff" * length, "other": other[start:start + length], "random": chance.randbytes(length)}
    return data[:case.offset] + piece[case.way] + data[end:]


def damage(world, case, home):
    """Damages a file of a copy; False when that changes nothing."""
    path, other = os.path.join(home, case.file), read(os.path.join(world.others[case.base].home, case.file))
    data, target = read(path), os.path.join(home, "target")
    if case.way in REGIONS:
        write(path, damaged(case, data, other))
        return read(path) != data
    if case.way == "owner":
        os.chown(path, NOBODY, NOBODY)
    elif case.way == "mode":
        os.chmod(path, 0o644)
    elif case.way == "newer":
        with sqlite3.connect(path) as connection:
            connection.execute("PRAGMA user_version = 9")
        connection.close()
    elif case.way in ("directory", "gone") or case.way.startswith("link"):
        os.unlink(path)
        if case.way == "directory":
            os.mkdir(path, 0o700)
        if case.way.startswith("link"):
            write(target, data if case.way == "link" else b"Not for a recorder.\n")
            os.symlink(target, path)
    else:
        foreign, garbage = read(world.foreign), random.Random(case.seed).randbytes(len(data))
        # What is ahead has one more digit in the newest checkpoint.
        write(path, {"empty": b"", "garbage": garbage, "swapped": other, "foreign": foreign, "header": foreign[:100] + data[100:],
                     "ahead": b'"size":9'.join(data.rpartition(b'"size":')[::2])}[case.way])
    return True


def observe(world, case, home, run):
    """Damages a copy and runs the command on it; what was seen, None when nothing was damaged."""
    source = world.logs[case.base].home
    shutil.copytree(source, home)
    if not damage(world, case, home):
        return None
    seen, good, record = {"before": files(home)}, os.path.join(source, CONFIG), json.dumps({"model": "m", "prompt": TEXT}) + "\n"
    seen["verify"], seen["query"] = run(home, "verify", "--json"), run(home, "query", "--all", "--json")
    if case.way not in REGIONS or case.offset // case.region % EVERY_READER == 0:
        for name, arguments in READERS.items():
            seen[name] = run(home, *[argument.replace("DB", os.path.join(home, DB)) for argument in arguments])
        seen["verify export"] = run(home, "verify", "--json", "-", feed=seen["export"].out)
    path = os.path.join(home, case.file)
    seen["between"], seen["is ours"] = files(home), os.path.lexists(path) and os.lstat(path).st_uid == os.geteuid()
    seen["record"], seen["after"] = run(home, "record", feed=record.encode()), files(home)
    for name, arguments in (("verify again", ["verify"]), ("query again", ["query", "--all"]), ("find", ["query", "--contains", TEXT]),
                            ("newest", ["query", "--all", "--limit", "12"])):
        seen[name] = run(home, "--json", *arguments, config=good)
    if seen["verify again"].code == 2:
        # What the look at the newest entries did not meet is met by one at all of them.
        full = os.path.join(home, "full.toml")
        write(full, b'verify_at_start = "full"\n' + read(good))
        run(home, "record", feed=record.encode(), config=full)
        seen["moved by full"] = os.path.isdir(os.path.join(home, "log", "quarantine"))
    if case.file == KEY:
        notes = [json.loads(line)["note"] for line in seen["after"][JOURNAL].splitlines()[seen["before"][JOURNAL].count(b"\n"):]]
        check = ("verify", "--json", "--key", world.logs[case.base].vkey, "--checkpoint", "-")
        seen["notes"] = [run(home, *check, feed=note.encode()) for note in notes]
    return seen


def one(world, case, run=None):
    """One case: None when nothing was damaged, else what it came to, and what broke."""
    with tempfile.TemporaryDirectory(prefix="case-", dir=world.folder) as folder:
        home = os.path.join(folder, "copy")
        seen = observe(world, case, home, run or world.run)
        if not seen:
            return None
        code = "verify %s" % seen["verify"].code
        try:
            return (code, judge(world, case, seen, home)), None
        except (AssertionError, ValueError, LookupError) as why:
            return (code, "broke"), "%s: %s: %s" % (title(case), type(why).__name__, why)


def table(judged):
    """How the cases of each file and way were judged."""
    rows = collections.defaultdict(collections.Counter)
    for case, (outcome, _) in judged:
        rows[case.file.replace("log/", ""), case.way].update(("cases", *outcome))
    columns = ("cases", "verify 0", "verify 1", "verify 2", "moved", "in place", "tail lost", "fresh", "refused", "broke")
    print("%-16s %-14s" % ("file", "way") + "".join("%10s" % column for column in columns))
    for (name, way), row in rows.items():
        print("%-16s %-14s" % (name, way) + "".join("%10s" % (row[column] or "") for column in columns))


def main():
    """All cases."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("lowlight")
    for name, default in (("--every", 1), ("--seed", 1), ("--region", 512)):
        parser.add_argument(name, type=int, default=default)
    parser.add_argument("--only", default="")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="lowlight-damage-") as folder, concurrent.futures.ThreadPoolExecutor(4) as pool:
        world = World(os.path.abspath(options.lowlight), folder)
        cases = [case for case in world.cases(options) if options.only in title(case)]
        if os.geteuid() != 0:
            print("NOT ROOT: files of another user are not tried")
            cases = [case for case in cases if case.way != "owner"]
        judged = [(case, done) for case, done in zip(cases, pool.map(lambda case: one(world, case), cases)) if done]
        caught = planted(world, one)
    table(judged)
    broken, kinds = [why for _, (_, why) in judged if why], collections.defaultdict(list)
    for why in broken:
        kinds[why.split(": ")[2]].append(why)
    for kind, those in list(kinds.items())[:SHOWN]:
        print("%d: %s\n    %s (seed %d, region %d)" % (len(those), kind, those[0], options.seed, options.region))
    print("%d cases, %d broke a promise" % (len(judged), len(broken)))
    sys.exit(0 if judged and caught and not broken else 1)


if __name__ == "__main__":
    main()
