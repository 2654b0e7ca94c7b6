#!/usr/bin/env python3
"""Weighs the recorder on a Cortex-M4F: code, memory, instructions; and checks that they did not grow.

    tests/support/firmware.py [CARGO_ARGS..]

CARGO_ARGS go before `build`, where the standard library must be built from source. Builds examples/firmware/qemu-cortex-m: a firmware
with the recorder, flash log and link, and the same without them; what the first has more is their code, everything counted that they
bring along. The emulated board then prints the memory of a run, its stack included, and how many instructions things take; with a witness
as well, what that adds.

Exit 0: within the limits. 1: something grew. 2: could not run.
"""

import json
import shutil
import struct
import subprocess
import sys
from pathlib import Path

FIRMWARE = Path(__file__).resolve().parent.parent.parent / "examples" / "firmware"
TARGET = "thumbv7em-none-eabihf"
QEMU = "qemu-system-arm"
# What was measured, and a tenth.
MOST_CODE = 25_192 * 11 // 10
MOST_MEMORY = 7_352 * 11 // 10
MOST_WITNESS = 45_528 * 11 // 10
MOST_SIGNING = 13_944 * 11 // 10


def build(arguments, *options):
    command = ["cargo", *arguments, "build", "--release", "--locked", "--quiet", "-p", "qemu-cortex-m", "--target", TARGET, *options]
    subprocess.run(command, cwd=FIRMWARE, check=True)
    return FIRMWARE / "target" / TARGET / "release"


def code(path):
    """Bytes of code and constants in an ELF file of 32 bits."""
    data = path.read_bytes()
    offset, count, names = struct.unpack_from("<I", data, 32)[0], *struct.unpack_from("<HH", data, 48)
    sections = [struct.unpack_from("<10I", data, offset + 40 * number) for number in range(count)]
    start = sections[names][4]
    sizes = {data[start + it[0]:data.index(b"\0", start + it[0])]: it[5] for it in sections}
    return sizes[b".text"] + sizes[b".rodata"]


def run(path):
    """What the firmware prints."""
    command = [QEMU, "-M", "mps2-an386", "-icount", "shift=0", "-display", "none", "-monitor", "none", "-serial", "none",
               "-semihosting-config", "enable=on,target=native", "-kernel", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    if done.returncode:
        raise SystemExit(f"the firmware ended with {done.returncode}: {done.stdout}{done.stderr}")
    return [json.loads(line) for line in done.stdout.splitlines()]


def main():
    if not shutil.which(QEMU):
        print(f"{QEMU} is not here: install Debian's qemu-system-arm")
        return 2
    arguments = sys.argv[1:]
    bare = code(build(arguments, "--bin", "code", "--features", "bare") / "code")
    binaries = build(arguments, "--features", "witness")
    witness, [signing] = code(binaries / "code") - bare, run(binaries / "witness")
    binaries = build(arguments)
    size = code(binaries / "code") - bare
    memory, instructions = run(binaries / "qemu-cortex-m")
    print(f"code of recorder, flash log, link and SHA-256: {size} bytes, at most {MOST_CODE}")
    print(f"a witness adds: {witness - size} bytes; its stack {signing['witness_stack']}, itself {signing['witness']}; instructions: "
          f"to check growth and cosign it {signing['add']}, to attest {signing['attest']}")
    print(f"memory, stack included: {memory['stack']} bytes, at most {MOST_MEMORY}; in it the recorder with its queue {memory['recorder']}, "
          f"flash log {memory['log']}, link {memory['link']}")
    for name, count in instructions.items():
        print(f"instructions: {name.replace('_', ' ')}: {count}")
    grown = [size > MOST_CODE, witness - size > MOST_WITNESS, memory["stack"] > MOST_MEMORY, signing["witness_stack"] > MOST_SIGNING]
    return int(any(grown))


if __name__ == "__main__":
    sys.exit(main())
