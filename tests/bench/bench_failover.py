"""A worker is killed, and a name is asked for that the kernel has not heard of.

So the answer comes from the next worker, which has opened the rows by then.
"""

import os
import pathlib
import signal
import statistics
import time

from bed import bed
from report import goal, ms, table

ROWS, ROUNDS, PAUSE = 30_000, 41, 0.4


def make_rows(folder):
    """A row each of node and name; every hundredth has content."""
    for i in range(ROWS):
        if i % 1000 == 0:
            (folder / f"d{i}").mkdir()
        path = folder / f"d{i // 1000 * 1000}" / f"f{i}"
        if i % 100 == 0:
            path.write_bytes(b"x" * 1000)
        else:
            os.mknod(path)


def row_of(program, path):
    return next(row for row in program.list() if row["path"] == str(path))


def first_answer(program, path, number):
    row = row_of(program, path)
    worker = os.pidfd_open(row["pid"])
    start = time.perf_counter()
    signal.pidfd_send_signal(worker, signal.SIGKILL)
    assert not os.path.lexists(path / f"d0/nobody{number}")
    seconds = time.perf_counter() - start
    os.close(worker)
    assert row_of(program, path)["restarts"] == row["restarts"] + 1
    return seconds


def measure(program, path):
    found = []
    for i in range(ROUNDS):
        time.sleep(PAUSE)
        found.append(first_answer(program, path, i))
    return found


def run():
    with bed("failover") as program:
        lower = program.root / "lower"
        lower.mkdir()
        (lower / "file").touch()
        at, upper = program.root / "at", program.root / "upper"
        mount = ("mount", at, "--layer", lower, "--upper", upper)
        program.run(*mount)
        (at / "d0").mkdir()
        few = measure(program, at)
        (at / "d0").rmdir()
        make_rows(at)
        just_made = measure(program, at)
        program.run("unmount", at)
        program.run(*mount)
        many = measure(program, at)
        size = sum(p.stat().st_size for p in pathlib.Path(upper).glob("index.db*"))
    table(["rows", "death to first answer", "most"],
          *[(name, ms(each), ms([max(each)])) for name, each in
            (("two", few), (f"{ROWS:,}, just made", just_made), (f"{ROWS:,}, mounted again", many))])
    print(f"index.db with its WAL: {size / 1e6:.1f} MB")
    goal("median from death to first answer", max(map(statistics.median, (just_made, many))) * 1000, 50, " ms")
