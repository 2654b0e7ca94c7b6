"""Vector cases of bodies, commitments and trees."""

from codec import COLUMN_KINDS, EVENTS, KINDS, MAX_INT, SLOTS, UNKNOWN, Bad, Lit, decode_body, encode_body, varint
from columns import row_to_json
from tree import Tree, commitment, genesis, leaf, root_of
from writer import BASE_TIME, fixed, uuid7

LOW = -2**63
PLAIN = {"recorded": BASE_TIME, "monotonic": 5, "run": 1, "clock": 2, "id": uuid7(BASE_TIME, "body"), "severity": 2,
         "redactions": 0, "redaction_kinds": 0, "redaction_policy": 0}
FULL = {"recorded": MAX_INT, "occurred": LOW, "monotonic": MAX_INT, "run": MAX_INT, "clock": 1, "id": b"\xff" * 16,
        "severity": 5, "app": "a" * 64, "environment": "é" * 16, "module": "m" * 128, "trace_id": "t" * 64,
        "span_id": "s" * 32, "parent_id": "p" * 32, "request_id": "r" * 128, "redactions": 2**32 - 1,
        "redaction_kinds": MAX_INT, "redaction_policy": 2**32 - 1}
VKEY = "lowlight/vectors+00000000+AAAA"
RULES = [{"kind": None, "status": None, "min_age_s": 0, "max_age_s": 0, "content_only": 0},
         {"kind": 1, "status": "ok", "min_age_s": 60, "max_age_s": MAX_INT, "content_only": 1}] * 4
FULL_POLICY = {"number": 2**32 - 1, "max_entries": MAX_INT, "max_bytes": MAX_INT, "rules": RULES}
BARE_POLICY = {"number": 0, "max_entries": 0, "max_bytes": 0, "rules": []}


def slots(count, first=0, cut=None):
    """Slots of ascending field ids, the odd ones hash-only."""
    return [{"field": first + i, "state": i % 2, "cut_from": cut, "commitment": fixed("slot %d" % i, 32)}
            for i in range(count)]


def columns(kind, payload, header=PLAIN, fields=(), seq=7):
    """Columns of an entry; `fields` may be bytes."""
    number = kind if isinstance(kind, Lit) else KINDS.index(kind)
    found = {"seq": seq, "kind": number, **header,
             "fields": fields if isinstance(fields, bytes) else SLOTS.put(list(fields))}
    if number in COLUMN_KINDS:
        found.update(payload)
    else:
        found["event"] = payload if isinstance(payload, bytes) else EVENTS[number].put(payload)
    return found


INFERENCE = {"operation": "chat", "model": "m", "status": "ok"}
FULL_INFERENCE = {"operation": "o" * 32, "provider": "p" * 64, "model": "m" * 128, "model_actual": "a" * 128,
                  "model_digest": "d" * 96, "status": "s" * 32, "error_type": "e" * 64, "finish_reason": "f" * 64,
                  "duration_ns": MAX_INT, "ttft_ns": MAX_INT, "input_tokens": MAX_INT, "output_tokens": MAX_INT,
                  "cached_tokens": MAX_INT, "reasoning_tokens": MAX_INT, "tokens_source": 2, "attempt": 2**32 - 1,
                  "tier": "t" * 32, "cost_nano_usd": MAX_INT, "rate_version": "r" * 32}
AUDIT = {"event_type": "login", "registered": 0}
FULL_AUDIT = {"event_type": "a-z_0.9" + "x" * 57, "registered": 1, "action": "a" * 128, "outcome": "o" * 32,
              "resource": "r" * 128, "auth_method": "m" * 64, "cost_nano_usd": 0, "rate_version": ""}
LOG = {"target": "t" * 128, "file": "f" * 256, "line": 2**32 - 1, "function": "g" * 128}
GAP = {"reason": 0, "lost": 1, "lost_from": 0, "lost_to": 0}
IMPORT = {"log_id": b"\x11" * 16, "first": 0, "end": 9, "head_before": b"\x22" * 32, "head_after": b"\x33" * 32,
          "digest": b"\x44" * 32}
