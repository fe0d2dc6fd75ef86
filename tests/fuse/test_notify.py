"""What the kernel remembers is dropped by a helper of the supervisor, never by a worker."""

import contextlib
import errno
import json
import os
import pathlib
import signal
import socket
import struct
import subprocess
import threading
import time

import pytest
from waiting import PATIENCE, has_ended, kill, stopped, wait_until

NODE, ENTRY, EXPIRE, DELETE = 1, 2, 3, 4
FILES = 60


@pytest.fixture
def mounted(venvfs, tmp_path):
    lower = tmp_path / "lower"
    (lower / "pkg/deep").mkdir(parents=True)
    for i in range(FILES):
        (lower / f"pkg/m{i}.py").write_text(f"number = {i}\n" * 50)
    (lower / "pkg/deep/file").write_text("deep\n")
    path = tmp_path / "m"
    venvfs.run("mount", path, "--layer", lower)
    return path


def status(venvfs, path):
    return venvfs.status(path)


def read_all(path):
    return {p: p.read_bytes() for p in path.rglob("*") if p.is_file()}


class Helper:
    """A helper of the mount, spoken to as the program does."""

    def __init__(self, venvfs, path):
        state = pathlib.Path(status(venvfs, path)["state_directory"])
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as control:
            control.connect(json.loads((state / "mount.json").read_text())["socket"])
            control.send(b'{"verb":"notifier"}')
            answer, fds, _, _ = socket.recv_fds(control, 1000, 1)
        self.answer = json.loads(answer)
        if fds:
            self.socket = socket.socket(fileno=fds[0])
        self.pid = status(venvfs, path)["helpers"][-1]

    def send(self, kind, parent=0, node=0, name=b""):
        self.socket.send(struct.pack("=I4xQQ256s", kind, parent, node, name))

    def tell(self, *args):
        self.send(*args)
        return struct.unpack("=i", self.socket.recv(4))[0]

    def close(self):
        self.socket.close()


@pytest.fixture
def helper(venvfs, mounted):
    one = Helper(venvfs, mounted)
    yield one
    one.close()


def is_waiting(pid):
    """In the kernel, for a lock, not to be killed."""
    return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "D"


def test_refresh_has_everything_asked_for_anew(venvfs, mounted):
    before = read_all(mounted)
    (mounted / "pkg/m1.py").write_text("changed\n")
    (mounted / "pkg/new").write_text("new\n")
    before = read_all(mounted)
    warm = venvfs.requests(mounted)
    assert read_all(mounted) == before
    # Nothing but times of what was read and changed.
    assert venvfs.requests(mounted)["READ"] == warm["READ"]
    assert venvfs.requests(mounted)["LOOKUP"] == warm["LOOKUP"]
    with open(mounted / "pkg/m2.py") as kept:
        assert kept.readline() == "number = 2\n"
        os.chdir(mounted / "pkg/deep")
        try:
            venvfs.run("refresh", mounted)
            assert os.getcwd() == str(mounted / "pkg/deep") and os.path.exists("file")
        finally:
            os.chdir("/")
        kept.seek(0)
        assert kept.read() == "number = 2\n" * 50
    cold = venvfs.requests(mounted)
    assert read_all(mounted) == before
    after = venvfs.requests(mounted)
    assert after["READ"] - cold["READ"] >= FILES
    asked = sum(after.get(n, 0) - cold.get(n, 0) for n in ("LOOKUP", "READDIRPLUS"))
    assert asked >= 3


def test_refresh_without_a_directory_is_of_here(venvfs, tmp_path, mounted):
    (tmp_path / "here").mkdir()
    venvfs.run("mount", ".venv", "--layer", tmp_path / "lower", cwd=tmp_path / "here")
    venvfs.run("refresh", cwd=tmp_path / "here")
    assert "not mounted" in venvfs.refused("refresh", tmp_path / "nothing")
    assert venvfs.run("refresh", "a", "b", ok=False).returncode == 2


