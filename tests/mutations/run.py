#!/usr/bin/env python3
"""Removes one protection at a time and checks that the test named for it fails.

A test that still passes without what it protects is a defect. manifest.json names the mutation, the row of the failure
contract, the test (in the test binary `binary`, or `all`), and the changes: in `file`, the text `find`, which must stand there exactly once, becomes `replace`.
They are made in a temporary git worktree of HEAD, one mutation at a time; what is not committed is not tested.

    tests/mutations/run.py [NAME ...] [--part K/N] [--target-dir DIR]
    tests/mutations/run.py [NAME ...] --check

`--check` only looks whether every text to find stands exactly once in the working tree; it builds nothing.

First every test runs on the code as it is: one that does not pass there says nothing of a mutation, which is not made then. One that hangs
with a mutation has noticed it only where it took less than a quarter of the time without.

Exit 0: every test failed as it should. 1: a test passed, or failed for another reason, or on the code as it is. 2: could not run, or a
text to find does not stand exactly once in its file.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
CARGO = ["cargo", "test", "--quiet", "-p", "lowlight-tests"]
TIMEOUT_S = 400


def run(command, tree, target, timeout=None):
    """Exit code and output of a command; None as exit code when it took too long."""
    environment = {**os.environ, "CARGO_TARGET_DIR": str(target)}
    # More rounds of cuts are for a run with optimisation.
    environment.pop("LOWLIGHT_ROUNDS", None)
    try:
        done = subprocess.run(
            command, cwd=tree, env=environment, timeout=timeout, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
    except subprocess.TimeoutExpired as late:
        out = late.stdout or b""
        return None, out.decode(errors="replace") if isinstance(out, bytes) else out
    return done.returncode, done.stdout


def binary(mutation):
    """The test binary of a mutation; `all` unless it says so."""
    return mutation.get("binary", "all")


def build(binaries, tree, target):
    chosen = [part for name in sorted(binaries) for part in ("--test", name)]
    return run([*CARGO, *chosen, "--no-run"], tree, target)


def outcome(where, test, tree, target):
    """`passed`, `failed`, `hung`, or why it could not be told."""
    code, out = run([*CARGO, "--test", where, "--", "--exact", test], tree, target, TIMEOUT_S)
    if code is None:
        return "hung", out
    if code == 0:
        return ("passed" if "1 passed" in out else "no such test"), out
    return ("failed" if "1 failed" in out else "did not run"), out


def mutated(mutation, tree):
    """The changed files of a mutation with their new texts, and what is wrong with its changes."""
    texts, faults = {}, []
    for number, change in enumerate(mutation["changes"], 1):
        path = tree / change["file"]
        try:
            original = path.read_text(encoding="utf-8")
        except OSError as error:
            faults.append(f"change {number}: {error}")
            continue
        # Also in the original: an earlier change must not be what makes the text unique.
        text = texts.get(path, original)
        counts = {original.count(change["find"]), text.count(change["find"])} if change["find"] else {0}
        if counts != {1}:
            found = " and ".join(str(count) for count in sorted(counts))
            faults.append(f"change {number}: found {found} times in {change['file']}, not once: {change['find']!r}")
        elif change["find"] == change["replace"]:
            faults.append(f"change {number}: changes nothing in {change['file']}")
        else:
            texts[path] = text.replace(change["find"], change["replace"])
    if not mutation["changes"]:
        faults.append("has no changes")
    return texts, faults


def check(mutations, tree):
    """Whether every mutation can be made in that tree; prints those that cannot."""
    stale = [(mutation["name"], fault) for mutation in mutations for fault in mutated(mutation, tree)[1]]
    for name, fault in stale:
        print(f"STALE   {name}: {fault}")
    return not stale


def mutate(mutation, tree, target, seconds):
    """Whether the test noticed, which takes `seconds` on the code as it is; prints one line."""
    name = mutation["name"]
    git = ["git", "-C", str(tree)]
    started = time.monotonic()
    texts, _ = mutated(mutation, tree)
    for path, text in texts.items():
        path.write_text(text, encoding="utf-8")
    try:
        code, out = build({binary(mutation)}, tree, target)
        if code:
            print(f"STALE   {name}: the changed code does not compile\n{out[-2000:]}")
            return False
        what, out = outcome(binary(mutation), mutation["test"], tree, target)
    finally:
        subprocess.run([*git, "checkout", "--quiet", "--", "."], check=True)
    caught = what == "failed" or (what == "hung" and seconds < TIMEOUT_S / 4)
    word = "caught " if caught else "MISSED "
    print(f"{word} {name} ({mutation['row']}): {mutation['test']} {what} after {time.monotonic() - started:.0f} s")
    if not caught and what != "passed":
        print(out[-2000:])
    return caught


def control(mutations, tree, target):
    """How long each named test takes on the code as it is, s, of those that pass there; None where it does not compile."""
    code, out = build({binary(mutation) for mutation in mutations}, tree, target)
    if code:
        print(f"the code does not compile as it is\n{out[-4000:]}")
        return None
    took = {}
    for where, test in sorted({(binary(mutation), mutation["test"]) for mutation in mutations}):
        started = time.monotonic()
        what, out = outcome(where, test, tree, target)
        if what == "passed" and "SKIPPED" not in out:
            took[where, test] = time.monotonic() - started
        else:
            print(f"CONTROL {test}: {'skipped' if 'SKIPPED' in out else what} without any change\n{out[-2000:]}")
    return took


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="mutations to make [default: all]")
    parser.add_argument("--check", action="store_true", help="only look whether all changes can be made in the working tree")
    parser.add_argument("--part", metavar="K/N", help="only each N-th mutation, from the K-th on; K counts from 0 and wraps")
    parser.add_argument("--target-dir", type=Path, default=ROOT / "target" / "mutations")
    arguments = parser.parse_args()
    mutations = json.loads((HERE / "manifest.json").read_text(encoding="utf-8"))
    names = [mutation["name"] for mutation in mutations]
    unknown = [name for name in arguments.names if name not in names]
    if unknown or len(set(names)) < len(names):
        print(f"no such mutation: {', '.join(unknown)}" if unknown else "manifest.json has a name twice")
        return 2
    if arguments.names:
        mutations = [mutation for mutation in mutations if mutation["name"] in arguments.names]
    if arguments.part:
        part, parts = (int(number) for number in arguments.part.split("/"))
        mutations = mutations[part % parts :: parts]
    if arguments.check:
        if not check(mutations, ROOT):
            return 2
        print(f"{len(mutations)} mutations, each text to find stands exactly once")
        return 0
    target = arguments.target_dir.resolve()
    with tempfile.TemporaryDirectory(prefix="lowlight-mutations-") as folder:
        tree = Path(folder) / "tree"
        git = ["git", "-C", str(ROOT), "worktree"]
        subprocess.run([*git, "add", "--quiet", "--detach", str(tree), "HEAD"], check=True)
        try:
            if not check(mutations, tree):
                return 2
            took = control(mutations, tree, target)
            if took is None:
                return 2
            seconds = [took.get((binary(mutation), mutation["test"])) for mutation in mutations]
            caught = [time is not None and mutate(mutation, tree, target, time) for mutation, time in zip(mutations, seconds)]
        finally:
            subprocess.run([*git, "remove", "--force", str(tree)], check=False)
    print(f"{sum(caught)} of {len(caught)} caught")
    return 0 if all(caught) else 1


if __name__ == "__main__":
    sys.exit(main())
