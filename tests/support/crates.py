"""Counts the crates of the default host build and refuses more than were planned for, or any network stack."""

import subprocess
import sys

MOST = 67
NEVER = {"tokio", "hyper", "reqwest", "rustls", "openssl", "mio", "atomic-polyfill"}


def crates(package):
    """Names of the crates that a package builds with, build scripts' own crates left out."""
    tree = ["cargo", "tree", "--locked", "-p", package, "-e", "normal", "--prefix", "none", "--format", "{p}"]
    lines = subprocess.run(tree, stdout=subprocess.PIPE, check=True, text=True).stdout.splitlines()
    return {line.split(" (")[0] for line in lines if line.strip()}


def main():
    """Prints the counts; exits 1 when a limit is passed."""
    host, core = crates("lowlight-host"), crates("lowlight-core")
    print("lowlight-host builds with %d crates, lowlight-core with %d" % (len(host), len(core)))
    bad = {crate for crate in host if crate.split(" ")[0] in NEVER}
    if len(host) > MOST or bad:
        sys.exit("more than %d crates, or one that must not be there: %s" % (MOST, bad))


if __name__ == "__main__":
    main()
