"""Flash logs (docs/format.md, section 16): a writer of images for the vectors, and a reader."""

import struct

from tree import genesis, leaf

HEADER, FRAME_HEAD = 96, 8
MAGIC = 0x464C574C
ENTRY, BATCH, NOTE = 0, 1, 3
STOP, BOOT, VOID = 1, 2, 3
MOST_BAD = 4


def table():
    """CRC-32/ISCSI of each byte."""
    found = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
        found.append(value)
    return found


TABLE = table()


def crc32c(data):
    value = 0xFFFFFFFF
    for byte in data:
        value = TABLE[(value ^ byte) & 0xFF] ^ value >> 8
    return value ^ 0xFFFFFFFF


def header(log2_write, log2_sector, seq, longest, sectors, log_id, run, first, acked, dropped, anchor, torn=0):
    head = struct.pack("<IBBBBIHH", MAGIC, 1, log2_write, log2_sector, torn, seq, longest, sectors) + log_id
    head += struct.pack("<IQQQ", run, first, acked, dropped) + anchor
    return head + struct.pack("<I", crc32c(head))


def parse_header(data):
    """The fields of a header, or None."""
    if len(data) < HEADER or struct.unpack_from("<I", data, 92)[0] != crc32c(data[:92]):
        return None
    magic, version, log2_write, log2_sector, torn, seq, longest, sectors = struct.unpack_from("<IBBBBIHH", data)
    run, first, acked, dropped = struct.unpack_from("<IQQQ", data, 32)
    small = all(number < 1 << 56 for number in (first, acked, dropped))
    if (magic, version) != (MAGIC, 1) or torn > 1 or log2_write > 5 or log2_sector > 20 or seq >= 1 << 31 or not small:
        return None
    if not 128 <= longest <= 4032 or longest % (1 << log2_write) or sectors < 2 or HEADER + 2 * longest > 1 << log2_sector:
        return None
    return {"w": 1 << log2_write, "sector": 1 << log2_sector, "seq": seq, "max": longest, "sectors": sectors, "log_id": data[16:32], "run": run, "first": first,
            "torn": torn, "acked": acked, "dropped": dropped, "anchor": data[60:92]}


def frame(place, kind, index, payload, write):
    """A frame at a place (seq, offset, anchor), padded."""
    seq, offset, anchor = place
    words = struct.pack("<HH", kind << 12 | len(payload), index & 0xFFFF)
    total = struct.pack("<II", seq, offset) + anchor[:4] + words + payload
    whole = words + struct.pack("<I", crc32c(total)) + payload
    return whole + b"\xff" * (-len(whole) % write)


def parse_frame(place, data, write, limit):
    """(kind, index, payload, length) of a frame; 'erased' or 'bad'."""
    if len(data) < FRAME_HEAD:
        return "bad"
    if data[:FRAME_HEAD] == b"\xff" * FRAME_HEAD:
        return "erased"
    word, index = struct.unpack_from("<HH", data)
    kind, payload = word >> 12, data[FRAME_HEAD:FRAME_HEAD + (word & 0xFFF)]
    if kind == 15 or len(payload) != word & 0xFFF or FRAME_HEAD + len(payload) > limit:
        return "bad"
    again = frame(place, kind, index, payload, write)
    if again[:FRAME_HEAD] != data[:FRAME_HEAD] or not fine(kind, payload):
        return "bad"
    return kind, index, payload, len(again)


def fine(kind, payload):
    """Whether a payload is one that its kind allows."""
    if kind == ENTRY:
        return bool(payload)
    if kind == BATCH:
        return bool(bodies(kind, payload))
    if kind == NOTE:
        if payload[:1] == bytes([BOOT]):
            return len(payload) == 46 and payload[1] <= 1 and struct.unpack_from("<Q", payload, 6)[0] < 1 << 56
        return payload in (bytes([STOP]), bytes([VOID]))
    return True


def bodies(kind, payload):
    """The bodies in a payload; of a batch that is not whole, none."""
    if kind == ENTRY:
        return [payload]
    found = []
    while kind == BATCH and payload:
        length = struct.unpack_from("<H", payload)[0] if len(payload) > 1 else 0
        if not length or length + 2 > len(payload):
            return []
        found.append(payload[2:2 + length])
        payload = payload[2 + length:]
    return found


class Writer:
    """Writes a log into an image, a place at a time, as section 16 says; what goes wrong is up to the caller."""

    def __init__(self, write, sector, sectors, longest, log_id):
        self.write, self.sector, self.sectors, self.longest, self.log_id = write, sector, sectors, longest, log_id
        self.image = bytearray(b"\xff" * sector * sectors)
        self.next, self.head, self.run, self.acked, self.dropped = 0, genesis(log_id), 0, 0, 0
        self.seq = None

    def open(self):
        """Opens the next sector."""
        self.seq = 0 if self.seq is None else self.seq + 1
        start = self.start()
        self.image[start:start + self.sector] = b"\xff" * self.sector
        self.anchor, self.offset = self.head, HEADER
        self.image[start:start + HEADER] = header(self.write.bit_length() - 1, self.sector.bit_length() - 1, self.seq, self.longest,
                                                  self.sectors, self.log_id, self.run, self.next, self.acked, self.dropped, self.head)

    def start(self):
        return self.seq % self.sectors * self.sector

    def put(self, kind, index, payload):
        """Programs a frame where the log stands, in another sector if need be."""
        size = (FRAME_HEAD + len(payload) + self.write - 1) // self.write * self.write
        if self.seq is None or self.offset + size > self.sector:
            self.open()
        whole = frame((self.seq, self.offset, self.anchor), kind, index, payload, self.write)
        at = self.start() + self.offset
        self.image[at:at + len(whole)] = whole
        self.offset += len(whole)
        return at, len(whole)

    def append(self, *added):
        """Appends bodies in one frame; where it stands."""
        payload = added[0] if len(added) == 1 else b"".join(struct.pack("<H", len(body)) + body for body in added)
        place = self.put(ENTRY if len(added) == 1 else BATCH, self.next, payload)
        for body in added:
            self.head = leaf(self.head, body)
        self.next += len(added)
        return place

    def stop(self):
        return self.put(NOTE, self.next, bytes([STOP]))

    def void(self):
        self.skip()
        return self.put(NOTE, 0, bytes([VOID]))

    def skip(self):
        """Leaves room for a torn frame."""
        self.offset = (self.offset + self.longest + self.longest - 1) // self.longest * self.longest

    def boot(self, torn=0, skip=True):
        """A start, behind a clean stop or not."""
        self.run += 1
        if skip:
            self.skip()
        return self.put(NOTE, self.next, struct.pack("<BBIQ", BOOT, torn, self.run, self.next) + self.head)


