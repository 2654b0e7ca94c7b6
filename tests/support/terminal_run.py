"""Plays the story of docs/evidence-run.md with the real command, and compares what it prints with what stands there.

    terminal_run.py LOWLIGHT [--write]

Ids, hashes, signatures and times differ from run to run: they are shortened to what stays.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PAGE = os.path.join(ROOT, "docs", "evidence-run.md")
sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(ROOT, "tests", "support"))

import attack  # noqa: E402

HEAD = """# A run, from recording to proof

Made by `tests/support/terminal_run.py`, which CI runs: what is shown here is compared with what the command prints. Ids, hashes, signatures
and times, which differ from run to run, are shortened.

"""
SHORTER = [(r"\b[0-9a-f]{64}\b", "<hash>"), (r"\b[0-9a-f]{32}\b", "<id>"), (r"\+[0-9a-f]{8}\+[A-Za-z0-9+/]{44,}=*", "+<key>"),
           (r"\u2014 lowlight \S+", "\u2014 lowlight <signature>"), (r"^[A-Za-z0-9+/]{43}=$", "<root>"), (r'"recorded":\d+', '"recorded":<time>'),
           (r'"(monotonic|redaction_policy)":\d+', r'"\1":<n>')]


class Run:
    """One play."""

    def __init__(self, lowlight, folder):
        self.lowlight, self.folder, self.page = os.path.abspath(lowlight), folder, []
        self.environment = {key: value for key, value in os.environ.items() if not key.startswith("LOWLIGHT_")}
        self.environment["HOME"] = folder

    def say(self, text):
        """A paragraph."""
        self.page.append(text + "\n\n")

    def do(self, command, code=0, shown=None):
        """A command line, with what it prints; pieces of `shown` only where that is given."""
        line = "PATH=%s:$PATH\numask 077\n%s" % (os.path.join(self.folder, "bin"), command)
        done = subprocess.run(["bash", "-c", line], cwd=self.folder, env=self.environment, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, check=False)
        text = done.stdout.decode()
        if done.returncode != code:
            sys.exit("%s ended with %d:\n%s" % (command, done.returncode, text))
        lines = [each for each in text.splitlines() if shown is None or any(piece in each for piece in shown)]
        for pattern, short in SHORTER:
            lines = [re.sub(pattern, short, each) for each in lines]
        ending = "" if code == 0 else "exit %d\n" % code
        self.page.append("```console\n$ %s\n%s%s```\n\n" % (command, "".join(each + "\n" for each in lines), ending))
        return text

    def beside(self, work):
        """What an attacker does, without a command of ours."""
        work(lambda name: os.path.join(self.folder, name))


def records(path, count):
    """Lines for `record`."""
    with open(path, "w", encoding="utf-8") as file:
        for number in range(count):
            file.write(json.dumps({"model": "phi-3-mini", "prompt": "reading %d" % number, "response": "normal", "user": "u%d" % (number % 5)}) + "\n")


def rewrite(at):
    """Every prompt says something else, every hash is recomputed; the journal goes."""
    shutil.copytree(at("logs"), at("rewritten"))
    attack.forge(at("logs/lowlight.db"), at("rewritten/lowlight.db"), attack.rewrite_all)
    os.unlink(at("rewritten/checkpoints"))


def play(run):
    """The story."""
    run.say("A box records, and its newest checkpoint is kept on a stick.")
    run.do("lowlight keys init", shown=["+"])
    run.do("lowlight keys show > stick/gate-7.vkey")
    run.do("lowlight record --file monday.ndjson")
    run.beside(lambda at: shutil.copytree(at("logs"), at("monday")))
    run.do("lowlight record --file tuesday.ndjson")
    run.do("lowlight checkpoint | tee stick/gate-7.checkpoint")
    run.say("Somebody who can write the log changes what every record says and recomputes every hash, in `rewritten/`. By itself such a log cannot "
            "be told from an honest one, and `verify` says so:")
    run.beside(rewrite)
    run.do("lowlight --path rewritten verify", shown=["intact", "not checked"])
    run.say("Against the stick it can:")
    run.do("lowlight --path rewritten verify --checkpoint stick/gate-7.checkpoint", 1, ["broken", "log:"])
    run.say("Monday's copy of the log, put back in place of Tuesday's:")
    run.do("lowlight --path monday verify", shown=["intact", "not checked"])
    run.do("lowlight --path monday verify --checkpoint stick/gate-7.checkpoint", 1, ["broken", "log:"])
    run.say("The honest log loses old entries to retention, and what one user said to an erasure. Both are explained, and the checkpoint from before holds.")
    run.do("cat lowlight.toml")
    run.do("lowlight prune --dry-run")
    run.do("lowlight prune")
    run.do("lowlight erase --user u3 --reason 'asked for by letter' --yes")
    run.do("lowlight verify --checkpoint stick/gate-7.checkpoint --key \"$(cat stick/gate-7.vkey)\"")
    run.say("One entry is proved to somebody who has nothing but the proof file and the key. The prompt is opened, the response and the user stay hidden.")
    run.do("lowlight prove 1204 --field prompt -o stick/1204.proof")
    run.do("cd stick && lowlight verify 1204.proof --key \"$(cat gate-7.vkey)\"")
    run.say("A proof in which anything was changed is none:")
    run.do("sed 's/^index 1204/index 1205/' stick/1204.proof > stick/other.proof; lowlight verify stick/other.proof --key \"$(cat stick/gate-7.vkey)\"", 1,
           ["broken", "entry"])


def main():
    """Exits 1 when the page says something else."""
    with tempfile.TemporaryDirectory(prefix="lowlight-run-") as folder:
        run = Run(sys.argv[1], folder)
        for name in ("bin", "stick"):
            os.mkdir(os.path.join(folder, name), 0o700)
        os.symlink(run.lowlight, os.path.join(folder, "bin", "lowlight"))
        records(os.path.join(folder, "monday.ndjson"), 800)
        records(os.path.join(folder, "tuesday.ndjson"), 700)
        play_with_retention(run, folder)
        page = HEAD + "".join(run.page).rstrip("\n") + "\n"
    if "--write" in sys.argv:
        with open(PAGE, "w", encoding="utf-8") as file:
            file.write(page)
        return
    with open(PAGE, encoding="utf-8") as file:
        stands = file.read()
    if stands != page:
        import difflib
        sys.exit("".join(difflib.unified_diff(stands.splitlines(True), page.splitlines(True), "docs/evidence-run.md", "this run")))
    print("docs/evidence-run.md is what the command prints")


def play_with_retention(run, folder):
    """Retention is configured when it is asked for: before that it would run by itself."""
    beside = run.do

    def do(command, code=0, shown=None):
        """As before."""
        if command == "cat lowlight.toml":
            with open(os.path.join(folder, "lowlight.toml"), "w", encoding="utf-8") as file:
                file.write("[retention]\nmax_entries = 1000\n")
        return beside(command, code, shown)

    run.do = do
    play(run)


if __name__ == "__main__":
    main()
