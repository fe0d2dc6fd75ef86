"""What is left when everything dies at once, at the worst moment, goes with the next command that meets it."""

import contextlib
import fcntl
import os
import pathlib
import random
import signal
import sqlite3
import subprocess
import time

import made
import pytest
from ground import BINARY, PYTHON
from waiting import PATIENCE, stopped, wait_until

LARGE = 300 << 20


def leases(g):
    """(held, left by the dead)"""
    found = [0, 0]
    for path in (g.root / "cache/venvfs/leases").iterdir():
        with path.open("rb") as f:
            try:
                fcntl.flock(f, fcntl.LOCK_EX | fcntl.LOCK_NB)
                found[1] += 1
            except BlockingIOError:
                found[0] += 1
    return tuple(found)


def sockets(g):
    return list((g.root / "run/venvfs").iterdir())


def mounted_below(folder):
    return [line.split()[4] for line in pathlib.Path("/proc/self/mountinfo").read_text().splitlines()
            if line.split()[4].startswith(str(folder))]


def files(upper, name="files"):
    return [p for p in (upper / name).rglob("*") if p.is_file()]


def rows(upper, query):
    db = sqlite3.connect(f"file:{upper}/index.db?mode=ro", uri=True)
    try:
        return db.execute(query).fetchall()
    finally:
        db.close()


@pytest.fixture
def lower(ground):
    """A ground and a mounted folder with one large file."""
    g = ground()
    folder = g.root / "lower"
    folder.mkdir()
    with (folder / "large").open("wb") as f:
        block = random.Random(1).randbytes(1 << 20)
        for _ in range(LARGE >> 20):
            f.write(block)
    (folder / "small").write_text("small")
    g.mount("--layer", folder)
    yield g
    g.end()


def test_leases_and_sockets_of_a_dead_mount(ground):
    g = ground()
    wheels = made.make_wheels(g.root / "wheels", 2)
    g.mount("--python", PYTHON, *wheels)
    state = g.state()
    assert leases(g) == (1, 0) and len(sockets(g)) == 2 and (state / "device").exists()
    assert g.kill_all() >= 2
    wait_until(lambda: leases(g) == (0, 1))
    g.program.run("list")
    assert not mounted_below(g.root) and not sockets(g) and not (state / "device").exists()
    g.program.run("cache", "add", wheels[0])
    assert leases(g) == (0, 0)


def test_orphans_of_a_dead_mount(lower):
    """Unlinked files that were open, new ones and lower ones, and what was in them."""
    g = lower
    opened = []
    for name in ("new", "small"):
        opened.append((g.at / name).open("a+"))
        opened[-1].write("x" * 100_000)
        opened[-1].flush()
        (g.at / name).unlink()
    (g.at / "stays").write_text("stays")
    assert len(files(g.upper)) == 3
    assert g.kill_all() >= 2
    for f in opened:
        with pytest.raises(OSError):
            f.write("y" * 100_000)
            f.flush()
    g.mount(*g.arguments)
    wait_until(lambda: len(files(g.upper)) == 1)
    assert (g.at / "stays").read_text() == "stays" and not (g.at / "small").exists()
    g.program.run("unmount", g.at)
    assert rows(g.upper, "select count(*) from node where nlink = 0") == [(0,)]


def is_staged(g):
    with contextlib.suppress(FileNotFoundError):
        return any(p.stat().st_size > 1 << 20 for p in files(g.upper, "staging"))
    return False


def killed_in_a_copy_up(g):
    """The client of one in whose midst all were killed; None: it was through before, and all is as it was."""
    worker = g.row()["pid"]
    child = g.start("dd", "if=/dev/zero", f"of={g.at}/large", "bs=1", "count=1", "conv=notrunc")
    wait_until(lambda: is_staged(g) or child.poll() is not None, pause=0.002)
    with stopped(worker):
        if files(g.upper, "staging"):
            assert g.kill_all() >= 2
            return child
    child.wait(PATIENCE)
    g.remount("--fresh")
    return None


