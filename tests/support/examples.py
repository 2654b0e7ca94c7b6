"""Runs every example as a user would and checks what it prints.

    examples.py [TARGET_DIR]        default: target/release; the examples and the command must have been built
"""

import os
import re
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
TARGET = sys.argv[1] if len(sys.argv) > 1 else os.path.join(ROOT, "target", "release")
FOLDER = os.path.join(ROOT, "examples")

# What the output of each must show, as regular expressions that stand in this order.
EXPECTED = {
    "quickstart.rs": [r"90 received, 90 durable, 0 lost", r"\d+ of 89 frames are speech", r"intact: 94 entries, 89 records",
                      r"entry 40: content_mismatch", r"entry 60: modified"],
    "redaction.rs": [r"\[EMAIL_1\]"],
    "audit_events.rs": [r"config\.change"],
    "overflow.rs": [r"queue_full"],
    "processes.rs": [r"intact"],
    "custom_sink.rs": [r"intact", r"content_mismatch"],
    "async_service.rs": [r"durable|Durable"],
    "span.rs": [r"cancelled"],
    "python_pipe.py": [r"20 records", r"refused: model is missing", r"intact: 20 records"],
    "shell_pipe.sh": [r"intact"],
}


def command(name):
    """How an example is run."""
    stem, ending = os.path.splitext(name)
    path = os.path.join(FOLDER, name)
    return {".rs": [os.path.join(TARGET, "examples", stem)], ".py": [sys.executable, path], ".sh": ["sh", path]}[ending]


def main():
    """Runs all, says which failed; an example that nobody expects anything of is a failure too."""
    names = sorted(name for name in os.listdir(FOLDER) if os.path.splitext(name)[1] in (".rs", ".py", ".sh"))
    failed = [name for name in set(names) ^ set(EXPECTED)]
    environment = dict(os.environ, LOWLIGHT=os.path.join(TARGET, "lowlight"))
    for name in sorted(set(names) & set(EXPECTED)):
        done = subprocess.run(command(name), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment, check=False)
        shown = re.search(".*".join(EXPECTED[name]), done.stdout, re.DOTALL)
        print("%-20s exit %d, output %s" % (name, done.returncode, "as expected" if shown else "NOT as expected"))
        if done.returncode != 0 or not shown:
            failed.append(name)
            print(done.stdout)
    if failed:
        sys.exit("failed: %s" % ", ".join(sorted(failed)))


if __name__ == "__main__":
    main()
