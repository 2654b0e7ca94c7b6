"""Kills recorders with SIGKILL while they write, over and over, and looks at what is left.

    kills.py LOWLIGHT WRITER_PROCESS [--kills N] [--seed S]

One or four processes hand records to one log as fast as they can, each says which became durable, and after a random time all are
killed. After each round the log verifies; after some rounds every acknowledged record is looked for, and what was lost is held
against what the next start said may be missing: at most the queue and the batch in hand. At the end a false acknowledgement and a
loss that is larger than was said must be noticed.
"""

import argparse
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time

QUEUE = 500  # entries that a writer may have in memory
BATCH = 1000  # and so many in hand
SAID_EVERY = 64
ROUNDS = 10  # on one log


class Writer:
    """A process, and the file with what it says."""

    def __init__(self, program, log, name, folder):
        self.name, self.said = name, os.path.join(folder, name)
        with open(self.said, "wb") as out:
            self.process = subprocess.Popen([program, "flood", log, name, str(QUEUE)], stdin=subprocess.DEVNULL, stdout=out)

    def wait_ready(self):
        """Until its log is open."""
        until = time.monotonic() + 30
        while not self.text().startswith("ready\n"):
            assert self.process.poll() is None and time.monotonic() < until, "%s did not start" % self.name
            time.sleep(0.002)

    def text(self):
        """All it said so far."""
        with open(self.said, encoding="ascii") as file:
            return file.read()

    def kill(self):
        """At once."""
        self.process.send_signal(signal.SIGKILL)

    def end(self):
        """What it handed over at least, and what it said to be durable: prompt by seq. The last line may be cut."""
        self.process.wait()
        handed, durable = 0, {}
        for line in self.text().split("\n")[1:-1]:
            what, *rest = line.split(" ")
            if what == "handed":
                handed = int(rest[0])
            else:
                assert what == "durable", "%s said %r" % (self.name, line)
                assert int(rest[0]) not in durable, "%s has two records as entry %s" % (self.name, rest[0])
                durable[int(rest[0])] = rest[1]
        os.unlink(self.said)
        return handed, durable


def run(lowlight, *arguments, stdin=b""):
    """Output of a command that must succeed."""
    done = subprocess.run([lowlight, *arguments], input=stdin, capture_output=True, check=False)
    assert done.returncode == 0, "%s: exit %d: %s" % (" ".join(arguments), done.returncode, (done.stdout + done.stderr)[-800:].decode())
    return done.stdout


def judge(acknowledged, handed, recorded, said):
    """Holds what writers said against what the log has.

    `acknowledged`: prompt by seq; `handed`: count by writer; `recorded`: (run, prompt) by seq; `said`: at most so many missing, by run.
    """
    for seq, prompt in acknowledged.items():
        assert recorded.get(seq, (0, None))[1] == prompt, "%s was acknowledged as entry %d, which has %s" % (prompt, seq, recorded.get(seq))
    prompts = [prompt for _, prompt in recorded.values()]
    assert len(set(prompts)) == len(prompts), "a record is there twice"
    runs, count = {}, {}
    for run_number, prompt in recorded.values():
        name, number = prompt.split("-")
        runs[name] = run_number
        count[name] = count.get(name, 0) + 1
        assert int(number) < handed[name] + SAID_EVERY + 1, "%s is there, and was not handed over" % prompt
    assert len(said) == len(handed), "%d of %d starts that were killed are said to have ended without a stop" % (len(said), len(handed))
    worst = 0
    for name, at_least in handed.items():
        missing = at_least - count.get(name, 0)
        worst = max(worst, missing)
        most = said[runs[name]] if name in runs else max(said.values())
        assert missing <= most <= QUEUE + BATCH, "%s: %d records are missing, at most %d were said to be" % (name, missing, most)
    return worst


