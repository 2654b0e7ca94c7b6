"""Checkpoints and proofs across the two implementations: what the command makes, docs/vectors checks, and the other way round.

    evidence.py LOWLIGHT
"""

import json
import os
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(ROOT, "docs", "vectors"))

import evidence  # noqa: E402
from codec import varint  # noqa: E402
from columns import row_from_json  # noqa: E402
from notes import Key, Malformed  # noqa: E402

PROMPTS = 700


class Place:
    """A directory with a log, and the command."""

    def __init__(self, lowlight, folder):
        self.lowlight, self.folder = lowlight, folder

    def run(self, code, *arguments, feed=b""):
        """Standard output of the command, which must exit with `code`."""
        done = subprocess.run([self.lowlight, *arguments], input=feed, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              cwd=self.folder, check=False)
        if done.returncode != code:
            sys.exit("%s: exit %d, not %d: %s" % (" ".join(arguments), done.returncode, code, (done.stdout + done.stderr).decode()))
        return done.stdout

    def write(self, name, raw):
        """A file in the directory."""
        with open(os.path.join(self.folder, name), "wb") as file:
            file.write(raw)
        return name


def refused(function, *arguments):
    """Whether the second implementation refuses the arguments."""
    try:
        function(*arguments)
    except (Malformed, UnicodeDecodeError):
        return True
    return False


def bent(raw):
    """Copies with one bit changed, a few hundred of them."""
    for place in range(0, len(raw), max(1, len(raw) // 150)):
        yield raw[:place] + bytes([raw[place] ^ 1]) + raw[place + 1:]


def ours_to_theirs(place, vkey):
    """What the command makes holds for the second implementation, and nothing else does."""
    keys, path = [Key.parse(vkey)], os.path.join(place.folder, "logs", "lowlight.db")
    first = place.run(0, "checkpoint")
    assert evidence.fits(path, first, keys) == "match"
    print("journal: %d checkpoints agree" % evidence.check_journal(os.path.join(place.folder, "logs")))
    count = 0
    for seq in (0, 1, 2, 255, 256, 300, PROMPTS):
        fields = ("--field", "prompt", "--field", "actor") if seq > 2 else ()
        proof = place.run(0, "prove", str(seq), *fields)
        index, values = evidence.check_proof(proof, keys)
        assert index == seq and len(values) == len(fields) // 2, values
        count += 1
        if seq == 300:
            assert all(refused(evidence.check_proof, copy, keys) for copy in bent(proof))
    place.run(0, "record", feed=b'{"model":"m","prompt":"one more"}\n')
    size = int(first.split(b"\n")[1])
    growth = place.run(0, "prove", "--consistency", str(size))
    assert evidence.check_growth(growth, first, keys)[0] == size
    assert all(refused(evidence.check_growth, copy, first, keys) for copy in bent(growth))
    print("%d proofs of entries and one of growth hold, changed copies of them do not" % count)


def theirs_to_ours(place):
    """What the second implementation makes holds for the command, and nothing else does."""
    path = os.path.join(place.folder, "logs", "lowlight.db")
    maker = evidence.Maker(path, bytes(range(32)))
    vkey, whole = str(maker.key), len(maker.leaves)
    for size in (1, 2, 255, 256, 257, 700, whole):
        place.write("kept", maker.checkpoint(size))
        found = json.loads(place.run(0, "verify", "--checkpoint", "kept", "--key", vkey, "--json"))
        assert found["level"] == "checkpoint" and found["not_checked"] == ["tail"], found
    place.write("kept", maker.checkpoint(300, root=maker.leaves[0]))
    assert b"rewritten" in place.run(1, "verify", "--checkpoint", "kept", "--key", vkey)
    place.write("kept", maker.checkpoint(300)[:-10] + b"A" * 6 + b"QM=\n")
    place.run(2, "verify", "--checkpoint", "kept", "--key", vkey)
    for seq in (3, 255, 256, 400):
        line = json.loads(place.run(0, "show", str(seq), "--json"))
        body, openings = rebuilt(line)
        place.write("proof", maker.proof(seq, whole, body, openings))
        found = json.loads(place.run(0, "verify", "proof", "--key", vkey, "--json"))
        assert found["level"] == "checkpoint" and found["entry"]["seq"] == seq, found
        wrong = [(field, salt, value + b"!") for field, salt, value in openings]
        place.write("proof", maker.proof(seq, whole, body, wrong))
        assert b"content_mismatch" in place.run(1, "verify", "proof", "--key", vkey)
        place.write("proof", maker.proof(seq, whole, body + b"\0", openings))
        place.run(1, "verify", "proof", "--key", vkey)
    for old, size in ((1, 2), (3, 700), (256, 512), (255, whole)):
        place.write("old", maker.checkpoint(old))
        place.write("growth", maker.growth(old, size))
        place.run(0, "verify", "growth", "--checkpoint", "old", "--key", vkey)
        place.write("growth", maker.growth(old, size).replace(b"old %d\n" % old, b"old %d\n" % (old + 1)))
        place.run(2, "verify", "growth", "--checkpoint", "old", "--key", vkey)
    print("checkpoints, proofs of entries and of growth by the second implementation hold, wrong ones do not")


def rebuilt(line):
    """Body of an entry from its line, encoded by the second implementation, and its openings."""
    row = row_from_json(line)
    assert row.error is None, row.error
    openings = [(field, salt, value.encode() if isinstance(value, str) else value) for field, (salt, value) in sorted(row.contents.items())]
    return b"\1" + varint(row.seq) + row.rest, openings


def main():
    """Exits 1 by an assertion when the two do not agree."""
    lowlight = os.path.abspath(sys.argv[1])
    with tempfile.TemporaryDirectory() as folder:
        place = Place(lowlight, folder)
        vkey = place.run(0, "keys", "init", "--name", "first").decode().strip()
        lines = "".join('{"model":"m","prompt":"prompt %d","user":"u%d"}\n' % (n, n % 7) for n in range(PROMPTS))
        place.run(0, "record", feed=lines.encode())
        ours_to_theirs(place, vkey)
        theirs_to_ours(place)


if __name__ == "__main__":
    main()
