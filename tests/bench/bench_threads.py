"""The server reads and checks, the kernel waits: how many threads keep it from waiting?"""

import concurrent.futures
import os
import statistics
import subprocess
import tempfile
import time

from bed import alternate, bed, drop_caches, files_below, mounted, took
from report import ms, table
from wheels import describe, wheels

COUNTS, ROUNDS, READERS = (1, 2, 3, 4), 7, 4
MODULES = "numpy, pandas, scipy.optimize, matplotlib.pyplot, sklearn.linear_model, sympy, django.db, sqlalchemy"


def cold_import(program, path):
    """Bytecode lies in memory: what is left is looking for files and reading libraries."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as bytecode:
        argv = [path / "bin/python", "-c", "import " + MODULES]
        env = {**program.env, "PYTHONPYCACHEPREFIX": bytecode}
        took(argv, env)
        drop_caches()
        return took(argv, env)


def read_files(names):
    for name in names:
        fd = os.open(name, os.O_RDONLY)
        while os.read(fd, 1 << 20):
            pass
        os.close(fd)


def cold_read(names):
    """Of every file, by several processes at once."""
    drop_caches()
    start = time.perf_counter()
    with concurrent.futures.ProcessPoolExecutor(READERS) as pool:
        list(pool.map(read_files, [names[i::READERS] for i in range(READERS)]))
    return time.perf_counter() - start


def cold_find(path):
    drop_caches()
    start = time.perf_counter()
    subprocess.run(["find", path, "-ls"], stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - start


def run():
    files = wheels("add")
    print(describe(files), f"; {READERS} processes read")
    with bed("threads") as program:
        path = program.root / "env"
        program.add(*files)

        def measure(threads):
            def once():
                with mounted(program, path, files, "--read-only", VENVFS_SERVING_THREADS=str(threads)):
                    imported = cold_import(program, path)
                    names = list(files_below(path))
                    return imported.seconds, cold_read(names), cold_find(path)

            return once

        found = alternate({count: measure(count) for count in COUNTS}, ROUNDS)
    rows = [(f"{count}", *[ms(list(column)) for column in zip(*runs)]) for count, runs in found.items()]
    table(["threads", "cold import", "cold read of all", "cold find -ls"], *rows)
    fastest = min(found, key=lambda c: sum(statistics.median(x) for x in zip(*found[c])))
    print(f"the least time in all three together: {fastest} threads")
