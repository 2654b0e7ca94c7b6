"""Vector cases of exports: honest ones, and one per single failure."""

import io
import json

from cases_database import about_removal
from exports import dump, export_objects, export_text, join, trailer_for, verify_export
from writer import Log, fixed, honest_log, open_event, plain_log


def export_vector(name, about, text, expected):
    """One vector; `expected` is (verdict, first) and must be what the verifier says."""
    found = verify_export(io.BytesIO(text.encode()))
    problems = [[p["seq"], p["kind"]] for p in found["problems"]]
    first = tuple(problems[0]) if problems else None
    assert (found["verdict"], first) == expected, (name, expected, found)
    return {"name": "export-" + name, "type": "export", "about": about, "text": text, "verdict": found["verdict"],
            "first": {"seq": first[0], "kind": first[1]} if first else None, "problems": problems,
            **about_removal(name, found)}


class Maker:
    """Collects vectors, each from a fresh export of an honest log."""

    def __init__(self):
        self.found = []

    def text(self, name, about, first, text):
        """A vector of a whole text; `first` is None (intact), "unreadable" or (seq, kind)."""
        verdict = "intact" if first is None else "unreadable" if first == "unreadable" else "broken"
        self.found.append(export_vector(name, about, text, (verdict, first if verdict == "broken" else None)))

    def objects(self, name, about, expected, change, /, log=None, **asked):
        """`change(objects)` tampers with preamble and lines; the trailer is made to fit."""
        found = export_objects(log or honest_log(), **asked)
        change(found)
        lines = [dump(item) for item in found]
        self.text(name, about, expected, join(lines + [dump(trailer_for(lines))]))

    def lines(self, name, about, first, change, refit=True, array=False):
        """`change(lines)` tampers with the dumped preamble and lines; the trailer is made to fit if asked."""
        lines = [dump(item) for item in export_objects(honest_log())]
        trailer = dump(trailer_for(lines))
        change(lines)
        self.text(name, about, first, join(lines + [dump(trailer_for(lines)) if refit else trailer], array))


def honest(maker):
    """Exports without a fault."""
    log = honest_log()
    maker.text("honest", "every kind of entry", None, export_text(log))
    maker.text("json", "JSON form", None, export_text(log, array=True))
    maker.text("partial", "a range in the middle", None, export_text(log, first=3, end=10))
    maker.text("partial-tail", "the last entries", None, export_text(log, first=8))
    maker.text("partial-json", "a range in JSON form", None, export_text(log, array=True, first=1, end=2))
    maker.text("leaf-only", "entries the filter left out", None, export_text(log, keep={0, 2, 3, 9}))
    maker.text("leaf-only-all", "nothing but leaves", None, export_text(log, keep=set()))
    maker.text("empty-range", "nothing matched: a = b", None, export_text(log, first=5, end=5))
    maker.text("partial-300", "a range of a log with nodes of level 8", None,
               export_text(plain_log(300, "export"), first=250, end=262, keep={251, 255, 256}))


