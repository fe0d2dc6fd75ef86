"""Private memory of the serving process, as the kernel counts it."""

import os
import pathlib
import subprocess

from bed import bed, files_below, mount, server_pid
from report import goal, mb, table
from wheels import describe, wheels

KINDS = ["Private_Dirty", "Private_Clean", "Pss", "Rss"]


def memory(pid):
    found = {}
    for line in pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]:
        name, value = line.split()[:2]
        found[name.rstrip(":")] = int(value) * 1024
    return found


def read_all(path):
    for name in files_below(path):
        fd = os.open(name, os.O_RDONLY)
        while os.read(fd, 1 << 20):
            pass
        os.close(fd)


def run():
    files = wheels("add", "more")
    print(describe(files))
    steps = {}
    with bed("memory") as program:
        path = program.root / "env"
        program.add(*files)
        mount(program, path, files)
        pid = server_pid(path)
        steps["mounted"] = memory(pid)
        subprocess.run(["find", path, "-ls"], stdout=subprocess.DEVNULL, check=True)
        steps["after find -ls"] = memory(pid)
        read_all(path)
        steps["after reading all"] = memory(pid)
    table(["", *KINDS], *[(name, *[mb(m[kind]) for kind in KINDS]) for name, m in steps.items()])
    private = steps["after find -ls"]
    goal("private after find:", (private["Private_Dirty"] + private["Private_Clean"]) / 1e6, 10, " MB")
