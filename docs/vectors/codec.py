"""Bodies of entries: the types of format.md sections 1 to 3, encoded and decoded.

Every type has `put` (value to bytes, checks only what it must to make bytes) and `get` (bytes to value, refuses
everything section 2 says a decoder refuses). A value wrapped in `Lit` is emitted as it is: tests make bad bodies so.
"""

import re

MAX_BODY = 2048
MAX_FIELDS = 16
MAX_INT = 2**63 - 1
UNKNOWN = 255

KINDS = ["open", "inference", "audit", "log", "lifecycle", "gap", "tombstone", "policy", "key_change", "import"]
CLOCK = ["unset", "rtc", "synchronised"]
SEVERITY = ["trace", "debug", "info", "warn", "error", "fatal"]
TOKENS_SOURCE = ["reported", "derived", "estimated"]
REASON = ["queue_full", "sampled", "disk_full", "rejected", "device_reset"]
STATE = ["kept", "hash_only"]
FIELDS = ["prompt", "response", "message", "attributes", "actor", "error", "resource_id", "before", "after",
          "correlation_id", "session_id", "actor_metadata", "reason"]


def field_name(field):
    """Name of a field id in exports."""
    if field < len(FIELDS):
        return FIELDS[field]
    return ("field_%d" if field < 32 else "app_%d") % field


FIELD_IDS = {field_name(i): i for i in range(64)}


class Bad(ValueError):
    """The bytes or the values are not what the format allows."""


class Lit(bytes):
    """Bytes to be emitted in the place of a value, unchecked."""


class Reader:
    """A position in bytes."""

    def __init__(self, data):
        self.data, self.pos = data, 0

    def take(self, count):
        """The next `count` bytes."""
        if count > len(self.data) - self.pos:
            raise Bad("ends too early")
        self.pos += count
        return self.data[self.pos - count:self.pos]

    def byte(self):
        """The next byte as a number."""
        return self.take(1)[0]

    def varint(self):
        """A varint of at most 64 bits in its shortest form."""
        value = shift = 0
        while True:
            byte = self.byte()
            if shift == 63 and byte > 1:
                raise Bad("varint over 64 bits")
            value |= (byte & 127) << shift
            if byte < 128:
                if byte == 0 and shift:
                    raise Bad("varint longer than needed")
                return value
            shift += 7

    def done(self):
        """Refuses bytes left over."""
        if self.pos != len(self.data):
            raise Bad("bytes left over")


def varint(number):
    """Shortest varint of a number that is not negative."""
    if number < 0:
        raise Bad("negative")
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
    return bytes(out)


def emit(kind, value):
    """`kind.put(value)`, or the literal bytes given in its place."""
    return bytes(value) if isinstance(value, Lit) else kind.put(value)


class Byte:
    """u8, bool and enum without payload: a byte below a limit."""

    sql = "INTEGER"

    def __init__(self, limit=256):
        self.limit = limit

    def put(self, value):
        if not 0 <= value <= 255:
            raise Bad("not a byte")
        return bytes([value])

    def get(self, reader):
        value = reader.byte()
        if value >= self.limit:
            raise Bad("byte %d not allowed here" % value)
        return value


class Varint:
    """Unsigned integer."""

    sql = "INTEGER"

    def __init__(self, most=MAX_INT, least=0):
        self.most, self.least = most, least

    def put(self, value):
        return varint(value)

    def get(self, reader):
        value = reader.varint()
        if not self.least <= value <= self.most:
            raise Bad("integer outside its limit")
        return value


class Zigzag:
    """Signed integer of 64 bits."""

    sql = "INTEGER"

    def put(self, value):
        return varint(((value << 1) ^ (value >> 63)) & (2**64 - 1))

    def get(self, reader):
        value = reader.varint()
        return (value >> 1) ^ -(value & 1)


class Raw:
    """A fixed number of bytes."""

    sql = "BLOB"

    def __init__(self, size):
        self.size = size

    def put(self, value):
        data = bytes(value)
        if len(data) != self.size:
            raise Bad("not %d bytes" % self.size)
        return data

    def get(self, reader):
        return reader.take(self.size)


