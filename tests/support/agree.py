"""Holds the two verifiers against each other: the command and docs/vectors, on a log, its exports and tampered copies.

    agree.py LOWLIGHT LOG_DIR [--seed S] [--count N]

Exits 1 and names every copy on which verdict, first entry or first kind differ, or on which an honest copy is not
intact or a tampered one is.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
VECTORS = os.path.join(ROOT, "docs", "vectors", "vectors.py")


def run(*command):
    """Standard output of a command that may exit 0, 1 or 2."""
    done = subprocess.run(command, stdout=subprocess.PIPE, check=False)
    if done.returncode not in (0, 1, 2):
        sys.exit("%s exited with %d" % (" ".join(command), done.returncode))
    return done.stdout


def essence(report):
    """What the two must agree on."""
    first = report["problems"][0] if report["problems"] else {}
    return report["verdict"], first.get("seq"), first.get("kind")


def judge(lowlight, path):
    """Both opinions of one file."""
    ours = json.loads(run(lowlight, "verify", path, "--json"))
    theirs = json.loads(run(sys.executable, VECTORS, "verify", path, "--json"))
    return essence(ours), essence(theirs)


def compare(lowlight, folder, manifest):
    """Judges every copy of a manifest; returns complaints and counts of verdicts."""
    complaints, verdicts = [], {}
    for copy in manifest["copies"]:
        ours, theirs = judge(lowlight, os.path.join(folder, copy["file"]))
        verdicts[ours[0]] = verdicts.get(ours[0], 0) + 1
        done = "; ".join(json.dumps(step) for step in copy["done"])
        if ours != theirs:
            complaints.append("%s: %s, second implementation %s after %s" % (copy["file"], ours, theirs, done))
        elif (ours[0] == "intact") != bool(copy["honest"]):
            complaints.append("%s: %s after %s" % (copy["file"], ours, done or "nothing"))
    return complaints, verdicts


def main():
    """Tampers, judges, complains."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("lowlight")
    parser.add_argument("log")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=200)
    arguments = parser.parse_args()
    database = os.path.join(arguments.log, "lowlight.db")
    complaints = []
    with tempfile.TemporaryDirectory() as scratch:
        sources = [("tamper", database)]
        for form in ("ndjson", "json"):
            export = os.path.join(scratch, "export." + form)
            run(arguments.lowlight, "export", "--path", arguments.log, "--format", form, "--out", export)
            sources.append(("tamper-export", export))
        for path in [arguments.log] + [source for _, source in sources]:
            ours, theirs = judge(arguments.lowlight, path)
            if ours != theirs or ours[0] != "intact":
                complaints.append("%s untouched: %s, second implementation %s" % (path, ours, theirs))
        for index, (command, source) in enumerate(sources):
            count = arguments.count if command == "tamper" else arguments.count // 2
            folder = os.path.join(scratch, str(index))
            run(sys.executable, VECTORS, command, "--seed", str(arguments.seed), "--count", str(count), source, folder)
            with open(os.path.join(folder, "manifest.json"), encoding="utf-8") as file:
                manifest = json.load(file)
            more, verdicts = compare(arguments.lowlight, folder, manifest)
            complaints += more
            print("%s of %s: %d copies judged alike by both: %s" % (
                command, os.path.basename(source), len(manifest["copies"]) - len(more), verdicts))
    for complaint in complaints:
        print(complaint)
    sys.exit(1 if complaints else 0)


if __name__ == "__main__":
    main()
