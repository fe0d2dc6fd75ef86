"""uv has an empty cache, too, and the resolver is left out (--no-deps)."""

import itertools
import statistics

from bed import BINARY, PYTHON, UV, alternate, bed, settle, took
from report import goal, ms, table
from wheels import describe, wheels

ROUNDS = 11


def run():
    files = wheels("add")
    print(describe(files))
    with bed("add", fresh=True) as program:
        # Nothing is removed before the end (bed.fresh_disk says why).
        number = itertools.count()

        def venvfs():
            cache = program.root / f"venvfs{next(number)}"
            settle()
            return took([BINARY, "cache", "add", *files], {**program.env, "VENVFS_CACHE_DIR": str(cache)})

        def uv():
            root = program.root / f"uv{next(number)}"
            env = {**program.env, "UV_CACHE_DIR": str(root / "cache"), "UV_NO_CONFIG": "1"}
            took([UV, "venv", "-q", "--python", PYTHON, root / "venv"], env)
            settle()
            return took(
                [UV, "pip", "install", "-q", "--no-index", "--no-deps", "--python",
                 root / "venv/bin/python", *files], env,
            )

        alternate({"venvfs": venvfs, "uv": uv}, 1)  # the wheels come into the page cache
        found = alternate({"venvfs": venvfs, "uv": uv}, ROUNDS)
    rows = [
        (name, ms([t.seconds for t in runs]), ms([t.cpu for t in runs])) for name, runs in found.items()
    ]
    table(["", "time", "CPU"], *rows)
    ratio = statistics.median(t.seconds for t in found["venvfs"]) / statistics.median(
        t.seconds for t in found["uv"]
    )
    goal("time of venvfs / time of uv", ratio, 1.0)
