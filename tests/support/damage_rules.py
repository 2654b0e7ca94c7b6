"""What must hold of a damaged log: the judging half of damage.py."""

import collections
import json
import os
import re
import sqlite3

DB, WAL, SHM, JOURNAL, KEY, CONFIG = ("log/lowlight.db", "log/lowlight.db-wal", "log/lowlight.db-shm", "log/checkpoints",
                                      "log/keys/log.key", "lowlight.toml")
DATABASE = (DB, WAL, SHM)
REGIONS = ("zeros", "ones", "random", "bit", "other", "cut")
# What a recorder says of a database that it leaves alone, and of nothing else.
FOREIGN, NEWER, UNSAFE, OWNER, MODE = ("is not a Lowlight log", "has format version", "move it away", "belongs to another user", "chmod")
REFUSED = {"header": FOREIGN, "foreign": FOREIGN, "newer": NEWER, "directory": UNSAFE, "link": UNSAFE, "link to other": UNSAFE,
           "owner": OWNER, "mode": MODE}
# What makes SQLite take the -wal for one that ends there, as after a power cut; that it is told is asked for.
LOSES_TAIL = (*REGIONS, "empty", "gone", "garbage", "foreign", "swapped")
CODES = {"intact": 0, "broken": 1, "unreadable": 2}
KEY_ALARMS = {"key_unreadable", "key_missing", "key_unannounced", "checkpoint_failed"}
TEXT = "after the damage"
Case = collections.namedtuple("Case", "base file way offset region seed")
Done = collections.namedtuple("Done", "code out err")


def title(case):
    """The name of a case."""
    return "%s/%s %s at %d" % (case.base, case.file.replace("log/", ""), case.way, case.offset)


def judge(world, case, seen, home):
    """What the recorder did; raises what broke."""
    for what, done in seen.items():
        for each in [done] if isinstance(done, Done) else done if isinstance(done, list) else []:
            alive(what, each)
    report = verdict(seen["verify"])
    untouched(seen, home)
    before(world, case, seen, report)
    if seen["record"].code == 2:
        return refused(case, seen, home)
    assert seen["record"].code == 0, "record exits with %d: %s" % (seen["record"].code, said(seen["record"]))
    assert not must_refuse(case, seen), "record goes on, though the file is foreign, newer or unsafe"
    return went_on(world, case, seen, report)


def must_refuse(case, seen):
    """Whether nothing may be recorded beside that file."""
    if case.file not in DATABASE or case.way not in REFUSED or case.way == "header":
        return False
    if case.way in ("foreign", "newer"):
        # With a -wal that is not its own it is no database that anybody can open.
        return case.file == DB and WAL not in seen["before"]
    # When root reads, SQLite gives a -wal of another user to the owner of the database.
    return case.way != "owner" or not seen["is ours"]


def said(done):
    """What a command said went wrong, or the end of what it said."""
    if done.out.startswith(b'{"verdict"'):
        report = json.loads(done.out)
        return str(report.get("error") or report["problems"][:1] or report["verdict"])
    return (done.out[-300:] + done.err[-600:]).decode(errors="replace").strip()


def alive(what, done):
    """It ended, in one of the three ways."""
    assert done.code is not None, "%s did not end in time: %s" % (what, said(done))
    assert b"panicked" not in done.out + done.err, "%s panicked: %s" % (what, said(done))
    assert done.code in CODES.values(), "%s ended with %d" % (what, done.code)


def verdict(done):
    """The report of a verification, which fits its exit code and says what is wrong."""
    if not done.out:
        assert done.code == 2 and done.err.strip(), "verify exits with %d and says nothing" % done.code
        return {"verdict": "unreadable", "error": done.err.decode(), "last_seq": None, "problems": []}
    report = json.loads(done.out)
    assert CODES[report["verdict"]] == done.code, "verify says %s and exits with %d" % (report["verdict"], done.code)
    if done.code == 1:
        assert report["problems"] and all(problem["kind"] and problem["detail"] for problem in report["problems"]), "broken, and not what"
    if done.code == 2:
        assert "lowlight.db" in report["error"], "could not tell, and it does not say of which file: %s" % report["error"]
    return report


