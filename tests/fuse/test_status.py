"""What `status` tells of a mount, while it serves, hangs, and after its end; and its log."""

import contextlib
import errno
import json
import os
import pathlib
import platform
import pty
import struct
import subprocess
import sys
import time

import pytest
from support import BINARY, missing
from waiting import PATIENCE, kill, stopped, wait_until


@pytest.fixture
def mounted(venvfs, tmp_path):
    lower = tmp_path / "lower"
    (lower / "pkg").mkdir(parents=True)
    (lower / "pkg/m.py").write_text("number = 1\n" * 50)
    path = tmp_path / "m"
    venvfs.run("mount", path, "--layer", lower)
    return path


def status(venvfs, path):
    return venvfs.status(path)


def log_of(told):
    return pathlib.Path(told["log"]).read_text()


def idle(venvfs, path):
    """The status once nothing is under way: who has an answer may be earlier than the note that it was given."""
    return wait_until(lambda: (told := venvfs.status(path))["busy"] == [] and told)


def test_status_tells_state_processes_and_counters(venvfs, mounted):
    (mounted / "pkg/m.py").write_text("number = 2\n")
    assert (mounted / "pkg/m.py").read_text() == "number = 2\n"
    told = idle(venvfs, mounted)
    assert told["state"] == "serving" and told["path"] == str(mounted)
    assert os.readlink(f"/proc/{told['pid']}/exe") == os.path.realpath(BINARY)
    assert os.readlink(f"/proc/{told['supervisor']}/exe").endswith("venvfs-supervise")
    assert 0 < told["supervisor_resident"] < told["resident"]
    assert told["restarts"] == told["errors"] == 0 and told["filtered"] is True
    assert told["bytes_written"] == 11 and told["requests"]["WRITE"] == 1
    assert told["layers"] == [str(mounted.with_name("lower"))]
    assert told["stuck_milliseconds"] == 0
    assert pathlib.Path(told["log"]).exists() and pathlib.Path(told["upper"]).is_dir()


# seccomp(2) is ENOSYS and prctl(PR_SET_SECCOMP) EINVAL, as in some containers. {} is the errno of the first.
NO_FILTERS = """
import ctypes, os, struct, sys
def step(code, k, yes=0, no=0): return struct.pack("<HBBI", code, yes, no, k)
code = (step(0x20, 0) + step(0x15, 317, 4, 0) + step(0x15, 157, 0, 4) + step(0x20, 16) + step(0x15, 22, 0, 2) + step(0x06, 0x50016) +
        step(0x06, 0x50000 + {}) + step(0x06, 0x7fff0000))
class Program(ctypes.Structure):
    _fields_ = [("count", ctypes.c_ushort), ("code", ctypes.c_char_p)]
libc = ctypes.CDLL(None, use_errno=True)
assert libc.prctl(22, 2, ctypes.byref(Program(len(code) // 8, code))) == 0, ctypes.get_errno()
os.execv(sys.argv[1], sys.argv[1:])
"""


