"""Section 13.4 of format.md: the key of a log that is in force, and who signed the change to another."""

from codec import KINDS
from notes import Key, Malformed, ed25519

OPEN, KEY_CHANGE = KINDS.index("open"), KINDS.index("key_change")


def signing_key(vkey):
    """The key of a vkey, None when it is none that signs entries: it must be of type 1."""
    try:
        key = Key.parse(vkey) if vkey else None
    except Malformed:
        return None
    return key if key and key.kind == 1 else None


def change_text(log_id, seq, old, new):
    """What the signature of a key change signs (section 3)."""
    parts = [len(vkey.encode()).to_bytes(2, "little") + vkey.encode() for vkey in (old, new)]
    return b"lowlight/keychange/v1\0" + log_id + seq.to_bytes(8, "little") + b"".join(parts)


class Keys:
    """The key that the open entry names and the changes of it, ascending: those that count."""

    def __init__(self, log_id=b"", rows=()):
        self.log_id, self.first, self.changes = log_id, "", []
        for row in rows:
            if row.kind == OPEN and row.seq == 0:
                self.first = row.event["vkey"] or ""
            elif row.kind == KEY_CHANGE:
                self.changes.append((row.seq, row.event))

    def faults(self):
        """What is wrong with key changes, as (seq, detail); one that is wrong is in force nevertheless."""
        in_force = self.first
        for seq, event in self.changes:
            old, new = event["old_vkey"], event["new_vkey"]
            if old != in_force:
                yield seq, "the old key is not the key in force"
            if signing_key(new) is None:
                yield seq, "the new key is none that signs"
            signer = signing_key(old or new)
            if signer is None or not ed25519(signer.public, change_text(self.log_id, seq, old, new), event["signature"]):
                yield seq, "not signed by the old key" if old else "not signed by the first key itself"
            in_force = new
