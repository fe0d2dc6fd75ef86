"""How the program speaks: to people on a terminal, and to programs in a pipe."""

import fcntl
import json
import os
import pty
import re
import struct
import subprocess
import sys
import termios

from support import BINARY
from waiting import PATIENCE
from wheelmaker import Wheel


def on_terminal(venvfs, *words, columns=80, ok=True, **env):
    """What a terminal of that width is sent, stdout and stderr."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 25, columns, 0, 0))
    child = subprocess.Popen([BINARY, *map(str, words)], stdout=slave, stderr=slave, stdin=slave,
                             env={**venvfs.env, "TERM": "xterm", **env})
    os.close(slave)
    said = b""
    while True:
        try:
            part = os.read(master, 65536)
        except OSError:
            part = b""
        if not part:
            break
        said += part
    os.close(master)
    assert (child.wait(timeout=PATIENCE) == 0) == ok, said
    return said.decode().replace("\r\n", "\n")


def test_a_table_has_a_bold_heading_on_a_terminal_and_none_in_a_pipe(venvfs, tmp_path):
    venvfs.env.pop("NO_COLOR", None)
    venvfs.add(Wheel("one").write(tmp_path), Wheel("a_name_that_is_longer").write(tmp_path))
    lines = on_terminal(venvfs, "cache", "list").splitlines()
    assert lines[0].startswith("\033[1mWHEEL OR FOLDER") and lines[0].endswith("SHA256\033[0m")
    assert len(lines) == 3 and not any("\033" in line for line in lines[1:])
    for env in ({"NO_COLOR": "1"}, {"TERM": "dumb"}):
        said = on_terminal(venvfs, "cache", "list", **env)
        assert "\033" not in said and said.startswith("WHEEL OR FOLDER")
    assert on_terminal(venvfs, "cache", "list", NO_COLOR="").startswith("\033[1m")
    piped = venvfs.run("cache", "list").stdout.splitlines()
    assert len(piped) == 2 and all(line.count("\t") == 2 for line in piped)


def test_columns_are_aligned_by_characters(venvfs, tmp_path):
    for name in ("\u00e9t\u00e9", "plain"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text("x")
        venvfs.add(tmp_path / name)
    lines = on_terminal(venvfs, "cache", "list", NO_COLOR="1").splitlines()
    assert len({line.rstrip().rindex("  ") for line in lines if not line.startswith("WHEEL")}) == 1, lines


def test_progress_is_a_bar_on_a_terminal_that_fits_it_and_nothing_in_a_pipe(venvfs, tmp_path):
    wheels = [Wheel("w" * 60 + str(i)).write(tmp_path) for i in range(3)]
    said = on_terminal(venvfs, "cache", "add", wheels[0], columns=60)
    bars = [part for part in said.split("\r\033[K") if part]
    assert bars and bars[0].startswith("[####") and " 1/1 www" in bars[0]
    assert all(len(bar) < 60 for bar in bars) and said.endswith("\r\033[K")
    said = on_terminal(venvfs, "cache", "add", wheels[1], columns=30)
    assert "www" not in said and "1/1" in said
    assert "1/1" not in on_terminal(venvfs, "cache", "add", wheels[2], TERM="dumb")
    assert venvfs.add(wheels[2]).stderr == ""


def bars_of(said):
    return re.findall(r"\[#*-*\] (\d+)/(\d+)", said)


def test_verify_and_export_show_progress_on_a_terminal_and_nothing_in_a_pipe(venvfs, tmp_path):
    wheel = Wheel()
    for i in range(20):
        wheel.add(f"demo/d{i}/large", os.urandom(20_000))
    file = wheel.write(tmp_path)
    venvfs.add(file)
    said = on_terminal(venvfs, "cache", "verify")
    assert bars_of(said)[-1] == ("21", "21") and said.endswith("all right\n") and "\r\033[K" in said
    assert "[" not in on_terminal(venvfs, "cache", "verify", TERM="dumb")
    done = venvfs.run("cache", "verify")
    assert done.stderr == "" and "\033" not in done.stdout
    said = on_terminal(venvfs, "export", tmp_path / "out", file, "--python", sys.executable)
    assert bars_of(said) and bars_of(said)[-1][0] == bars_of(said)[-1][1]
    assert "\r\033[K" in said.rsplit("]", 1)[1] or said.rsplit("\r\033[K", 1)[1].count("[") == 0
    done = venvfs.run("export", tmp_path / "other", file, "--python", sys.executable)
    assert "#" not in done.stderr and "\033" not in done.stderr
    # A bar does not run into a line that says what is wrong.
    image = next(p for p in (venvfs.cache / "images").rglob("*") if p.is_file())
    image.chmod(0o644)
    image.write_bytes(image.read_bytes()[:-1] + b"\0")
    said = on_terminal(venvfs, "cache", "verify", ok=False)
    assert not re.search(r"\] \d+/\d+[^\r\n]*venvfs:", said) and "venvfs: image" in said


def test_every_listing_has_json(venvfs, tmp_path):
    wheel = Wheel().write(tmp_path)
    venvfs.add(wheel)
    assert [row["name"] for row in json.loads(venvfs.run("cache", "list", "--json").stdout)] == [wheel.name]
    assert json.loads(venvfs.run("list", "--json").stdout) == []
    row, = json.loads(venvfs.run("cache", "verify", "--json").stdout)
    assert row["cache"] == str(venvfs.cache) and (row["wheels"], row["images"], row["damaged"]) == (1, 1, 0)
    image = next(p for p in (venvfs.cache / "images").rglob("*") if p.is_file())
    image.chmod(0o644)
    image.write_bytes(image.read_bytes()[:-1] + b"\0")
    done = venvfs.run("cache", "verify", "--json", ok=False)
    assert done.returncode == 1 and json.loads(done.stdout)[0]["damaged"] >= 1
