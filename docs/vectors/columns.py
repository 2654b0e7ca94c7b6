"""Columns of format.md section 6 and lines of exports (section 7): from them to bodies, and back."""

import json

import tree
from codec import (CLOCK, COLUMN_KINDS, EVENTS, FIELD_IDS, HEADER, KINDS, MAX_INT, REASON, SEVERITY, SLOTS,
                   STATE, TOKENS_SOURCE, UNKNOWN, Bad, decode_body, encode_rest, field_name, parse, varint)

HEADER_COLUMNS = [name for name, _ in HEADER.parts]
SQL_TYPES = {"seq": "INTEGER", "kind": "INTEGER", **{name: kind.sql for name, kind in HEADER.parts}}
for _kind in sorted(COLUMN_KINDS):
    SQL_TYPES.update({name: kind.sql for name, kind in EVENTS[_kind].parts})
SQL_TYPES.update({"event": "BLOB", "raw": "BLOB", "fields": "BLOB", "leaf": "BLOB"})
COLUMNS = list(SQL_TYPES)
ENUMS = {"kind": KINDS, "clock": CLOCK, "severity": SEVERITY, "tokens_source": TOKENS_SOURCE, "reason": REASON}


class SqlText(bytes):
    """What a database or a JSON string gave as text, not yet known to be UTF-8."""


class WrongLine(ValueError):
    """A line of an export that is not one of the lines section 7 knows."""


def own_columns(kind):
    """Columns that belong to a kind, besides `seq`, `kind` and `leaf`."""
    if kind == UNKNOWN:
        return ["raw"]
    own = [name for name, _ in EVENTS[kind].parts] if kind in COLUMN_KINDS else ["event"]
    return HEADER_COLUMNS + own + ["fields"]


def has_sql_type(value, sql):
    """Whether a value is of the storage class of a column."""
    if sql == "INTEGER":
        return type(value) is int and -MAX_INT - 1 <= value <= MAX_INT
    if sql == "TEXT":
        return isinstance(value, SqlText)
    return isinstance(value, bytes) and not isinstance(value, SqlText)


class Row:
    """One entry as stored: its stored leaf, and either what makes its body or why there is none (`error`)."""

    def __init__(self, seq, columns):
        self.seq, self.kind = seq, columns.get("kind")
        self.slots, self.event, self.rest, self.raw, self.error = [], None, None, None, None
        self.contents = {}
        self.leaf_only = False
        self.recorded, self.clock, self.status = columns.get("recorded"), columns.get("clock"), None
        leaf = columns.get("leaf")
        self.leaf = bytes(leaf) if has_sql_type(leaf, "BLOB") and len(leaf) == 32 else None
        try:
            self.assemble(columns)
            if self.leaf is None:
                raise Bad("leaf is not 32 bytes")
        except Bad as problem:
            self.error = str(problem)

    def assemble(self, columns):
        """Makes the body from the columns or raises Bad."""
        kind = columns.get("kind")
        if type(kind) is not int or not (0 <= kind < len(KINDS) or kind == UNKNOWN):
            raise Bad("kind")
        if not 0 <= self.seq <= MAX_INT:
            raise Bad("seq")
        own = own_columns(kind)
        for name in COLUMNS[2:-1]:
            value = columns.get(name)
            if value is None:
                continue
            if name not in own:
                raise Bad("%s does not belong to the kind" % name)
            if not has_sql_type(value, SQL_TYPES[name]):
                raise Bad("%s has another type" % name)
        if kind == UNKNOWN:
            self.assemble_raw(columns.get("raw"))
        else:
            self.assemble_known(kind, {name: columns.get(name) for name in own})

    def assemble_raw(self, raw):
        """A body that is not understood."""
        if raw is None:
            raise Bad("raw is NULL")
        found = decode_body(raw)
        if found["kind"] != UNKNOWN:
            raise Bad("raw is a body that is understood")
        if found["seq"] is None:
            self.raw = bytes(raw)
        elif found["seq"] != self.seq:
            raise Bad("seq inside raw differs")
        else:
            self.rest = bytes(raw[1 + len(varint(self.seq)):])

    def assemble_known(self, kind, columns):
        """A body of version 1."""
        columns["kind"] = kind
        for name in ("event", "fields"):
            if name in columns and columns[name] is None:
                raise Bad("%s is NULL" % name)
        self.slots = parse(SLOTS, columns["fields"])
        if "event" in columns:
            self.event = parse(EVENTS[kind], columns["event"])
        try:
            rest = encode_rest(columns)
        except TypeError:
            raise Bad("a column is NULL that must not be") from None
        decode_body(b"\1" + varint(self.seq) + rest)
        self.rest = rest
        if columns.get("status") is not None:
            self.status = bytes(columns["status"]).decode()

    def leaf_at(self, prev, seq):
        """R(prev, seq) of section 8.1; None when there is no such body."""
        if self.raw is not None:
            return tree.leaf(prev, self.raw)
        if not 0 <= seq <= MAX_INT:
            return None
        return tree.leaf(prev, b"\1" + varint(seq) + self.rest)


