"""From the start of `venvfs mount` to its return; the venv is usable then."""

import itertools
import os
import pathlib
import pwd
import shutil
import statistics

from bed import BINARY, PYTHON, alternate, bed, mount, took, unmount
from report import goal, ms, table
from wheels import describe, wheels

ROUNDS = 31


class User:
    """`nobody`, with a cache and state of its own below `root`."""

    def __init__(self, root, files):
        self.id = pwd.getpwnam("nobody").pw_uid  # fusermount3 wants a user that has a name
        self.home, self.files = root / "user", files
        self.home.mkdir()
        os.chown(self.home, self.id, self.id)
        self.binary = root / "venvfs"  # our own may lie where that user cannot go
        shutil.copy(BINARY, self.binary)
        supervise = "venvfs-supervise"
        shutil.copy(pathlib.Path(BINARY).with_name(supervise), self.binary.with_name(supervise))
        self.env = {"PATH": "/usr/bin:/bin", "HOME": str(self.home)}
        self.path = self.home / "env"
        self._open_device(root / "fuse")

    def _open_device(self, node):
        """/dev/fuse for all, in this process's mount namespace only."""
        if os.stat("/dev/fuse").st_mode & 0o006 == 0o006:
            return
        os.mknod(node, 0o020666, os.stat("/dev/fuse").st_rdev)
        node.chmod(0o666)
        took(["mount", "--bind", node, "/dev/fuse"], os.environ)

    def run(self, *args, **env):
        return took(
            [self.binary, *args], {**self.env, **env}, user=self.id, group=self.id, extra_groups=[], cwd="/"
        )

    def mount(self, **env):
        return self.run("mount", "--python", "/usr/bin/python3", self.path, *self.files, **env)

    def unmount(self, **env):
        self.run("unmount", self.path, **env)


def timed(do_mount, do_unmount, states=None):
    """With `states` the mount is one that was never made before: its state is new there."""
    number = itertools.count()

    def once():
        env = {"XDG_STATE_HOME": str(states / f"state{next(number)}")} if states else {}
        result = do_mount(**env).seconds
        do_unmount(**env)
        return result

    return once


def supervisors(folder):
    """What starting a supervisor costs: a worker that ends at once, by it and without it."""
    folder.mkdir(mode=0o700)
    supervise = pathlib.Path(BINARY).with_name("venvfs-supervise")
    through = [supervise, "mount", folder, folder / "socket", "/bin/true"]
    start = ["sh", "-c", 'exec "$@" 3</dev/null 4>/dev/null 5</dev/null', "sh"]
    return {
        "a worker that does nothing": lambda: took([*start, "/bin/true"], os.environ).seconds,
        "the same by a supervisor": lambda: took([*start, *through], os.environ).seconds,
    }


def run():
    files = wheels("add", "more")
    print(describe(files))
    with bed("mount", fresh=True) as program:
        path = program.root / "env"
        program.add(*files)

        def own(**env):
            return mount(program, path, files, **env)

        def gone(**env):
            unmount(program, path, **env)

        user = User(program.root, files)
        user.run("cache", "add", *files)
        contenders = {
            "root, first": timed(own, gone, program.root / "states"),
            "root, again": timed(own, gone),
            "fusermount3, first": timed(user.mount, user.unmount, user.home),
            "fusermount3, again": timed(user.mount, user.unmount),
        }
        alternate(contenders, 2)  # probes the interpreters
        found = alternate(contenders, ROUNDS)
        plain, supervised = (statistics.median(runs) * 1000
                             for runs in alternate(supervisors(program.root / "alone"), 5 * ROUNDS).values())
    table(["", "start to return"], *[(name, ms(runs)) for name, runs in found.items()])
    for name in ("root, first", "root, again"):
        goal(f"{name}:", statistics.median(found[name]) * 1000, 20, " ms")
    print(f"a worker that does nothing: {plain:.2f} ms, by a supervisor: {supervised:.2f} ms")
    goal("the supervisor's start:", supervised - plain, 2, " ms")
