"""A mount outlives what goes wrong around its processes, and what goes wrong at its start leaves none."""

import errno
import fcntl
import json
import os
import pathlib
import resource
import shutil
import signal
import socket
import subprocess
import threading
import time

import pytest
from support import BINARY
from test_privileges import person  # noqa: F401
from test_status import log_of, mounted, status  # noqa: F401
from test_upgrade import SUPERVISE
from waiting import PATIENCE, is_stopped, kill, wait_until


# A worker of a new version, which leaves its supervisor without a process to have.
ENDS_PROCESSES = """
#define _GNU_SOURCE
#include <sys/resource.h>
#include <unistd.h>
int main(void)
{
	char c;
	struct rlimit limit;
	(void)!write(4, "prepared\\n", 9);
	(void)!read(7, &c, 1);
	(void)prlimit(getppid(), RLIMIT_NPROC, 0, &limit);
	limit.rlim_cur = 1;
	return prlimit(getppid(), RLIMIT_NPROC, &limit, 0) < 0 ? 9 : 8;
}
"""


def kill_worker(told):
    kill(told["pid"])


@pytest.fixture
def away(venvfs, tmp_path):
    """A function that takes the cache away, so that no worker can start, and one that brings it back."""
    aside = tmp_path / "aside"

    def take():
        venvfs.cache.rename(aside)
        venvfs.cache.touch()

    def give():
        if aside.exists():
            venvfs.cache.unlink()
            aside.rename(venvfs.cache)

    yield take, give
    give()


def test_a_successor_that_cannot_start_drops_nothing(venvfs, tmp_path, away):
    (tmp_path / "lower").mkdir()
    path = tmp_path / "m"
    venvfs.run("mount", path, "--layer", tmp_path / "lower", "--ephemeral")
    (path / "x").write_text("precious")
    told = status(venvfs, path)
    take, give = away
    take()
    kill_worker(told)
    wait_until(lambda: "ended with status 1" in log_of(told))
    give()
    wait_until(lambda: status(venvfs, path)["state"] == "serving")
    venvfs.run("refresh", path)
    assert os.listdir(path) == ["x"] and (path / "x").read_text() == "precious"
    venvfs.run("unmount", path)
    left = pathlib.Path(told["state_directory"]) / "ephemeral"
    assert not left.exists() or os.listdir(left) == ["lock"]


KEEPS = 'echo data > "$VIRTUAL_ENV/keep"; echo begun; read line; "$0" refresh "$VIRTUAL_ENV" && cat "$VIRTUAL_ENV/keep"; ls "$VIRTUAL_ENV"'


