"""Vector cases of the link to a device, and of the state of a witness."""

import struct

import link
from writer import fixed

LOG_ID = fixed("link log id", 16)
ROOT, OTHER = fixed("link root", 32), fixed("link other root", 32)


def status(first=10, following=500, acked=7, torn=0):
    return LOG_ID + struct.pack("<IQQQQQI", 9, first, following, acked, 3, 1, 4) + ROOT + bytes([torn])


def entries(asked, index, known, before, *bodies):
    return struct.pack("<QQB", asked, index, known) + before + b"".join(struct.pack("<H", len(body)) + body for body in bodies)


def told(kind, request, payload, parsed):
    return {"kind": kind, "request": request, "payload": payload.hex(), "parsed": parsed}


def lines():
    """Name, what it is about, the bytes, the messages in them."""
    parsed = {"status": {"log_id": LOG_ID.hex(), "run": 9, "first": 10, "next": 500, "acked": 7, "reclaimed": 3, "dropped": 1, "laps": 4,
                         "head": ROOT.hex(), "torn": False}}
    yield "status", "a status is asked for and told", link.wire(1, 258, b"") + link.wire(0x81, 258, status()), [
        told(1, 258, b"", {"ask_status": True}), told(0x81, 258, status(), parsed)]
    ask = struct.pack("<QB", 77, 32)
    some = entries(77, 79, 1, ROOT, b"\x01\x00\xff", b"\x00" * 300)
    yield "entries", "entries, two of those that were asked for are not there", link.wire(2, 1, ask) + link.wire(0x82, 1, some), [
        told(2, 1, ask, {"ask_read": {"from": 77, "messages": 32}}),
        told(0x82, 1, some, {"entries": {"asked": 77, "index": 79, "before": ROOT.hex(), "torn": False, "bodies": ["0100ff", "00" * 300]}})]
    last = entries(81, 81, 2, ROOT)
    yield "last", "there are no more, and the device lost some before", link.wire(0x82, 2, last), [
        told(0x82, 2, last, {"entries": {"asked": 81, "index": 81, "before": ROOT.hex(), "torn": True, "bodies": []}})]
    upto = struct.pack("<Q", 81)
    yield "acknowledge", "entries are safe; the answer is a status", link.wire(3, 3, upto) + link.wire(0x83, 3, status(torn=1)), [
        told(3, 3, upto, {"ask_acknowledge": 81}), told(0x83, 3, status(torn=1), {"status": {**parsed["status"], "torn": True}})]
    yield "refused", "a request that the device does not know", link.wire(9, 4, b"x") + link.wire(0xFF, 4, b""), [
        told(9, 4, b"x", None), told(0xFF, 4, b"", {"refused": True})]
    for run in (253, 254, 255, 508, 509):
        payload = b"\x07" * (run - 4)
        yield "run-%d" % run, "so many bytes without a zero, then the checksum", link.wire(200, 0x0101, payload), [told(200, 0x0101, payload, None)]
    good = link.wire(1, 5, b"")
    noise = b"noise\0" + good[1:-2] + b"\0" + good[:4] + b"\0" + good
    yield "noise", "noise, a frame cut short, one without its end, and one that is whole", noise, [told(1, 5, b"", {"ask_status": True})]
    later = b"\0" + link.cobs(link.message(1, 6, b"", version=2)) + b"\0"
    yield "later-version", "a message of a later version is dropped", later + good, [told(1, 5, b"", {"ask_status": True})]
    wrong = {"first-above-next": status(first=501), "acked-above-next": status(acked=501), "no-flag": status(torn=2), "number": status(following=1 << 57)}
    for name, payload in wrong.items():
        yield "bad-status-" + name, "a status that no log can have", link.wire(0x81, 7, payload), [told(0x81, 7, payload, None)]
    wrong = {"empty": entries(1, 1, 1, ROOT, b""), "cut": entries(1, 1, 1, ROOT, b"abc")[:-1], "backwards": entries(5, 4, 1, ROOT, b"a"),
             "unknown-leaf": entries(1, 1, 0, ROOT, b"a")}
    for name, payload in wrong.items():
        yield "bad-entries-" + name, "entries that are none", link.wire(0x82, 8, payload), [told(0x82, 8, payload, None)]
    nonce = fixed("link nonce", 32)
    asks = [(16, struct.pack("<Q", 1_800_000_000) + b"old 0\n\nnote", {"add": {"time": 1_800_000_000, "request": b"old 0\n\nnote".hex()}}),
            (17, b"lowlight/00", {"latest": "lowlight/00"}), (18, nonce + b"lowlight/00", {"attest": {"nonce": nonce.hex(), "origin": "lowlight/00"}}),
            (19, b"", {"info": True}), (20, b"\x01\x05boardVKEY", {"provision": {"seeds": None, "name": "board", "vkey": "VKEY"}}),
            (20, b"\x00" + nonce * 2 + b"\x05boardVKEY", {"provision": {"seeds": (nonce * 2).hex(), "name": "board", "vkey": "VKEY"}}),
            (20, b"\x02\x05boardVKEY", None), (19, b"x", None), (17, b"\xff", None)]
    yield "witness", "what a witness is asked", b"".join(link.wire(kind, 9, payload) for kind, payload, _ in asks), [
        told(kind, 9, payload, parsed) for kind, payload, parsed in asks]