def test_the_helper_holds_fuse_and_nothing_else_and_is_no_worker(venvfs, mounted, helper):
    assert helper.tell(99) == -errno.EINVAL  # it has let go of all else by then
    fds = {int(fd): os.readlink(f"/proc/{helper.pid}/fd/{fd}") for fd in os.listdir(f"/proc/{helper.pid}/fd")}
    assert [fd for fd, what in fds.items() if what == "/dev/fuse"] == [3]
    others = {what.split(":")[0] for what in fds.values()} - {"/dev/fuse"}
    assert others == {"/dev/null", "socket"}
    assert "memfd" not in pathlib.Path(f"/proc/{helper.pid}/maps").read_text()
    told = status(venvfs, mounted)
    assert helper.pid not in (told["pid"], told["supervisor"])
    # It may read, write and end.
    assert "Seccomp:\t1" in pathlib.Path(f"/proc/{helper.pid}/status").read_text()


def test_it_is_there_only_while_it_is_wanted(venvfs, mounted):
    assert status(venvfs, mounted)["helpers"] == []
    one = Helper(venvfs, mounted)
    assert status(venvfs, mounted)["helpers"] == [one.pid]
    one.close()
    wait_until(lambda: status(venvfs, mounted)["helpers"] == [])
    venvfs.run("refresh", mounted)
    wait_until(lambda: status(venvfs, mounted)["helpers"] == [])


def test_there_are_four_at_most(venvfs, mounted):
    several = [Helper(venvfs, mounted) for _ in range(4)]
    more = Helper(venvfs, mounted)
    assert "error" in more.answer and not hasattr(more, "socket")
    assert "no helper" in venvfs.refused("refresh", mounted)
    for one in several:
        one.close()
    wait_until(lambda: status(venvfs, mounted)["helpers"] == [])
    venvfs.run("refresh", mounted)


def test_each_kind_of_notice_reaches_the_kernel(venvfs, mounted, helper):
    read_all(mounted)
    pkg = os.stat(mounted / "pkg").st_ino
    node = os.stat(mounted / "pkg/m1.py").st_ino

    def asked(name, act):
        before = venvfs.requests(mounted).get(name, 0)
        act()
        return venvfs.requests(mounted).get(name, 0) - before

    def stat():
        os.stat(mounted / "pkg/m1.py")

    assert asked("LOOKUP", stat) == 0
    assert helper.tell(EXPIRE, pkg, 0, b"m1.py") == 0 and asked("LOOKUP", stat) == 1
    assert helper.tell(ENTRY, pkg, 0, b"m1.py") == 0 and asked("LOOKUP", stat) == 1
    assert helper.tell(NODE, 0, node) == 0 and asked("GETATTR", stat) == 1
    assert asked("READ", (mounted / "pkg/m1.py").read_bytes) == 1
    assert helper.tell(DELETE, pkg, node, b"m1.py") == 0 and asked("LOOKUP", stat) == 1
    assert asked("LOOKUP", stat) == 0


def test_nonsense_is_refused_and_does_no_harm(venvfs, mounted, helper):
    assert helper.tell(NODE, 0, 1 << 40) == -errno.ENOENT
    assert helper.tell(ENTRY, 1, 0, b"nobody") == -errno.ENOENT
    assert helper.tell(99, 1, 1, b"pkg") == -errno.EINVAL
    assert helper.tell(ENTRY, 1, 0, b"") == -errno.EINVAL
    helper.tell(ENTRY, 1, 0, b"x" * 256)
    assert helper.tell(NODE, 0, 1) == 0
    helper.socket.send(b"short")
    assert helper.socket.recv(4) == b""
    assert len(read_all(mounted)) == FILES + 1


