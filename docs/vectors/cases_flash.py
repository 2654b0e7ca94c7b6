"""Vector cases of flash logs: images, and what is read in them."""

from itertools import chain

from cases_body import AUDIT, INFERENCE, columns
from codec import encode_body
from flash import HEADER, Reader, Writer
from writer import fixed, uuid7, BASE_TIME

LOG_ID = fixed("flash log id", 16)


def body(index, large=False):
    """A body of an entry of a device."""
    kind = ("inference", INFERENCE) if index % 3 else ("audit", AUDIT)
    header = {"recorded": BASE_TIME + index, "monotonic": index, "run": 1, "clock": 0, "id": uuid7(BASE_TIME, "flash %d" % index),
              "severity": 2, "redactions": 0, "redaction_kinds": 0, "redaction_policy": 0}
    if large:
        header["module"] = "m" * 30
    return encode_body(columns(*kind, header=header, seq=index))


def log(write=4, sector=512, sectors=3, longest=128):
    return Writer(write, sector, sectors, longest, LOG_ID)


def fill(made, count):
    for _ in range(count):
        made.append(body(made.next))
    return made


def honest():
    """Name, what it is about, the writer."""
    yield "one", "a single entry", fill(log(), 1)
    yield "full", "the ring went around twice", fill(log(), 40)
    for write in (1, 2, 8, 16, 32):
        yield "write-%d" % write, "write size of %d bytes" % write, fill(log(write, sectors=2), 9)
    made = fill(log(sector=1024, longest=256), 2)
    made.append(*[body(made.next + more) for more in range(3)])
    yield "batch", "several entries in a frame", fill(made, 2)
    made = fill(log(sector=1024), 3)
    made.acked, made.dropped = 2, 7
    made.stop()
    made.boot(skip=False)
    yield "stopped", "a clean stop, then a start", fill(made, 6)
    made = fill(log(sector=1024), 3)
    made.boot()
    yield "started", "a start without a clean stop", fill(made, 2)
    made = fill(log(sector=1024), 2)
    made.put(9, made.next, b"of a later version")
    yield "later-kind", "a frame of a later version is passed over", fill(made, 2)


def damaged():
    """The same for images that something went wrong with."""
    made = fill(log(sector=1024), 3)
    at, _ = made.append(body(made.next))
    made.image[at + 20] ^= 1
    yield "torn", "the last frame is torn", made
    made.next, made.head = made.next - 1, Reader(made.image, 1024).head
    made.boot()
    yield "torn-started", "a torn frame, then a start that uses its index again", fill(made, 2)
    made = fill(log(sector=1024), 3)
    kept = made.next, made.head
    made.append(body(made.next))
    made.next, made.head = kept
    made.boot()
    yield "torn-late", "a frame that was torn and reads as whole, then a start that did not see it", fill(made, 1)
    made = fill(log(sector=1024), 1)
    at, _ = made.append(body(made.next))
    fill(made, 3)
    made.image[at] ^= 8
    yield "rotten-frame", "a frame in the middle has rotten", made
    made = fill(log(), 12)
    made.image[made.start() + 20] ^= 1
    yield "rotten-newest", "the newest header has rotten", made
    made = fill(log(), 12)
    made.image[(made.seq - 1) % 3 * 512 + 60] ^= 0x80
    yield "rotten-header", "a header in the middle has rotten", made
    made = fill(log(), 16)
    made.image[(made.seq + 1) % 3 * 512 + 91] ^= 4
    yield "rotten-oldest", "the oldest header has rotten: its entries are gone", made
    made = fill(log(sector=1024), 9)
    made.open()
    yield "opened", "a sector was opened and holds nothing", made
    made.append(body(made.next))
    made.next -= 1
    made.void()
    yield "void", "a sector that is about to be erased again", made
    made = fill(log(), 14)
    position = (made.seq + 1) % 3 * 512
    made.image[position:position + HEADER] = b"\xff" * HEADER
    yield "erasing", "the oldest sector was being erased", made
    made = fill(log(sector=1024), 3)
    at, _ = made.append(body(made.next))
    made.stop()
    made.image[at + 20] ^= 1
    yield "rotten-stopped", "the last frame before a clean stop has rotten: its index is not used again", made
    made.head = Reader(made.image, 1024).head
    made.boot(torn=1, skip=False)
    made.boot(torn=1)
    yield "told-twice", "two starts in a row say that an entry before is lost", made
    yield "told", "an entry follows on them", fill(made, 1)


def flash_vectors():
    found = []
    for name, about, made in chain(honest(), damaged()):  # one after the other: some go on from the one before
        reader = Reader(made.image, made.sector)
        entries = reader.entries()
        found.append({"name": "flash-" + name, "type": "flash", "about": about, "sector": made.sector, "image": bytes(made.image).hex(),
                      "log_id": LOG_ID.hex(), "write": reader.write, "max": reader.max, "run": reader.run, "next": reader.next,
                      "first": min([sector["first"] for sector in reader.kept()] + [reader.next]), "head": reader.head.hex(),
                      "torn": reader.torn, "acked": reader.newest["acked"], "dropped": reader.newest["dropped"],
                      "entries": [[index, entry.hex()] for index, entry in sorted(entries.items())]})
    return found
