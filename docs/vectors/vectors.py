"""Second implementation of the Lowlight format (docs/format.md), standard library only.

    vectors.py write | check                                  the test vectors beside this file
    vectors.py verify PATH... [--json]                        databases, log directories, exports (`-` for stdin)
    vectors.py tamper --seed S --count N SOURCE.db OUTDIR     tampered copies of a database
    vectors.py tamper-export --seed S --count N SOURCE.ndjson OUTDIR
    vectors.py sample OUTDIR                                  honest logs and exports to try the rest on
"""

import argparse
import json
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.dont_write_bytecode = True

from exports import export_text, verify_export  # noqa: E402
from verifier import unreadable, verify_database  # noqa: E402

EXIT = {"intact": 0, "broken": 1, "unreadable": 2}


def verify(path):
    """Report on a path."""
    if path == "-":
        return verify_export(sys.stdin.buffer)
    if os.path.isdir(path):
        path = os.path.join(path, "lowlight.db")
        return verify_database(path) if os.path.exists(path) else unreadable("no such file")
    try:
        with open(path, "rb") as file:
            if path.endswith(".db") or file.read(16) == b"SQLite format 3\0":
                return verify_database(path)
            file.seek(0)
            return verify_export(file)
    except OSError as problem:
        return unreadable(str(problem))


def safely(path):
    """Report on a path, whatever is in it."""
    try:
        return verify(path)
    except Exception as problem:  # hostile input is data; a defect here must not look like a verdict
        print("internal error: %r" % problem, file=sys.stderr)
        return unreadable("internal error: %r" % problem)


def command_verify(options):
    """Verifies every path; the exit code is that of the worst."""
    worst = 0
    for path in options.paths:
        found = safely(path)
        if options.json:
            print(json.dumps(found))
        else:
            print(json.dumps({"path": path, **found}))
        worst = max(worst, EXIT[found["verdict"]])
    return worst


def command_sample(options):
    """Writes honest logs and exports of them."""
    from remover import sample_log
    from writer import honest_log, plain_log, write_database
    os.makedirs(options.outdir, exist_ok=True)
    for name, log in (("small", honest_log("sample")), ("large", plain_log(600, "sample large")),
                      ("removed", sample_log())):
        write_database(log.rows(), os.path.join(options.outdir, name + ".db"))
        for end, array in ((".ndjson", False), (".json", True)):
            with open(os.path.join(options.outdir, name + end), "w", encoding="utf-8", newline="") as file:
                file.write(export_text(log, array=array))
        first, last = len(log.leaves) // 3, len(log.leaves) * 2 // 3
        with open(os.path.join(options.outdir, name + "-part.ndjson"), "w", encoding="utf-8", newline="") as file:
            file.write(export_text(log, first=first, end=last, keep=set(range(first, last, 2))))
    return 0


def main():
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("write")
    commands.add_parser("check")
    one = commands.add_parser("verify")
    one.add_argument("paths", nargs="+", metavar="PATH")
    one.add_argument("--json", action="store_true", help="the report only, without the path")
    for name in ("tamper", "tamper-export"):
        one = commands.add_parser(name)
        one.add_argument("--seed", type=int, required=True)
        one.add_argument("--count", type=int, required=True)
        one.add_argument("source")
        one.add_argument("outdir")
    one = commands.add_parser("sample")
    one.add_argument("outdir")
    options = parser.parse_args()
    if options.command == "verify":
        return command_verify(options)
    if options.command == "sample":
        return command_sample(options)
    if options.command == "tamper":
        from tamper import tamper_database
        return tamper_database(options.source, options.outdir, options.seed, options.count)
    if options.command == "tamper-export":
        from tamper_export import tamper_export
        return tamper_export(options.source, options.outdir, options.seed, options.count)
    import generate
    return generate.write() if options.command == "write" else generate.check()


if __name__ == "__main__":
    sys.exit(main())