class Text:
    """UTF-8 with a cap; `token` restricts the alphabet, `least` the shortest length."""

    sql = "TEXT"

    def __init__(self, cap, least=0, token=False):
        self.cap, self.least, self.token = cap, least, token

    def put(self, value):
        data = value.encode() if isinstance(value, str) else bytes(value)
        return varint(len(data)) + data

    def get(self, reader):
        size = reader.varint()
        if not self.least <= size <= self.cap:
            raise Bad("text too long or too short")
        data = reader.take(size)
        if b"\0" in data:
            raise Bad("text contains U+0000")
        if self.token and not re.fullmatch(rb"[a-z0-9_.-]+", data):
            raise Bad("not a token")
        try:
            return data.decode("utf-8", "strict")
        except UnicodeDecodeError:
            raise Bad("not UTF-8") from None


class Opt:
    """Absent (None) or a value."""

    def __init__(self, inner):
        self.inner = inner
        self.sql = getattr(inner, "sql", None)

    def put(self, value):
        return b"\0" if value is None else b"\1" + emit(self.inner, value)

    def get(self, reader):
        flag = reader.byte()
        if flag > 1:
            raise Bad("option byte")
        return self.inner.get(reader) if flag else None


class Many:
    """A list with a greatest length; `follows(before, item)` says whether the order is allowed."""

    def __init__(self, inner, most, follows=None):
        self.inner, self.most, self.follows = inner, most, follows

    def put(self, value):
        return varint(len(value)) + b"".join(emit(self.inner, item) for item in value)

    def get(self, reader):
        count = reader.varint()
        if count > self.most:
            raise Bad("list too long")
        items = []
        for _ in range(count):
            item = self.inner.get(reader)
            if items and self.follows and not self.follows(items[-1], item):
                raise Bad("items out of order")
            items.append(item)
        return items


class Struct:
    """Named parts one after the other."""

    def __init__(self, *parts):
        self.parts = parts

    def put(self, value):
        return b"".join(emit(kind, value.get(name)) for name, kind in self.parts)

    def get(self, reader):
        return {name: kind.get(reader) for name, kind in self.parts}


class Cases:
    """Enum whose cases have payloads: the value is the payload with "case" added."""

    def __init__(self, *cases):
        self.cases = cases

    def put(self, value):
        case = value["case"]
        return Byte().put(case) + self.cases[case].put(value)

    def get(self, reader):
        case = Byte(len(self.cases)).get(reader)
        return {"case": case, **self.cases[case].get(reader)}


INT, INT32, BOOL, TIME = Varint(), Varint(2**32 - 1), Byte(2), Zigzag()
SEQ = Varint(2**56 - 1)
TOKEN = Text(32, 1, True)


def opt_text(cap):
    """Optional text with a cap."""
    return Opt(Text(cap))


HEADER = Struct(
    ("recorded", TIME), ("occurred", Opt(TIME)), ("monotonic", INT), ("run", INT), ("clock", Byte(3)),
    ("id", Raw(16)), ("severity", Byte(6)), ("app", opt_text(64)), ("environment", opt_text(32)),
    ("module", opt_text(128)), ("trace_id", opt_text(64)), ("span_id", opt_text(32)), ("parent_id", opt_text(32)),
    ("request_id", opt_text(128)), ("redactions", INT32), ("redaction_kinds", INT), ("redaction_policy", INT32))

SLOT = Struct(("field", Byte(64)), ("state", Byte(2)), ("cut_from", Opt(INT)), ("commitment", Raw(32)))
SLOTS = Many(SLOT, MAX_FIELDS, lambda a, b: a["field"] < b["field"])

RULE = Struct(("kind", Opt(Byte())), ("status", Opt(TOKEN)), ("min_age_s", INT), ("max_age_s", INT),
              ("content_only", BOOL))
POLICY = Struct(("number", INT32), ("max_entries", INT), ("max_bytes", INT), ("rules", Many(RULE, 8)))
RUN = Struct(("start", Varint(2**56)), ("length", Varint(2**56, least=1)))
RUNS = Many(RUN, 32, lambda a, b: a["start"] + a["length"] < b["start"])

LIFECYCLE = Cases(
    Struct(("software", Text(64)), ("build", opt_text(64)), ("device", opt_text(64))),
    Struct(("received", INT), ("written", INT), ("lost", INT)),
    Struct(("run", INT), ("last_seq", Opt(INT)), ("at_most", INT)),
    Struct(("name", Text(128)), ("digest", opt_text(96))),
    Struct(("digest", Raw(32))),
    Struct(("number", INT), ("digest", Raw(32))),
    Struct(("before", TIME), ("after", TIME), ("quality", Byte(3))),
    Struct(("first", INT), ("end", INT), ("entries", INT)),
    Struct(("code", TOKEN), ("detail", Text(256))))