class Reader:
    """Reads the log in an image of whole sectors."""

    def __init__(self, image, sector):
        self.image, self.sector, self.sectors = bytes(image), sector, len(image) // sector
        headers = [parse_header(self.image[at:at + HEADER]) for at in range(0, len(image), sector)]
        known = [found if found and (found["sector"], found["sectors"]) == (sector, self.sectors) and found["seq"] % self.sectors == place else None
                 for place, found in enumerate(headers)]
        self.newest = max((found for found in known if found), key=lambda found: found["seq"])
        keys = ("log_id", "w", "sector", "max", "sectors")
        self.headers = [found if found and all(found[key] == self.newest[key] for key in keys) else None for found in known]
        self.write, self.max = self.newest["w"], self.newest["max"]
        for _ in range(MOST_BAD + 1):
            following = self.header(self.newest["seq"] + 1)
            if following is None:
                break
            self.newest = following
        frames, state = self.frames(self.newest)
        is_empty = not frames or state["void"]
        self.next = self.newest["first"] if is_empty else state["next"]
        self.head = self.newest["anchor"] if is_empty else state["head"]
        self.torn = bool(self.newest["torn"]) if is_empty else state["torn"] or state["broken"]
        self.run = self.newest["run"] if is_empty else state["run"]

    def header(self, seq):
        """The header of that seq, or what the sector before says it was."""
        at = seq % self.sectors
        found = self.headers[at]
        if found:
            return found if found["seq"] == seq else None
        if self.image[at * self.sector:at * self.sector + HEADER] == b"\xff" * HEADER:
            return None
        for back in range(1, min(MOST_BAD, self.sectors - 1) + 1):
            if back > seq:
                return None
            found = self.headers[(seq - back) % self.sectors]
            if found:
                break
        if not found or found["seq"] != seq - back:
            return None
        for _ in range(back):
            state = self.frames(found)[1]
            found = {**found, "seq": found["seq"] + 1, "run": state["run"], "first": state["next"], "anchor": state["head"],
                     "torn": int(state["torn"] or state["broken"])}
            if not self.frames(found)[0]:
                return None
        return found

    def frames(self, found):
        """The frames of a sector as (kind, index of the first entry or None, payload), and what is known behind them."""
        state = {"next": found["first"], "head": found["anchor"], "run": found["run"], "torn": bool(found["torn"]),
                 "broken": False, "void": False}
        start, offset, frames = found["seq"] % self.sectors * self.sector, HEADER, []
        while offset < self.sector:
            room = min(self.sector - offset, self.max)
            data = self.image[start + offset:start + offset + room]
            seen = parse_frame((found["seq"], offset, found["anchor"]), data, self.write, room)
            if seen == "erased":
                offset = (offset // self.max + 1) * self.max
            elif seen == "bad":
                offset += self.write
            else:
                kind, index, payload, length = seen
                frames.append((kind, self.take(kind, index, payload, state), payload, state["next"]))
                offset += length
        return frames, state

    @staticmethod
    def take(kind, index, payload, state):
        """Takes a frame in; the index of its first entry."""
        state["void"] = kind == NOTE and payload[0] == VOID
        if kind == NOTE and payload[0] == BOOT:
            state["broken"], state["torn"] = False, payload[1] == 1
            state["run"], state["next"] = struct.unpack_from("<IQ", payload, 2)
            state["head"] = payload[14:]
        is_stop = kind == NOTE and payload[0] == STOP
        ahead = (index - state["next"]) & 0xFFFF
        if kind not in (ENTRY, BATCH) and not is_stop or ahead >= 1 << 15:
            return None
        first = state["next"] + ahead
        state["broken"] = state["broken"] or ahead > 0
        if is_stop:
            state["next"] = first
            return None
        state["torn"] = False
        for body in bodies(kind, payload):
            state["head"] = leaf(state["head"], body)
        state["next"] = first + len(bodies(kind, payload))
        return first

    def kept(self):
        """The sectors that count, oldest first."""
        newest = self.newest["seq"]
        found = [self.header(seq) for seq in range(max(0, newest + 1 - self.sectors), newest + 1)]
        return [each for each in found if each and each["first"] <= self.next]

    def entries(self):
        """Index to body of all that is there."""
        kept, found = self.kept(), {}
        for number, sector in enumerate(kept):
            frames, state = self.frames(sector)
            after = kept[number + 1]["first"] if number + 1 < len(kept) else self.next
            for place, (kind, first, payload, _) in enumerate(frames):
                notes = [behind for (_, index, _, behind) in frames[place + 1:] if index is None]
                end = 0 if state["void"] else min([after, self.next] + notes)
                for offset, body in enumerate(bodies(kind, payload) if first is not None else []):
                    if first + offset < end:
                        found[first + offset] = body
        return found