def change_until(stop, path, failures, rounds):
    """In that directory, whatever may be mounted at its path in the meantime."""
    i, folder = 0, os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        while not stop.is_set():
            os.mkdir(f"d{i}", dir_fd=folder)
            os.rename(f"d{i}", f"e{i}", src_dir_fd=folder, dst_dir_fd=folder)
            os.rmdir(f"e{i}", dir_fd=folder)
            i += 1
            rounds.append(i)
    except OSError as e:
        failures.append(e)
    finally:
        os.close(folder)


def test_workers_killed_while_the_helper_notifies_hang_nothing(venvfs, mounted):
    """Another process changes the directory that the notices are of."""
    (mounted / "pkg/name").touch()
    pkg = os.stat(mounted / "pkg").st_ino
    stop, failures, rounds = threading.Event(), [], []
    changing = threading.Thread(target=change_until, args=(stop, mounted / "pkg", failures, rounds))
    told = [0]

    def notify():
        one = Helper(venvfs, mounted)
        while not stop.is_set():
            one.tell(ENTRY, pkg, 0, b"name")
            one.tell(NODE, 0, pkg)
            one.tell(EXPIRE, 1, 0, b"pkg")
            told[0] += 1
        one.close()

    notifying = threading.Thread(target=notify)
    changing.start()
    notifying.start()
    for _ in range(25):
        pid = status(venvfs, mounted)["pid"]
        before = len(rounds), told[0]
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: status(venvfs, mounted)["pid"] != pid)
        wait_until(lambda: failures or len(rounds) > before[0] + 1 and told[0] > before[1] + 1)
    stop.set()
    changing.join(PATIENCE)
    notifying.join(PATIENCE)
    assert not changing.is_alive() and not notifying.is_alive() and not failures
    left = set(os.listdir(mounted / "pkg")) - {"deep", "name"}
    assert left == {f"m{i}.py" for i in range(FILES)}


def waits_for_an_answer(pid):
    """In the kernel, for a server."""
    return "fuse" in pathlib.Path(f"/proc/{pid}/stack").read_text()


@contextlib.contextmanager
def stuck(venvfs, mounted):
    """(a helper that waits in the kernel for a MKDIR that a stopped worker does not answer, the client)."""
    read_all(mounted)
    pkg = os.stat(mounted / "pkg").st_ino
    one = Helper(venvfs, mounted)
    with stopped(status(venvfs, mounted)["pid"]):
        client = subprocess.Popen(["mkdir", mounted / "pkg/made"], stderr=subprocess.PIPE, text=True)
        wait_until(lambda: waits_for_an_answer(client.pid))
        one.send(ENTRY, pkg, 0, b"m1.py")
        wait_until(lambda: is_waiting(one.pid))
        try:
            yield one, client
        finally:
            one.close()


def test_a_stuck_helper_does_not_keep_a_killed_worker_from_being_followed(venvfs, mounted):
    with stuck(venvfs, mounted) as (one, client):
        os.kill(status(venvfs, mounted)["pid"], signal.SIGKILL)
        assert client.wait(PATIENCE) == 0
        assert struct.unpack("=i", one.socket.recv(4))[0] == 0
    assert (mounted / "pkg/made").is_dir()


def kill_all(venvfs, path, *more):
    """Supervisor, worker and helper at once; the helper cannot die while it waits in the kernel."""
    told = status(venvfs, path)
    os.kill(told["supervisor"], signal.SIGKILL)  # else it would start another worker
    for pid in more:
        os.kill(pid, signal.SIGKILL)
    kill(told["supervisor"], told["pid"])
    return told


@pytest.fixture(params=["fusectl", "umount"])
def way(request):
    """How a connection is ended: by the kernel's own files, or by root."""
    folder = pathlib.Path("/sys/fs/fuse/connections")
    if request.param == "fusectl" and not list(folder.iterdir()):
        subprocess.run(["mount", "-t", "fusectl", "fusectl", folder], check=True)
        yield
        subprocess.run(["umount", folder], check=True)
    elif request.param == "umount" and list(folder.iterdir()):
        pytest.fail("fusectl is mounted: run this in a mount namespace without it")
    else:
        yield


