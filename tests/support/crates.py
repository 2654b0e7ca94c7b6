"""Counts the crates of the default host build and refuses more than were planned for, or any network stack; and looks whether the
lock files agree on what makes the formats: what is tested is what runs on a board."""

import re
import subprocess
import sys
from pathlib import Path

MOST = 67
LOCKS = ["Cargo.lock", "examples/firmware/Cargo.lock", "tests/fuzz/Cargo.lock"]
NEVER = {"tokio", "hyper", "reqwest", "rustls", "openssl", "mio", "atomic-polyfill"}


def crates(package, edges="normal"):
    """Names of the crates that a package builds with, build scripts' own crates left out."""
    tree = ["cargo", "tree", "--locked", "-p", package, "-e", edges, "--prefix", "none", "--format", "{p}"]
    lines = subprocess.run(tree, stdout=subprocess.PIPE, check=True, text=True).stdout.splitlines()
    return {line.split(" (")[0] for line in lines if line.strip()}


def versions(lock):
    """Name to versions of the packages in a lock file."""
    text, found = (Path(__file__).resolve().parent.parent.parent / lock).read_text(encoding="utf-8"), {}
    for name, version in re.findall(r'name = "(.*)"\nversion = "(.*)"', text):
        found.setdefault(name, set()).add(version)
    return found


def disagree():
    """Packages of the core's build of which the lock files have different versions."""
    own, *others = [versions(lock) for lock in LOCKS]
    names = {crate.split(" ")[0] for crate in crates("lowlight-core", "normal,no-proc-macro")}
    return sorted(name for name in names for other in others if not other.get(name, own[name]) <= own[name])


def main():
    """Prints the counts; exits 1 when a limit is passed."""
    host, core = crates("lowlight-host"), crates("lowlight-core")
    print("lowlight-host builds with %d crates, lowlight-core with %d" % (len(host), len(core)))
    bad = {crate for crate in host if crate.split(" ")[0] in NEVER}
    if len(host) > MOST or bad:
        sys.exit("more than %d crates, or one that must not be there: %s" % (MOST, bad))
    if disagree():
        sys.exit("the lock files have different versions of %s" % ", ".join(disagree()))


if __name__ == "__main__":
    main()