OPEN = {"log_id": b"\x11" * 16, "role": 0, "true_random": 0, "policy": BARE_POLICY}
TOMBSTONE = {"fields": 0, "cause": {"case": 1}, "runs": [{"start": 0, "length": 1}]}
KEY_CHANGE = {"old_vkey": "", "new_vkey": VKEY, "signature": fixed("signature", 64)}
LIFECYCLE = [
    ("start", {"case": 0, "software": "lowlight 1", "build": "b" * 64, "device": "d" * 64}),
    ("start-bare", {"case": 0, "software": ""}),
    ("stop", {"case": 1, "received": 5, "written": MAX_INT, "lost": 0}),
    ("unclean-stop", {"case": 2, "run": 3, "last_seq": 6, "at_most": 200}),
    ("unclean-stop-bare", {"case": 2, "run": 0, "at_most": 0}),
    ("model-loaded", {"case": 3, "name": "n" * 128, "digest": "d" * 96}),
    ("model-loaded-bare", {"case": 3, "name": "n"}),
    ("config-changed", {"case": 4, "digest": fixed("config", 32)}),
    ("redaction-policy", {"case": 5, "number": 1, "digest": fixed("redaction", 32)}),
    ("clock-set", {"case": 6, "before": LOW, "after": MAX_INT, "quality": 2}),
    ("exported", {"case": 7, "first": 0, "end": 7, "entries": 3}),
    ("alarm", {"case": 8, "code": "disk.full_2-x", "detail": "d" * 256})]


