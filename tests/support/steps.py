"""Kills the command between any two steps of what it does to a log, and looks at what is left.

    steps.py LOWLIGHT [--every N]

A step is a system call that changes a file: the command runs under strace, which kills it at the n-th such call, for every n
until it runs through (or for every N-th). After each kill both verifiers must find the log intact, with nothing unexplained, checkpoints
that were kept before must still hold, and the same command run again must finish the work.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
VECTORS = os.path.join(ROOT, "docs", "vectors", "vectors.py")
CHANGES = "pwrite64,write,fsync,fdatasync,ftruncate,rename,unlink,link,mkdir,fallocate"
MOST = 5000


class Steps:
    """One binary and a place to work in."""

    def __init__(self, lowlight, folder):
        self.lowlight, self.folder = lowlight, folder
        self.environment = {**os.environ, "LOWLIGHT_CONFIG": os.path.join(folder, "lowlight.toml")}
        self.killed = self.second = 0

    def run(self, *arguments, stdin=b"", fine=(0,)):
        """Output of a command that must end in one of the given ways."""
        done = subprocess.run([self.lowlight, *arguments], input=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              env=self.environment, check=False)
        if done.returncode not in fine:
            sys.exit("%s exited with %d: %s%s" % (" ".join(arguments), done.returncode, done.stdout[-800:].decode(), done.stderr.decode()))
        return done.stdout

    def kill(self, place, arguments, log):
        """Runs a command and kills it at its n-th change; False when it ended before."""
        trace = ["strace", "-f", "-qq", "-o", os.devnull, "-e", "trace=" + CHANGES,
                 "-e", "inject=%s:signal=KILL:when=%d" % (CHANGES, place)]
        done = subprocess.run([*trace, self.lowlight, *arguments, "--path", log], input=b"", stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, env=self.environment, check=False)
        if done.returncode in (137, -9):
            return True
        if done.returncode != 0:
            sys.exit("%s ended with %d at step %d: %s" % (" ".join(arguments), done.returncode, place, done.stderr.decode()))
        return False

    def look(self, log, kept, what, is_done=False):
        """What both verifiers say of a log."""
        ours = json.loads(self.run("verify", "--json", "--path", log, *[a for file in kept for a in ("--checkpoint", file)], fine=(0, 1, 2)))
        if ours["verdict"] != "intact" or ours["level"] != "checkpoint":
            sys.exit("%s: %s" % (what, json.dumps(ours)[:2000]))
        if is_done and ours["pending_erase"]:
            sys.exit("%s: %d entries are still to go" % (what, ours["pending_erase"]))
        self.second += 1
        # The second implementation is slow to start: every fifth time.
        if is_done or self.second % 5 == 0:
            text = subprocess.run([sys.executable, VECTORS, "verify", log, "--json"], stdout=subprocess.PIPE, check=False).stdout
            theirs = json.loads(text)
            same = ("verdict", "gaps", "erased", "pending_erase", "root")
            if any(ours[key] != theirs[key] for key in same):
                sys.exit("%s: the verifiers differ: %s %s" % (what, json.dumps(ours)[:800], text[:800]))
        return ours

    def exhaust(self, name, source, kept, arguments, every, finished, until=0):
        """Kills a command at every n-th step, at least up to step `until`: what it starts may be killed in its place."""
        log, place, kills = os.path.join(self.folder, "log"), 1, 0
        while place < MOST:
            shutil.rmtree(log, ignore_errors=True)
            shutil.copytree(source, log)
            what = "%s killed at step %d" % (name, place)
            was_killed = self.kill(place, arguments, log)
            if not was_killed and place >= until:
                break
            kills += was_killed
            self.look(log, kept, what)
            self.run(*arguments, "--path", log)
            report = self.look(log, kept, what + " and run again", True)
            if not finished(report, log):
                sys.exit("%s: not finished by running it again: %s" % (what, json.dumps(report)[:800]))
            place += every
        print("%s: killed at %d of its steps, intact after each, finished by running it again" % (name, kills), flush=True)
        self.killed += kills


def lines(count):
    """Records of several kinds and statuses."""
    for number in range(count):
        if number % 50 == 3:
            yield {"kind": "audit", "event_type": "auth.login", "principal": "alice", "outcome": "ok"}
        else:
            status = {"status": "error"} if number % 40 == 5 else {}
            yield {"model": "m", "prompt": "prompt %d" % number, "response": "r" * 60, "user": "bob" if number % 9 else "carol", **status}


def has_no(log, text):
    """Whether no file of a log has a text."""
    for folder, _, names in os.walk(log):
        for name in names:
            with open(os.path.join(folder, name), "rb") as file:
                if text in file.read():
                    return False
    return True


def witness(steps, source, every):
    """A witness killed while it adds a checkpoint: it has the old size or the new one, and never says what it has not kept."""
    vkey = steps.run("keys", "show", "--path", source).decode().strip()
    state, place, kills = os.path.join(steps.folder, "witness"), 1, 0
    note = steps.run("checkpoint", "--path", source).decode()
    request = ("old 0\n\n" + note).encode()
    asked = b"add %d\n%s" % (len(request), request)
    while place < MOST:
        shutil.rmtree(state, ignore_errors=True)
        steps.run("witness", "--state", state, "init", "--name", "w")
        steps.run("witness", "--state", state, "trust", vkey)
        trace = ["strace", "-f", "-qq", "-o", os.devnull, "-e", "trace=" + CHANGES, "-e", "inject=%s:signal=KILL:when=%d" % (CHANGES, place)]
        done = subprocess.run([*trace, steps.lowlight, "witness", "--state", state, "serve"], input=asked, stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL, env=steps.environment, check=False)
        shown = json.loads(steps.run("witness", "--json", "--state", state, "show"))["logs"]
        if done.stdout.startswith(b"200") and not shown:
            sys.exit("witness killed at step %d: it signed what it has forgotten" % place)
        again = steps.run("witness", "--state", state, "serve", stdin=asked)
        if again[:3] != (b"409" if shown else b"200"):
            sys.exit("witness killed at step %d: %r after %r" % (place, again, shown))
        if done.returncode not in (137, -9):
            break
        kills, place = kills + 1, place + every
    print("witness: killed at %d of its steps, its state whole after each" % kills, flush=True)
    steps.killed += kills


def elsewhere(steps, source, kept, every):
    """A recorder with a witness and a copy killed: both catch up."""
    vkey = steps.run("keys", "show", "--path", source).decode().strip()
    copy, state = (os.path.join(steps.folder, name) for name in ("copy", "witness"))
    shutil.rmtree(state, ignore_errors=True)
    keys = steps.run("witness", "--state", state, "init", "--name", "w").decode()
    steps.run("witness", "--state", state, "trust", vkey)
    with open(os.path.join(steps.folder, "lowlight.toml"), encoding="utf-8") as file:
        before = file.read()
    with open(os.path.join(steps.folder, "lowlight.toml"), "w", encoding="utf-8") as file:
        file.write('[witness]\n%s\ncommand = ["%s", "witness", "--state", "%s", "serve"]\n[copy]\npath = "%s"\n' % (
            keys, steps.lowlight, state, copy))
    fresh = os.path.join(steps.folder, "fresh-witness")
    shutil.copytree(state, fresh)

    def finished(report, log):
        """Both have all of it; what the next kill begins with is as before."""
        held = json.loads(steps.run("verify", "--json", "--path", log, "--against", copy))
        done = held["verdict"] == "intact" and report.get("witnessed") == report["sealed"]
        shutil.rmtree(copy)
        os.mkdir(copy)
        shutil.rmtree(state)
        shutil.copytree(fresh, state)
        return done

    os.mkdir(copy)
    steps.exhaust("record with witness and copy", source, kept, ["record"], every, finished, 120)
    with open(os.path.join(steps.folder, "lowlight.toml"), "w", encoding="utf-8") as file:
        file.write(before)


def main():
    """All commands."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("lowlight")
    parser.add_argument("--every", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="lowlight-steps-") as folder:
        steps, source, kept = Steps(os.path.abspath(options.lowlight), folder), os.path.join(folder, "source"), []
        with open(os.path.join(folder, "lowlight.toml"), "w", encoding="utf-8") as file:
            file.write('[retention]\nmax_entries = 300\n[[retention.rules]]\nkind = "audit"\nkeep = true\n')
        steps.run("keys", "init", "--path", source)
        for number, count in enumerate((200, 400)):
            text = "\n".join(json.dumps(line) for line in lines(count)).encode()
            # Retention is not to run before it is asked to.
            del steps.environment["LOWLIGHT_CONFIG"]
            steps.run("record", "--path", source, stdin=text)
            steps.environment["LOWLIGHT_CONFIG"] = os.path.join(folder, "lowlight.toml")
            kept.append(os.path.join(folder, "kept-%d" % number))
            with open(kept[-1], "wb") as file:
                file.write(steps.run("checkpoint", "--path", source))
        every = options.every
        steps.exhaust("prune", source, kept, ["prune"], every, lambda report, _: report["entries"] <= 400 and report["gaps_total"] > 0)
        steps.exhaust("erase", source, kept, ["erase", "--user", "carol", "--yes"], every,
                      lambda report, log: report["erased"] > 0 and has_no(log, b"carol"))
        steps.exhaust("record", source, kept, ["record"], every, lambda report, _: True)
        steps.exhaust("keys rotate", source, kept, ["keys", "rotate"], every, lambda report, _: True)
        witness(steps, source, every)
        elsewhere(steps, source, kept, every)
        pruned = os.path.join(folder, "pruned")
        shutil.copytree(source, pruned)
        steps.run("prune", "--path", pruned)
        text = "\n".join(json.dumps(line) for line in lines(500)).encode()
        steps.run("record", "--path", pruned, stdin=text)
        steps.exhaust("prune again", pruned, kept, ["prune"], every, lambda report, _: report["entries"] <= 400)
    print("%d kills" % steps.killed)


if __name__ == "__main__":
    main()