def before(world, case, seen, report):
    """What readers say of the damaged log."""
    if seen["verify"].code == 0:
        honest(world, case, seen, report)
    if case.file in (KEY, CONFIG, SHM):
        assert report["verdict"] == "intact", "the log is not in that file, and verify says %s" % said(seen["verify"])
    if case.file == JOURNAL:
        assert only_rewritten(report), "the entries are whole, and verify says %s" % said(seen["verify"])
    for what in ("query", "export", "stats"):
        done = seen.get(what, seen["query"])
        if done.code != 0:
            assert done.code == 2 and done.err.strip(), "%s exits with %d and says nothing" % (what, done.code)
            by_config = case.file == CONFIG and names_config(done.err.decode())
            # Only stats needs what is no evidence.
            is_told = what == "stats" and b"is damaged" in done.err
            assert by_config or is_told or report["verdict"] != "intact", "verify says intact, and %s fails: %s" % (what, said(done))
    if "export" in seen and seen["export"].code == 0:
        laundered = seen["verify export"].code == 0 and report["verdict"] != "intact"
        assert not laundered, "verify does not say intact of the log, and does of an export of it: %s" % said(seen["verify"])


def honest(world, case, seen, report):
    """Intact: all that is listed is what was recorded, and nothing of it is missing but what a -wal had."""
    logs = [world.logs[case.base]] + ([world.others[case.base], world.others["closed"]] if case.way == "swapped" else [])
    log = next((log for log in logs if report["root"] in log.roots), None)
    assert log, "verify says intact, and no honest log has that root: %s" % said(seen["verify"])
    size, of_root = report["last_seq"] + 1, log.roots[report["root"]]
    assert of_root == size, "verify says intact of %d entries, and that is the root of %d" % (size, of_root)
    least = log.least if case.file == WAL else log.size
    assert size >= least or case.way == "swapped", "verify says intact of %d entries, and %d are there" % (size, least)
    listed = seen["query"].out.splitlines() if seen["query"].code == 0 else []
    same = [line.encode() for line in log.lines[:report["entries"]]] == listed
    is_config = case.file == CONFIG and seen["query"].code == 2
    assert same or is_config, "verify says intact, and what is listed was not recorded so: %s" % difference(log.lines, listed)


def difference(lines, listed):
    """The first line that is another."""
    return next((str(pair)[:600] for pair in zip(lines, listed) if pair[0].encode() != pair[1]), "%d lines" % len(listed))


def only_rewritten(report):
    """Nothing is wrong but that the journal of checkpoints contradicts the log."""
    found = {(problem["kind"], problem["seq"]) for problem in report["problems"]}
    return report["verdict"] == "intact" or found == {("rewritten", None)}


def untouched(seen, home):
    """Readers wrote nothing: the index of the -wal, which is nobody's evidence, may be made anew."""
    old, new = ({name: data for name, data in seen[when].items() if name != SHM} for when in ("before", "between"))
    changed = sorted(name for name in {*old, *new} if old.get(name, 0) != new.get(name, 0))
    assert not changed, "a reader changed or deleted %s" % ", ".join(changed)
    assert SHM in seen["before"] or SHM not in seen["between"], "a reader made a -shm"
    assert not os.listdir(os.path.join(home, "tmp")), "a private copy was left"


def names_config(text):
    """Whether a message says which file is wrong, and where in it."""
    return CONFIG in text and bool(re.search(r"line \d+|UTF-8|must be|retention: |os error", text))


def refused(case, seen, home):
    """It does not record: for a reason that it must have, with what to do, and nothing was touched."""
    text, data = seen["record"].err.decode(errors="replace"), seen["before"].get(DB)
    changed = sorted(name for name in seen["before"] if seen["after"].get(name, 0) != seen["before"][name] and name != SHM)
    assert not changed, "record refuses, and changed or deleted %s" % ", ".join(changed)
    if case.file == CONFIG:
        assert names_config(text), "the configuration is refused, and not said where: %s" % text
        return "refused"
    reason = REFUSED.get(case.way) if case.file in DATABASE else None
    if case.file == DB and case.way in REGIONS:
        # A number in the header says whose it is; one there and one in the log row, of which version.
        reason = FOREIGN if data[68:72] != b"LWLT" else NEWER
    assert reason and reason in text, "record does not go on: %s" % text
    assert "quarantine" not in os.listdir(os.path.join(home, "log")), "something was moved"
    return "refused"