def body_cases():
    """Name to (about, columns)."""
    found = {
        "open-bare": ("open, nothing optional", columns("open", OPEN, seq=0)),
        "open-full": ("open, everything present", columns("open", {
            "log_id": b"\xaa" * 16, "role": 1, "true_random": 1, "policy": FULL_POLICY, "vkey": "v" * 256,
            "erasure_vkey": "w" * 256, "predecessor": {"log_id": b"\xbb" * 16, "size": MAX_INT, "root": b"\xcc" * 32}},
            seq=0)),
        "open-predecessor-empty": ("open, predecessor present and all of it unknown",
                                   columns("open", {**OPEN, "predecessor": {}}, seq=0)),
        "inference-bare": ("only what must be there", columns("inference", INFERENCE)),
        "inference-full": ("every payload text at its cap, integers extreme", columns("inference", FULL_INFERENCE)),
        "inference-empty-texts": ("optional texts present and empty", columns("inference", {
            **INFERENCE, "provider": "", "model_actual": "", "tier": "", "rate_version": ""},
            {**PLAIN, "app": "", "trace_id": ""})),
        "audit-bare": ("only what must be there", columns("audit", AUDIT)),
        "audit-full": ("every text at its cap but an empty rate_version", columns("audit", FULL_AUDIT)),
        "log-bare": ("no payload at all", columns("log", {})),
        "log-full": ("texts at their caps", columns("log", LOG)),
        "log-16-fields": ("sixteen fields, each with cut_from", columns("log", {}, fields=slots(16, 48, 2**24))),
        "log-cut-extreme": ("cut_from at its extremes", columns("log", {}, fields=[
            {"field": 0, "state": 0, "cut_from": 0, "commitment": bytes(32)},
            {"field": 63, "state": 1, "cut_from": MAX_INT, "commitment": b"\xff" * 32}])),
        "header-full": ("every header column at its extreme", columns("log", {}, FULL, seq=2**56 - 1)),
        "header-occurred-negative": ("occurred before 1970, recorded at the lowest time", columns(
            "log", {}, {**PLAIN, "recorded": LOW, "occurred": -1, "clock": 0, "severity": 0})),
        "header-non-ascii": ("texts with characters of two, three and four bytes", columns(
            "log", {"target": "日本語"}, {**PLAIN, "app": "Küche", "module": "🦀"})),
        "policy-bare": ("no rules, no signature", columns("policy", {"policy": BARE_POLICY})),
        "policy-full": ("eight rules and a signature", columns("policy", {
            "policy": FULL_POLICY, "signature": fixed("signature", 64)})),
        "tombstone-entries": ("whole entries erased by erasure", columns("tombstone", TOMBSTONE)),
        "tombstone-fields": ("fields erased by retention, two runs one apart", columns("tombstone", {
            "fields": 0b11, "cause": {"case": 0, "policy": 4},
            "runs": [{"start": 1, "length": 2}, {"start": 4, "length": 1}]})),
        "tombstone-32-runs": ("as many runs as there may be", columns("tombstone", {
            "fields": 2**64 - 1, "cause": {"case": 0, "policy": 0},
            "runs": [{"start": 3 * i, "length": 2} for i in range(32)]})),
        "tombstone-no-runs": ("an empty list of runs", columns("tombstone", {**TOMBSTONE, "runs": []})),
        "key-change-first": ("the first key", columns("key_change", KEY_CHANGE)),
        "key-change-full": ("keys at their caps", columns("key_change", {
            "old_vkey": "o" * 256, "new_vkey": "n" * 256, "signature": fixed("other", 64)})),
        "import": ("a range of a device", columns("import", IMPORT)),
        "unknown-version": ("another version: nothing is parsed", {"seq": 7, "kind": UNKNOWN, "raw": b"\x02\xff\xff"}),
        "unknown-version-only": ("another version and nothing else", {"seq": 7, "kind": UNKNOWN, "raw": b"\0"}),
        "unknown-kind": ("version 1, kind 10", {"seq": 7, "kind": UNKNOWN, "raw": unknown_kind(10)}),
        "unknown-kind-127": ("version 1, kind 127, no payload", {"seq": 7, "kind": UNKNOWN,
                                                                 "raw": unknown_kind(127)[:-3]}),
        "at-max-body": ("a body of exactly 2,048 bytes", at_most()),
    }
    for reason in range(5):
        found["gap-%d" % reason] = ("gap reason %d" % reason, columns("gap", {**GAP, "reason": reason, "lost_to": -1}))
    found["gap-extreme"] = ("extreme times and number", columns("gap", {
        "reason": 4, "lost": MAX_INT, "lost_from": LOW, "lost_to": MAX_INT}))
    for name, event in LIFECYCLE:
        found["lifecycle-" + name] = ("lifecycle case %d" % event["case"], columns("lifecycle", event))
    return found


def unknown_kind(kind, seq=7):
    """A body of version 1 with a kind nobody knows."""
    return encode_body(columns(Lit([kind]), b"abc", seq=seq, fields=b""))


def at_most(over=0):
    """An entry whose body is 2,048 bytes, or `over` more."""
    header = {**FULL, "environment": "e" * (31 + over)}
    body = columns("inference", FULL_INFERENCE, header, slots(16, 0, MAX_INT))
    assert len(encode_body(body)) == 2048 + over, len(encode_body(body))
    return body


def change(kind, payload, **changes):
    """A payload with some values replaced."""
    return columns(kind, {**payload, **changes})


