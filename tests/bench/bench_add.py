"""uv has an empty cache, too, and the resolver is left out (--no-deps)."""

import statistics

from bed import BINARY, PYTHON, UV, alternate, bed, clear, settle, took
from report import goal, ms, table
from wheels import describe, wheels

ROUNDS = 11


def run():
    files = wheels("add")
    print(describe(files))
    with bed("add") as program:
        uv_root = program.root / "uv"
        env = {**program.env, "UV_CACHE_DIR": str(uv_root / "cache"), "UV_NO_CONFIG": "1"}

        def venvfs():
            clear(program.cache.parent)
            settle()
            return took([BINARY, "cache", "add", *files], program.env)

        def uv():
            clear(uv_root)
            took([UV, "venv", "-q", "--python", PYTHON, uv_root / "venv"], env)
            settle()
            return took(
                [UV, "pip", "install", "-q", "--no-index", "--no-deps", "--python",
                 uv_root / "venv/bin/python", *files], env,
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
