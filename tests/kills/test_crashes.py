"""What ends together, and what goes on: supervisor and worker killed, alone and at once; crash loops."""

import os
import pathlib
import signal
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import made
import pytest
from ground import send
from killer import Killer
from loads import CLIENTS
from waiting import PATIENCE, kill, wait_until

CLIENTS_AT_ONCE = 3
LEFT_ALONE = {"ENOTCONN", "ECONNABORTED"}


class Makers:
    """Clients that change things until they may not."""

    def __init__(self, ground):
        self.ground = ground
        self.children = []
        for i in range(CLIENTS_AT_ONCE):
            os.mkdir(ground.at / f"of{i}")
            self.children.append(ground.start(sys.executable, "-B", CLIENTS / "maker.py",
                                              ground.at / f"of{i}", self.acked(i)))

    def acked(self, i):
        return self.ground.root / f"acked{i}"

    def numbers(self, i):
        lines = self.acked(i).read_text() if self.acked(i).exists() else ""
        return [int(line) for line in lines.split()]

    def wait_for_more(self, more=5):
        """All of them have got on since now: they are served."""
        before = [len(self.numbers(i)) for i in range(CLIENTS_AT_ONCE)]
        wait_until(lambda: all(len(self.numbers(i)) >= n + more for i, n in enumerate(before)),
                   lambda: f"clients to get on: {[c.poll() for c in self.children]}")

    def errors(self):
        """What ended each of them, none of which may hang."""
        return {self.ground.finish(child, PATIENCE)[0].decode().strip() for child in self.children}

    def end(self):
        for child in self.children:
            child.kill()
            child.communicate()

    def check(self):
        for i in range(CLIENTS_AT_ONCE):
            assert self.numbers(i), "nothing was acknowledged"
            for n in self.numbers(i):
                assert (self.ground.at / f"of{i}/kept{n}").read_bytes() == b"%d " % n * (n % 700)


@pytest.fixture
def busy(ground):
    """(a ground with makers at work, the makers)."""
    g = ground()
    folder = g.root / "lower"
    folder.mkdir()
    made.make_tree(folder, 300, large=2)
    g.mount("--layer", folder)
    makers = Makers(g)
    makers.wait_for_more()
    yield g, makers
    makers.end()


@pytest.mark.parametrize("command", ["list", "mount", "unmount"])
def test_when_all_are_killed_the_next_command_cleans_up(busy, command):
    g, makers = busy
    assert g.kill_all() >= 2, "there are a supervisor and a worker"
    if command == "mount":
        g.mount(*g.arguments)
    elif command == "unmount":
        g.program.run("unmount", g.at)
    else:
        assert [row for row in g.program.list() if row["state"] == "serving"] == []
    assert makers.errors() <= LEFT_ALONE
    if command == "list":
        g.mount(*g.arguments)
    elif command == "unmount":
        assert g.row() is None
        g.mount(*g.arguments)
    makers.check()
    assert g.row()["state"] == "serving" and g.row()["restarts"] == 0


def test_killed_over_and_over_nothing_acknowledged_is_lost(ground):
    """All processes of a mount, ten times, each time in the middle of changes."""
    g = ground()
    folder = g.root / "lower"
    folder.mkdir()
    made.make_tree(folder, 300, large=2)
    g.mount("--layer", folder)
    for i in range(10):
        os.mkdir(g.at / f"round{i}")
        child = g.start(sys.executable, "-B", CLIENTS / "maker.py", g.at / f"round{i}", g.root / f"said{i}")
        wait_until(lambda: (g.root / f"said{i}").exists() and (g.root / f"said{i}").read_text())
        time.sleep(0.05 * i)
        assert g.kill_all() >= 2
        assert g.finish(child, PATIENCE)[0].decode().strip() in LEFT_ALONE
        g.mount(*g.arguments)
        for k in range(i + 1):
            numbers = [int(n) for n in (g.root / f"said{k}").read_text().split()]
            assert numbers
            assert set(os.listdir(g.at / f"round{k}")) >= {f"kept{n}" for n in numbers}
    folder_of = g.at / "round9"
    for n in numbers:
        assert (folder_of / f"kept{n}").read_bytes() == b"%d " % n * (n % 700)


def test_a_worker_serves_on_without_its_supervisor(busy):
    g, makers = busy
    send(g.row()["supervisor"], signal.SIGKILL)
    makers.wait_for_more()
    assert all(child.poll() is None for child in makers.children)
    makers.check()


