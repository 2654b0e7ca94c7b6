"""Section 17 of format.md: frames on the wire, messages; section 19: the state of a witness on flash."""

import struct

from flash import crc32c


def cobs(data):
    """Consistent overhead byte stuffing."""
    out, rest = bytearray(), data
    while True:
        run = rest[:254].find(0)
        run = min(len(rest), 254) if run < 0 else run
        out += bytes([run + 1]) + rest[:run]
        if run == 254:
            rest = rest[run:]
            if not rest:
                return bytes(out)
            continue
        if run == len(rest):
            return bytes(out)
        rest = rest[run + 1:]


def uncobs(data):
    """What was stuffed; None where it was not."""
    out, at = bytearray(), 0
    while at < len(data):
        code = data[at]
        if code == 0 or at + code > len(data):
            return None
        out += data[at + 1:at + code]
        at += code
        if code < 255 and at < len(data):
            out.append(0)
    return bytes(out)


def message(kind, request, payload, version=1):
    head = struct.pack("<BBH", version, kind, request) + payload
    return head + struct.pack("<I", crc32c(head))


def wire(kind, request, payload):
    return b"\0" + cobs(message(kind, request, payload)) + b"\0"


def messages(data):
    """(kind, request, payload) of each frame in what came over a wire."""
    found = []
    for frame in data.split(b"\0")[:-1]:
        whole = uncobs(frame)
        if not whole or len(whole) < 8 or struct.unpack_from("<I", whole, len(whole) - 4)[0] != crc32c(whole[:-4]) or whole[0] != 1:
            continue
        found.append((whole[1], struct.unpack_from("<H", whole, 2)[0], whole[4:-4]))
    return found


HEADER, RECORD, PAIRS = 256, 160, 512
PAIR = 2 * RECORD
NOTE = 255


def state_header(carried, generation, write_seq, time, log_key, seeds, log_name, name):
    names = log_name.encode() + name.encode()
    head = struct.pack("<4sBBBBIQQ", b"LWLW", 1, carried, len(log_name.encode()), len(name.encode()), generation, write_seq, time)
    head += log_key + seeds + names.ljust(128, b"\0")
    return head + struct.pack("<I", crc32c(head))


def state_record(slot, key_id, write_seq, size, time, log_id, root, signature):
    """The bytes of a record but for its checksum."""
    return struct.pack("<BBH4sQQQ16s32s64s12x", slot, 1, 0, key_id, write_seq, size, time, log_id, root, signature)


def note(write_seq):
    return state_record(NOTE, bytes(4), write_seq, 0, 0, bytes(16), bytes(32), bytes(64))


def at(record, generation, offset):
    """A record as it stands at an offset in a half."""
    return record + struct.pack("<I", crc32c(struct.pack("<II", generation, offset) + record))


def put(image, half, generation, number, record, copies=(0, 1)):
    """Puts a record where the pair of that number goes, in the half that begins at `half`."""
    for copy in copies:
        offset = PAIRS + number * PAIR + copy * RECORD
        image[half + offset:half + offset + RECORD] = at(record, generation, offset)


def read_header(data):
    head = data[:HEADER]
    if struct.unpack_from("<I", head, 252)[0] != crc32c(head[:252]) or head[:5] != b"LWLW\x01":
        return None
    _, _, carried, first, second, generation, write_seq, time = struct.unpack_from("<4sBBBBIQQ", head)
    return {"carried": carried, "generation": generation, "write_seq": write_seq, "time": time,
            "names": (head[124:124 + first].decode(), head[124 + first:124 + first + second].decode())}


def scan(half):
    """(header, records by slot, doubly valid behind the carried, damaged) of an established half, or None."""
    header = read_header(half) or read_header(half[HEADER:])
    if header is None:
        return None
    records, established, double, damaged, doubtful, last = {}, False, False, False, False, header["write_seq"]
    for number in range((len(half) - PAIRS) // PAIR):
        copies = []
        for copy in (0, 1):
            offset = PAIRS + number * PAIR + copy * RECORD
            data = half[offset:offset + RECORD]
            valid = at(data[:-4], header["generation"], offset) == data
            copies.append(data if valid else None if data == b"\xff" * RECORD else b"")
        good = [data for data in copies if data]
        if good:
            slot, number_of = good[0][0], struct.unpack_from("<Q", good[0], 8)[0]
            damaged |= doubtful and number_of > last + 1
            doubtful, last = False, max(last, number_of)
            if slot != NOTE:
                records[slot] = good[0]
            established |= number >= header["carried"]
            double |= number >= header["carried"] and len(good) == 2
        elif number < header["carried"]:
            return None
        elif copies[1] is not None and copies[0] is not None:
            doubtful = True
    return (header, records, double, damaged or doubtful) if established else None


def read_state(image):
    """{log id: (size, root)} of what is remembered, or None where there is no state."""
    middle = len(image) // 2
    halves = [found for found in (scan(image[:middle]), scan(image[middle:])) if found]
    halves.sort(key=lambda found: found[0]["generation"])
    if not halves:
        return None
    found = halves[-1] if halves[-1][2] or len(halves) == 1 else halves[0]
    if found[3]:
        return None
    return {record[32:48]: (struct.unpack_from("<Q", record, 16)[0], record[48:80]) for record in found[1].values()}
