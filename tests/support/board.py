#!/usr/bin/env python3
"""Kills an emulated board while it writes to its flash, drains it over its serial line, and verifies on the host.

    tests/support/board.py LOWLIGHT FIRMWARE [--rounds N] [--seed N] [--keep DIR]

FIRMWARE is the ELF of examples/firmware/qemu-riscv. Each round: the board runs, one host takes in what it has, the board is
killed at once, starts again, and another host takes in all of it: what the first host was given must be there, byte for byte, each
index once, and the log of the device must verify. In each second round that other host is killed while it takes in, and goes on.
The board is the witness of the first host's log, and is killed while it is asked: the log is never refused for that, and what was
cosigned is remembered. At the end the first host's log of an earlier round is put back, and then the flash of the board: both must be told.

Exit 0: all held. 1: something did not. 2: could not run.
"""

import argparse
import contextlib
import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SIZE = 32 << 20
QEMU = "qemu-system-riscv32"


class Board:
    """The board, with flash in a file and its UART on a Unix socket."""

    def __init__(self, firmware, home):
        self.firmware, self.flash, self.socket = firmware, home / "flash.img", home / "uart.sock"
        self.flash.write_bytes(b"\xff" * SIZE)

    def start(self):
        self.socket.unlink(missing_ok=True)
        self.process = subprocess.Popen(
            [QEMU, "-M", "virt", "-m", "16M", "-bios", self.firmware, "-display", "none", "-monitor", "none",
             "-drive", f"if=pflash,unit=1,format=raw,file={self.flash}",
             "-chardev", f"socket,id=u,path={self.socket},server=on,wait=off", "-serial", "chardev:u"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until = time.monotonic() + 20
        while not self.socket.exists():
            if self.process.poll() is not None or time.monotonic() > until:
                raise SystemExit(f"the board did not start: exit code {self.process.poll()}")
            time.sleep(0.01)

    def kill(self):
        if self.process.poll() is not None:
            raise AssertionError(f"the firmware ended by itself with {self.process.returncode}")
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


class Host:
    """A log into which the board is taken in."""

    def __init__(self, lowlight, path, board):
        self.lowlight, self.path, self.board = lowlight, path, board
        self.config = path.with_suffix(".toml")
        self.config.touch()
        self.environment = {**os.environ, "LOWLIGHT_CONFIG": str(self.config)}

    def run(self, *words, code=0, input=""):
        """Runs a command; what it printed on both streams."""
        done = subprocess.run([self.lowlight, "--path", str(self.path), *words], env=self.environment, capture_output=True, text=True,
                              input=input, timeout=120)
        check(done.returncode == code, f"{words} ended with {done.returncode}: {done.stdout}{done.stderr}")
        return done.stdout, done.stderr

    def be_witnessed(self):
        """Makes the board the witness of this log."""
        vkey = self.run("keys", "init")[0].strip()
        lines = self.run("witness", "--serial", str(self.board.socket), "provision", "--name", "virt", "--send-keys", vkey)[0]
        self.config.write_text(lines)

    def start_recording(self):
        """A recorder that has its checkpoints cosigned."""
        process = subprocess.Popen([self.lowlight, "--path", str(self.path), "record"], env=self.environment, stdin=subprocess.PIPE,
                                   stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        process.stdin.write('{"model":"m"}\n' * 3)
        process.stdin.close()
        return process

    def witnessed(self):
        """Up to where the log is cosigned."""
        path = self.path / "witnessed"
        return max((json.loads(line)["size"] for line in path.read_text().splitlines()), default=0) if path.exists() else 0

    def command(self, *words):
        return [self.lowlight, "--path", str(self.path), "--json", *words]

    def take(self, codes=(0,)):
        """Takes in; the report."""
        done = subprocess.run(self.command("import", str(self.board.socket), "--timeout", "5"), env=self.environment, capture_output=True,
                              text=True, timeout=120)
        if done.returncode not in codes:
            raise AssertionError(f"import ended with {done.returncode}: {done.stdout}{done.stderr}")
        return json.loads(done.stdout)

    def take_and_be_killed(self, after):
        """Is killed while it takes in; whether it was."""
        process = subprocess.Popen(self.command("import", str(self.board.socket), "--timeout", "5"), env=self.environment,
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(after)
        process.send_signal(signal.SIGKILL)
        return process.wait() == -signal.SIGKILL

    def verify(self):
        done = subprocess.run(self.command("verify"), env=self.environment, capture_output=True, text=True, timeout=120)
        return json.loads(done.stdout)

    def entries(self):
        """Index and body of all that was taken in, in the order it was."""
        found = []
        for path in sorted((self.path / "devices").glob("*/device.db")):
            # One that stays open would lose its locks where this process copies the file (POSIX), and read what is not so any more.
            with contextlib.closing(sqlite3.connect(path)) as database:
                found += database.execute("SELECT idx, body FROM entry ORDER BY stretch, idx").fetchall()
        return found


def check(condition, what):
    if not condition:
        raise AssertionError(what)


def kill_while_it_is_asked(board, host, dice):
    """Power goes while the board is asked to cosign, and comes back; the log goes on and is cosigned."""
    before = host.witnessed()
    process = host.start_recording()
    time.sleep(dice.uniform(0, 1.5))
    board.kill()
    said = process.stderr.read()
    check(process.wait(timeout=60) == 0, f"a recorder without its witness ended with {process.returncode}: {said}")
    board.start()
    # A machine that is slow may take longer to start the board than a recorder waits for it.
    until, before = time.monotonic() + 60, max(before, host.witnessed())
    while True:
        said = host.run("record", input='{"model":"m"}\n')[1]
        check("moved aside" not in said and not (host.path / "quarantine").exists(), f"an honest log was refused: {said}")
        if host.witnessed() > before:
            return
        check(time.monotonic() < until, f"what was recorded after the kill is not cosigned: {said}")


def put_back(host, old):
    """The log of an earlier time is refused by its witness, and another begun that names it."""
    shutil.rmtree(host.path)
    shutil.copytree(old, host.path)
    said = host.run("record", input='{"model":"m"}\n')[1]
    check("the witness has seen" in said and (host.path / "quarantine/older-1/lowlight.db").exists(), f"an older log passes: {said}")
    check(host.verify()["verdict"] == "intact", "the log that was begun does not verify")


def check_round(first, second, number):
    """What the first host was given is there; each index once; all verifies."""
    given, there = first.entries(), second.entries()
    check([index for index, _ in there] == list(range(len(there))), f"round {number}: an index is missing, or there twice")
    check(there[:len(given)] == given, f"round {number}: what was given to the first host is not what the second one has")
    report = second.verify()
    check(report["verdict"] == "intact", f"round {number}: {report}")
    device = report["devices"][0]
    check(device["gaps_total"] == 0 and device["boots"] == number + 2, f"round {number}: {device}")
    return len(given), len(there)


def rounds(board, first, second, count, dice):
    """All of it; how often a host was killed."""
    killed, flash, older = 0, None, first.path.with_suffix(".old")
    first.be_witnessed()
    for number in range(count):
        time.sleep(dice.uniform(0.2, 1.0))
        first.take()
        time.sleep(dice.uniform(0, 0.02))
        board.kill()
        if number == count // 2:
            flash = board.flash.read_bytes()
            shutil.copytree(first.path, older)
        board.start()
        if number % 2:
            killed += second.take_and_be_killed(dice.uniform(0.05, 0.4))
        second.take()
        given, there = check_round(first, second, 2 * number)
        kill_while_it_is_asked(board, first, dice)
        print(f"round {number}: {given} entries given before the kill, {there} there after it", flush=True)
    put_back(first, older)
    time.sleep(0.5)
    first.take()
    board.kill()
    board.flash.write_bytes(flash)
    board.start()
    time.sleep(0.5)
    check(first.take(codes=(1,))["forked"], "the flash of an earlier round passes")
    check(first.verify()["verdict"] == "broken", "the flash of an earlier round verifies")
    board.kill()
    image = subprocess.run([first.lowlight, "verify", str(board.flash), "--json"], capture_output=True, text=True)
    check(json.loads(image.stdout)["verdict"] == "intact", image.stdout)
    return killed


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("lowlight")
    parser.add_argument("firmware")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", type=Path)
    options = parser.parse_args()
    if not shutil.which(QEMU):
        print(f"{QEMU} is not here: install Debian's qemu-system-misc")
        return 2
    dice = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as scratch:
        home = options.keep or Path(scratch)
        home.mkdir(parents=True, exist_ok=True)
        board = Board(options.firmware, home)
        first, second = Host(options.lowlight, home / "first", board), Host(options.lowlight, home / "second", board)
        board.start()
        try:
            killed = rounds(board, first, second, options.rounds, dice)
        except AssertionError as failure:
            print(f"FAILED with seed {options.seed}: {failure}")
            return 1
        finally:
            board.process.kill()
        print(f"{options.rounds} kills of the board while it records, {options.rounds} while it cosigns, {killed} of the host: nothing missing, "
              "nothing twice, nothing forgotten; a log put back is refused, flash put back is told")
        return 0


if __name__ == "__main__":
    sys.exit(main())