def test_what_a_copy_up_had_staged(lower):
    g = lower
    child = wait_until(lambda: killed_in_a_copy_up(g))
    assert child.wait(PATIENCE) != 0 and files(g.upper, "staging")
    g.mount(*g.arguments)
    assert not files(g.upper, "staging") and not files(g.upper)
    with (g.at / "large").open("r+b") as f:
        assert f.read(4) == random.Random(1).randbytes(1 << 20)[:4]
        f.seek(0)
        f.write(b"mine")
    assert (g.at / "large").stat().st_size == LARGE


def kill(g, child):
    """The command and whatever it has started."""
    child.send_signal(signal.SIGKILL)
    child.wait()
    g.kill_all()
    wait_until(lambda: not g.serving() or not g.kill_all())


def test_a_mount_that_is_killed_while_it_is_made(ground):
    """With all that it has started, and the cache cold every third time."""
    g = ground()
    rng = random.Random(5)
    wheels = made.make_wheels(g.root / "wheels", 6)
    for i in range(45):
        # Of what was mounted last, or of fewer wheels, so that all has to be made anew.
        command = [BINARY, "mount", g.at, "--upper", g.upper, "--python", PYTHON, *map(str, wheels[i % 2:])]
        if i % 3 == 0:
            subprocess.run(["rm", "-rf", g.root / "cache"], check=True)
        child = subprocess.Popen(command, env=g.program.env, stderr=subprocess.DEVNULL)
        time.sleep(rng.uniform(0, 0.25 if i % 3 == 0 else 0.06))
        kill(g, child)
        if i % 2:
            g.program.run("list")
            assert not mounted_below(g.root), i
        # What was half-written goes an hour later.
        for path in (g.root / "state/venvfs/mounts").rglob("*.tmp"):
            os.utime(path, (0, 0))
        g.mount("--python", PYTHON, *wheels)
        assert g.row()["state"] == "serving"
        (g.at / f"made{i}").write_text("x")
        state = g.state()
        assert leases(g) == (1, 0) and len(sockets(g)) == 2
        g.program.run("unmount", g.at)
        assert not mounted_below(g.root) and not sockets(g) and leases(g) == (0, 0)
        assert not list((g.root / "cache/venvfs/tmp").iterdir()), i
        known = {"lock", "mount.json", "layers", "skeleton", "made", "log", "supervisor", "changed"}
        assert {p.name for p in state.iterdir()} <= known
        assert {p.name for p in (state / "skeleton").iterdir()} == {"pack"}, i
        assert len(list((state / "made").iterdir())) <= 2
        assert {p.suffix for p in (state / "changed").glob("*")} <= {".json", ".pack"}
    g.mount("--python", PYTHON, *wheels)
    assert all((g.at / f"made{i}").exists() for i in range(45))
    assert "all right" in g.program.run("cache", "verify").stdout


def test_an_exec_that_is_killed_before_its_command(ground):
    g = ground()
    rng = random.Random(6)
    temporary = g.root / "tmp"
    temporary.mkdir()
    g.program.env["TMPDIR"] = str(temporary)
    wheels = made.make_wheels(g.root / "wheels", 3)
    states = g.root / "state/venvfs/mounts"
    command = [BINARY, "exec", "--python", PYTHON, *map(str, wheels), "--", "sleep", "60"]
    g.program.run("exec", "--python", PYTHON, *wheels, "--", "true")
    for i in range(45):
        child = subprocess.Popen(command, env=g.program.env, stderr=subprocess.DEVNULL)
        time.sleep(rng.uniform(0, 0.06))
        kill(g, child)
        # What was killed before it could say that it is to go goes a minute later.
        for state in states.iterdir():
            if not (state / "throwaway").exists() and not (state / "mount.json").exists():
                os.utime(state, (0, 0))
        # What had just been forked, and was not seen, may still be dying with the lock in its hands.
        wait_until(lambda: g.program.run("exec", "--python", PYTHON, *wheels, "--", "true")
                   and not list(temporary.iterdir()) and not list(states.iterdir()))
        assert not mounted_below(g.root) and leases(g)[0] == 0, i
