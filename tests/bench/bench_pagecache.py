"""Page cache after reading everything, counted by cachestat(2) over the files themselves.

Each mount has pages of its own, and the cache's files have theirs. VENVFS_COMPARE may name
another build, such as one that gives up the cache's pages once they were served.
"""

import functools
import os
import time

from bed import BINARY, alternate, bed, cached_bytes, drop_caches, files_below, mount, unmount
from bench_threads import read_files
from report import mb, table
from wheels import describe, wheels

MOUNTS, REPEATS = 10, 3


def read_seconds(path):
    names = list(files_below(path))
    start = time.perf_counter()
    read_files(names)
    return time.perf_counter() - start


def once(program, files, binary):
    """Bytes after one mount and after all, and how long the first and the others took."""
    paths = [program.root / f"env{i}" for i in range(MOUNTS)]
    for path in paths:
        mount(program, path, files, "--read-only", binary=binary)
    drop_caches()
    seconds = [read_seconds(paths[0])]
    found = [(cached_bytes(paths[0] / "lib"), cached_bytes(program.cache))]
    seconds += [read_seconds(path) for path in paths[1:]]
    found.append((cached_bytes(*[path / "lib" for path in paths]), cached_bytes(program.cache)))
    for path in paths:
        unmount(program, path)
    return found, seconds


def run():
    files = wheels("add")
    print(describe(files))
    rows = []
    with bed("pagecache") as program:
        program.add(*files)
        binaries = filter(None, (BINARY, os.environ.get("VENVFS_COMPARE")))
        contenders = {binary: functools.partial(once, program, files, binary) for binary in binaries}
        for binary, results in alternate(contenders, REPEATS).items():
            one, ten = results[-1][0]
            first = sorted(seconds[0] for _, seconds in results)[REPEATS // 2]
            others = sorted(s for _, seconds in results for s in seconds[1:])
            rows.append((os.path.relpath(binary), *map(mb, one), *map(mb, ten), f"{first:.2f} s", f"{others[len(others) // 2]:.2f} s"))
    table(
        ["build", "1 mount", "cache", f"{MOUNTS} mounts", "cache", "first read", "later mounts' read"],
        *rows,
    )
