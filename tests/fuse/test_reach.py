"""What of the file system a worker reaches that somebody has taken over: what it serves, and no more."""

import ctypes
import os
import pathlib
import platform
import subprocess
import sys

import pytest
from hijack import hijacked
from support import BINARY, missing
from test_attacks import layered, put, row  # noqa: F401 (a fixture)
from waiting import PATIENCE, wait_until

CREATE, RULESET_VERSION = 444, 1
# landlock_create_ruleset(2) is {}, as of a kernel without it or where a container forbids it.
WITHOUT = """
import ctypes, os, struct, sys
def step(code, k, yes=0, no=0): return struct.pack("<HBBI", code, yes, no, k)
code = step(0x20, 0) + step(0x15, 444, 0, 1) + step(0x06, 0x50000 + {}) + step(0x06, 0x7fff0000)
class Program(ctypes.Structure):
    _fields_ = [("count", ctypes.c_ushort), ("code", ctypes.c_char_p)]
libc = ctypes.CDLL(None, use_errno=True)
assert libc.prctl(22, 2, ctypes.byref(Program(len(code) // 8, code))) == 0, ctypes.get_errno()
os.execv(sys.argv[1], sys.argv[1:])
"""


@pytest.fixture
def limits():
    """That this kernel limits what is reached."""
    if ctypes.CDLL(None).syscall(CREATE, None, 0, RULESET_VERSION) < 3:
        missing("Landlock of Linux 6.2")


def opened(worker, path, flags):
    fd = worker.open(str(path), flags, 0o600)
    if fd >= 0:
        worker.close(fd)
    return fd


def test_a_hijacked_worker_changes_nothing_of_its_user_s(venvfs, layered, tmp_path, limits):
    at, upper, mount = layered
    home = put(tmp_path / "home", profile="theirs", d__x="x")
    mount()
    before = {p: p.stat() for p in home.rglob("*")}
    cached = [p for p in venvfs.cache.rglob("*") if p.is_file() and p.parent.name != "leases"]
    with hijacked(row(venvfs, at)["pid"]) as worker:
        for path in (home / "profile", tmp_path / "lower/a", *cached):
            for flags in (os.O_WRONLY, os.O_RDWR, os.O_WRONLY | os.O_TRUNC):
                worker.refuses("open", str(path), flags)
            worker.refuses("truncate", str(path), 0)
            worker.refuses("chmod", str(path), 0o666)
            worker.refuses("fchmodat", 0, str(path), 0o666)
            worker.refuses("utimensat", 0, str(path), 0, 0)
            worker.refuses("unlink", str(path))
            worker.refuses("rename", str(path), str(upper / "taken"))
            worker.refuses("link", str(path), str(upper / "taken"))
        for folder in (home, home / "d", venvfs.cache, venvfs.cache / "objects", tmp_path / "state/venvfs", tmp_path):
            worker.refuses("open", f"{folder}/new", os.O_WRONLY | os.O_CREAT, 0o600)
            worker.refuses("mkdir", f"{folder}/new", 0o700)
            worker.refuses("symlink", "/etc", f"{folder}/new")
            worker.refuses("mknod", f"{folder}/new", 0o10600, 0)
            worker.refuses("rename", str(upper / "index.db"), f"{folder}/new")
        worker.refuses("symlink", "/etc", str(upper / "new"))
        # Of what it may read it makes nothing that others could.
        own = worker.open(str(cached[0]), os.O_RDONLY)
        assert own >= 0
        worker.refuses("fchmod", own, 0o666)
        worker.close(own)
    assert {p: p.stat() for p in home.rglob("*")} == before
    assert row(venvfs, at)["restarts"] == 0


def test_a_hijacked_worker_reads_what_it_serves_only(venvfs, layered, tmp_path, limits):
    at, upper, mount = layered
    home = put(tmp_path / "home", key="secret")
    mount()
    with hijacked(row(venvfs, at)["pid"]) as worker:
        for path in (home / "key", tmp_path / "lower/a", "/etc/shadow", "/etc/passwd", "/usr/bin/env"):
            worker.refuses("open", str(path), os.O_RDONLY)
        for folder in (home, tmp_path, upper.parent.parent, "/", "/root", "/home"):
            worker.refuses("open", str(folder), os.O_RDONLY | os.O_DIRECTORY)
        image = next(p for p in (venvfs.cache / "images").rglob("*") if p.is_file())
        assert opened(worker, image, os.O_RDONLY) >= 0
        assert opened(worker, upper / "new", os.O_RDWR | os.O_CREAT) >= 0
        assert worker.unlink(str(upper / "new")) == 0


def test_what_is_served_is_all_in_reach(venvfs, tmp_path):
    """Folders, another cache, an upper elsewhere: all that is read late or changed late."""
    (tmp_path / "far").mkdir(mode=0o700)
    lower = put(tmp_path / "lower", large="x" * 200_000, d__small="small")
    venvfs.run("cache", "add", lower, VENVFS_CACHE_DIR=str(tmp_path / "far/cache"))
    env = {"VENVFS_CACHE_PATH": str(tmp_path / "far/cache")}
    at, upper = tmp_path / "m", tmp_path / "far/upper"
    venvfs.run("mount", at, "--layer", lower, "--upper", upper, **env)
    os.kill(row(venvfs, at)["pid"], 9)
    assert (at / "large").read_text() == "x" * 200_000 and (at / "d/small").read_text() == "small"
    with open(at / "large", "r+") as f:
        f.write("y")
    (at / "d/small").rename(at / "moved")
    (at / "made").mkdir()
    os.link(at / "moved", at / "made/link")
    (at / "large").unlink()
    os.kill(row(venvfs, at)["pid"], 9)
    assert sorted(os.listdir(at)) == ["d", "made", "moved"] and (at / "made/link").read_text() == "small"
    told = row(venvfs, at)
    assert told["restarts"] == 2
    log = (pathlib.Path(told["state_directory"]) / "log").read_text()
    assert "ermission" not in log, log


@pytest.mark.parametrize("code", [38, 1])
def test_a_kernel_without_such_limits_serves_all_the_same(venvfs, tmp_path, code):
    if platform.machine() != "x86_64":
        missing("an x86_64, whose system calls these are,")
    lower, at = put(tmp_path / "lower", a="a"), tmp_path / "m"
    done = subprocess.run([sys.executable, "-c", WITHOUT.format(code), BINARY, "mount", at, "--layer", lower],
                          env=venvfs.env, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0 and done.stderr == ""
    (at / "a").write_text("changed")
    os.kill(row(venvfs, at)["pid"], 9)
    assert (at / "a").read_text() == "changed"


def test_an_exec_leaves_neither_its_directory_nor_its_state(venvfs, tmp_path):
    (tmp_path / "tmp").mkdir()
    lower = put(tmp_path / "lower", a="a")
    done = subprocess.run([BINARY, "exec", "--layer", lower, "--", "sh", "-c", 'echo x > "$VIRTUAL_ENV/new"'], timeout=PATIENCE,
                          env=venvfs.env | {"TMPDIR": str(tmp_path / "tmp")}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    wait_until(lambda: not os.listdir(tmp_path / "tmp") and not os.listdir(tmp_path / "state/venvfs/mounts"))