@pytest.mark.parametrize("command", ["list", "mount"])
def test_a_killed_supervisor_is_followed_by_another(busy, command):
    g, makers = busy
    before = g.row()
    assert before["supervisor"] != before["pid"]
    send(before["supervisor"], signal.SIGKILL)
    makers.wait_for_more()  # the worker serves on, and nobody has called us
    if command == "mount":
        g.program.run("mount", g.at, "--upper", g.upper, *g.arguments, ok=False)
    wait_until(lambda: g.row() and g.row().get("supervisor") not in (None, before["supervisor"]))
    after = g.row()
    assert after["pid"] == before["pid"] and after["state"] == "serving"
    send(after["pid"], signal.SIGKILL)
    assert g.successor(after["pid"])["supervisor"] == after["supervisor"]
    makers.wait_for_more()
    assert all(child.poll() is None for child in makers.children)
    makers.check()


def test_supervisors_and_workers_die_in_turn(busy):
    g, makers = busy
    for _ in range(6):
        row = g.row()
        send(row["supervisor"], signal.SIGKILL)
        makers.wait_for_more(2)
        wait_until(lambda: (g.row() or {}).get("supervisor") not in (None, row["supervisor"]))
        send(row["pid"], signal.SIGKILL)
        g.successor(row["pid"])
        makers.wait_for_more(2)
    makers.check()


def test_of_many_commands_that_meet_it_one_starts_a_supervisor(busy):
    g, makers = busy
    for _ in range(3):
        before = g.row()["supervisor"]
        kill(before)
        with ThreadPoolExecutor(8) as pool:
            rows = list(pool.map(lambda _: g.row(), range(8)))
        assert {row["state"] for row in rows} == {"serving"}
        assert len({row["supervisor"] for row in rows}) == 1
        # Those that came too late are on their way out.
        wait_until(lambda: [what for _, what in g.serving()].count("venvfs-supervise") <= 1)
        assert g.row()["supervisor"] == rows[0]["supervisor"]
    makers.check()


def test_who_follows_starts_workers_as_the_mount_was_made(busy):
    """Not with what the command that started it happens to have in its environment."""
    g, makers = busy
    row = g.row()
    before = sorted(pathlib.Path(f"/proc/{row['pid']}/environ").read_bytes().split(b"\0"))
    kill(row["supervisor"])
    g.program.run("list", VENVFS_CACHE_DIR=g.root / "other", VENVFS_MASK="all")
    after = g.row()
    send(after["pid"], signal.SIGKILL)
    last = g.successor(after["pid"])
    after = sorted(pathlib.Path(f"/proc/{last['pid']}/environ").read_bytes().split(b"\0"))
    assert after == before
    makers.wait_for_more()


def test_unmounting_needs_no_supervisor_and_leaves_no_socket(busy):
    g, makers = busy
    send(g.row()["supervisor"], signal.SIGKILL)
    makers.end()
    g.program.run("unmount", g.at)
    assert g.row() is None
    wait_until(lambda: not g.serving())
    assert list((g.root / "run/venvfs").iterdir()) == []


def crash(g):
    """SIGSEGV for the worker; the one after it, if there is any."""
    pid = g.row()["pid"]
    assert send(pid, signal.SIGSEGV)

    def is_seen():
        row = g.row()
        return [row] if row is None or row["state"] == "dead" or row.get("pid", pid) != pid else None

    return wait_until(is_seen, "a successor, or an end")[0]


def test_three_crashes_in_ten_seconds_end_the_mount(busy):
    g, makers = busy
    log = g.state() / "log"
    assert g.program.crash_until_it_ends(g.at, signal.SIGSEGV, makers.wait_for_more) >= 3
    row = g.row()
    assert row is None or row["state"] == "dead"
    assert makers.errors() <= LEFT_ALONE
    said = log.read_text()
    assert "signal 11" in said or "SIGSEGV" in said, said
    last = [line for line in said.splitlines() if "supervisor" in line][-1]
    assert "ends" in last and ("three" in last or "3" in last), said
    g.mount(*g.arguments)
    makers.check()


def test_two_crashes_and_many_kills_do_not_end_it(busy):
    g, makers = busy
    killer = Killer(g, 5, 8)
    for _ in range(2):
        crash(g)
        makers.wait_for_more(2)
    killer.start()
    killer.join(300)
    assert killer.is_done() and not killer.wrong
    makers.wait_for_more()
    makers.check()


def test_crashes_far_apart_do_not_end_it(busy):
    """Four in about fourteen seconds, of which never three within ten."""
    g, makers = busy
    for _ in range(4):
        crash(g)
        makers.wait_for_more(2)
        time.sleep(5.2)
    makers.wait_for_more()
    makers.check()

