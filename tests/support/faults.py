"""Lets one system call after the other fail, and looks at what the command and the log make of it.

    faults.py LOWLIGHT [--every N] [--workload NAME]

The command runs under strace, which lets the n-th call of a kind on a file of the log fail, for every n until a run has no such
call any more (or for every N-th). Whatever failed: nothing that was acknowledged is lost, nothing is there twice, what was lost was
said, the log verifies, and the same command works afterwards. At the end a recorder that acknowledges what it has not written must be caught.
"""

import argparse
import collections
import concurrent.futures
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile

FAULTS = [  # kind, calls, errors
    ("write", "pwrite64,write", ("EIO", "ENOSPC")),
    ("sync", "fsync,fdatasync", ("EIO",)),
    ("open", "openat", ("EMFILE", "EROFS", "EIO")),
    ("truncate", "ftruncate", ("EIO",)),
    ("lock", "fcntl,flock", ("EAGAIN", "EIO")),
    ("names", "rename,unlink,link,linkat,unlinkat,mkdir", ("EIO", "ENOSPC")),
    ("read", "pread64", ("EIO",)),
]
LINES = 12
MOST = 2_000


class Workload(collections.namedtuple("Workload", "name arguments before config")):
    """A command and what it is run on."""


def lines(first, count):
    """Records, each with a text of its own."""
    return "".join('{"model":"m","prompt":"text %d","user":"%s"}\n' % (n, "carol" if n % 5 == 0 else "bob") for n in range(first, first + count)).encode()


WORKLOADS = [
    Workload("record", ["record", "--ack"], 0, "batch_entries = 4\nmax_loss_window_ms = 20\n"),
    Workload("go on", ["record", "--ack"], 30, "batch_entries = 4\nmax_loss_window_ms = 20\ncheckpoint_entries = 4\n"),
    Workload("prune", ["prune"], 700, "[retention]\nmax_entries = 300\n"),
    Workload("erase", ["erase", "--user", "carol", "--yes"], 40, ""),
    Workload("rotate", ["keys", "rotate"], 20, ""),
]


class Place:
    """One workload, prepared once, and copies of it."""

    def __init__(self, lowlight, folder, workload):
        self.lowlight, self.workload, self.folder = lowlight, workload, os.path.join(folder, workload.name)
        os.mkdir(self.folder)
        config = os.path.join(self.folder, "lowlight.toml")
        with open(config, "w", encoding="utf-8") as file:
            file.write(workload.config)
        self.environment = {**os.environ, "LOWLIGHT_CONFIG": config}
        self.source = os.path.join(self.folder, "source")
        self.run(["keys", "init"], self.source, b"", {**self.environment, "LOWLIGHT_CONFIG": os.devnull})
        if workload.before:
            self.run(["record"], self.source, lines(10_000, workload.before), {**self.environment, "LOWLIGHT_CONFIG": os.devnull})

    def run(self, arguments, log, stdin=b"", environment=None):
        """A command without faults."""
        done = subprocess.run([self.lowlight, "--path", log, *arguments], input=stdin, capture_output=True, check=False,
                              env=environment or self.environment)
        if done.returncode != 0:
            raise AssertionError("%s: exit %d: %s" % (" ".join(arguments), done.returncode, (done.stdout + done.stderr)[-600:].decode()))
        return done.stdout

    def under(self, calls, error, number, log):
        """The command with one fault; whether there was such a call at all, and what it did."""
        files = ["lowlight.db", "lowlight.db-wal", "lowlight.db-shm", "lowlight.lock", "checkpoints", "keys", "keys/log.key", "keys/next.key", "run", "reserve", ""]
        paths = [part for file in files for part in ("-P", os.path.join(log, file).rstrip("/"))]
        trace = log + ".trace"
        done = subprocess.run(["strace", "-f", "-qq", "-o", trace, *paths, "-e", "trace=" + calls,
                               "-e", "inject=%s:error=%s:when=%d" % (calls, error, number),
                               self.lowlight, "--path", log, *self.workload.arguments],
                              input=lines(0, LINES), capture_output=True, check=False, env=self.environment, timeout=120)
        with open(trace, "rb") as file:
            happened = b"(INJECTED)" in file.read()
        os.unlink(trace)
        return happened, done

    def one(self, kind, calls, error, number):
        """One fault; False when no such call is left."""
        log = os.path.join(self.folder, "%s-%s-%d" % (kind, error, number))
        if os.path.isdir(self.source):
            shutil.copytree(self.source, log)
        try:
            happened, done = self.under(calls, error, number, log)
        except subprocess.TimeoutExpired:
            return True, "%s: call %d (%s) failed with %s: it did not end" % (self.workload.name, number, kind, error)
        try:
            self.look(log, done)
        except (AssertionError, ValueError, KeyError, sqlite3.Error) as why:
            return happened, "%s: call %d (%s) failed with %s: %s\n%s" % (
                self.workload.name, number, kind, error, why, (done.stdout + done.stderr)[-800:].decode(errors="replace"))
        finally:
            shutil.rmtree(log, ignore_errors=True)
        return happened, None

    def look(self, log, done):
        """What must be so whatever failed."""
        assert done.returncode in (0, 1, 2), "it ended with %d" % done.returncode
        assert b"panicked" not in done.stderr, "it panicked"
        assert not os.path.exists(os.path.join(log, "quarantine")), "the log was moved aside"
        is_record = self.workload.arguments[0] == "record"
        acked = []
        if is_record:
            receipts = [json.loads(line) for line in done.stdout.splitlines() if line.startswith(b"{")]
            acked = [(receipt["line"], receipt["seq"]) for receipt in receipts if receipt.get("status") == "durable"]
            assert done.returncode != 0 or len(acked) == LINES, "exit 0, and %d of %d lines are acknowledged" % (len(acked), LINES)
        # Whatever is left over is finished now.
        self.run(self.workload.arguments, log, lines(100, 1))
        report = json.loads(self.run(["verify", "--json"], log))
        assert report["verdict"] == "intact" and not report["pending_erase"], report
        connection = sqlite3.connect(os.path.join(log, "lowlight.db"))
        found = connection.execute("SELECT e.seq, c.value FROM entry e JOIN content c ON c.id = e.seq * 64 WHERE c.value LIKE 'text %'").fetchall()
        connection.close()
        texts = collections.Counter(value for _, value in found)
        assert not [text for text, count in texts.items() if count > 1], "twice: %s" % texts
        seqs = dict(found)
        for line, seq in acked:
            assert seqs.get(seq) == "text %d" % (line - 1), "line %d was acknowledged as entry %d, which has %s" % (line, seq, seqs.get(seq))


