"""Progress is for terminals."""

import os
import pty
import re
import subprocess

from server import Fault
from support import BINARY
from wheelmaker import Wheel


def on_terminal(venvfs, *args, **env):
    """What the program says on a terminal."""
    ours, theirs = pty.openpty()
    p = subprocess.Popen([BINARY, *args], env={**venvfs.env, "TERM": "xterm", **env}, stderr=theirs, stdin=subprocess.DEVNULL)
    os.close(theirs)
    said = b""
    while True:
        try:
            part = os.read(ours, 4096)
        except OSError:
            part = b""
        if not part:
            break
        said += part
    os.close(ours)
    assert p.wait() == 0
    return said.decode()


def slow(server, i):
    w = Wheel(f"p{i}")
    w.add("data", os.urandom(500_000))  # for more than two seconds
    url = server.add(w)
    server.fail(f"/files/{w.file_name}", Fault(piece=10_000, pause=0.05))
    return url


def test_a_bar_is_drawn_and_wiped_on_a_terminal(venvfs, server):
    said = on_terminal(venvfs, "cache", "add", *[slow(server, i) for i in range(3)])
    steps = re.findall(r"\[(#*)-*\] (\d)/3 ([\d.]+ \w+) of ([\d.]+ \w+)", said)
    assert len(steps) > 3
    widths = [len(bar) for bar, _, _, _ in steps]
    assert widths == sorted(widths) and widths[0] < widths[-1] <= 30
    assert said.endswith("\r\033[K")


def test_of_what_is_cached_no_bar_is_drawn(venvfs, server):
    urls = [server.add(Wheel(f"p{i}")) for i in range(3)]
    venvfs.run("cache", "add", *urls)
    assert on_terminal(venvfs, "cache", "add", *urls) == ""
    counts = set(re.findall(r"\d+/\d+", on_terminal(venvfs, "cache", "add", *urls, server.add(Wheel("other")))))
    assert counts <= {"0/1", "1/1"}


def test_a_terminal_that_cannot_write_over_gets_no_bar(venvfs, server):
    assert on_terminal(venvfs, "cache", "add", slow(server, 0), TERM="dumb") == ""


def test_nothing_is_said_in_a_pipe(venvfs, server):
    done = venvfs.run("cache", "add", slow(server, 0))
    assert done.stderr == "" and done.stdout == ""
