#!/usr/bin/env python3
"""Shows the emulated RISC-V board: a model records to flash, power is cut, a host drains it, and the board witnesses the host's log.

    examples/firmware/show.py [--cuts N]

Needs Rust with the target riscv32imac-unknown-none-elf, and QEMU (Debian: qemu-system-misc). Builds what it runs; what it makes is in
a directory that it names, and leaves there. Exit 0: all was as it should be.
"""

import argparse
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path.insert(0, str(ROOT / "tests" / "support"))
from board import QEMU, Board, check  # noqa: E402

TARGET = "riscv32imac-unknown-none-elf"


def build():
    """The command and the firmware; BARE_METAL_ARGS goes to the second build."""
    subprocess.run(["cargo", "build", "--release", "--locked", "--quiet", "-p", "lowlight-host"], cwd=ROOT, check=True)
    extra = os.environ.get("BARE_METAL_ARGS", "").split()
    subprocess.run(["cargo", *extra, "build", "--release", "--locked", "--quiet", "-p", "qemu-riscv", "--target", TARGET], cwd=HERE, check=True)
    return ROOT / "target/release/lowlight", HERE / "target" / TARGET / "release/qemu-riscv"


class Shell:
    """Runs commands and prints them with what they say."""

    def __init__(self, lowlight, home):
        self.lowlight, self.home = lowlight, home
        self.environment = {**os.environ, "LOWLIGHT_CONFIG": str(home / "lowlight.toml"), "LOWLIGHT_PATH": "logs"}

    def run(self, *words, code=0, input=""):
        print("$ lowlight " + shlex.join(words), flush=True)
        done = subprocess.run([self.lowlight, *words], cwd=self.home, env=self.environment, input=input, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=120)
        print(done.stdout, end="", flush=True)
        check(done.returncode == code, f"it ended with {done.returncode}")
        return done.stdout


def written(flash):
    """What stands in the first erase block of the log."""
    return flash.read_bytes()[:256 << 10].rstrip(b"\xff")


def wait_for_entries(board):
    """Until some thirty entries more are in flash, however fast the emulator is."""
    least, until = len(written(board.flash)) + 4096, time.monotonic() + 60
    while len(written(board.flash)) < least:
        check(time.monotonic() < until, "the board does not record")
        time.sleep(0.05)


def rot(flash):
    """Flips a bit of an entry in the middle of what stands there; 0xFF fills a frame up to whole words, and belongs to no entry."""
    image, used = bytearray(flash.read_bytes()), written(flash)
    middle = len(used) // 2
    image[next(at for at in range(middle, len(used)) if used[at] != 0xFF)] ^= 1
    flash.write_bytes(image)


def show(shell, board, home, cuts):
    print("\n# A voice activity model listens to recorded speech; each inference goes to NOR flash. Power is cut now and then.", flush=True)
    board.start()
    for number in range(cuts):
        wait_for_entries(board)
        board.kill()
        print(f"(power cut {number + 1})", flush=True)
        if number == 0:
            rot(board.flash)
            print("(a bit of the flash rots)", flush=True)
        board.start()
    wait_for_entries(board)

    print("\n# The board becomes the witness of the host's log.", flush=True)
    vkey = shell.run("keys", "init", "--name", "gate-7").strip().split("\n")[-1]
    lines = shell.run("witness", "--serial", "uart.sock", "provision", "--name", "virt", "--send-keys", vkey)
    (home / "lowlight.toml").write_text(lines[lines.index("[witness]"):])

    print("\n# The host drains the flash over the serial line, and verifies.", flush=True)
    shell.run("import", "uart.sock")
    said = shell.run("verify")
    check(f"starts of the firmware: {cuts + 1}" in said and "gap" in said, "boots or gap are not listed")
    device = next(path.name for path in (home / "logs" / "devices").iterdir() if path.is_dir())[:8]
    said = shell.run("stats", "--device", device)
    check(f"{cuts} unclean stops on record" in said, "the cuts are not told")
    shell.run("query", "--device", device, "--limit", "5")
    heard = "SELECT finish_reason AS heard, count(*) FROM entries WHERE kind = 'inference' GROUP BY heard ORDER BY heard"
    said = shell.run("query", "--device", device, "--sql", heard)
    check("silence" in said and "speech" in said, "what was heard is not told")
    shutil.copytree(home / "logs", home / "older")

    print("\n# The host records something, and then an older copy of its log is put in place.", flush=True)
    shell.run("record", input='{"model":"gate","prompt":"the door was opened"}\n')
    shutil.move(home / "logs", home / "newer")
    shutil.copytree(home / "older", home / "logs")
    print("(rolled back; by itself it verifies:)", flush=True)
    shell.run("verify")
    said = shell.run("record", input='{"model":"gate","prompt":"what door?"}\n')
    check("the witness has seen" in said, "the witness did not refuse the older log")
    said = shell.run("show", "0")
    check("predecessor" in said, "the new log does not name the one before")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cuts", type=int, default=3, help="how often power is cut")
    options = parser.parse_args()
    if not shutil.which(QEMU):
        print(f"{QEMU} is not here: install Debian's qemu-system-misc")
        return 2
    lowlight, firmware = build()
    home = Path(tempfile.mkdtemp(prefix="lowlight-board-"))
    board = Board(firmware, home)
    try:
        show(Shell(lowlight, home), board, home, options.cuts)
    except AssertionError as failure:
        print(f"FAILED: {failure}")
        return 1
    finally:
        if getattr(board, "process", None):
            board.process.kill()
    print(f"\n# All as it should be; it is left in {home}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