def header_refused():
    """Faults of the header: name to (reason, columns)."""
    def header(**changes):
        """An entry with some header columns replaced."""
        return columns("log", {}, {**PLAIN, **changes})

    found = {}
    for name in ("app", "environment", "module", "trace_id", "span_id", "parent_id", "request_id"):
        found["text-%s" % name] = ("%s one byte over its cap" % name, header(**{name: FULL[name] + "x"}))
    found.update({
        "varint-long": ("varint longer than needed", header(run=Lit(b"\x81\x00"))),
        "varint-long-zero": ("zero in two bytes", header(run=Lit(b"\x80\x00"))),
        "varint-65-bits": ("varint over 64 bits", header(recorded=Lit(b"\xff" * 9 + b"\x02"))),
        "varint-11-bytes": ("varint of eleven bytes", header(recorded=Lit(b"\xff" * 10 + b"\x01"))),
        "integer-2-63": ("unsigned integer 2^63", header(monotonic=2**63)),
        "seq-2-56": ("seq 2^56", columns("log", {}, seq=2**56)),
        "redactions-2-32": ("redactions 2^32", header(redactions=2**32)),
        "redaction-policy-2-32": ("redaction_policy 2^32", header(redaction_policy=2**32)),
        "redaction-kinds-2-63": ("redaction_kinds 2^63", header(redaction_kinds=2**63)),
        "option-2": ("option byte 2", header(app=Lit(b"\x02\x01a"))),
        "clock-3": ("clock not listed", header(clock=3)),
        "severity-6": ("severity not listed", header(severity=6)),
        "utf8": ("invalid UTF-8", header(app=b"\xff")),
        "utf8-surrogate": ("a surrogate in UTF-8", header(app=b"\xed\xa0\x80")),
        "utf8-overlong": ("overlong UTF-8", header(app=b"\xc1\x81")),
        "nul": ("U+0000 in a text", header(app="a\0b")),
        "kind-128": ("kind above 127", columns(Lit([128]), b"", fields=b"")),
    })
    return found