@pytest.mark.parametrize("code", [errno.ENOSYS, errno.EPERM])
def test_a_worker_without_a_filter_is_told_of(venvfs, tmp_path, code):
    if platform.machine() != "x86_64":
        missing("an x86_64, whose system calls these are,")
    lower = tmp_path / "lower"
    lower.mkdir()
    done = subprocess.run([sys.executable, "-c", NO_FILTERS.format(code), BINARY, "mount", tmp_path / "m", "--layer", lower],
                          env=venvfs.env, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0, done.stderr
    told = status(venvfs, tmp_path / "m")
    assert told["filtered"] is False and told["state"] == "serving"
    assert f"no filter of system calls (seccomp) can be installed here (" in log_of(told)
    fields = dict(line.split("\t") for line in venvfs.run("status", tmp_path / "m").stdout.splitlines())
    assert fields["system calls"].startswith("not filtered")


def test_in_a_pipe_each_line_is_a_field_and_its_value(venvfs, mounted):
    def fields():
        return dict(line.split("\t") for line in venvfs.run("status", mounted).stdout.splitlines())

    assert fields()["state"] == "serving" and fields()["errors"] == "0" and fields()["layers"] == "0 wheels, 1 folders"
    # Who was answered goes on before the mark of the request is taken back.
    wait_until(lambda: fields()["under way"] == "nothing")


def test_on_a_terminal_it_is_a_table(venvfs, mounted):
    ours, theirs = pty.openpty()
    done = subprocess.run([BINARY, "status", mounted], stdout=theirs, stdin=subprocess.DEVNULL,
                          env={**venvfs.env, "NO_COLOR": "1"})
    os.close(theirs)
    text = b""
    with contextlib.suppress(OSError):  # which is how a terminal ends
        while more := os.read(ours, 65536):
            text += more
    os.close(ours)
    lines = text.decode().splitlines()
    assert done.returncode == 0 and b"\t" not in text
    assert lines[0].split() == ["MOUNT", str(mounted)]
    assert lines[1].split() == ["state", "serving"]
    assert lines[0].index("/") == lines[1].index("serving")


def test_without_a_directory_it_is_that_of_here(venvfs, tmp_path, mounted):
    (tmp_path / "here").mkdir()
    venvfs.run("mount", ".venv", "--layer", tmp_path / "lower", cwd=tmp_path / "here")
    done = venvfs.run("status", "--json", cwd=tmp_path / "here")
    assert json.loads(done.stdout)["path"] == str(tmp_path / "here/.venv")


def test_what_is_not_mounted_is_said_in_a_line(venvfs, tmp_path, mounted):
    assert "is not mounted" in venvfs.refused("status", tmp_path / "nothing")
    venvfs.run("unmount", mounted)
    assert "is not mounted" in venvfs.refused("status", mounted)
    assert venvfs.run("status", "a", "b", ok=False).returncode == 2


def stopped_in_a_write(venvfs, path, worker):
    """What is under way 150 ms after the worker was stopped, when a WRITE was then; it gets on before."""
    before = venvfs.requests(path).get("WRITE", 0)
    wait_until(lambda: venvfs.requests(path).get("WRITE", 0) > before)
    with stopped(worker):
        busy = status(venvfs, path)["busy"]
        time.sleep(0.15)
        later = status(venvfs, path)["busy"]
    return later if any(b["request"] == "WRITE" for b in busy) else None


def test_the_request_under_way_is_told_with_its_time(venvfs, mounted):
    """Of a worker that is stopped in the middle of one."""
    told = status(venvfs, mounted)
    # one and the same megabyte, so that no disk that is full of work holds up whoever asks
    again = "import os, sys; fd = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)\nwhile True: os.pwrite(fd, bytes(1 << 20), 0)"
    writer = subprocess.Popen([sys.executable, "-c", again, mounted / "large"])
    try:
        later = wait_until(lambda: stopped_in_a_write(venvfs, mounted, told["pid"]))
    finally:
        writer.kill()
        writer.wait()
    assert max(b["milliseconds"] for b in later) >= 140


def test_a_hanging_worker_is_noticed_and_said(venvfs, mounted):
    told = idle(venvfs, mounted)
    with stopped(told["pid"]):
        client = subprocess.Popen(["ls", mounted / "pkg"], stdout=subprocess.DEVNULL)
        wait_until(lambda: "hangs" in log_of(told))
        hanging = venvfs.run("status", mounted, ok=False)
        assert hanging.returncode == 1 and "state\thanging" in hanging.stdout
        assert len(hanging.stderr.splitlines()) == 1 and str(told["pid"]) in hanging.stderr
        row = next(row for row in venvfs.list() if row["path"] == str(mounted))
        assert row["state"] == "hanging"
        assert status(venvfs, mounted)["stuck_milliseconds"] >= 10_000
    assert client.wait(PATIENCE) == 0
    wait_until(lambda: status(venvfs, mounted)["state"] == "serving")
    wait_until(lambda: "answers again" in log_of(told))
    assert log_of(told).count("hangs") == 1


HEAD, BUFFER, NUMBER_AT, THREADS, SHARED_FD = 64 << 10, 0x50000, 8, 16, 6  # of shared.h and worker.h


def test_a_request_that_was_received_and_not_marked_yet_counts_as_waiting(venvfs, mounted):
    """Of a worker that is stopped between the two: what its kernel has written then, is written here."""
    told = idle(venvfs, mounted)
    shared = os.open(f"/proc/{told['supervisor']}/fd/{SHARED_FD}", os.O_RDWR)
    at = HEAD + (THREADS - 1) * BUFFER + NUMBER_AT
    try:
        with stopped(told["pid"]):
            os.pwrite(shared, struct.pack("Q", 2**63 + 4711), at)
            wait_until(lambda: status(venvfs, mounted)["stuck_milliseconds"] > 0)
            os.pwrite(shared, bytes(8), at)
            assert status(venvfs, mounted)["stuck_milliseconds"] == 0
    finally:
        os.close(shared)


def test_a_mount_that_nobody_uses_does_not_hang(venvfs, mounted):
    told = idle(venvfs, mounted)
    with stopped(told["pid"]):
        time.sleep(12)
        assert status(venvfs, mounted)["state"] == "serving"
    assert "hangs" not in log_of(told)


def test_why_a_mount_was_given_up_is_told_after_its_end(venvfs, mounted):
    told = status(venvfs, mounted)
    begun = int(time.time())
    assert venvfs.crash_until_it_ends(mounted) >= 3
    for _ in range(2):
        done = venvfs.run("status", mounted, ok=False)
        assert done.returncode == 1 and len(done.stderr.splitlines()) == 1
        assert "crashed three times within ten seconds" in done.stderr and "mount" in done.stderr
        assert "crashed three times" in done.stdout
    assert "crashed three times" in log_of(told)
    ended = status(venvfs, mounted)
    assert ended["state"] != "serving" and begun <= ended["given_up"]["when"] <= time.time()
    venvfs.run("mount", mounted, "--layer", mounted.with_name("lower"))
    assert "given_up" not in status(venvfs, mounted)


def test_the_log_is_bounded_and_one_old_one_kept(venvfs, mounted):
    told = status(venvfs, mounted)
    log = pathlib.Path(told["log"])
    for _ in range(3):
        os.truncate(log, 1 << 20)
        pid = status(venvfs, mounted)["pid"]
        kill(pid)
        wait_until(lambda: status(venvfs, mounted)["pid"] != pid)
        assert "signal 9" in log.read_text() and log.stat().st_size < 1000
        assert log.with_name("log.old").stat().st_size == 1 << 20
    assert sorted(p.name for p in log.parent.glob("log*")) == ["log", "log.old"]
