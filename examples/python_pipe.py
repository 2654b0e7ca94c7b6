"""Records a conversation from Python through a pipe that stays open, then queries and verifies it.

    LOWLIGHT=target/release/lowlight python3 examples/python_pipe.py

Standard library only. The binary is $LOWLIGHT, or `lowlight` in PATH.
"""

import json
import os
import pathlib
import subprocess
import tempfile

LOWLIGHT = os.environ.get("LOWLIGHT", "lowlight")
CONVERSATION = pathlib.Path(__file__).parent / "data" / "conversation.ndjson"


def command(logs, *arguments, **options):
    """Arguments of a process that works on that log, run with the given options."""
    return subprocess.run([LOWLIGHT, "--path", logs, *arguments], text=True, capture_output=True, check=True, **options)


class Recorder:
    """A `lowlight record` process; each call returns once its record is durable, or raises."""

    def __init__(self, logs):
        arguments = [LOWLIGHT, "--path", logs, "record", "--ack"]
        self.process = subprocess.Popen(
            arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )

    def record(self, **record):
        self.process.stdin.write(json.dumps(record) + "\n")
        self.process.stdin.flush()
        receipt = json.loads(self.process.stdout.readline())
        if receipt["status"] != "durable":
            raise ValueError(receipt["reason"])
        return receipt["seq"]

    def close(self):
        self.process.stdin.close()
        return self.process.wait()


def main():
    with tempfile.TemporaryDirectory() as folder:
        logs = os.path.join(folder, "logs")
        recorder = Recorder(logs)
        with open(CONVERSATION, encoding="utf-8") as lines:
            seqs = [recorder.record(**json.loads(line)) for line in lines]
        print(f"{len(seqs)} records, seq {seqs[0]} to {seqs[-1]}")
        assert seqs == list(range(3, 23))

        try:
            recorder.record(prompt="a record without a model")
        except ValueError as reason:
            print(f"refused: {reason}")
        else:
            raise AssertionError("a line without a model was accepted")
        assert recorder.close() == 1, "a refused line shows in the exit code"

        found = [json.loads(line) for line in command(logs, "query", "--json", "--status", "error").stdout.splitlines()]
        print(f"status error: {found[0]['error']}")
        assert len(found) == 1

        everything = command(logs, "query", "--json").stdout
        for secret in ("ghp_NotARealToken", "driver42@example.com", "+1 415 555 0132", "DE89 3704"):
            assert secret not in everything, secret
        print("no secret and no personal data in it")

        report = json.loads(command(logs, "verify", "--json").stdout)
        print(f"{report['verdict']}: {report['records']} records, not checked: {', '.join(report['not_checked'])}")
        assert (report["verdict"], report["records"]) == ("intact", 20)


main()