def event_refused():
    """Faults of payloads: name to (reason, columns)."""
    found = {}
    for kind, full in (("inference", FULL_INFERENCE), ("audit", FULL_AUDIT), ("log", LOG)):
        for name, value in full.items():
            if isinstance(value, str) and value:
                found["text-%s-%s" % (kind, name)] = ("%s one byte over its cap" % name,
                                                      change(kind, full, **{name: value + "x"}))
    for name, value in FULL_INFERENCE.items():
        if isinstance(value, int) and value == MAX_INT:
            found["integer-" + name] = ("%s 2^63" % name, change("inference", INFERENCE, **{name: 2**63}))
    bad_rule = {"kind": None, "status": None, "min_age_s": 0, "max_age_s": 0, "content_only": 0}
    found.update({
        "tokens-source-3": ("tokens_source not listed", change("inference", INFERENCE, tokens_source=3)),
        "attempt-2-32": ("attempt 2^32", change("inference", INFERENCE, attempt=2**32)),
        "token-operation": ("capital letter in operation", change("inference", INFERENCE, operation="Chat")),
        "token-status": ("space in status", change("inference", INFERENCE, status="o k")),
        "token-outcome": ("slash in outcome", change("audit", AUDIT, outcome="a/b")),
        "token-event-type": ("non-ASCII in event_type", change("audit", AUDIT, event_type="é")),
        "empty-operation": ("empty operation", change("inference", INFERENCE, operation="")),
        "empty-status": ("empty status", change("inference", INFERENCE, status="")),
        "empty-model": ("empty model", change("inference", INFERENCE, model="")),
        "empty-event-type": ("empty event_type", change("audit", AUDIT, event_type="")),
        "empty-outcome": ("empty outcome", change("audit", AUDIT, outcome="")),
        "bool-2": ("registered 2", change("audit", AUDIT, registered=2)),
        "line-2-32": ("line 2^32", change("log", LOG, line=2**32)),
        "gap-reason-5": ("gap reason not listed", change("gap", GAP, reason=5)),
        "gap-lost-0": ("gap that lost nothing", change("gap", GAP, lost=0)),
        "role-2": ("role not listed", change("open", OPEN, role=2)),
        "true-random-2": ("true_random 2", change("open", OPEN, true_random=2)),
        "vkey": ("vkey one byte over its cap", change("open", OPEN, vkey="v" * 257)),
        "erasure-vkey": ("erasure_vkey one byte over its cap", change("open", OPEN, erasure_vkey="v" * 257)),
        "predecessor-option-2": ("option byte 2 in predecessor", change("open", OPEN, predecessor=Lit(b"\1\2\0\0"))),
        "policy-number-2-32": ("policy number 2^32", change("policy", {}, policy={**BARE_POLICY, "number": 2**32})),
        "policy-9-rules": ("nine rules", change("policy", {}, policy={**BARE_POLICY, "rules": [bad_rule] * 9})),
        "policy-rule-status": ("status of a rule is not a token", change("policy", {}, policy={
            **BARE_POLICY, "rules": [{**bad_rule, "status": "O"}]})),
        "policy-rule-bool": ("content_only 2", change("policy", {}, policy={
            **BARE_POLICY, "rules": [{**bad_rule, "content_only": 2}]})),
        "key-change-empty-new": ("empty new_vkey", change("key_change", KEY_CHANGE, new_vkey="")),
        "key-change-old": ("old_vkey one byte over its cap", change("key_change", KEY_CHANGE, old_vkey="v" * 257)),
        "key-change-new": ("new_vkey one byte over its cap", change("key_change", KEY_CHANGE, new_vkey="v" * 257)),
        "lifecycle-9": ("lifecycle case not listed", columns("lifecycle", b"\x09")),
        "lifecycle-software": ("software one byte over its cap", columns("lifecycle", {
            "case": 0, "software": "s" * 65})),
        "lifecycle-build": ("build one byte over its cap", columns("lifecycle", {
            "case": 0, "software": "s", "build": "b" * 65})),
        "lifecycle-device": ("device one byte over its cap", columns("lifecycle", {
            "case": 0, "software": "s", "device": "b" * 65})),
        "lifecycle-model": ("model name one byte over its cap", columns("lifecycle", {"case": 3, "name": "n" * 129})),
        "lifecycle-digest": ("model digest one byte over its cap", columns("lifecycle", {
            "case": 3, "name": "n", "digest": "d" * 97})),
        "lifecycle-quality-3": ("clock quality not listed", columns("lifecycle", {
            "case": 6, "before": 0, "after": 0, "quality": 3})),
        "alarm-code": ("alarm code is not a token", columns("lifecycle", {"case": 8, "code": "A", "detail": ""})),
        "alarm-code-empty": ("alarm code empty", columns("lifecycle", {"case": 8, "code": "", "detail": ""})),
        "alarm-detail": ("alarm detail one byte over its cap", columns("lifecycle", {
            "case": 8, "code": "a", "detail": "d" * 257})),
        "tombstone-cause-2": ("cause not listed", change("tombstone", TOMBSTONE, cause=Lit(b"\x02"))),
    })
    for name, reason, runs in (
            ("overlap", "runs overlap", [(0, 3), (2, 2)]), ("adjacent", "runs adjacent", [(0, 3), (3, 2)]),
            ("descending", "runs not ascending", [(5, 1), (1, 1)]), ("zero", "run of length zero", [(0, 0)]),
            ("33-runs", "33 runs", [(3 * i, 1) for i in range(33)])):
        found["tombstone-" + name] = (reason, change("tombstone", TOMBSTONE, runs=[
            {"start": start, "length": length} for start, length in runs]))
    return found


def fields_refused():
    """Faults of the fields list: name to (reason, columns)."""
    def fields(*found):
        """An entry with these slots."""
        return columns("log", {}, fields=list(found))

    one, two = slots(2)
    return {
        "fields-descending": ("fields not ascending", fields(two, one)),
        "field-doubled": ("a field twice", fields(one, one)),
        "fields-17": ("17 fields", fields(*slots(17))),
        "field-64": ("field id 64", fields({**one, "field": 64})),
        "state-2": ("state 2", fields({**one, "state": 2})),
        "cut-option-2": ("option byte 2 of cut_from", fields({**one, "cut_from": Lit(b"\x02")})),
        "cut-from-2-63": ("cut_from 2^63", fields({**one, "cut_from": 2**63})),
    }


