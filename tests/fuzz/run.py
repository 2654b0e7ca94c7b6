#!/usr/bin/env python3
"""Builds the fuzz targets and runs each a number of times, from the committed seeds on.

usage: run.py [--runs N] [--seed N] [target ...]

With the stable compiler: the counters that libFuzzer follows are a pass of LLVM, and need no nightly. What a run finds beyond the
seeds stays in target/fuzz/corpus, and a failure in target/fuzz/failures; `target/fuzz/bin/<target> <file>` plays it again.
"""
import argparse
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", HERE.parent.parent / "target")) / "fuzz"
TARGETS = {  # longest input in bytes, runs
    "entry": (4_096, 400_000),
    "evidence": (8_192, 400_000),
    "proof": (16_384, 200_000),
    "policy": (4_096, 100_000),
    "export": (65_536, 40_000),
    "copy": (512, 4_000),
    "line": (4_096, 100_000),
    "config": (4_096, 40_000),
    "redact": (2_048, 150_000),
    "time": (128, 400_000),
    "sql": (512, 20_000),
    "link": (1_024, 60_000),
    "image": (8_192, 40_000),
}
DICTIONARIES = {
    "sql": "SELECT INSERT UPDATE DELETE ATTACH DETACH PRAGMA VACUUM INTO CREATE TEMP TABLE VIEW TRIGGER INDEX DROP ALTER REINDEX ANALYZE BEGIN COMMIT "
           "EXPLAIN WITH RECURSIVE FROM WHERE RETURNING entry content log node cursor sqlite_schema load_extension( writefile( pragma_ json_each(",
    "redact": "password= token: bearer sk- ghp_ AKIA AIza eyJ BEGIN @ :: // [EMAIL_1] xox SG. --",
}
FLAGS = [
    "--cfg=fuzzing",
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "-Ccodegen-units=1",
]


def from_vectors(name):
    """Seeds that the vectors of the format have: bodies of entries, texts of exports, images, bytes of a line."""
    folder = TARGET / "seeds" / name
    folder.mkdir(parents=True, exist_ok=True)
    for file in (HERE.parent.parent / "docs" / "vectors").glob("*.json"):
        vector = json.loads(file.read_text())
        if name == "entry" and "body" in vector:
            (folder / file.stem).write_bytes(bytes.fromhex(vector["body"]))
        if name == "export" and len(vector.get("text", "x" * 20_000)) < 20_000:
            (folder / file.stem).write_text(vector["text"])
        if name == "image" and "image" in vector:
            (folder / file.stem).write_bytes(bytes.fromhex(vector["image"]))
        if name == "link" and vector["type"] == "link":
            (folder / file.stem).write_bytes(b"\0" + bytes.fromhex(vector["wire"]))
            messages = [(item["kind"], bytes.fromhex(item["payload"])[:255]) for item in vector["messages"]]
            framed = b"".join(bytes([len(payload), kind]) + payload for kind, payload in messages)
            (folder / (file.stem + "-framed")).write_bytes(b"\1" + framed)
    return folder


def build():
    """Builds all of them; returns the folder they are in."""
    version = subprocess.run(["rustc", "-vV"], check=True, capture_output=True, text=True).stdout
    host = next(line.split()[1] for line in version.splitlines() if line.startswith("host:"))
    # With --target build scripts are built without the counters, which they could not link.
    command = ["cargo", "build", "--release", "--locked", "--quiet", "--manifest-path", str(HERE / "Cargo.toml"), "--target", host]
    environment = {**os.environ, "CARGO_ENCODED_RUSTFLAGS": "\x1f".join(FLAGS), "CARGO_TARGET_DIR": str(TARGET)}
    subprocess.run(command, check=True, env=environment)
    return TARGET / host / "release"


def find_planted(binaries, seed):
    """Without seeds the planted mistake is found, or what the targets find is worth nothing."""
    with tempfile.TemporaryDirectory() as folder:
        command = [str(binaries / "planted"), "-runs=3000000", f"-seed={seed}", "-max_len=64", "-verbosity=0", f"-artifact_prefix={folder}/"]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")
    if done.returncode == 0 or "planted" not in done.stdout:
        sys.exit("the planted mistake was not found: the counters are not there")
    print("planted   found", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=float, default=1.0, help="so many times the usual number of runs")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("target", nargs="*")
    arguments = parser.parse_args()
    unknown = [name for name in arguments.target if name not in TARGETS]
    if unknown:
        parser.error(f"no target {unknown[0]}; there are {', '.join(TARGETS)}")
    binaries = build()
    failed = []
    find_planted(binaries, arguments.seed)
    for name in arguments.target or TARGETS:
        longest, runs = TARGETS[name]
        corpus, failures = TARGET / "corpus" / name, TARGET / "failures" / name
        for folder in (corpus, failures):
            folder.mkdir(parents=True, exist_ok=True)
        seeds = HERE / "corpus" / name
        if not seeds.is_dir():
            seeds = from_vectors(name)
        command = [str(binaries / name), f"-runs={int(runs * arguments.runs)}", f"-seed={arguments.seed}", f"-max_len={longest}", "-timeout=20",
                   "-rss_limit_mb=1024", "-print_final_stats=1", "-verbosity=0", f"-artifact_prefix={failures}/", str(corpus), str(seeds)]
        if name in DICTIONARIES:
            words = TARGET / f"{name}.dict"
            words.write_text("".join(f'"{word}"\n' for word in DICTIONARIES[name].split()))
            command.insert(1, f"-dict={words}")
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")
        stats = dict(line.removeprefix("stat::").split(":") for line in done.stdout.splitlines() if line.startswith("stat::"))
        count, memory = stats.get("number_of_executed_units", "?").strip(), stats.get("peak_rss_mb", "?").strip()
        print(f"{name:<9} {count:>8} runs  {len(list(seeds.iterdir())):>3} seeds  {len(list(corpus.iterdir())):>5} found  "
              f"{memory:>4} MB  {'ok' if done.returncode == 0 else 'FAILED'}", flush=True)
        if done.returncode:
            failed.append(name)
            print(done.stdout[-4_000:])
    for left in pathlib.Path(os.environ.get("TMPDIR", "/tmp")).glob("lowlight-fuzz-*"):
        shutil.rmtree(left, ignore_errors=True) if left.is_dir() else left.unlink()
    sys.exit(f"failed: {', '.join(failed)}; the inputs are in {TARGET / 'failures'}" if failed else 0)


if __name__ == "__main__":
    main()
