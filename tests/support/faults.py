"""Lets one system call after the other fail, and looks at what the command and the log make of it.

    faults.py LOWLIGHT [--every N] [--workload NAME] [--mode MODE]

The command runs under strace, which lets the n-th call of a kind on a file of the log fail, for every n until a run has no such
call any more (or for every N-th): once, for a while (three calls), or for good. Whatever failed: nothing that was acknowledged is lost,
nothing is there twice, what was lost was said, the log verifies, and the same command works afterwards. What failed once or for a
while costs a recorder nothing at all. At the end a recorder that acknowledges what it has not written must be caught.
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
MODES = {"once": "%d", "a while": "%d..%d", "for good": "%d+"}
LINES = 12
MOST = 2_000
AT_ONCE = 64  # most of them wait

Workload = collections.namedtuple("Workload", "name arguments before config")


def lines(first, count):
    """Records, each with a text of its own."""
    return "".join('{"model":"m","prompt":"text %d","user":"%s"}\n' % (n, "carol" if n % 5 == 0 else "bob") for n in range(first, first + count)).encode()


SMALL = "batch_entries = 4\nmax_loss_window_ms = 20\n"
WORKLOADS = [
    Workload("record", ["record", "--ack"], 0, SMALL),
    Workload("go on", ["record", "--ack"], 30, SMALL + "checkpoint_entries = 4\n"),
    Workload("copy", ["record", "--ack"], 10, SMALL + '[copy]\npath = "COPY"\n'),
    Workload("prune", ["prune"], 700, "[retention]\nmax_entries = 300\n"),
    Workload("erase", ["erase", "--user", "carol", "--yes"], 40, ""),
    Workload("rotate", ["keys", "rotate"], 20, ""),
    Workload("verify", ["verify", "--json"], 40, ""),
    Workload("export", ["export", "--fail-on-tamper", "--out", "OUT"], 40, ""),
]


class Place:
    """One workload, prepared once, and copies of it."""

    def __init__(self, lowlight, folder, workload):
        self.lowlight, self.workload, self.folder = lowlight, workload, os.path.join(folder, workload.name)
        os.mkdir(self.folder)
        self.source = os.path.join(self.folder, "source")
        plain = {**os.environ, "LOWLIGHT_CONFIG": os.devnull}
        self.run(["keys", "init"], self.source, b"", plain)
        if workload.before:
            self.run(["record"], self.source, lines(10_000, workload.before), plain)

    def environment(self, log):
        """With the configuration of the workload, for one log."""
        with open(log + ".toml", "w", encoding="utf-8") as file:
            file.write(self.workload.config.replace("COPY", log + ".copy"))
        return {**os.environ, "LOWLIGHT_CONFIG": log + ".toml"}

    def arguments(self, log):
        """Those of the workload, for one log."""
        return [log + ".out" if argument == "OUT" else argument for argument in self.workload.arguments]

    def run(self, arguments, log, stdin=b"", environment=None):
        """A command without faults."""
        done = subprocess.run([self.lowlight, "--path", log, *arguments], input=stdin, capture_output=True, check=False,
                              env=environment or self.environment(log))
        if done.returncode != 0:
            raise AssertionError("%s: exit %d: %s" % (" ".join(arguments), done.returncode, (done.stdout + done.stderr)[-600:].decode()))
        return done.stdout

    def under(self, calls, error, when, log):
        """The command with its faults; whether there was such a call at all, and what it did."""
        files = ["lowlight.db", "lowlight.db-wal", "lowlight.db-shm", "lowlight.lock", "copy.lock", "checkpoints", "keys", "keys/log.key",
                 "keys/next.key", "run", "reserve"]
        # An export is made under another name first.
        paths = [log, log + ".copy", log + ".out", log + ".out.part", *[os.path.join(log, file) for file in files]]
        trace = log + ".trace"
        done = subprocess.run(["strace", "-f", "-qq", "-o", trace, *[part for path in paths for part in ("-P", path)], "-e", "trace=" + calls,
                               "-e", "inject=%s:error=%s:when=%s" % (calls, error, when),
                               self.lowlight, "--path", log, *self.arguments(log)],
                              input=lines(0, LINES), capture_output=True, check=False, env=self.environment(log), timeout=180)
        with open(trace, "rb") as file:
            happened = b"(INJECTED)" in file.read()
        return happened, done

    def one(self, kind, calls, error, mode, number):
        """One fault; False when no such call is left."""
        log = os.path.join(self.folder, "%s-%s-%d" % (kind, error, number))
        shutil.copytree(self.source, log)
        os.mkdir(log + ".copy")
        when = MODES[mode] % ((number, number + 2) if mode == "a while" else number)
        what = "%s: call %d (%s) failed with %s, %s" % (self.workload.name, number, kind, error, mode)
        try:
            happened, done = self.under(calls, error, when, log)
            try:
                self.look(log, done, mode)
            except (AssertionError, ValueError, KeyError, sqlite3.Error) as why:
                return happened, "%s: %s\n%s" % (what, why, (done.stdout + done.stderr)[-800:].decode(errors="replace"))
        except subprocess.TimeoutExpired:
            return True, what + ": it did not end"
        finally:
            shutil.rmtree(log)
            for name in os.listdir(self.folder):
                if name.startswith(os.path.basename(log) + "."):
                    left = os.path.join(self.folder, name)
                    shutil.rmtree(left) if os.path.isdir(left) else os.unlink(left)
        return happened, None

    def look(self, log, done, mode):
        """What must be so whatever failed."""
        assert done.returncode in (0, 1, 2), "it ended with %d" % done.returncode
        assert b"panicked" not in done.stderr, "it panicked"
        assert not os.path.exists(os.path.join(log, "quarantine")), "the log was moved aside"
        acked = self.receipts(done, mode) if "--ack" in self.workload.arguments else []
        if self.workload.name == "verify":
            assert done.returncode != 1 and b"broken" not in done.stdout, "what cannot be read is no broken evidence"
        if self.workload.name == "export":
            made = os.path.exists(log + ".out")
            assert made == (done.returncode == 0), "exit %d, and the file is %s" % (done.returncode, "there" if made else "not there")
            if made:
                self.run(["verify", log + ".out"], log)
                os.unlink(log + ".out")
        # Whatever is left over is finished now.
        self.run(self.arguments(log), log, lines(100, 1))
        against = ["--against", log + ".copy"] if self.workload.name == "copy" else []
        report = json.loads(self.run(["verify", "--json", *against], log))
        assert report["verdict"] == "intact" and not report["pending_erase"], report
        connection = sqlite3.connect(os.path.join(log, "lowlight.db"))
        found = connection.execute("SELECT e.seq, c.value FROM entry e JOIN content c ON c.id = e.seq * 64 WHERE c.value LIKE 'text %'").fetchall()
        connection.close()
        texts = collections.Counter(value for _, value in found)
        assert not [text for text, count in texts.items() if count > 1], "twice: %s" % texts
        seqs = dict(found)
        for line, seq in acked:
            assert seqs.get(seq) == "text %d" % (line - 1), "line %d was acknowledged as entry %d, which has %s" % (line, seq, seqs.get(seq))

    @staticmethod
    def receipts(done, mode):
        """The lines that were acknowledged, each with its entry; of the others it was said that they are lost."""
        receipts = [json.loads(line) for line in done.stdout.splitlines() if line.startswith(b"{")]
        acked = [(receipt["line"], receipt["seq"]) for receipt in receipts if receipt["status"] == "durable"]
        if mode != "for good":
            # Calls that fail and work when they are made again cost nothing.
            assert done.returncode == 0 and len(acked) == LINES, "exit %d, and %d of %d lines are acknowledged" % (done.returncode, len(acked), LINES)
        else:
            assert len(acked) == LINES or done.returncode != 0, "exit 0, and %d of %d lines are acknowledged" % (len(acked), LINES)
            # A recorder that could not even start says so, instead of a receipt a line.
            assert len(receipts) in (0, LINES) and (receipts or done.stderr), "%d receipts for %d lines" % (len(receipts), LINES)
        return acked


def exhaust(place, mode, every, pool):
    """All faults of a workload; what broke."""
    broken, count = [], 0
    for kind, calls, errors in FAULTS:
        # Those behind the last call are run in vain; but who cannot lock, or not give back, waits.
        together = AT_ONCE if kind == "lock" else max(4, AT_ONCE // every)
        for error in errors:
            number, is_over = 1, False
            while not is_over and number < MOST:
                numbers = [number + step * every for step in range(together)]
                done = list(pool.map(lambda n, k=kind, c=calls, e=error: place.one(k, c, e, mode, n), numbers))
                count += sum(happened for happened, _ in done)
                broken += [why for _, why in done if why]
                is_over = not all(happened for happened, _ in done)
                number = numbers[-1] + every
            assert is_over, "more than %d calls of a kind: not all were tried" % MOST
    print("%s, failing %s: %d faults, %d broke a promise" % (place.workload.name, mode, count, len(broken)), flush=True)
    return count, broken


def planted(place):
    """A recorder that acknowledges what it has not written is caught."""
    log = os.path.join(place.folder, "planted")
    early = "".join('{"line":%d,"seq":%d,"status":"durable"}\n' % (n + 1, n + 3) for n in range(LINES))
    script = "cat > /dev/null; printf '%s'" % early.replace("\n", "\\n")
    done = subprocess.run(["sh", "-c", script], input=lines(0, LINES), capture_output=True, check=False)
    try:
        place.look(log, done, "once")
    except AssertionError as why:
        print("planted: %s" % why)
        return "was acknowledged as entry" in str(why)
    return False


def main():
    """All workloads."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("lowlight")
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--workload", choices=[workload.name for workload in WORKLOADS])
    parser.add_argument("--mode", choices=MODES)
    options = parser.parse_args()
    chosen = [workload for workload in WORKLOADS if options.workload in (None, workload.name)]
    total, broken = 0, []
    with tempfile.TemporaryDirectory(prefix="lowlight-faults-") as folder, concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        lowlight = os.path.abspath(options.lowlight)
        for workload in chosen:
            place = Place(lowlight, folder, workload)
            for mode in [options.mode] if options.mode else MODES:
                count, why = exhaust(place, mode, options.every, pool)
                total, broken = total + count, broken + why
        os.mkdir(os.path.join(folder, "control"))
        caught = planted(Place(lowlight, os.path.join(folder, "control"), WORKLOADS[0]))
    for why in broken[:10]:
        print(why)
    print("%d faults, %d broke a promise" % (total, len(broken)))
    sys.exit(0 if not broken and caught and total else 1)


if __name__ == "__main__":
    main()