H = 4096
KEY_ID, SIGNATURE = fixed("witness key id", 4), fixed("witness signature", 64)


class State:
    """Writes a state as section 19 says; what goes wrong is up to the caller."""

    def __init__(self):
        self.image, self.half, self.generation, self.number, self.write_seq = bytearray(b"\xff" * 2 * H), 0, 0, 0, 0
        self.records = {}

    def header(self):
        carried, seeds = len(self.records), fixed("witness seeds", 64)
        return link.state_header(carried, self.generation, self.write_seq, 1_800_000_000, fixed("witness log key", 32), seeds, "lowlight", "board")

    def open(self, erases=True):
        """Opens the other half."""
        old, self.generation, self.number = self.half, self.generation + 1, 0
        self.half = 0 if self.generation == 1 else H - old
        self.image[self.half:self.half + 2 * link.HEADER] = self.header() * 2
        for record in self.records.values():
            self.put(record)
        self.write_seq += 1
        self.put(link.note(self.write_seq))
        if erases and self.generation > 1:
            self.image[old:old + H] = b"\xff" * H

    def put(self, record, copies=(0, 1)):
        link.put(self.image, self.half, self.generation, self.number, record, copies)
        self.number += 1

    def record(self, slot, size, copies=(0, 1), root=None):
        self.write_seq += 1
        log_id = bytes([slot]) * 16
        made = link.state_record(slot, KEY_ID, self.write_seq, size, 1_800_000_000 + size, log_id, root or fixed("root %d %d" % (slot, size), 32), SIGNATURE)
        self.put(made, copies)
        if copies:
            self.records[slot] = made

    def pair(self, number):
        return self.half + link.PAIRS + number * link.PAIR


def begun(*sizes):
    made = State()
    made.open()
    for number, size in enumerate(sizes):
        made.record(number % 4, size)
    return made


def states():
    """Name, what it is about, the state."""
    yield "none", "erased flash", State()
    yield "fresh", "provisioned, and nothing was seen", begun()
    yield "some", "four logs, two of them seen twice", begun(1, 2, 3, 4, 5, 6)
    made = begun(1, 2, 3, 4, 5)
    made.open()
    made.record(1, 9)
    yield "turned", "taken over into the other half", made
    made = begun(1, 2)
    made.record(0, 7, copies=(0,))
    yield "half-written", "power went before the second copy: the first counts", made
    made = begun(1, 2)
    made.record(0, 7, copies=())
    made.image[made.pair(3):made.pair(3) + 50] = b"\x5a" * 50
    yield "torn", "power went in the first copy: nothing was signed", made
    made = begun(1, 2)
    made.image[made.pair(2) + 60] ^= 1
    yield "one-rotten", "a copy rots", made
    made.image[made.pair(2) + link.RECORD + 60] ^= 1
    yield "both-rotten", "both copies rot: there is no state", made
    made.record(1, 8)
    yield "both-rotten-before", "both copies of a record rot before another: a number is missing, so there is no state", made
    made = begun(1, 2)
    made.write_seq -= 1
    made.image[made.pair(3):made.pair(4)] = b"\x5a" * link.PAIR
    made.number += 1
    made.write_seq += 1
    made.record(1, 8)
    yield "scrap", "a pair that cannot be read, and no number is missing", made
    made = begun(1, 2)
    made.image[made.pair(5) + link.RECORD + 9] ^= 1
    yield "stray", "a bit of a second copy that was never written has changed", made
    made = begun(1, 2)
    made.image[made.half + 100] ^= 1
    yield "header-rotten", "a copy of the header rots", made
    made = begun(1, 2, 3)
    made.open(erases=False)
    yield "not-erased", "power went before the other half was erased", made
    made = begun(1, 2, 3)
    made.open(erases=False)
    made.image[made.pair(3) + link.RECORD:made.pair(4)] = b"\xff" * link.RECORD
    yield "not-complete", "the note has one copy: the other half is the state", made
    made = begun(1, 2, 3)
    made.open(erases=False)
    made.image[made.pair(3):made.pair(4)] = b"\xff" * link.PAIR
    made.image[made.pair(2):made.pair(3)] = b"\xff" * link.PAIR
    yield "not-opened", "power went while the other half was opened", made
    made = begun(1)
    made.image[made.pair(2):made.pair(2) + link.RECORD] = made.image[made.pair(1):made.pair(1) + link.RECORD]
    yield "displaced", "a record at another place is none, and both copies of its pair are not there", made


def link_vectors():
    found = []
    for name, about, data, wanted in lines():
        heard = [(item["kind"], item["request"], bytes.fromhex(item["payload"])) for item in wanted]
        assert link.messages(data) == heard, name
        found.append({"name": "link-" + name, "type": "link", "about": about, "wire": data.hex(), "messages": wanted})
    for name, about, made in states():
        image = bytes(made.image)
        remembered = link.read_state(image)
        logs = None if remembered is None else {log.hex(): {"size": size, "root": root.hex()} for log, (size, root) in sorted(remembered.items())}
        found.append({"name": "witness-" + name, "type": "witness", "about": about, "half": H, "image": image.hex(), "logs": logs})
    return found
