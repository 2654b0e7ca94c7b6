"""Mixed load with random faults and restarts, for as long as one likes; every promise is looked at after each restart.

    soak.py LOWLIGHT WRITER_PROCESS [--minutes M] [--seed S]

One to three `lowlight record --ack` write one log, other commands read it, remove from it and checkpoint it meanwhile, and one fault
after the other happens: SIGKILL, SIGSTOP, a full disk, a locked log, no file descriptors left, the database taken away, garbage in it. Then all is stopped, and looked at: every acknowledged line is there or said to be removed, none is
there twice, the log verifies, and memory, descriptors, journal and disk stayed within their bounds. At the end an acknowledgement of
what was never written and an altered record must be noticed. The same seed makes the same choices, not the same timing.
"""

import argparse
import collections
import fcntl
import glob
import json
import os
import random
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time

MIB = 1 << 20
DISK = 1024 * MIB
LOG = 24 * MIB  # retention keeps the log at that
QUEUE = 4 * MIB
MEMORY = QUEUE + 16 * MIB  # resident bytes of a recorder that owes receipts as well
FILES = 40  # descriptors of a recorder
WAL = 40 * MIB
OTHER = "(no record)"
KEPT = 3  # periods whose acknowledgements are looked for


class Feeder(threading.Thread):
    """A recorder, what it is given, and what it says became of it."""

    def __init__(self, soak, name, pause):
        super().__init__(daemon=True)
        self.soak, self.name_of, self.pause = soak, name, pause
        self.acked, self.lost, self.fed, self.is_ended, self.was_killed = {}, 0, 0, False, False
        self.said = open(os.path.join(soak.folder, name + ".said"), "w+b")
        self.process = subprocess.Popen([soak.lowlight, "--path", soak.log, "record", "--ack"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=self.said, env=soak.environment)
        self.receipts = threading.Thread(target=self.listen, daemon=True)
        self.receipts.start()
        self.start()

    def run(self):
        """Feeds lines until it is told to stop or nobody reads them."""
        chance = random.Random(self.name_of)
        try:
            while not self.is_ended:
                lines = b""
                for _ in range(20):
                    self.fed += 1
                    user = "carol" if chance.random() < 0.1 else "bob"
                    prompt = "%s-%d %s" % (self.name_of, self.fed, "x" * int(chance.paretovariate(1.2) * 40 % 20_000))
                    lines += json.dumps({"model": "m", "prompt": prompt, "user": user}).encode() + b"\n"
                self.process.stdin.write(lines)
                self.process.stdin.flush()
                time.sleep(self.pause)
            self.process.stdin.close()
        except OSError:
            pass

    def listen(self):
        """Keeps the receipts."""
        for line in self.process.stdout:
            if not line.endswith(b"\n"):
                break
            receipt = json.loads(line)
            if receipt["status"] == "durable":
                self.acked["%s-%d" % (self.name_of, receipt["line"])] = receipt["seq"]
            else:
                self.lost += 1

    def measure(self):
        """Resident bytes at most, and descriptors now."""
        try:
            with open("/proc/%d/status" % self.process.pid, encoding="ascii") as file:
                memory = next((int(line.split()[1]) * 1024 for line in file if line.startswith("VmHWM")), 0)
            return memory, len(os.listdir("/proc/%d/fd" % self.process.pid))
        except OSError:
            return 0, 0

    def end(self):
        """Ends it as a user would, if it still runs; what it owed is looked at."""
        self.is_ended = True
        self.join(60)
        code = self.process.wait(90)
        self.receipts.join(30)
        with self.said:
            self.said.seek(0)
            said = self.said.read().decode(errors="replace")
        os.unlink(self.said.name)
        assert "panicked" not in said, said[-800:]
        if not self.was_killed:
            assert code in (0, 1), "recorder ended with %d: %s" % (code, said[-800:])
            assert len(self.acked) + self.lost == self.fed, "%d receipts for %d lines: %s" % (len(self.acked) + self.lost, self.fed, said[-800:])
            assert code == 1 or not self.lost, "%d lines were lost, and it ended with 0" % self.lost


class Soak:
    """The place, the processes, and what is known to be acknowledged."""

    def __init__(self, programs, folder, seed, mounted):
        self.lowlight, self.writer_process = programs
        self.folder, self.chance, self.mounted = folder, random.Random(seed), mounted
        self.disk = os.path.join(folder, "disk")
        self.log, self.away, self.filler = (os.path.join(self.disk, name) for name in ("log", "away", "filler"))
        self.environment = {**os.environ, "LOWLIGHT_CONFIG": os.path.join(folder, "lowlight.toml")}
        self.feeders, self.acked, self.done = [], collections.deque(maxlen=KEPT), collections.Counter()
        self.worst = collections.Counter()
        os.makedirs(self.away, exist_ok=True)
        self.configure()
        self.run(["keys", "init"])

    def configure(self):
        """Other settings for the next period."""
        pick = self.chance.choice
        text = "queue_bytes = %d\nbatch_entries = %d\nmax_loss_window_ms = %d\ncheckpoint_entries = %d\n" % (
            QUEUE, pick((1, 20, 250)), pick((5, 100, 1000)), pick((10, 1000, 10_000)))
        text += pick(("", 'overflow = "drop_newest"\n', 'overflow = "drop_oldest"\n', 'overflow = "sample"\n'))
        text += "[retention]\nmax_bytes = %d\n" % LOG
        with open(self.environment["LOWLIGHT_CONFIG"], "w", encoding="utf-8") as file:
            file.write(text)

    def run(self, arguments, fine=(0,)):
        """A command beside the recorders."""
        done = subprocess.run([self.lowlight, "--path", self.log, *arguments], stdin=subprocess.DEVNULL, capture_output=True, check=False,
                              env=self.environment, timeout=120)
        said = (done.stdout[-800:] + done.stderr[-800:]).decode(errors="replace")
        assert done.returncode in fine and b"panicked" not in done.stderr, "%s: exit %d: %s" % (" ".join(arguments), done.returncode, said)
        return done.stdout

    def command(self):
        """What people do to a log while it is written. Where faults go on, each may say that it cannot: 2, never 1."""
        arguments = self.chance.choice((["verify"], ["verify", "--json"], ["query", "--limit", "5"], ["query", "--user", "bob", "--json"], ["stats"],
                                        ["tail"], ["prune"], ["erase", "--user", "carol", "--yes"], ["checkpoint"], ["keys", "rotate"], ["doctor"],
                                        ["export", "--out", os.path.join(self.folder, "out"), "--force"], ["show", "0"]))
        is_repair = arguments[0] in ("doctor", "prune", "erase")
        self.run(arguments, (0, 1, 2) if is_repair else (0, 2))
        self.done[arguments[0]] += 1

    def fault(self):
        """One fault, and its end; `None` for those that nobody is there for."""
        faults = [self.kill, self.stop, self.hold_lock, self.no_files, self.take_away]
        faults += [self.fill_disk] if self.mounted else []
        what = self.chance.choice(faults)
        self.done[what.__name__] += 1
        what(self.chance.choice(self.feeders))

    def kill(self, feeder):
        feeder.was_killed = True
        feeder.process.send_signal(signal.SIGKILL)

    def stop(self, feeder):
        feeder.process.send_signal(signal.SIGSTOP)
        time.sleep(self.chance.random() * 3)
        if self.chance.random() < 0.3:
            return self.kill(feeder)
        return feeder.process.send_signal(signal.SIGCONT)

    def hold_lock(self, _feeder):
        holder = subprocess.Popen([self.writer_process, "hold", self.log], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(self.chance.random() * 2)
        holder.kill()
        holder.communicate()

    def no_files(self, feeder):
        try:
            before = resource.prlimit(feeder.process.pid, resource.RLIMIT_NOFILE)
            resource.prlimit(feeder.process.pid, resource.RLIMIT_NOFILE, (self.chance.choice((4, 8, 12)), before[1]))
            time.sleep(self.chance.random() * 2)
            resource.prlimit(feeder.process.pid, resource.RLIMIT_NOFILE, before)
        except ProcessLookupError:
            pass

    def fill_disk(self, _feeder):
        with open(self.filler, "wb", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(MIB))
            except OSError:
                pass
        time.sleep(self.chance.random() * 3)
        os.unlink(self.filler)

    def take_away(self, _feeder):
        """Moves the database away, as somebody would who does not care who writes it. What was in it stays acknowledged."""
        place = os.path.join(self.away, str(len(os.listdir(self.away))))
        os.mkdir(place)
        with open(os.path.join(self.log, "lowlight.lock"), "rb") as lock:
            # Between two batches: a journal whose database went first is moved into quarantine.
            fcntl.flock(lock, fcntl.LOCK_EX)
            for name in ("lowlight.db", "lowlight.db-wal", "lowlight.db-shm"):
                if os.path.exists(os.path.join(self.log, name)):
                    os.rename(os.path.join(self.log, name), os.path.join(place, name))

    def damage(self):
        """Garbage in the database while nobody writes it. What was in it is given up: it is moved aside, and named."""
        with open(os.path.join(self.log, "lowlight.db"), "r+b") as file:
            file.seek(self.chance.choice((0, 100, 4096)))
            file.write(self.chance.randbytes(200))
        self.acked.clear()
        self.done["damage"] += 1

    def measure(self):
        """What is bounded, while all is running."""
        for memory, files in [feeder.measure() for feeder in self.feeders]:
            self.worst["memory"] = max(self.worst["memory"], memory)
            self.worst["files"] = max(self.worst["files"], files)
        self.measure_file("lowlight.db-wal", "journal")

    def measure_file(self, name, key):
        """How large a file of the log is, if it is there."""
        try:
            self.worst[key] = max(self.worst[key], os.path.getsize(os.path.join(self.log, name)))
        except OSError:
            pass

    def period(self, number):
        """From a start to the next one."""
        self.configure()
        names = ["p%dw%d" % (number, writer) for writer in range(self.chance.randint(1, 3))]
        self.feeders = [Feeder(self, name, self.chance.choice((0.01, 0.02, 0.05, 0.2))) for name in names]
        for _ in range(self.chance.randint(4, 10)):
            time.sleep(self.chance.random() * 0.6)
            self.measure()
            if self.chance.random() < 0.5:
                self.fault()
            else:
                self.command()
        self.measure()
        for feeder in self.feeders:
            feeder.end()
        self.acked.append({text: seq for feeder in self.feeders for text, seq in feeder.acked.items()})
        acked, entries = len(self.acked[-1]), self.look()
        if self.chance.random() < 0.15:
            self.damage()
        return entries, acked

    def look(self):
        """Every promise, with nobody writing."""
        # Whatever is to be finished, a removal or a move into quarantine, is finished now.
        done = subprocess.run([self.lowlight, "--path", self.log, "record"], input=b'{"model":"m","prompt":"look"}\n', capture_output=True, check=False,
                              env=self.environment, timeout=120)
        assert done.returncode == 0, "record: exit %d: %s" % (done.returncode, done.stderr[-800:].decode())
        report = json.loads(self.run(["verify", "--json"]))
        assert report["verdict"] == "intact", report
        logs = [self.log, *glob.glob(os.path.join(self.away, "*")), *glob.glob(os.path.join(self.log, "quarantine", "*"))]
        found = [state for state in map(read, logs) if state]
        texts = collections.Counter(text for by_seq in found for text in by_seq.values() if text)
        twice = [text for text, count in texts.items() if count > 1 and text not in ("look", OTHER)]
        assert not twice, "there twice: %s" % twice[:5]
        for acked in self.acked:
            for text, seq in acked.items():
                # Not there: removed, or its content is, with the log saying so, which the verifier has checked.
                is_removed = any(seq < max(by_seq, default=0) and by_seq.get(seq) is None for by_seq in found)
                assert text in texts or is_removed, "%s was acknowledged as entry %d and is gone" % (text, seq)
        # Retention looks every five minutes on its own.
        self.run(["prune"])
        self.measure_file("lowlight.db", "database after pruning")
        self.bounds()
        # What was looked at and is not in the log any more is not looked for again.
        for place in (self.away, os.path.join(self.log, "quarantine")):
            if os.path.isdir(place) and os.listdir(place):
                shutil.rmtree(place)
                self.acked.clear()
        os.makedirs(self.away, exist_ok=True)
        return report["entries"]

    def bounds(self):
        """What may never be larger."""
        for key, most in (("memory", MEMORY), ("files", FILES), ("journal", WAL), ("database after pruning", LOG + LOG // 2)):
            assert self.worst[key] <= most, "%s: %d, at most %d was promised" % (key, self.worst[key], most)


def read(log):
    """The first word of each prompt of a log by seq, `None` for one whose content is gone; nothing where it is damaged."""
    try:
        connection = sqlite3.connect("file:%s?mode=ro" % os.path.join(log, "lowlight.db"), uri=True)
        rows = connection.execute("SELECT e.seq, e.kind, c.value FROM entry e LEFT JOIN content c ON c.id = e.seq * 64").fetchall()
        connection.close()
    except sqlite3.Error:
        return None
    word = {seq: str(value).split(" ", 1)[0] for seq, kind, value in rows if value is not None}
    return {seq: word.get(seq) if kind == 1 else OTHER for seq, kind, _ in rows}


def planted(soak):
    """Both must be noticed, or what the rest says is worth nothing."""
    there = sorted(seq for seq, text in read(soak.log).items() if text)
    soak.acked.append({"never-written": there[len(there) // 2]})
    database = os.path.join(soak.log, "lowlight.db")

    def alter():
        connection = sqlite3.connect(database)
        connection.execute("UPDATE entry SET model = 'other' WHERE seq = (SELECT max(seq) FROM entry WHERE kind = 1)")
        connection.commit()
        connection.close()

    for name, plant, sign in (("an acknowledgement of what is not there", lambda: None, "is gone"), ("an altered record", alter, "modified")):
        plant()
        try:
            soak.look()
        except AssertionError as why:
            assert sign in str(why), why
            print("planted and noticed: %s" % name)
        else:
            sys.exit("planted and not noticed: %s" % name)
        soak.acked.pop()
        soak.acked.append({})


def main():
    """Periods until the time is over."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("lowlight")
    parser.add_argument("writer_process")
    parser.add_argument("--minutes", type=float, default=3)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    programs = [os.path.abspath(program) for program in (options.lowlight, options.writer_process)]
    until, number, acknowledged, soak = time.monotonic() + options.minutes * 60, 0, 0, None
    with tempfile.TemporaryDirectory(prefix="lowlight-soak-") as folder:
        disk = os.path.join(folder, "disk")
        os.mkdir(disk)
        mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=%d" % DISK, "lowlight-soak", disk], check=False).returncode == 0
        if not mounted:
            print("SKIPPED: a full disk, for mounting a tmpfs needs root")
            if os.environ.get("CI") == "true":
                sys.exit("CI must not skip it")
        try:
            soak = Soak(programs, folder, options.seed, mounted)
            while time.monotonic() < until:
                entries, acked = soak.period(number)
                acknowledged += acked
                number += 1
                if sys.stderr.isatty():
                    sys.stderr.write("\r%d periods, %d lines acknowledged, %d entries now " % (number, acknowledged, entries))
            # The last fault may have left nothing to plant a mistake in.
            while not any((read(soak.log) or {}).values()):
                soak.period(number)
                number += 1
            planted(soak)
        except AssertionError as why:
            sys.exit("seed %d, period %d: %s" % (options.seed, number, why))
        finally:
            for feeder in soak.feeders if soak else ():
                feeder.process.kill()
            if mounted:
                subprocess.run(["umount", "-l", disk], check=False)
    print("what happened: %s" % ", ".join("%s %d" % item for item in sorted(soak.done.items())))
    print("at most: %s" % ", ".join("%s %s" % (key, value if key == "files" else "%.1f MiB" % (value / MIB)) for key, value in sorted(soak.worst.items())))
    print("seed %d: %d restarts, %d lines acknowledged, none lost" % (options.seed, number, acknowledged))


if __name__ == "__main__":
    main()
