"""Section 10 of format.md: proofs, signed notes, checkpoints, proof files. Ed25519 after RFC 8032, for checking only."""

import base64
import functools
import hashlib

from tree import EMPTY_ROOT, node, root_of

P = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P
ROOT_OF_MINUS_ONE = pow(2, (P - 1) // 4, P)
DASH = "\u2014 "


class Malformed(ValueError):
    """Not of the form the section asks for."""


def add(a, b):
    """Sum of two points in extended coordinates."""
    (x1, y1, z1, t1), (x2, y2, z2, t2) = a, b
    e = (y1 - x1) * (y2 - x2)
    f = (y1 + x1) * (y2 + x2)
    g = 2 * t1 * t2 * D
    h = 2 * z1 * z2
    p, q, r, s = f - e, h - g, h + g, f + e
    return (p * q % P, r * s % P, q * r % P, p * s % P)


def times(scalar, point):
    """A multiple of a point."""
    out = (0, 1, 1, 0)
    while scalar:
        if scalar & 1:
            out = add(out, point)
        point = add(point, point)
        scalar >>= 1
    return out


def same(a, b):
    """Whether two points are one."""
    return (a[0] * b[2] - b[0] * a[2]) % P == 0 and (a[1] * b[2] - b[1] * a[2]) % P == 0


def point_of(encoded):
    """The point of 32 bytes, or None."""
    y = int.from_bytes(encoded, "little")
    sign, y = y >> 255, y & (2**255 - 1)
    if y >= P:
        return None
    square = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P:
        x = x * ROOT_OF_MINUS_ONE % P
    if (x * x - square) % P or (x == 0 and sign):
        return None
    if x & 1 != sign:
        x = P - x
    return (x, y, 1, x * y % P)


BASE = point_of((4 * pow(5, P - 2, P) % P).to_bytes(32, "little"))


def encoded(point):
    """The 32 bytes of a point."""
    inverse = pow(point[2], P - 2, P)
    x, y = point[0] * inverse % P, point[1] * inverse % P
    return (y | (x & 1) << 255).to_bytes(32, "little")


def ed25519(public, message, signature):
    """Whether a signature verifies, strictly: no point of low order, no cofactor."""
    a, r, s = point_of(public), point_of(signature[:32]), int.from_bytes(signature[32:], "little")
    if a is None or r is None or s >= ORDER or len(signature) != 64:
        return False
    if any(same(times(8, point), (0, 1, 1, 0)) for point in (a, r)):
        return False
    k = int.from_bytes(hashlib.sha512(signature[:32] + public + message).digest(), "little") % ORDER
    minus_a = (P - a[0], a[1], 1, P - a[3])
    return encoded(add(times(s, BASE), times(k, minus_a))) == signature[:32]


@functools.cache
def sign(seed, message):
    """A signature with the key of a seed; for test keys only, its time tells the key."""
    expanded = hashlib.sha512(seed).digest()
    scalar = int.from_bytes(expanded[:32], "little") & ((1 << 254) - 8) | 1 << 254
    public = encoded(times(scalar, BASE))
    nonce = int.from_bytes(hashlib.sha512(expanded[32:] + message).digest(), "little") % ORDER
    first = encoded(times(nonce, BASE))
    k = int.from_bytes(hashlib.sha512(first + public + message).digest(), "little") % ORDER
    return first + ((nonce + k * scalar) % ORDER).to_bytes(32, "little")


@functools.cache
def public_key(seed):
    """The public key of a seed."""
    scalar = int.from_bytes(hashlib.sha512(seed).digest()[:32], "little") & ((1 << 254) - 8) | 1 << 254
    return encoded(times(scalar, BASE))


def to_base64(raw):
    """Base64 as text."""
    return base64.b64encode(raw).decode()


def unbase64(text):
    """Bytes of canonical base64."""
    try:
        out = base64.b64decode(text, validate=True)
    except ValueError as error:
        raise Malformed("base64") from error
    if base64.b64encode(out).decode() != text:
        raise Malformed("base64 is not canonical")
    return out


def digest(text):
    """A hash as base64."""
    out = unbase64(text)
    if len(out) != 32:
        raise Malformed("a hash has 32 bytes")
    return out


def decimal(text, below=2**64):
    """A number without sign and leading zeros."""
    if not text.isascii() or not text.isdigit() or (text[0] == "0" and text != "0") or int(text) >= below:
        raise Malformed("number")
    return int(text)


def is_name(name):
    """Whether a key may be called so."""
    return bool(name) and not any(c.isspace() or c == "+" or ord(c) < 0x20 or 0x7F <= ord(c) < 0xA0 for c in name)


class Key:
    """A public key with its name."""

    def __init__(self, name, kind, public):
        self.name, self.kind, self.public = name, kind, public
        self.id = hashlib.sha256(name.encode() + b"\n" + bytes([kind]) + public).digest()[:4]

    def __str__(self):
        return "%s+%s+%s" % (self.name, self.id.hex(), to_base64(bytes([self.kind]) + self.public))

    @classmethod
    def parse(cls, vkey):
        """The key of a vkey."""
        parts = vkey.split("+", 2)
        if len(parts) != 3 or not is_name(parts[0]):
            raise Malformed("vkey")
        raw = unbase64(parts[2])
        if len(raw) != 33 or raw[0] not in (1, 4):
            raise Malformed("vkey")
        key = cls(parts[0], raw[0], raw[1:])
        if key.id.hex() != parts[1]:
            raise Malformed("vkey")
        return key

    def verifies(self, text, signature):
        """Whether what stands behind the key id signs the text."""
        text = text.encode()
        if self.kind == 1:
            return len(signature) == 64 and ed25519(self.public, text, signature)
        if len(signature) != 72 or len(text) > 1024:
            return False
        message = b"cosignature/v1\ntime %d\n" % int.from_bytes(signature[:8], "big") + text
        return ed25519(self.public, message, signature[8:])


def parse_note(raw):
    """Text and signature lines (name, id, signature) of a note."""
    if len(raw) > 65536 or any(byte < 0x20 and byte != 0x0A for byte in raw):
        raise Malformed("note")
    try:
        whole = raw.decode()
    except UnicodeDecodeError as error:
        raise Malformed("note") from error
    split = whole.rfind("\n\n")
    lines = whole[split + 2:].split("\n")
    if split < 0 or lines[-1] != "" or not 1 <= len(lines) - 1 <= 100:
        raise Malformed("note")
    signatures = []
    for line in lines[:-1]:
        name, _, text = line.removeprefix(DASH).partition(" ")
        raw_signature = unbase64(text)
        if not line.startswith(DASH) or not is_name(name) or len(raw_signature) <= 4:
            raise Malformed("signature line")
        signatures.append((name, raw_signature[:4], raw_signature[4:]))
    return whole[:split + 1], signatures


def open_note(raw, keys):
    """Text of a note and those of the keys that signed it; a bad signature of one of them is Malformed."""
    text, signatures = parse_note(raw)
    found = []
    for key in keys:
        ours = [signature for name, key_id, signature in signatures if (name, key_id) == (key.name, key.id)]
        if not all(key.verifies(text, signature) for signature in ours):
            raise Malformed("bad signature")
        found += [key] if ours else []
    return text, found


def parse_checkpoint(text):
    """Origin, size, root."""
    lines = text.split("\n")
    if len(lines) < 4 or lines[-1] != "" or "" in lines[:-1] or len(lines[0].encode()) > 255:
        raise Malformed("checkpoint")
    return lines[0], decimal(lines[1], 2**63), digest(lines[2])


def parse_proof_file(raw):
    """Extra, index, hashes and the signed checkpoint of a proof file."""
    head, empty, checkpoint = raw.partition(b"\n\n")
    lines = head.decode("utf-8", "replace").split("\n")
    if not empty or lines.pop(0) != "c2sp.org/tlog-proof@v1" or not lines:
        raise Malformed("proof file")
    extra = unbase64(lines.pop(0)[6:]) if lines[0].startswith("extra ") else None
    if not lines or not lines[0].startswith("index ") or len(lines) > 64:
        raise Malformed("proof file")
    return extra, decimal(lines[0][6:]), [digest(line) for line in lines[1:]], checkpoint


def inclusion(index, leaves):
    """Proof that a leaf is in the tree, by the recursive definition."""
    if len(leaves) < 2:
        return []
    k = 1 << ((len(leaves) - 1).bit_length() - 1)
    if index < k:
        return inclusion(index, leaves[:k]) + [root_of(leaves[k:])]
    return inclusion(index - k, leaves[k:]) + [root_of(leaves[:k])]


def consistency(old, leaves, is_whole=True):
    """Proof that the tree begins with its first leaves, by the recursive definition."""
    if old == len(leaves):
        return [] if is_whole else [root_of(leaves)]
    k = 1 << ((len(leaves) - 1).bit_length() - 1)
    if old <= k:
        return consistency(old, leaves[:k], is_whole) + [root_of(leaves[k:])]
    return consistency(old - k, leaves[k:], False) + [root_of(leaves[:k])]


def root_from_inclusion(index, size, value, proof):
    """The root that a proof of inclusion leads to, or None when it has another length."""
    if index >= size:
        return None
    proof = list(proof)

    def climb(index, size):
        if size == 1:
            return value
        k = 1 << ((size - 1).bit_length() - 1)
        below = climb(index, k) if index < k else climb(index - k, size - k)
        if below is None or not proof:
            return None
        beside = proof.pop(0)
        return node(below, beside) if index < k else node(beside, below)

    root = climb(index, size)
    return None if proof else root


def consistent(old, new, old_root, new_root, proof):
    """Whether a proof shows that the tree of `new` leaves begins with that of `old`."""
    if old == new:
        return old > 0 and not proof and old_root == new_root
    if not 0 < old < new:
        return False
    proof = list(proof)

    def climb(old, new, is_whole):
        """Roots over the old and over all of these leaves."""
        if old == new:
            one = old_root if is_whole else (proof.pop(0) if proof else None)
            return (one, one)
        k = 1 << ((new - 1).bit_length() - 1)
        before, after = climb(old, k, is_whole) if old <= k else climb(old - k, new - k, False)
        if before is None or not proof:
            return (None, None)
        beside = proof.pop(0)
        if old <= k:
            return (before, node(after, beside))
        return (node(beside, before), node(beside, after))

    return climb(old, new, True) == (old_root, new_root) and not proof


def check_published(read):
    """Holds this file against the published vectors; `read(name)` loads one."""
    for case in read("merkle_inclusion_probes")["vectors"]:
        root, value, *proof = [base64.b64decode(item) for item in [case["root"], case["leafHash"], *(case["proof"] or [])]]
        whole = all(len(item) == 32 for item in (root, value, *proof))
        holds = whole and root_from_inclusion(case["leafIdx"], case["treeSize"], value, proof) == root
        assert holds != case["wantErr"], case["file"]
    for case in read("merkle_consistency_probes")["vectors"]:
        proof = [base64.b64decode(item) for item in case["proof"] or []]
        old, new = base64.b64decode(case["root1"]), base64.b64decode(case["root2"])
        # Some roots are placeholders of another length: their equality is what counts.
        whole = all(len(item) == 32 for item in proof)
        holds = whole and consistent(case["size1"], case["size2"], old, new, proof)
        assert holds != case["wantErr"], case["file"]
    for case in read("ed25519_rfc8032")["vectors"]:
        assert ed25519(*(bytes.fromhex(case[name]) for name in ("pub", "msg", "sig")))
        seed, message = bytes.fromhex(case["seed"]), bytes.fromhex(case["msg"])
        assert (public_key(seed).hex(), sign(seed, message).hex()) == (case["pub"], case["sig"])
    for case in read("ed25519_edge_cases")["vectors"]:
        wanted = not {"low_order_A", "low_order_R", "low_order_residue"} & set(case["flags"] or [])
        assert ed25519(bytes.fromhex(case["key"]), case["msg"].encode(), bytes.fromhex(case["sig"])) == wanted, case["number"]
    check_notes(read)
    leaves = [hashlib.sha256(bytes([n])).digest() for n in range(20)]
    for size in range(1, 21):
        for index in range(size):
            proof = inclusion(index, leaves[:size])
            assert root_from_inclusion(index, size, leaves[index], proof) == root_of(leaves[:size])
            proof = consistency(index + 1, leaves[:size])
            assert consistent(index + 1, size, root_of(leaves[:index + 1]), root_of(leaves[:size]), proof)


def refused(function, *arguments):
    """Whether the arguments are refused as malformed."""
    try:
        function(*arguments)
    except Malformed:
        return True
    return False


def check_notes(read):
    """Notes, checkpoints and proof files among the published vectors."""
    golang = read("signed_note_golang")
    for group in ("open_ok", "open_unverified", "open_bad_signature", "open_malformed"):
        for case in golang[group]:
            raw = case["note"].encode() if "note" in case else base64.b64decode(case["note_b64"])
            keys = [Key.parse(vkey) for vkey in case["vkeys"]]
            if group in ("open_ok", "open_unverified"):
                assert [key.name for key in open_note(raw, keys)[1]] == case.get("verified", []), case["desc"]
            else:
                assert refused(open_note, raw, keys), case["desc"]
    assert all(refused(Key.parse, case["vkey"]) for case in golang["vkey_bad"])
    bodies = read("checkpoint_bodies")
    assert all(parse_checkpoint(case["body"])[:2] == (case["origin"], case["size"]) for case in bodies["ok"])
    assert all(refused(parse_checkpoint, case["body"]) for case in bodies["bad"])
    devices = read("cosignature_v1_armoredwitness")
    keys = [Key.parse(vkey) for vkey in devices["witness_vkeys_type01"]]
    keys = [Key(key.name, 4, key.public) for key in keys]
    assert open_note(devices["note"].encode(), keys)[1] == keys
    for case in read("armoredwitness_attestations")["vectors"]:
        assert open_note(case["note"].encode(), [Key.parse(case["vkey"])])[1]
    files = read("tlog_proof_format")
    for case in files["ok"]:
        extra, index, hashes, checkpoint = parse_proof_file(case["file"].encode())
        assert (index, checkpoint.decode()) == (case["index"], case["checkpoint"])
        assert [base64.b64encode(item).decode() for item in hashes] == case["hashes_b64"]
        assert (extra and base64.b64encode(extra).decode()) == case["extra_b64"]
    assert all(refused(parse_proof_file, case["file"].encode()) for case in files["bad"])
    assert EMPTY_ROOT == hashlib.sha256().digest()