def read(log):
    """All records of a log: run and prompt by seq."""
    connection = sqlite3.connect(os.path.join(log, "lowlight.db"))
    rows = connection.execute("SELECT e.seq, e.run, c.value FROM entry e JOIN content c ON c.id = e.seq * 64 WHERE e.kind = 1").fetchall()
    connection.close()
    return {seq: (run_number, prompt) for seq, run_number, prompt in rows}


def unclean(lowlight, log):
    """What starts said may be missing, by run."""
    found = {}
    for line in run(lowlight, "query", "--all", "--json", "--path", log).splitlines():
        event = json.loads(line).get("event") or {}
        if event.get("what") == "unclean_stop":
            found[event["run"]] = event["at_most"]
    return found


def one_log(programs, folder, chance, kills):
    """Some rounds on one log; kills, acknowledged, recorded, the most that one kill cost, and all of it for the controls."""
    lowlight, writer_process = programs
    log = os.path.join(folder, "log-%d" % kills)
    acknowledged, handed, killed = {}, {}, 0
    for turn in range(ROUNDS):
        names = ["w%dx%d" % (turn, number) for number in range(chance.choice((1, 4)))]
        writers = [Writer(writer_process, log, name, folder) for name in names]
        for writer in writers:
            writer.wait_ready()
        time.sleep(chance.random() ** 2 * 0.1)
        for writer in chance.sample(writers, len(writers)):
            writer.kill()
            time.sleep(chance.choice((0, 0, 0.003)))
        for writer in writers:
            handed[writer.name], durable = writer.end()
            assert not acknowledged.keys() & durable.keys(), "two records were acknowledged as one entry"
            acknowledged.update(durable)
            killed += 1
        run(lowlight, "verify", "--path", log)
    # The last start says what became of those before it.
    run(lowlight, "record", "--path", log, stdin=b'{"kind":"log","level":"info","message":"the end"}\n')
    recorded, said = read(log), unclean(lowlight, log)
    worst = judge(acknowledged, handed, recorded, said)
    return killed, len(acknowledged), len(recorded), worst, (acknowledged, handed, recorded, said)


def planted(acknowledged, handed, recorded, said):
    """Mistakes in what was judged right; each must be noticed."""
    free = max(recorded) + 1
    worse = {name: count + QUEUE + BATCH + 1 for name, count in handed.items()}
    twice = {**recorded, free: next(iter(recorded.values()))}
    mistakes = {
        "an acknowledgement of what is not there": ({**acknowledged, free: "w0x0-999999"}, handed, recorded, said),
        "more missing than was said": (acknowledged, worse, recorded, said),
        "a record twice": (acknowledged, handed, twice, said),
        "a crash that is not told": (acknowledged, handed, recorded, dict(list(said.items())[1:])),
    }
    for name, arguments in mistakes.items():
        try:
            judge(*arguments)
        except AssertionError as why:
            print("planted: %s: %s" % (name, why))
        else:
            sys.exit("planted and not noticed: %s" % name)


def main():
    """All rounds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("lowlight")
    parser.add_argument("writer_process")
    parser.add_argument("--kills", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    programs = [os.path.abspath(program) for program in (options.lowlight, options.writer_process)]
    chance, kills, acknowledged, recorded, worst = random.Random(options.seed), 0, 0, 0, 0
    os.environ["LOWLIGHT_CONFIG"] = os.devnull
    with tempfile.TemporaryDirectory(prefix="lowlight-kills-") as folder:
        while kills < options.kills:
            try:
                killed, acked, there, cost, judged = one_log(programs, folder, chance, kills)
            except AssertionError as why:
                sys.exit("seed %d, after %d kills: %s" % (options.seed, kills, why))
            kills, acknowledged, recorded, worst = kills + killed, acknowledged + acked, recorded + there, max(worst, cost)
        planted(*judged)
    print("seed %d: %d kills, %d records acknowledged and there, %d more there, at most %d lost by one kill (%d is the bound)" % (
        options.seed, kills, acknowledged, recorded - acknowledged, worst, QUEUE + BATCH))


if __name__ == "__main__":
    main()