EVENTS = [
    Struct(("log_id", Raw(16)), ("role", Byte(2)), ("true_random", BOOL), ("policy", POLICY), ("vkey", opt_text(256)),
           ("erasure_vkey", opt_text(256)),
           ("predecessor", Opt(Struct(("log_id", Opt(Raw(16))), ("size", Opt(INT)), ("root", Opt(Raw(32))))))),
    Struct(("operation", TOKEN), ("provider", opt_text(64)), ("model", Text(128, 1)), ("model_actual", opt_text(128)),
           ("model_digest", opt_text(96)), ("status", TOKEN), ("error_type", opt_text(64)),
           ("finish_reason", opt_text(64)), ("duration_ns", Opt(INT)), ("ttft_ns", Opt(INT)),
           ("input_tokens", Opt(INT)), ("output_tokens", Opt(INT)), ("cached_tokens", Opt(INT)),
           ("reasoning_tokens", Opt(INT)), ("tokens_source", Opt(Byte(3))), ("attempt", Opt(INT32)),
           ("tier", opt_text(32)), ("cost_nano_usd", Opt(INT)), ("rate_version", opt_text(32))),
    Struct(("event_type", Text(64, 1, True)), ("registered", BOOL), ("action", opt_text(128)), ("outcome", Opt(TOKEN)),
           ("resource", opt_text(128)), ("auth_method", opt_text(64)), ("cost_nano_usd", Opt(INT)),
           ("rate_version", opt_text(32))),
    Struct(("target", opt_text(128)), ("file", opt_text(256)), ("line", Opt(INT32)), ("function", opt_text(128))),
    LIFECYCLE,
    Struct(("reason", Byte(5)), ("lost", Varint(least=1)), ("lost_from", TIME), ("lost_to", TIME)),
    Struct(("fields", Varint(2**64 - 1)), ("cause", Cases(Struct(("policy", INT)), Struct())), ("runs", RUNS)),
    Struct(("policy", POLICY), ("signature", Opt(Raw(64)))),
    Struct(("old_vkey", Text(256)), ("new_vkey", Text(256, 1)), ("signature", Raw(64))),
    Struct(("log_id", Raw(16)), ("first", INT), ("end", INT), ("head_before", Raw(32)), ("head_after", Raw(32)),
           ("digest", Raw(32))),
]
COLUMN_KINDS = {1, 2, 3, 5}  # kinds whose payload is spread over columns; the others keep it in `event`


def parse(kind, data):
    """Decodes all of `data` as one value of a type."""
    reader = Reader(data)
    value = kind.get(reader)
    reader.done()
    return value


def decode_body(body):
    """Body to columns; kind 255 with `raw` when not understood (`seq` None in an unknown version)."""
    if len(body) > MAX_BODY:
        raise Bad("body over %d bytes" % MAX_BODY)
    reader = Reader(body)
    if reader.byte() != 1:
        return {"seq": None, "kind": UNKNOWN, "raw": bytes(body)}
    seq = SEQ.get(reader)
    header = HEADER.get(reader)
    kind = reader.byte()
    if kind >= len(KINDS):
        if kind > 127:
            raise Bad("kind %d" % kind)
        return {"seq": seq, "kind": UNKNOWN, "raw": bytes(body)}
    start = reader.pos
    event = EVENTS[kind].get(reader)
    columns = {"seq": seq, "kind": kind, **header}
    columns.update(event if kind in COLUMN_KINDS else {"event": bytes(body[start:reader.pos])})
    start = reader.pos
    SLOTS.get(reader)
    reader.done()
    columns["fields"] = bytes(body[start:])
    return columns


def encode_rest(columns):
    """Everything of a body after version and seq, from columns; limits are not checked here."""
    kind = columns["kind"]
    if isinstance(kind, Lit) or kind not in COLUMN_KINDS:
        event = columns["event"]
    else:
        event = EVENTS[kind].put(columns)
    return HEADER.put(columns) + emit(Byte(), kind) + event + columns["fields"]


def encode_body(columns):
    """Columns to a body; limits are not checked here (decode it to check)."""
    if columns["kind"] == UNKNOWN:
        return columns["raw"]
    return b"\1" + emit(INT, columns["seq"]) + encode_rest(columns)
