#!/usr/bin/env python3
"""Removes one protection at a time and checks that the test named for it fails.

A test that still passes without what it protects is a defect. Each patch is applied to a temporary git worktree of
HEAD; manifest.json names patch, row of the failure contract and test.

    tests/mutations/run.py [NAME ...] [--keep-going] [--target-dir DIR]

Exit 0: every test failed as it should. 1: a test passed, or failed for another reason. 2: could not run.
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
CARGO = ["cargo", "test", "--quiet", "-p", "lowlight-tests", "--test", "all"]
TIMEOUT_S = 180


def run(command, tree, target, timeout=None):
    """Exit code and output of a command; None as exit code when it took too long."""
    environment = {**os.environ, "CARGO_TARGET_DIR": str(target)}
    try:
        done = subprocess.run(
            command, cwd=tree, env=environment, timeout=timeout, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
    except subprocess.TimeoutExpired as late:
        out = late.stdout or b""
        return None, out.decode(errors="replace") if isinstance(out, bytes) else out
    return done.returncode, done.stdout


def build(tree, target):
    return run([*CARGO, "--no-run"], tree, target)


def outcome(test, tree, target):
    """`passed`, `failed`, `hung`, or why it could not be told."""
    code, out = run([*CARGO, "--", "--exact", test], tree, target, TIMEOUT_S)
    if code is None:
        return "hung", out
    if code == 0:
        return ("passed" if "1 passed" in out else "no such test"), out
    return ("failed" if "1 failed" in out else "did not run"), out


def mutate(mutation, tree, target):
    """Whether the test noticed; prints one line."""
    name = mutation["patch"].removesuffix(".patch")
    git = ["git", "-C", str(tree)]
    started = time.monotonic()
    applied = subprocess.run([*git, "apply", str(HERE / mutation["patch"])], text=True, capture_output=True)
    if applied.returncode:
        print(f"STALE   {name}: the patch does not apply any more: {applied.stderr.strip()}")
        return False
    try:
        code, out = build(tree, target)
        if code:
            print(f"STALE   {name}: the patched code does not compile\n{out[-2000:]}")
            return False
        what, out = outcome(mutation["test"], tree, target)
    finally:
        subprocess.run([*git, "checkout", "--quiet", "--", "."], check=True)
    caught = what in ("failed", "hung")
    word = "caught " if caught else "MISSED "
    print(f"{word} {name} ({mutation['row']}): {mutation['test']} {what} after {time.monotonic() - started:.0f} s")
    if not caught and what != "passed":
        print(out[-2000:])
    return caught


def control(mutations, tree, target):
    """Whether every named test passes on the code as it is; otherwise a failure would say nothing."""
    code, out = build(tree, target)
    if code:
        print(f"the code does not compile as it is\n{out[-4000:]}")
        return False
    fine = True
    for test in sorted({mutation["test"] for mutation in mutations}):
        what, out = outcome(test, tree, target)
        if what != "passed" or "SKIPPED" in out:
            print(f"CONTROL {test}: {'skipped' if 'SKIPPED' in out else what} without any patch\n{out[-2000:]}")
            fine = False
    return fine


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="patches to apply, without .patch [default: all]")
    parser.add_argument("--keep-going", action="store_true", help="go on although a test fails without any patch")
    parser.add_argument("--target-dir", type=Path, default=ROOT / "target" / "mutations")
    arguments = parser.parse_args()
    mutations = json.loads((HERE / "manifest.json").read_text())
    listed = {mutation["patch"] for mutation in mutations}
    stray = {path.name for path in HERE.glob("*.patch")} ^ listed
    if stray:
        print(f"manifest.json and the patches do not agree: {', '.join(sorted(stray))}")
        return 2
    if arguments.names:
        mutations = [mutation for mutation in mutations if mutation["patch"].removesuffix(".patch") in arguments.names]
    if not mutations:
        print("no such patch")
        return 2
    target = arguments.target_dir.resolve()
    with tempfile.TemporaryDirectory(prefix="lowlight-mutations-") as folder:
        tree = Path(folder) / "tree"
        git = ["git", "-C", str(ROOT), "worktree"]
        subprocess.run([*git, "add", "--quiet", "--detach", str(tree), "HEAD"], check=True)
        try:
            if not control(mutations, tree, target) and not arguments.keep_going:
                return 2
            caught = [mutate(mutation, tree, target) for mutation in mutations]
        finally:
            subprocess.run([*git, "remove", "--force", str(tree)], check=False)
    print(f"{sum(caught)} of {len(caught)} caught")
    return 0 if all(caught) else 1


if __name__ == "__main__":
    sys.exit(main())