class LeafOnly:
    """A leaf-only line of an export."""

    def __init__(self, seq, leaf):
        self.seq, self.leaf, self.leaf_only = seq, leaf if len(leaf) == 32 else None, True
        self.error = None if self.leaf else "leaf is not 32 bytes"


class Removed:
    """A removed item: the node that stands for entries that are not there any more."""

    def __init__(self, seq, level, node, leaf):
        self.seq, self.level, self.node, self.leaf = seq, level, node, leaf


def removed_from_json(found):
    """Line of removed entries."""
    if set(found) not in ({"seq", "removed", "node"}, {"seq", "removed", "node", "leaf"}):
        raise WrongLine("keys")
    seq, level, node = plain_int(found["seq"]), plain_int(found["removed"]), unhex(found["node"])
    if level > 8 or seq % (1 << level):
        raise WrongLine("place or level of removed entries")
    leaf = unhex(found["leaf"]) if "leaf" in found else None
    if len(node) != 32 or leaf is not None and (len(leaf) != 32 or level == 0):
        raise WrongLine("node or leaf of removed entries")
    return Removed(seq, level, node, leaf)


def unhex(text):
    """Lower-case hex to bytes."""
    if not isinstance(text, str) or len(text) % 2 or set(text) - set("0123456789abcdef"):
        raise WrongLine("not hex")
    return bytes.fromhex(text)


