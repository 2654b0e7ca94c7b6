#!/usr/bin/env python3
"""Sets the wall clock of a running recorder back and forth by years, and looks at what becomes of the log.

usage: clock.py LOWLIGHT

A library put before the C library's own adds what a file says to the wall clock; the monotonic clock stays. What must hold: every
line is acknowledged and there, the log verifies, each step of the clock stands in the log, and
retention, which is on, takes nothing for old that a step made old.
"""
import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

SHIM = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>
int clock_gettime(clockid_t id, struct timespec *at) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = dlsym(RTLD_NEXT, "clock_gettime");
    int done = real(id, at);
    int file = id == CLOCK_REALTIME ? open(getenv("CLOCK_FILE"), O_RDONLY | O_CLOEXEC) : -1;
    if (file >= 0) {
        char text[32] = {0};
        if (read(file, text, 31) > 0) at->tv_sec += atoll(text);
        close(file);
    }
    return done;
}
"""
YEAR = 31_556_952
STEPS = [0, 10 * YEAR, -20 * YEAR, 3600, 200 * YEAR, -55 * YEAR, -3600, 0]
RETENTION = '[retention]\nmax_age = "30d"\ninterval_s = 1\n'


def program():
    """Path of the command, the only argument."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("lowlight", help="the command, such as target/release/lowlight")
    return parser.parse_args().lowlight


def main():
    lowlight = pathlib.Path(program()).resolve()
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        (folder / "shim.c").write_text(SHIM)
        subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", folder / "shim.so", folder / "shim.c", "-ldl"], check=True)
        clock, log, config = folder / "clock", folder / "log", folder / "lowlight.toml"
        clock.write_text("0")
        config.write_text(RETENTION)
        settings = {**os.environ, "LD_PRELOAD": str(folder / "shim.so"), "CLOCK_FILE": str(clock)}
        command = [lowlight, "--path", log, "--config", config]

        def run(*arguments):
            done = subprocess.run([*command, *arguments], text=True, capture_output=True)
            return done.returncode, done.stdout + done.stderr

        recorder = subprocess.Popen([*command, "record", "--ack"], env=settings, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        lines = 0
        for offset in STEPS:
            # Put in place whole: half a number is another one.
            (folder / "next").write_text(str(offset))
            (folder / "next").rename(clock)
            for _ in range(20):
                recorder.stdin.write(json.dumps({"model": "m", "prompt": f"line {lines} at {offset}"}) + "\n")
                lines += 1
            recorder.stdin.flush()
            time.sleep(1.2)
        recorder.stdin.close()
        acknowledged = [json.loads(line) for line in recorder.stdout if line.strip()]
        assert recorder.wait() == 0, "the recorder failed"
        assert len(acknowledged) == lines and all("seq" in ack for ack in acknowledged), f"{len(acknowledged)} of {lines} acknowledged: {acknowledged[:2]}"

        code, said = run("verify", "--json")
        assert code == 0, said
        code, exported = run("query", "--all", "--json")
        assert code == 0, exported[-500:]
        entries = [json.loads(line) for line in exported.splitlines()]
        prompts = [entry["prompt"] for entry in entries if entry.get("prompt")]
        assert len(prompts) == lines and len(set(prompts)) == lines, f"{len(prompts)} of {lines} are there"
        told = [json.dumps(entry.get("event", "")) for entry in entries]
        # Retention says by an alarm that it stands still.
        steps = [event for event in told if "clock" in event and "retention" not in event and "alarm" not in event]
        assert len(steps) == len(STEPS) - 1, f"{len(steps)} entries about {len(STEPS) - 1} steps"
        print(f"{lines} lines, {len(steps)} steps of the clock by up to 255 years, each on the record; nothing lost, intact")


if __name__ == "__main__":
    main()
