"""Private memory of the serving process and those beside it, as the kernel counts it."""

import contextlib
import json
import os
import pathlib
import socket
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


def private(found):
    return found["Private_Dirty"] + found["Private_Clean"]


def status(program, path):
    return json.loads(program.run("status", "--json", path).stdout)


@contextlib.contextmanager
def helper(program, path):
    """One that tells the kernel what to forget, as `refresh` starts it."""
    state = next(pathlib.Path(p).parent for p in program.root.rglob("mount.json") if str(path) in p.read_text())
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as control:
        control.connect(json.loads((state / "mount.json").read_text())["socket"])
        control.send(b'{"verb":"notifier"}')
        _, fds, _, _ = socket.recv_fds(control, 1000, 1)
    try:
        yield status(program, path)["helpers"][0]
    finally:
        os.close(fds[0])


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
        # Before there is a helper, with which it would share what is private.
        steps["its supervisor"] = memory(status(program, path)["supervisor"])
        with helper(program, path) as pid:
            steps["a helper"] = memory(pid)
    table(["", *KINDS], *[(name, *[mb(m[kind]) for kind in KINDS]) for name, m in steps.items()])
    goal("private after find:", private(steps["after find -ls"]) / 1e6, 10, " MB")
    both = private(steps["its supervisor"]) + private(steps["a helper"])
    goal("private of supervisor and helper:", both / 1e6, 1.5, " MB")