def went_on(world, case, seen, report):
    """It recorded: into the log, or into a fresh one."""
    folders = sorted({name.split("/")[2] for name in seen["after"] if re.match(r"log/quarantine/[^/]+/", name)})
    assert len(folders) <= 1, "moved aside several times: %s" % folders
    assert folders or b"moves it aside" not in seen["record"].err, "it met damage, and went on in it: %s" % said(seen["record"])
    again, codes = verdict(seen["verify again"]), collections.Counter()
    listed = [json.loads(line) for line in seen["newest"].out.splitlines()]
    count, found = sum(entry.get("prompt") == TEXT for entry in listed), len(seen["find"].out.splitlines())
    assert seen["newest"].code == 0 and count == 1, "the recorded line is not listed once: %d times, %s" % (count, said(seen["newest"]))
    assert seen["find"].code == 2 or found == 1, "query exits with 0 and leaves out the line that was recorded: found %d times" % found
    assert seen["find"].code == 0 or again["verdict"] != "intact", "the line that was recorded cannot be found: %s" % said(seen["find"])
    codes.update(entry["event"]["code"] for entry in listed if entry.get("kind") == "lifecycle" and entry["event"]["what"] == "alarm")
    if case.file == KEY:
        signed(seen, codes)
    if case.file in (CONFIG, KEY, SHM, JOURNAL):
        assert not folders and only_rewritten(again), "the log was whole: %s" % said(seen["verify again"])
    is_sealed = again.get("sealed") == again["last_seq"] + 1 if case.file == JOURNAL else True
    assert is_sealed or codes, "no checkpoint was written, and nothing says so: sealed %s" % again.get("sealed")
    if case.file != WAL or case.way not in LOSES_TAIL:
        for name in (DB, WAL):
            kept(name, seen, folders, report, again)
    if folders:
        moved_aside(seen, folders[0], report, again, codes)
        return "moved"
    return in_place(world, case, seen, report, again, codes)


def kept(name, seen, folders, report, again):
    """A file of the log is where it was, was moved as it was, or the log that was in it goes on."""
    data = seen["before"].get(name)
    if not isinstance(data, bytes) or not data or data in seen["after"].values():
        return
    if folders:
        moved = seen["after"].get("log/quarantine/%s/lowlight.db" % folders[0])
        # What the -wal had may have been taken into the database before the damage was met.
        assert moved and (name == DB or moved != seen["before"][DB]), "%s was deleted" % name
        return
    if again["verdict"] == "intact":
        assert report["last_seq"] is not None and again["last_seq"] > report["last_seq"], "%s was deleted" % name


def moved_aside(seen, folder, report, again, codes):
    """A fresh log took the place of the damaged one and says so."""
    old = seen["after"].get("log/quarantine/%s/lowlight.db" % folder)
    is_damaged = old is None or report["verdict"] != "intact" or ask(old, "PRAGMA quick_check(1)") != ("ok",)
    assert is_damaged, "an intact log was moved aside: %s" % said(seen["record"])
    assert again["verdict"] == "intact", "the fresh log is not intact: %s" % said(seen["verify again"])
    assert codes["quarantined"] == 1, "it was moved aside, and no alarm says so: %s" % codes
    assert b"moved aside" in seen["record"].err, "it was moved aside, and only the log says so: %s" % said(seen["record"])
    opened = json.loads(seen["query again"].out.splitlines()[0])["event"]["predecessor"]
    assert opened, "the fresh log does not say that it follows another"
    row = old and ask(old, "SELECT lower(hex(log_id)), size, head, frontier FROM log WHERE typeof(log_id) = 'blob' AND typeof(size) = 'integer' "
                   "AND length(log_id) = 16 AND size BETWEEN 0 AND 1000000 AND length(head) = 32")
    is_valid = row and len(row[3]) == 32 * bin(row[1]).count("1")
    assert not is_valid or opened["log_id"] == row[0], "the fresh log follows %s and not %s" % (opened, row[:2])