def refused_cases():
    """Name to (reason, body)."""
    found = {}
    for name, (reason, entry) in {**header_refused(), **event_refused(), **fields_refused()}.items():
        found[name] = (reason, encode_body(entry))
    whole = encode_body(columns("inference", FULL_INFERENCE, fields=slots(2)))
    found["trailing-byte"] = ("a byte left over", whole + b"\0")
    for cut in (0, 1, 2, 30, 60, 200, len(whole) - 40, len(whole) - 1):
        found["truncated-%d" % cut] = ("ends after %d bytes" % cut, whole[:cut])
    found["list-count-large"] = ("a count of fields far beyond the end", encode_body(
        columns("log", {}, fields=varint(2**62))))
    found["text-length-large"] = ("a text length far beyond the end", encode_body(
        columns("log", {}, {**PLAIN, "app": Lit(b"\x01" + varint(2**62))})))
    found["unknown-kind-header"] = ("kind 10 after a header that is refused", encode_body(
        columns(Lit([10]), b"abc", {**PLAIN, "clock": 3}, fields=b"")))
    found["over-max-body"] = ("2,049 bytes, otherwise valid", encode_body(at_most(1)))
    found["unknown-over-max-body"] = ("another version, 2,049 bytes", b"\x02" + bytes(2048))
    return found


def body_vectors():
    """All vectors of bodies."""
    prev, found = genesis(b"\x11" * 16), []
    for name, (about, entry) in body_cases().items():
        body = encode_body(entry)
        entry["leaf"] = leaf(prev, body)
        again = decode_body(body)
        if again["seq"] is None:
            again["seq"] = entry["seq"]
        assert row_to_json({**again, "leaf": entry["leaf"]}) == row_to_json(entry), name
        found.append({"name": "body-" + name, "type": "body", "about": about, "entry": row_to_json(entry),
                      "body": body.hex(), "prev": prev.hex(), "leaf": entry["leaf"].hex()})
    for name, (reason, body) in refused_cases().items():
        try:
            decode_body(body)
        except Bad:
            found.append({"name": "refused-" + name, "type": "body-refused", "about": "a decoder refuses this",
                          "body": body.hex(), "reason": reason})
        else:
            raise AssertionError(name)
    return found


def hash_vectors():
    """Commitments, genesis, trees."""
    found = []
    for name, field, value in (("empty", 0, ""), ("ascii", 1, "hello"), ("non-ascii", 2, "Grüße, 世界 🦀"),
                               ("nul", 63, "a\0b"), ("long", 32, "x" * 5000)):
        salt = fixed("commitment " + name, 16)
        found.append({"name": "commitment-" + name, "type": "commitment", "about": "one content value",
                      "salt": salt.hex(), "field": field, "value": value,
                      "commitment": commitment(salt, field, value.encode()).hex()})
    for name, log_id in (("zero", bytes(16)), ("some", fixed("genesis", 16))):
        found.append({"name": "genesis-" + name, "type": "genesis", "about": "what entry 0 is chained to",
                      "log_id": log_id.hex(), "genesis": genesis(log_id).hex()})
    for size in (0, 1, 33, 100):
        leaves = [fixed("leaf %d" % i, 32) for i in range(size)]
        tree, roots = Tree(), [Tree().root()]
        for value in leaves:
            tree.push(value)
            roots.append(tree.root())
        assert roots == [root_of(leaves[:i]) for i in range(size + 1)]
        found.append({"name": "tree-%d" % size, "type": "tree", "about": "roots of the sizes 0 to n, frontier of n",
                      "leaves": [v.hex() for v in leaves], "roots": [v.hex() for v in roots],
                      "frontier": [v.hex() for v in tree.hashes]})
    return found