def exhaust(place, every, pool):
    """All faults of a workload; what broke."""
    broken, count = [], 0
    for kind, calls, errors in FAULTS:
        for error in errors:
            number, is_over = 1, False
            while not is_over and number < MOST:
                numbers = [number + step * every for step in range(8)]
                done = list(pool.map(lambda n, k=kind, c=calls, e=error: place.one(k, c, e, n), numbers))
                count += sum(happened for happened, _ in done)
                broken += [why for _, why in done if why]
                is_over = not all(happened for happened, _ in done)
                number = numbers[-1] + every
    print("%s: %d faults, %d broke a promise" % (place.workload.name, count, len(broken)), flush=True)
    return count, broken


def planted(place):
    """A recorder that acknowledges what it has not written is caught."""
    log = os.path.join(place.folder, "planted")
    early = "".join('{"line":%d,"seq":%d,"status":"durable"}\n' % (n + 1, n + 3) for n in range(LINES))
    script = "cat > /dev/null; printf '%s'; exit 1" % early.replace("\n", "\\n")
    done = subprocess.run(["sh", "-c", script], input=lines(0, LINES), capture_output=True, check=False)
    try:
        place.look(log, done)
    except AssertionError as why:
        print("planted: %s" % why)
        return "was acknowledged as entry" in str(why)
    return False


def main():
    """All workloads."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("lowlight")
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--workload")
    options = parser.parse_args()
    chosen = [workload for workload in WORKLOADS if options.workload in (None, workload.name)]
    total, broken = 0, []
    with tempfile.TemporaryDirectory(prefix="lowlight-faults-") as folder, concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        places = [Place(os.path.abspath(options.lowlight), folder, workload) for workload in chosen]
        for place in places:
            count, why = exhaust(place, options.every, pool)
            total, broken = total + count, broken + why
        os.mkdir(os.path.join(folder, "control"))
        caught = planted(Place(os.path.abspath(options.lowlight), os.path.join(folder, "control"), WORKLOADS[0]))
    for why in broken[:10]:
        print(why)
    print("%d faults, %d broke a promise" % (total, len(broken)))
    sys.exit(0 if not broken and caught and total else 1)


if __name__ == "__main__":
    main()
