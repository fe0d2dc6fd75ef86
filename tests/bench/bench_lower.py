"""Changes of what lies below: a rename, a chmod, a copy-up, and what a new file costs."""

import os
import statistics
import threading
import time

from bed import bed
from report import goal, ms, table

NAMES, LARGE, NEW, ROUNDS, PAUSE = 10_000, 300 << 20, 1_000, 5, 0.001


def make_lower(lower):
    folder = lower / "many"
    folder.mkdir(parents=True)
    for i in range(NAMES):
        (folder / f"f{i}").write_text(str(i))
    with open(lower / "large", "wb") as file:
        for i in range(LARGE >> 20):
            file.write(os.urandom(1 << 20))


def timed(call, *args):
    start = time.perf_counter()
    call(*args)
    return time.perf_counter() - start


def append(path):
    with open(path, "ab") as file:
        file.write(b"x")


def waits_during(path, folder):
    """How long an append to a lower file takes, and what others wait for meanwhile."""
    done, waits = threading.Event(), []

    def others():
        number = 0
        while not done.is_set():
            number += 1
            waits.append(timed((folder / f"new{number}").mkdir))
            time.sleep(PAUSE)

    thread = threading.Thread(target=others)
    thread.start()
    seconds = timed(append, path)
    done.set()
    thread.join()
    return seconds, waits


def new_files(program, at):
    """Requests for a file that is made, written and closed, and its time."""
    (at / "new").mkdir()
    before = program.requests(at)
    start = time.perf_counter()
    for i in range(NEW):
        with open(at / f"new/f{i}", "wb", buffering=0) as file:
            file.write(b"x" * 1000)
    seconds = time.perf_counter() - start
    after = program.requests(at)
    asked = {kind: round((after[kind] - before.get(kind, 0)) / NEW, 2) for kind in after}
    return {kind: count for kind, count in asked.items() if count > 0}, seconds / NEW


def one_round(program, lower, number):
    at, upper = program.root / f"at{number}", program.root / f"upper{number}"
    program.run("mount", at, "--layer", lower, "--upper", upper)
    for name in ("many", "large"):
        os.stat(at / name)
    took = {
        "first": timed((at / "first").mkdir),  # makes index.db
        "rename": timed(os.rename, at / "many", at / "renamed"),
        "chmod": timed(os.chmod, at / "large", 0o600),
    }
    took["copy-up"], took["waits"] = waits_during(at / "large", at)
    took["requests"], took["new"] = new_files(program, at)
    assert len(os.listdir(at / "renamed")) == NAMES
    program.run("unmount", at)
    return took


def run():
    with bed("lower", fresh=True) as program:
        lower = program.root / "lower"
        make_lower(lower)
        program.run("cache", "add", lower)
        rounds = [one_round(program, lower, i) for i in range(ROUNDS)]

    def of(what):
        return [took[what] for took in rounds]

    waits = [wait for took in rounds for wait in took["waits"]]
    table(["", "time", "most"],
          ("the first change of a mount", ms(of("first")), ms([max(of("first"))])),
          ("rename of a folder of 10,000 files", ms(of("rename")), ms([max(of("rename"))])),
          ("chmod of a file of 300 MiB", ms(of("chmod")), ms([max(of("chmod"))])),
          ("copy-up of it, by an append", ms(of("copy-up")), ms([max(of("copy-up"))])),
          (f"mkdir beside the copy-up, {len(waits)} times", ms(waits), ms([max(waits)])),
          ("a new file of 1,000 bytes", ms(of("new")), ms([max(of("new"))])))
    print("requests for a new file:", ", ".join(f"{kind} {count:g}" for kind, count in rounds[-1]["requests"].items()))
    goal("rename", statistics.median(of("rename")) * 1000, 1, " ms")
    goal("chmod", statistics.median(of("chmod")) * 1000, 1, " ms")
    goal("most that a mkdir waits, of the copy-up", max(waits) / statistics.median(of("copy-up")), 0.5)
