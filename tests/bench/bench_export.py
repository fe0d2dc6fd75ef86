"""Both caches are warm, and a new environment is written each time: its tree is what is compared."""

import itertools
import statistics

from bed import BINARY, PYTHON, UV, alternate, bed, settle, took
from report import goal, ms, table
from wheels import describe, wheels

ROUNDS = 9


def run():
    files = wheels("add")
    print(describe(files))
    with bed("export", fresh=True) as program:
        # Nothing is removed before the end (bed.fresh_disk says why).
        number = itertools.count()

        def venvfs(mode):
            path = program.root / f"venvfs{next(number)}"
            settle()
            return took([BINARY, "export", "--python", PYTHON, "--link-mode", mode, path, *files], program.env)

        def uv(mode):
            path = program.root / f"uv{next(number)}"
            env = {**program.env, "UV_CACHE_DIR": str(program.root / "uv"), "UV_NO_CONFIG": "1", "UV_LINK_MODE": mode}
            settle()
            made = took([UV, "venv", "-q", "--python", PYTHON, path], env)
            filled = took(
                [UV, "pip", "install", "-q", "--no-index", "--no-deps", "--python", path / "bin/python", *files], env
            )
            return type(made)(made.seconds + filled.seconds, made.cpu + filled.cpu)

        contenders = {
            "venvfs, copies": lambda: venvfs("copy"),
            "uv, hard links": lambda: uv("hardlink"),
            "uv, copies": lambda: uv("copy"),
        }
        alternate(contenders, 1)  # caches are filled
        found = alternate(contenders, ROUNDS)
    rows = [(name, ms([t.seconds for t in runs]), ms([t.cpu for t in runs])) for name, runs in found.items()]
    table(["", "time", "CPU"], *rows)
    medians = {name: statistics.median(t.seconds for t in runs) for name, runs in found.items()}
    goal("time of venvfs / time of uv with copies", medians["venvfs, copies"] / medians["uv, copies"], 1.0)
    goal("time of venvfs / time of uv with hard links", medians["venvfs, copies"] / medians["uv, hard links"], 1.0)