def test_an_upgrade_that_fails_leaves_the_environment_of_exec(venvfs, tmp_path, away):
    (tmp_path / "tmp").mkdir()
    venvfs.env["TMPDIR"] = str(tmp_path / "tmp")
    (tmp_path / "lower").mkdir()
    command = subprocess.Popen([BINARY, "exec", "--layer", tmp_path / "lower", "--", "sh", "-c", KEEPS, BINARY],
                               env=venvfs.env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert command.stdout.readline() == "begun\n"
    take, give = away
    take()
    assert venvfs.run("upgrade", "--all", ok=False).returncode == 1
    give()
    assert len(list((tmp_path / "tmp").iterdir())) == len(list((tmp_path / "state/venvfs/mounts").iterdir())) == 1
    assert command.communicate("\n", timeout=PATIENCE)[0] == "data\nkeep\n"
    wait_until(lambda: not list((tmp_path / "tmp").iterdir()))


def test_a_logout_takes_the_sockets_and_not_the_mount(venvfs, tmp_path, mounted):  # noqa: F811
    told = status(venvfs, mounted)
    shutil.rmtree(tmp_path / "run")
    (mounted / "x").write_text("x")
    assert [row["state"] for row in venvfs.list()] == ["serving"]
    kill_worker(told)
    wait_until(lambda: status(venvfs, mounted)["pid"] != told["pid"])
    assert (mounted / "x").read_text() == "x" and status(venvfs, mounted)["restarts"] == 1
    # Whoever dies next, and whether or not the directory is there again.
    (tmp_path / "run").mkdir(mode=0o700)
    kill(told["supervisor"])
    assert status(venvfs, mounted)["supervisor"] != told["supervisor"]
    venvfs.run("upgrade", mounted)
    venvfs.run("refresh", mounted)
    venvfs.run("unmount", mounted)
    assert not [p for p in tmp_path.rglob("*") if p.is_socket()]


def test_a_socket_that_was_removed_is_made_again(venvfs, tmp_path, mounted):  # noqa: F811
    for name in (tmp_path / "run/venvfs").iterdir():
        name.unlink()
    wait_until(lambda: status(venvfs, mounted)["state"] == "serving")
    os.kill(status(venvfs, mounted)["supervisor"], 15)
    wait_until(lambda: not venvfs.list())


def test_a_supervisor_that_takes_long_to_die_is_followed_all_the_same(venvfs, mounted):  # noqa: F811
    """Until it has ended its lock is held; here we hold it."""
    told = status(venvfs, mounted)
    kill(told["supervisor"])
    with open(pathlib.Path(told["state_directory"]) / "supervisor") as guard:
        fcntl.flock(guard, fcntl.LOCK_EX)
        timer = threading.Timer(3, fcntl.flock, (guard, fcntl.LOCK_UN))
        timer.start()
        row, = venvfs.list(silent=True)
        timer.join()
    assert row["state"] == "serving" and row["supervisor"] != told["supervisor"]


def test_a_successor_serves_before_it_has_a_socket(venvfs, tmp_path, mounted):  # noqa: F811
    told = status(venvfs, mounted)
    run, away = tmp_path / "run/venvfs", tmp_path / "run/away"
    state = pathlib.Path(told["state_directory"])
    run.rename(away)
    for name in ("socket", "socket.worker"):
        (state / name).mkdir()  # nor can it be there
    kill_worker(told)
    wait_until(lambda: "another one starts" in log_of(told))
    (mounted / "x").write_text("x")
    wait_until(lambda: "cannot make the control socket" in log_of(told))
    for name in ("socket", "socket.worker"):
        (state / name).rmdir()
    wait_until(lambda: [row["state"] for row in venvfs.list()] == ["serving"])
    venvfs.run("unmount", mounted)


def processes(person, pid, count=None):  # noqa: F811
    """Sets how many processes of its user it may add one to; all that it may have without a number. It is their
    process, and whoever has none is given ten seconds: so no program is started for it."""
    child = os.fork()
    if child == 0:
        try:
            os.setgroups([])
            os.setresgid(person.gid, person.gid, person.gid)
            os.setresuid(person.uid, person.uid, person.uid)
            most = resource.prlimit(pid, resource.RLIMIT_NPROC)[1]
            resource.prlimit(pid, resource.RLIMIT_NPROC, (most if count is None else count, most))
            os._exit(0)
        finally:
            os._exit(1)
    assert os.waitpid(child, 0)[1] == 0


def of_person(person):  # noqa: F811
    """Supervisor, worker, and mount point of a new mount of theirs, which they may have no capability for."""
    lower, path = person.path("lower"), person.path("m")
    person.sudo("mount", path, "--layer", lower)
    told = json.loads(person.sudo("status", "--json", path).stdout)
    return told, path


def status_of(person, path):  # noqa: F811
    return json.loads(person.sudo("status", "--json", path, ok=None).stdout)


def test_a_process_that_cannot_be_had_is_tried_for_again(person):  # noqa: F811
    told, path = of_person(person)
    supervisor = told["supervisor"]
    assert person.run("sh", "-c", f"echo x > {path}/x").returncode == 0
    processes(person, supervisor, 1)
    kill_worker(told)
    wait_until(lambda: "cannot start another worker" in log_of(told))
    processes(person, supervisor)
    assert person.run("cat", path / "x").stdout == "x\n"
    assert status_of(person, path)["supervisor"] == supervisor


def test_an_upgrade_goes_back_when_a_process_can_be_had_again(person, tmp_path):  # noqa: F811
    told, path = of_person(person)
    assert person.run("sh", "-c", f"echo x > {path}/x").returncode == 0
    new = person.home / "new"
    new.mkdir()
    shutil.copy(SUPERVISE, new / "venvfs-supervise")
    subprocess.run(["cc", "-x", "c", "-", "-o", new / "venvfs"], input=ENDS_PROCESSES, text=True, check=True)
    done = person.sudo("upgrade", "--program", new / "venvfs", path, ok=False)
    assert "ended before it served" in done.stderr
    wait_until(lambda: "cannot start another worker" in log_of(told))
    processes(person, told["supervisor"])
    assert person.run("cat", path / "x").stdout == "x\n"
    assert os.path.samefile(f"/proc/{status_of(person, path)['pid']}/exe", BINARY)


def processes_of(mode, state):
    """Pids of the processes of mounts whose state lies below `state`."""
    found = []
    for path in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().split(b"\0")
        except OSError:
            continue
        if words[1:2] == [mode.encode()] and str(state).encode() in words[2]:
            found.append(int(path.parent.name))
    return found


class Starting:
    """A mount whose first worker was stopped before it served."""

    def __init__(self, venvfs, tmp_path):
        self.venvfs, self.root, self.path = venvfs, tmp_path, tmp_path / "made/m"
        wait_until(self.is_met, "a server that is stopped before it serves")

    def is_met(self):
        self.command = subprocess.Popen([BINARY, "mount", self.path, "--layer", self.root / "lower"],
                                        env=self.venvfs.env, stderr=subprocess.PIPE, text=True)
        workers = []
        while not workers and self.command.poll() is None:
            workers = processes_of("serve-mount", self.root)
        for pid in workers:
            os.kill(pid, signal.SIGSTOP)
        wait_until(lambda: all(is_stopped(pid) for pid in workers))
        wait_until(lambda: self.command.poll() is not None or waits_for_a_word(self.command.pid))
        if self.command.poll() is None:
            return True
        for pid in workers:
            os.kill(pid, signal.SIGCONT)
        self.venvfs.run("unmount", self.path)
        shutil.rmtree(self.path.parent)
        return False


def waits_for_a_word(pid):
    """Of the server that it has started: it does nothing else just now."""
    try:
        state = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        return state == "S" and "poll" in pathlib.Path(f"/proc/{pid}/stack").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_mount_can_be_interrupted_while_its_server_starts(venvfs, tmp_path, number):
    (tmp_path / "lower").mkdir()
    starting = Starting(venvfs, tmp_path)
    starting.command.send_signal(number)
    said = starting.command.communicate(timeout=PATIENCE)[1]
    assert starting.command.returncode == -number
    assert len(said.splitlines()) == 1 and "interrupted" in said and str(starting.path) in said
    assert not starting.path.parent.exists()
    wait_until(lambda: not processes_of("serve-mount", tmp_path) and not processes_of("mount", tmp_path))
    assert not [p for p in tmp_path.rglob("*") if p.is_socket()]
    venvfs.run("mount", starting.path, "--layer", tmp_path / "lower")
    venvfs.run("unmount", starting.path)


def test_a_worker_that_dies_before_it_says_ready_is_followed_by_one_that_does(venvfs, tmp_path):
    """Killed as soon as the kernel's first request was kept for the next one."""
    (tmp_path / "lower").mkdir()
    venvfs.run("mount", tmp_path / "m", "--layer", tmp_path / "lower", VENVFS_TEST_DIE="begun:1")
    assert status(venvfs, tmp_path / "m")["restarts"] == 1


@pytest.mark.parametrize("number", [signal.SIGSTOP, signal.SIGQUIT], ids=["stop", "quit"])
def test_what_a_terminal_sends_reaches_the_command_and_not_the_server(venvfs, tmp_path, number):
    (tmp_path / "lower").mkdir()
    path = tmp_path / "m"
    command = subprocess.Popen([BINARY, "mount", "-f", path, "--layer", tmp_path / "lower"], env=venvfs.env,
                               start_new_session=True)
    venvfs.hears_that_it_serves(command, path)
    os.killpg(command.pid, number)
    try:
        done = subprocess.run(["touch", path / "x"], timeout=PATIENCE)
        assert done.returncode == 0 and os.listdir(path) == ["x"]
    finally:
        for pid in [*processes_of("serve-mount", tmp_path), *processes_of("mount", tmp_path)]:
            os.kill(pid, signal.SIGCONT)
        os.killpg(command.pid, signal.SIGCONT)
    venvfs.run("unmount", path)
    command.wait(PATIENCE)


def socket_of(told):
    plan = json.loads((pathlib.Path(told["state_directory"]) / "mount.json").read_text())
    return plan["socket"]


def ask(path, text):
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as asking:
        asking.settimeout(PATIENCE)
        asking.connect(path)
        asking.send(text)
        return json.loads(asking.recv(65536))


def test_nonsense_leaves_no_descriptor_behind(venvfs, mounted):  # noqa: F811
    told = status(venvfs, mounted)
    fds = pathlib.Path(f"/proc/{told['supervisor']}/fd")
    before = len(list(fds.iterdir()))
    for _ in range(20):
        assert "error" in ask(socket_of(told), b'{"verb": "upgrade"}')
    # who has the answer may be gone before the supervisor has closed its end
    wait_until(lambda: len(list(fds.iterdir())) <= before)


def ticks(pid):
    """CPU time used so far, in hundredths of a second."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def test_a_worker_that_has_no_descriptor_left_does_not_spin(venvfs, mounted):  # noqa: F811
    told = status(venvfs, mounted)
    limit = resource.prlimit(told["pid"], resource.RLIMIT_NOFILE)
    resource.prlimit(told["pid"], resource.RLIMIT_NOFILE, (3, limit[1]))
    before = ticks(told["pid"])
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as asking:
        asking.connect(socket_of(told) + ".worker")
        time.sleep(2)
        assert ticks(told["pid"]) - before < 50
        resource.prlimit(told["pid"], resource.RLIMIT_NOFILE, limit)
    assert status(venvfs, mounted)["state"] == "serving"


def limited(venvfs, limits, *args):
    """Runs it with other resource limits, as a shell's ulimit sets them."""
    return subprocess.run(["prlimit", *limits, BINARY, *map(str, args)], env=venvfs.env, capture_output=True,
                          text=True, timeout=PATIENCE)


def test_limits_of_who_mounts_are_not_the_server_s(venvfs, tmp_path):
    (tmp_path / "lower").mkdir()
    path = tmp_path / "m"
    done = limited(venvfs, ["--fsize=1000000:", "--cpu=1:", "--nofile=64:"], "mount", path, "--layer", tmp_path / "lower")
    assert done.returncode == 0, done.stderr
    (path / "large").touch()
    os.truncate(path / "large", 5 << 30)
    told = status(venvfs, path)
    assert os.stat(path / "large").st_size == 5 << 30 and told["restarts"] == 0
    for pid in (told["pid"], told["supervisor"]):
        for name in (resource.RLIMIT_FSIZE, resource.RLIMIT_CPU, resource.RLIMIT_NOFILE):
            soft, hard = resource.prlimit(pid, name)
            assert soft == hard or soft > 10000


def test_what_is_larger_than_the_server_may_make_it_is_said_to_who_writes(venvfs, tmp_path):
    (tmp_path / "lower").mkdir()
    path = tmp_path / "m"
    assert limited(venvfs, [f"--fsize={3 << 30}:{3 << 30}"], "mount", path, "--layer", tmp_path / "lower").returncode == 0
    (path / "large").write_text("text")
    for _ in range(4):
        with pytest.raises(OSError) as caught:
            os.truncate(path / "large", 4 << 30)
        assert caught.value.errno == errno.EFBIG
    assert (path / "large").read_text() == "text" and status(venvfs, path)["restarts"] == 0


def test_a_mount_that_limits_forbid_is_said_in_a_line(venvfs, tmp_path):
    (tmp_path / "lower").mkdir()
    done = limited(venvfs, ["--fsize=1000000:1000000"], "mount", tmp_path / "m", "--layer", tmp_path / "lower")
    assert done.returncode == 1 and len(done.stderr.splitlines()) == 1
    assert "File too large" in done.stderr and "ulimit -f" in done.stderr


@pytest.mark.parametrize("closed", [[0], [1], [2], [0, 1, 2]], ids=str)
def test_what_is_opened_does_not_get_the_number_of_a_standard_descriptor(venvfs, tmp_path, closed):
    """Then what is said would be written there."""
    (tmp_path / "lower").mkdir()
    line = 'exec "$@"' + "".join(f" {fd}>&-" for fd in closed)
    path = tmp_path / "m"
    command = subprocess.Popen(["sh", "-c", line, "sh", BINARY, "mount", "-f", path, "--layer", tmp_path / "lower"],
                               env=venvfs.env)
    venvfs.hears_that_it_serves(command, path)
    assert {os.readlink(f"/proc/{command.pid}/fd/{fd}") for fd in closed} == {"/dev/null"}
    (path / "b").write_text("b")
    venvfs.run("unmount", path)
    assert command.wait(PATIENCE) == 0
    # Nor is it hidden that nothing could be written.
    done = subprocess.run(["sh", "-c", line, "sh", BINARY, "--version"], env=venvfs.env, capture_output=True)
    assert done.returncode == (1 if 1 in closed else 0)


@pytest.mark.parametrize("command", ["list", "mount"])
def test_what_an_ephemeral_mount_had_that_was_given_up_goes_with_the_next_command(venvfs, tmp_path, command):
    (tmp_path / "lower").mkdir()
    path = tmp_path / "m"
    venvfs.run("mount", path, "--layer", tmp_path / "lower", "--ephemeral")
    (path / "x").write_text("x" * 5000)
    left = pathlib.Path(status(venvfs, path)["upper"])
    assert left.name == "ephemeral" and (left / "index.db").exists()
    told = status(venvfs, path)
    os.kill(told["supervisor"], 9)
    os.kill(told["pid"], 9)
    if command == "mount":
        wait_until(lambda: venvfs.run("mount", path, "--layer", tmp_path / "lower", ok=None).returncode == 0)
        assert os.listdir(path) == []
    wait_until(lambda: venvfs.run("list") and os.listdir(left) == ["lock"])