def preambles(maker):
    """Faults of the preamble."""
    junk = fixed("junk", 32).hex()

    def put(**values):
        """Changes keys of the preamble."""
        return lambda found: found[0].update(values)

    for name, about, values in (
            ("version", "another version", {"version": 2}), ("extra-key", "a key not named", {"extra": 1}),
            ("root-31", "root of 31 bytes", {"root": junk[2:]}),
            ("log-id-15", "log_id of 15 bytes", {"log_id": "00" * 15}),
            ("range", "end above size", {"end": 14}),
            ("range-reversed", "first above end", {"first": 14, "prev": junk}),
            ("prev-at-0", "prev although first is 0", {"prev": junk}), ("prev-absent", "no prev although first is 3", {"first": 3}), ("size-text", "size is text", {"size": "13"}),
            ("upper-hex", "root in capitals", {"root": junk.upper()}), ("not-export", "another lowlight object",
                                                                       {"lowlight": "end"})):
        maker.objects("preamble-" + name, about, "unreadable", put(**values))
    maker.objects("preamble-key-absent", "asked absent", "unreadable", lambda found: found[0].pop("asked"))
    maker.objects("preamble-asked", "asked is not checked", None, put(asked={"app": "kiosk", "level": 3}))
    maker.lines("preamble-absent", "no preamble", "unreadable", lambda lines: lines.pop(0))
    maker.text("empty", "an empty file", "unreadable", "")
    maker.text("garbage", "not JSON at all", "unreadable", "hello\n")
    maker.objects("root", "another root: nothing of the preamble is in it either", (0, "root_mismatch"), put(root=junk))
    maker.objects("frontier", "a hash too many in frontier", (None, "root_mismatch"), put(frontier=[junk]))
    maker.objects("right-edge", "a hash too many in right_edge", (None, "root_mismatch"), put(right_edge=[junk]))
    maker.objects("right-edge-changed", "a hash of right_edge changed", (None, "root_mismatch"), lambda found: found[0][
        "right_edge"].__setitem__(0, junk), end=6)
    maker.objects("frontier-changed", "a hash of frontier changed", (None, "root_mismatch"), lambda found: found[0][
        "frontier"].__setitem__(0, junk), first=3)
    maker.objects("prev-changed", "prev changed: the first entry does not check", (3, "modified"), put(prev=junk),
                  first=3)


def entries(maker):
    """Faults of entry lines; the trailer fits."""
    def put(line, /, **values):
        """Changes keys of one line."""
        return lambda found: found[line + 1].update(values)

    def slot(line, number, /, **values):
        """Changes keys of one slot."""
        return lambda found: found[line + 1]["fields"][number].update(values)

    def drop(line, number, *names):
        """Removes keys of one slot."""
        return lambda found: [found[line + 1]["fields"][number].pop(name) for name in names]

    junk = fixed("junk", 32).hex()
    maker.objects("modified", "a column changed", (4, "modified"), put(4, line=43))
    maker.objects("modified-leaf", "a leaf changed", (4, "modified"), put(4, leaf=junk))
    maker.objects("modified-cut-from", "cut_from of a slot changed", (2, "modified"), slot(2, 1, cut_from=5))
    maker.objects("broken-last", "the last entry changed", (12, "broken"), put(12, run=9))
    maker.objects("broken-before-leaf-only", "an entry before a leaf-only line changed", (3, "broken"), put(3, run=9),
                  keep={0, 1, 2, 3, 5})
    maker.objects("leaf-only-changed", "the leaf of a leaf-only line changed", (None, "root_mismatch"),
                  put(12, leaf=junk), keep={0, 1, 2, 3})
    for name, about, change in (
            ("enum", "clock not listed", put(4, clock="none")), ("hex", "event is not hex", put(6, event="xy")),
            ("upper-hex", "id in capitals", put(4, id="AB" * 16)), ("type", "line is text", put(4, line="42")),
            ("float", "line is no integer", put(4, line=42.0)), ("integer", "run 2^63", put(4, run=2**63)),
            ("bool", "registered is 1", put(3, registered=1)), ("null", "a null", put(4, app=None)),
            ("key", "a key not named", put(4, extra=1)), ("foreign", "a column of another kind", put(4, lost=1)),
            ("absent", "recorded absent", lambda found: found[5].pop("recorded")),
            ("no-fields", "fields absent", lambda found: found[5].pop("fields")),
            ("slot-key", "a key not named in a slot", slot(4, 0, extra=1)),
            ("slot-field", "a field name not known", slot(4, 0, field="field_2")),
            ("slot-state", "a state not known", slot(4, 0, state="erased")),
            ("commitment", "a commitment of 31 bytes", slot(4, 0, commitment=junk[2:])),
            ("leaf", "a leaf of 31 bytes", put(4, leaf=junk[2:]))):
        seq = {"hex": 6, "bool": 3}.get(name, 4)
        maker.objects("malformed-" + name, about, (seq, "malformed"), change)
    maker.objects("content-value", "a value changed", (2, "content_mismatch"), slot(2, 0, value="x"))
    maker.objects("content-salt", "a salt changed", (2, "content_mismatch"), slot(2, 0, salt="00" * 16))
    maker.objects("content-absent", "a value absent without a tombstone", (2, "content_mismatch"),
                  drop(2, 0, "salt", "value"))
    maker.objects("content-hash-only-value", "a value where only a hash belongs", (2, "content_mismatch"),
                  slot(2, 2, value="x"))
    maker.objects("content-hash-only-salt", "a hash-only slot without a salt", (2, "content_mismatch"),
                  drop(2, 2, "salt"))