def once(pairs):
    """Object whose keys must not occur twice."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise WrongLine("a key occurs twice")
    return found


def no_constant(text):
    """NaN and Infinity are not JSON."""
    raise WrongLine(text)


def parse_object(data):
    """One line to a JSON object."""
    try:
        found = json.loads(data.decode("utf-8"), object_pairs_hook=once, parse_constant=no_constant)
        json.dumps(found, ensure_ascii=False).encode("utf-8")
    except (ValueError, RecursionError) as problem:
        raise WrongLine("not JSON: %s" % problem) from None
    if not isinstance(found, dict):
        raise WrongLine("not an object")
    return found


def plain_int(value):
    """A JSON integer that fits."""
    if type(value) is not int or not 0 <= value <= MAX_INT:
        raise WrongLine("not an integer in range")
    return value


def slot_from_json(slot):
    """Slot object of a line: the slot, and its (salt, value)."""
    if not isinstance(slot, dict) or set(slot) - {"field", "state", "cut_from", "commitment", "salt", "value"}:
        raise WrongLine("slot")
    if not {"field", "state", "commitment"} <= set(slot):
        raise WrongLine("slot lacks a key")
    if not isinstance(slot["field"], str) or slot["field"] not in FIELD_IDS or slot["state"] not in STATE:
        raise WrongLine("field or state of a slot")
    cut = plain_int(slot["cut_from"]) if "cut_from" in slot else None
    salt = unhex(slot["salt"]) if "salt" in slot else None
    if "value" in slot and not isinstance(slot["value"], str):
        raise WrongLine("value of a slot")
    value = slot["value"].encode() if "value" in slot else None
    found = {"field": FIELD_IDS[slot["field"]], "state": STATE.index(slot["state"]), "cut_from": cut,
             "commitment": unhex(slot["commitment"])}
    return found, (salt, value)


def column_from_json(name, value):
    """Value of a key of an entry line to what the column would hold."""
    if name in ENUMS:
        names = ENUMS[name] + (["unknown"] if name == "kind" else [])
        if not isinstance(value, str) or value not in names:
            raise WrongLine(name)
        return UNKNOWN if value == "unknown" and name == "kind" else names.index(value)
    if name == "registered":
        if not isinstance(value, bool):
            raise WrongLine(name)
        return int(value)
    sql = SQL_TYPES[name]
    if sql == "BLOB":
        return unhex(value)
    if sql == "TEXT" and isinstance(value, str):
        return SqlText(value.encode())
    if sql == "INTEGER" and type(value) is int:
        return value
    raise WrongLine(name)


def row_from_json(found):
    """Entry line, leaf-only line or removed item to a row; WrongLine when its keys are those of none of them."""
    if "removed" in found:
        return removed_from_json(found)
    if not {"seq", "leaf"} <= set(found) or set(found) - set(COLUMNS):
        raise WrongLine("keys")
    seq = plain_int(found["seq"])
    if set(found) == {"seq", "leaf"}:
        return LeafOnly(seq, leaf_from_json(found["leaf"]))
    if "kind" not in found:
        raise WrongLine("no kind")
    columns, contents, fault = {"leaf": leaf_from_json(found["leaf"])}, {}, None
    for name in [name for name in found if name not in ("seq", "leaf")]:
        try:
            if name == "fields":
                columns[name], contents = fields_from_json(found[name])
            else:
                columns[name] = column_from_json(name, found[name])
        except (WrongLine, Bad) as problem:
            fault = str(problem)
    row = Row(seq, columns)
    row.error = row.error or fault
    row.contents = contents
    return row


def leaf_from_json(value):
    """The leaf of a line; empty when it is not hex."""
    try:
        return unhex(value)
    except WrongLine:
        return b""


def fields_from_json(value):
    """The slots of a line: the `fields` list of the body, and the contents."""
    if not isinstance(value, list):
        raise WrongLine("fields")
    pairs = [slot_from_json(slot) for slot in value]
    return SLOTS.put([slot for slot, _ in pairs]), {slot["field"]: content for slot, content in pairs}


def row_to_json(columns, contents=None):
    """Columns to an entry line; `contents` maps field ids to (salt, value), absent ones are erased."""
    line = {}
    for name in COLUMNS:
        value = columns.get(name)
        if value is None:
            continue
        if name == "kind":
            line[name] = "unknown" if value == UNKNOWN else KINDS[value]
        elif name in ENUMS:
            line[name] = ENUMS[name][value]
        elif name == "registered":
            line[name] = bool(value)
        elif name == "fields":
            line[name] = [slot_to_json(slot, (contents or {}).get(slot["field"])) for slot in parse(SLOTS, value)]
        else:
            line[name] = value.hex() if isinstance(value, bytes) else value
    return line


def slot_to_json(slot, content):
    """Slot object of a line."""
    found = {"field": field_name(slot["field"]), "state": STATE[slot["state"]]}
    if slot["cut_from"] is not None:
        found["cut_from"] = slot["cut_from"]
    found["commitment"] = slot["commitment"].hex()
    if content:
        found["salt"] = content[0].hex()
        if content[1] is not None:
            found["value"] = content[1]
    return found

