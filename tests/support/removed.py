"""Makes a log in which retention and erasures have removed something.

    removed.py LOWLIGHT DIR
"""

import json
import os
import subprocess
import sys
import tempfile

TOML = '[retention]\nmax_entries = 600\n[[retention.rules]]\nkind = "audit"\nkeep = true\n'


def main():
    """Records, erases, prunes, twice."""
    lowlight, log = os.path.abspath(sys.argv[1]), sys.argv[2]
    with tempfile.TemporaryDirectory() as folder:
        config = os.path.join(folder, "lowlight.toml")
        with open(config, "w", encoding="utf-8") as file:
            file.write(TOML)
        lines = [{"kind": "audit", "event_type": "auth.login", "principal": "alice"} if number % 30 == 4 else
                 {"model": "m", "prompt": "p%d" % number, "response": "fine", "user": "u%d" % (number % 6)} for number in range(900)]
        feed = "".join(json.dumps(line) + "\n" for line in lines).encode()
        for user in ("u2", "u4"):
            for arguments in (["record"], ["erase", "--user", user, "--yes", "--reason", "asked for"], ["prune"]):
                subprocess.run([lowlight, "--path", log, "--config", config, *arguments], input=feed, check=True, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    main()