def lines(maker):
    """Faults of the order of lines; the trailer fits unless said otherwise."""
    def swapped(found, one, other):
        """Swaps two lines."""
        found[one + 1], found[other + 1] = found[other + 1], found[one + 1]

    maker.lines("missing", "a line removed", (5, "missing"), lambda found: found.pop(6))
    maker.lines("missing-first", "the first line removed", (0, "missing"), lambda found: found.pop(1))
    maker.lines("missing-last", "the last line removed", (12, "missing"), lambda found: found.pop())
    maker.lines("inserted", "a line doubled", (5, "inserted"), lambda found: found.insert(6, found[6]))
    maker.lines("inserted-after-end", "a line of a seq after the range", (13, "inserted"), lambda found: found.append(
        dump({**json.loads(found[6]), "seq": 13})))
    maker.lines("reordered", "a line moved to the end", (3, "missing"), lambda found: found.append(found.pop(4)))
    maker.lines("reordered-copy", "a copy of a line much later", (3, "reordered"), lambda found: found.append(found[4]))
    maker.lines("swapped", "two lines swapped", (3, "missing"), lambda found: swapped(found, 3, 4))
    maker.lines("not-json", "a line that is not JSON", (5, "malformed"), lambda found: found.__setitem__(6, "{"))
    maker.lines("blank", "a blank line in the place of an entry", (5, "malformed"),
                lambda found: found.__setitem__(6, ""))
    maker.lines("key-twice", "a key that occurs twice", (5, "malformed"),
                lambda found: found.__setitem__(6, found[6][:-1] + ',"seq":5}'))
    maker.lines("trailer-stale", "a line changed in white space only: the digest differs", (None, "root_mismatch"),
                lambda found: found.__setitem__(6, found[6] + " "), refit=False)
    maker.lines("json-missing", "JSON form, a line removed", (5, "missing"), lambda found: found.pop(6), array=True)


def ends(maker):
    """Faults of the end."""
    text = export_text(honest_log())
    body, trailer = text[:text.rindex("{\"lowlight\"")], json.loads(text[text.rindex("{\"lowlight\""):])
    maker.text("truncated", "no trailer", (13, "truncated"), body)
    maker.text("truncated-earlier", "no trailer and not all lines", (8, "truncated"),
               "".join(line + "\n" for line in body.splitlines()[:9]))
    maker.text("truncated-mid-line", "cut off in mid-line", (12, "malformed"), body[:-40])
    maker.text("trailer-count", "count differs", (None, "root_mismatch"),
               body + dump({**trailer, "count": 12}) + "\n")
    maker.text("trailer-digest", "digest differs", (None, "root_mismatch"),
               body + dump({**trailer, "digest": "00" * 32}) + "\n")
    maker.text("trailer-verdict", "the log did not verify when it was exported", (None, "broken"),
               body + dump({**trailer, "verdict": "broken", "problems_total": 2}) + "\n")
    maker.text("after-trailer", "a line after the trailer", (None, "malformed"), text + "{}\n")
    maker.text("after-trailer-blank", "a blank line after the trailer", (None, "malformed"), text + "\n")
    array = export_text(honest_log(), array=True)
    maker.text("json-after", "JSON form, something after the bracket", (None, "malformed"), array + "x\n")
    maker.text("json-truncated", "JSON form, no trailer and no bracket", (13, "truncated"),
               array[:array.rindex("{\"lowlight\"")])


def export_vectors():
    """All vectors of exports."""
    import cases_keys
    import cases_removed_export
    maker = Maker()
    for part in (honest, preambles, entries, lines, ends, *cases_removed_export.PARTS, *cases_keys.EXPORT):
        part(maker)
    return maker.found
