"""pip, from outside, installs wheels into a venv that lies on each of the three."""

import os
import statistics

import contenders
from bed import PYTHON, TOOLS, alternate, settle, took
from report import goal, ms, table
from wheels import describe, wheels

ROUNDS = 5
SMALL = 40


def chosen():
    """Those of the 160 wheels that are neither tiny nor huge, in their order."""
    files = [path for path in wheels("add", "more") if 10_000 < path.stat().st_size < 400_000]
    return files[:SMALL]


def one_round(name, files):
    with contenders.fresh(name) as at:
        env = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "PIP_NO", "PIP_REQ"))}
        took([PYTHON, "-m", "venv", "--without-pip", at / "venv"], env)
        settle()
        return took(
            [TOOLS / "python", "-m", "pip", "--python", at / "venv/bin/python", "install", "-q", "--no-index", "--no-deps",
             "--no-cache-dir", "--disable-pip-version-check", "--root-user-action", "ignore", *files], env,
        )


def run():
    contenders.check()
    files = chosen()
    print(describe(files))
    found = alternate({name: lambda name=name: one_round(name, files) for name in contenders.NAMES}, ROUNDS)
    table(["", *contenders.NAMES],
          ("pip install", *[ms([t.seconds for t in found[n]]) for n in contenders.NAMES]),
          ("CPU of pip", *[ms([t.cpu for t in found[n]]) for n in contenders.NAMES]))
    middle = {n: statistics.median(t.seconds for t in found[n]) for n in contenders.NAMES}
    goal("pip install, of ext4", middle["venvfs"] / middle["ext4"], 1.7)