def ask(data, sql):
    """The first row of an answer from the bytes of a database; None where there is none."""
    connection = sqlite3.connect(":memory:")
    try:
        # What is read from memory has no -wal.
        connection.deserialize(data[:18] + b"\1\1" + data[20:])
        return connection.execute(sql).fetchone()
    except (sqlite3.Error, OverflowError, ValueError):
        return None
    finally:
        connection.close()


def in_place(world, case, seen, report, again, codes):
    """The log goes on: nothing of what was wrong with it is hidden by that."""
    if report["verdict"] == "unreadable":
        if again["verdict"] != "intact":
            assert seen["moved by full"], "a log that cannot be read is never moved aside: %s" % said(seen["verify"])
            return "in place"
        assert codes["log_missing"] == 1, "a log is gone, and the one in its place does not say so: %s" % codes
        return "fresh"
    if report["verdict"] == "broken":
        # An index is no evidence, and what is written to it may mend it.
        mended = all("index" in problem["detail"] for problem in report["problems"])
        assert again["verdict"] == "broken" or mended, "recording hid what is wrong: %s" % report["problems"]
        if mended:
            return "in place"
        assert only_rewritten(report) or "verify_failed" in codes, "the log does not verify, and no alarm says so: %s" % report["problems"]
        return "in place"
    assert only_rewritten(again), "the log was intact and is broken by recording: %s" % said(seen["verify again"])
    listed = seen["query"].out.splitlines()
    assert seen["query again"].out.splitlines()[:len(listed)] == listed, "what was recorded before is not there any more"
    newest, size = world.sealed(case.base), report["last_seq"] + 1
    if case.file in (DB, WAL) and case.way != "swapped" and size < newest:
        assert "journal_ahead" in codes, "checkpoints of %d entries are there, and nothing is said of the lost ones: %s" % (newest, codes)
    return "in place" if size >= world.logs[case.base].size else "tail lost"


def signed(seen, codes):
    """What was signed was signed with the key of the log, or what is wrong with the key is said."""
    is_right = seen["notes"] and all(done.code == 0 for done in seen["notes"])
    is_told = KEY_ALARMS & set(codes) and b"checkpoints: " in seen["record"].err
    assert is_right or is_told, "checkpoints are not signed by the key of the log, and nothing says so: %s %s" % (codes, said(seen["record"]))


def planted(world, one):
    """Commands that break the promises, each with what must be said of it."""
    log = world.logs["closed"]

    def claims(home, *arguments, **more):
        done = world.run(home, *arguments, **more)
        if arguments[0] != "verify" or done.code == 0:
            return done
        root = next(root for root, size in log.roots.items() if size == log.size)
        report = {"verdict": "intact", "entries": len(log.lines), "last_seq": log.size - 1, "root": root, "problems": []}
        return Done(0, json.dumps(report).encode(), b"")

    def deletes(home, *arguments, **more):
        if arguments[0] == "record":
            os.unlink(os.path.join(home, DB))
        return world.run(home, *arguments, **more)

    def writes(home, *arguments, **more):
        if arguments[0] == "query" and os.path.exists(os.path.join(home, WAL)):
            os.truncate(os.path.join(home, WAL), 0)
        return world.run(home, *arguments, **more)

    def ends(code, err=b""):
        return lambda home, *arguments, **more: Done(code, b"", err) if arguments[0] == "record" else world.run(home, *arguments, **more)

    with open(os.path.join(log.home, DB), "rb") as file:
        place = file.read().index(b"prompt 500")
    deep, late = Case("closed", DB, "zeros", place, 1, 1), Case("copied", WAL, "bit", 60_000, 512, 1)
    controls = [("claims that an altered log is intact", deep, claims, "was not recorded so: ('"), ("deletes", deep, deletes, "deleted"),
                ("writes while it reads", late, writes, "a reader changed"), ("panics", deep, ends(2, b"thread panicked"), "panicked"),
                ("is killed", deep, ends(-11), "ended with -11"), ("hangs", deep, ends(None), "did not end"),
                ("records nothing", late, ends(0), "is not listed once"), ("stops", late, ends(2, b"disk"), "does not go on")]
    caught = True
    for name, case, run, words in controls:
        _, why = one(world, case, run) or (None, None)
        print("planted, one that %s: %s" % (name, why))
        caught &= words in str(why)
    return caught