@pytest.mark.parametrize("command", ["list", "status", "mount", "unmount", "upgrade"])
def test_what_a_stuck_helper_keeps_is_ended_by_the_next_command(venvfs, mounted, way, command):
    (mounted / "committed").write_text("kept\n")
    with open(mounted / "pkg/m2.py") as kept, stuck(venvfs, mounted) as (one, client):
        told = kill_all(venvfs, mounted, one.pid)
        time.sleep(0.3)
        # It cannot die, and so the client waits still.
        assert is_waiting(one.pid) and client.poll() is None
        lower = ("--layer", mounted.with_name("lower"))
        args = {"list": (), "mount": (mounted, *lower)}.get(command, (mounted,))
        venvfs.run(command, *args, ok=command in ("list", "mount", "unmount"))
        assert client.wait(PATIENCE) != 0
        assert any(e in client.stderr.read() for e in (os.strerror(errno.ECONNABORTED),
                                                      os.strerror(errno.ENOTCONN)))
        wait_until(lambda: has_ended(one.pid))
        with pytest.raises(OSError) as e:
            os.fstatvfs(kept.fileno())
        assert e.value.errno in (errno.ENOTCONN, errno.ECONNABORTED)
    if command != "mount":
        assert not os.path.ismount(mounted) and list(mounted.iterdir()) == []
        assert list((venvfs.root / "run/venvfs").iterdir()) == []
        venvfs.run("mount", mounted, *lower)
    assert (mounted / "committed").read_text() == "kept\n"
    assert status(venvfs, mounted)["pid"] != told["pid"]


@pytest.mark.parametrize("command", ["list", "mount", "unmount"])
def test_all_killed_while_the_helper_notifies_loses_nothing(venvfs, mounted, command):
    pkg = os.stat(mounted / "pkg").st_ino
    stop, failures, rounds = threading.Event(), [], []
    changing = threading.Thread(target=change_until, args=(stop, mounted / "pkg", failures, rounds))
    (mounted / "committed").write_text("kept\n")
    one = Helper(venvfs, mounted)

    def notify():
        with contextlib.suppress(OSError, struct.error):
            while not stop.is_set():
                one.tell(ENTRY, pkg, 0, b"deep")

    notifying = threading.Thread(target=notify)
    changing.start()
    notifying.start()
    wait_until(lambda: failures or len(rounds) > 20)
    assert not failures
    kill_all(venvfs, mounted, one.pid)
    args = {"list": (), "mount": (mounted, "--layer", mounted.with_name("lower"))}.get(command, (mounted,))
    venvfs.run(command, *args)
    changing.join(PATIENCE)
    stop.set()
    notifying.join(PATIENCE)
    assert not changing.is_alive() and not notifying.is_alive()
    assert [errno.errorcode[e.errno] in ("ENOTCONN", "ECONNABORTED") for e in failures] == [True], failures
    one.close()
    if command != "mount":
        venvfs.run("mount", mounted, "--layer", mounted.with_name("lower"))
    assert (mounted / "committed").read_text() == "kept\n"


def test_a_mount_that_is_served_from_another_state_is_not_taken_for_dead(venvfs, mounted, tmp_path):
    """One that died was at its place before, and this one hangs: it is left alone."""
    kill_all(venvfs, mounted)
    subprocess.run(["umount", "-l", mounted], check=True)
    elsewhere = {"XDG_STATE_HOME": str(tmp_path / "other-state")}
    venvfs.run("mount", mounted, "--layer", tmp_path / "lower", **elsewhere)
    assert [row for row in venvfs.list() if row["path"] == str(mounted)] == []
    assert "mounted already" in venvfs.refused("mount", mounted, "--layer", tmp_path / "lower")
    assert (mounted / "pkg/m1.py").read_text() == "number = 1\n" * 50
    venvfs.run("unmount", mounted, **elsewhere)
