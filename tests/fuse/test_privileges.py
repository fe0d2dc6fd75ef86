"""Who a mount is for, and what its processes may do: sudo, --user, capabilities, seccomp."""

import os
import pathlib
import pwd
import shutil
import subprocess
import tempfile
import time
import uuid

import pytest
from support import BINARY, missing
from wheelmaker import Wheel


PYTHON = "/usr/bin/python3"


class Person:
    """A throw-away user with a home of their own, who may call sudo. pytest keeps its folders from others,
    and each run of it does so anew; so home and what they read lie beside those."""

    def __init__(self):
        self.name = "vfs" + uuid.uuid4().hex[:10]
        self.tmp = pathlib.Path(tempfile.mkdtemp(prefix="venvfs-test-"))
        self.tmp.chmod(0o755)
        self.home = self.tmp / self.name
        subprocess.run(["useradd", "--create-home", "--home-dir", self.home, "--shell", "/bin/sh", self.name], check=True)
        entry = pwd.getpwnam(self.name)
        self.uid, self.gid = entry.pw_uid, entry.pw_gid
        self.state = self.home / ".local/state/venvfs"
        self.cache = self.home / ".cache/venvfs"

    def path(self, *parts):
        """A directory of theirs in their home."""
        made = self.home.joinpath(*parts)
        self.make(made)
        return made

    def make(self, path):
        subprocess.run(["setpriv", *self.ids(), "mkdir", "-p", path], check=True)

    def ids(self):
        return [f"--reuid={self.uid}", f"--regid={self.gid}", "--clear-groups"]

    def run(self, *command):
        return subprocess.run(["setpriv", *self.ids(), *map(str, command)], capture_output=True, text=True)

    def sudo(self, *args, ok=True, **env):
        """What `sudo venvfs ARGS` of theirs runs: root, with sudo's environment. `ok` None: whatever comes."""
        clean = {"PATH": os.environ["PATH"], "HOME": "/root", "USER": "root", "LOGNAME": "root",
                 "SUDO_UID": str(self.uid), "SUDO_GID": str(self.gid), "SUDO_USER": self.name}
        return self.call(clean | env, args, ok)

    def call(self, env, args, ok):
        done = subprocess.run([BINARY, *map(str, args)], capture_output=True, text=True, env=env, timeout=120,
                              cwd=self.home, stdin=subprocess.DEVNULL)
        if ok:
            assert done.returncode == 0, (args, done.stderr)
        elif ok is False:
            assert done.returncode == 1 and len(done.stderr.splitlines()) == 1, done.stderr
        return done

    def program(self):
        """venvfs where they can run it."""
        for part in (pathlib.Path(BINARY), pathlib.Path(BINARY).with_name("venvfs-supervise")):
            copy = self.home / part.name
            copy.write_bytes(part.read_bytes())
            copy.chmod(0o755)
            os.chown(copy, self.uid, self.gid)
        return self.home / pathlib.Path(BINARY).name

    def servers(self):
        """The pids of all processes of theirs that live."""
        return [int(p.name) for p in pathlib.Path("/proc").glob("[0-9]*") if lives_for(p, self.uid)]


def lives_for(path, uid):
    try:
        return path.stat().st_uid == uid and bool((path / "cmdline").read_bytes())
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.fixture
def person():
    if not shutil.which("useradd"):
        missing("useradd")
    who = Person()
    yield who
    who.sudo("unmount", "--all")
    wait_until(lambda: not who.servers())
    subprocess.run(["userdel", who.name], check=True, capture_output=True)
    shutil.rmtree(who.tmp)


def owners(folder):
    found = {}
    for path in [folder, *folder.rglob("*")]:
        found.setdefault(path.lstat().st_uid, []).append(path)
    return found


def status_of(pid):
    lines = pathlib.Path(f"/proc/{pid}/status").read_text().splitlines()
    return dict(line.split(":\t", 1) for line in lines if ":\t" in line)


def wait_until(condition):
    for _ in range(400):
        if condition():
            return
        time.sleep(0.05)
    raise AssertionError(condition)


def test_under_sudo_all_is_the_caller_s(person):
    wheel = Wheel().write(person.tmp)
    path = person.home / "project/.venv"
    before = set(pathlib.Path("/root").glob(".cache/venvfs/*")) | set(pathlib.Path("/root").glob(".local/state/venvfs/*"))
    person.sudo("mount", "--python", PYTHON, path, wheel)
    assert person.run(path / "bin/python", "-c", "import demo; demo.main()").stdout == "1.0\n"
    assert person.run("sh", "-ec", f"echo x > {path}/new; chmod 600 {path}/pyvenv.cfg").returncode == 0
    assert person.run("stat", "-c", "%u", path, path / "new", path / "bin/python").stdout.split() == [str(person.uid)] * 3
    assert set(owners(person.state)) == set(owners(person.cache)) == {person.uid}
    assert (person.state / "mounts").exists() and list(person.state.rglob("index.db"))
    assert str(path) in person.sudo("list").stdout
    person.sudo("unmount", path)
    assert set(owners(person.home)) == {person.uid} and not any(path.iterdir())
    after = set(pathlib.Path("/root").glob(".cache/venvfs/*")) | set(pathlib.Path("/root").glob(".local/state/venvfs/*"))
    assert after == before


def test_others_may_not_enter_and_root_neither(person):
    path = person.home / ".venv"
    person.sudo("mount", "--python", PYTHON, path, Wheel().write(person.tmp))
    with pytest.raises(PermissionError):
        (path / "pyvenv.cfg").read_text()


def test_user_is_for_root(person):
    wheel, path = Wheel().write(person.tmp), person.home / ".venv"
    root = {"PATH": os.environ["PATH"], "HOME": "/root"}
    person.call(root, ["mount", "--user", person.name, "--python", PYTHON, path, wheel], True)
    assert set(owners(person.state)) == {person.uid}
    assert str(path) in person.call(root, ["list", "--user", str(person.uid)], True).stdout
    assert str(path) not in person.call(root, ["list"], True).stdout
    person.call(root, ["unmount", "--user", person.name, path], True)
    line = person.call(root, ["mount", "--user", "nobody-knows", path, wheel], False).stderr
    assert "there is no user 'nobody-knows'" in line
    done = person.run(person.program(), "list", "--user", "root")
    assert done.returncode == 1 and "only root may act for another user" in done.stderr


def test_a_directory_of_another_is_refused(person):
    """Also where the user may write: the owner decides."""
    wheel = Wheel().write(person.tmp)
    theirs, shared = person.tmp / "theirs", person.tmp / "shared"
    theirs.mkdir()
    shared.mkdir()
    shared.chmod(0o777)
    for path in (theirs, shared, "/usr/share"):
        line = person.sudo("mount", "--over", "--python", PYTHON, path, wheel, ok=False).stderr
        assert f"cannot mount at '{path}': it belongs to uid 0, not to {person.name}" in line
    assert "Permission denied" in person.sudo("mount", theirs / "new", wheel, ok=False).stderr
    assert not person.servers() and not (theirs / "new").exists()


def test_unmount_under_sudo_ends_only_the_caller_s_mounts(person, venvfs):
    wheel, path = Wheel().write(person.tmp), person.home / ".venv"
    venvfs.run("mount", "--python", PYTHON, person.tmp / "roots", wheel, "-o", "allow_other")
    line = person.sudo("unmount", person.tmp / "roots", ok=False).stderr
    assert f"'{person.tmp}/roots' is not a mount of this user" in line
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"uid={person.uid}", "t", person.path("tmpfs")], check=True)
    try:
        assert "not a venvfs mount" in person.sudo("unmount", person.home / "tmpfs", ok=False).stderr
    finally:
        subprocess.run(["umount", person.home / "tmpfs"], check=True)
    person.sudo("mount", "--python", PYTHON, path, wheel)
    holder = subprocess.Popen(["setpriv", *person.ids(), "sh", "-c", f"cd {path} && echo in && sleep 60"],
                              stdout=subprocess.PIPE, text=True, start_new_session=True)
    try:
        assert holder.stdout.readline() == "in\n"
        assert f"'{path}' is in use by" in person.sudo("unmount", path, ok=False).stderr
    finally:
        os.killpg(holder.pid, 9)
        holder.wait()
    person.sudo("unmount", path)


def test_a_dead_mount_of_theirs_is_cleaned_up(person):
    wheel, path = Wheel().write(person.tmp), person.home / ".venv"
    person.sudo("mount", "--python", PYTHON, path, wheel)
    for pid in person.servers():
        os.kill(pid, 9)
    person.sudo("mount", "--python", PYTHON, path, wheel)
    assert person.run("cat", path / "pyvenv.cfg").returncode == 0
    person.sudo("unmount", path)


def test_a_mount_that_fails_leaves_nothing(person):
    path = person.home / ".venv"
    line = person.sudo("mount", "--python", PYTHON, path, Wheel().write(person.tmp), ok=False, VENVFS_MASK="nonsense").stderr
    assert "VENVFS_MASK" in line and not path.exists()
    wait_until(lambda: not person.servers())
    assert str(path) not in open("/proc/self/mountinfo").read()


def test_foreground_ends_with_a_signal_to_the_root_process(person):
    path = person.home / ".venv"
    child = subprocess.Popen(
        [BINARY, "mount", "--foreground", "--python", PYTHON, path, Wheel().write(person.tmp)],
        env={"PATH": os.environ["PATH"], "SUDO_UID": str(person.uid)}, cwd=person.home)
    wait_until(lambda: person.run("cat", path / "pyvenv.cfg").returncode == 0)
    child.terminate()
    assert child.wait(timeout=20) == 0
    assert str(path) not in open("/proc/self/mountinfo").read()
    wait_until(lambda: not person.servers())


def test_helper_programs_run_as_the_caller_in_a_clean_environment(person):
    """PATH, LD_PRELOAD and PYTHON* of the caller are for nobody whom root has started."""
    trap = person.path("bin")
    said = person.home / "said"
    for name in ("python3", "fusermount3"):
        (trap / name).write_text(f"#!/bin/sh\ntouch {person.home}/trapped\n")
        (trap / name).chmod(0o755)
    python = trap / "really"
    python.write_text(f"#!/bin/sh\n{{ id -u; id -G; env; }} >{said}\nexec {PYTHON} \"$@\"\n")
    python.chmod(0o755)
    env = {"PATH": f"{trap}:/usr/bin:/bin", "LD_LIBRARY_PATH": str(trap), "PYTHONPATH": str(trap), "BASH_ENV": str(trap),
           "XDG_CACHE_HOME": "/root/.cache", "XDG_STATE_HOME": str(person.tmp), "LC_ALL": "C", "PYTHONSTARTUP": "x"}
    person.sudo("mount", "--python", python, person.home / "a", Wheel().write(person.tmp), **env)
    person.sudo("mount", person.home / "b", Wheel().write(person.tmp), **env)
    lines = said.read_text().splitlines()
    assert lines[0] == str(person.uid) and "0" not in lines[1].split()
    seen = dict(line.split("=", 1) for line in lines[2:])
    assert not [n for n in seen if n.startswith(("LD_", "PYTHON", "XDG_", "SUDO_")) or n == "BASH_ENV"], seen
    assert str(trap) not in seen["PATH"] and seen["HOME"] == str(person.home) and seen["LC_ALL"] == "C"
    assert not (person.home / "trapped").exists()
    for pid in person.servers():
        text = pathlib.Path(f"/proc/{pid}/environ").read_bytes().decode()
        assert "LD_" not in text and str(trap) not in text


def test_by_sudo_itself(person):
    """In a mount namespace where sudo lets them."""
    if not shutil.which("sudo"):
        missing("sudo")
    rules = person.tmp / "sudoers"
    rules.write_text(f"Defaults env_reset\n{person.name} ALL=(ALL) NOPASSWD: ALL\n")
    rules.chmod(0o440)
    path, program = person.home / ".venv", person.program()
    script = f"""
        set -e
        mount --bind {rules} /etc/sudoers
        exec setpriv {" ".join(person.ids())} env -i PATH=/usr/bin:/bin HOME={person.home} LD_PRELOAD=libnone.so sh -ec '
            cd {person.home}
            sudo -n {program} mount --python {PYTHON} .venv {Wheel().write(person.tmp)}
            .venv/bin/python -c "import demo; demo.main()"
            touch .venv/made
            sudo -n {program} list
            sudo -n {program} unmount .venv
        '
    """
    done = subprocess.run(["unshare", "-m", "sh", "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("1.0\n") and str(path) in done.stdout
    assert set(owners(person.state)) == set(owners(person.cache)) == {person.uid}


def test_the_cache_under_sudo_is_the_caller_s(person):
    wheel = Wheel().write(person.tmp)
    assert person.sudo("cache", "dir").stdout == f"{person.cache}\n"
    person.sudo("cache", "add", wheel)
    assert set(owners(person.cache)) == {person.uid}
    assert "demo" in person.sudo("cache", "list").stdout
    assert "1 wheels" in person.sudo("cache", "verify").stdout
    assert person.sudo("cache", "dir", "--user", "root").stdout == "/root/.cache/venvfs\n"


def status_of(pid):
    lines = pathlib.Path(f"/proc/{pid}/status").read_text().splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def by_name(pids):
    return {status_of(pid)["Name"]: pid for pid in pids}


def check_confined(pid):
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        status = status_of(f"{pid}/task/{task.name}")
        sets = {name: int(status[name], 16) for name in ("CapEff", "CapPrm", "CapInh", "CapAmb")}
        assert not any(sets.values()), sets
        assert status["NoNewPrivs"] == "1" and status["Seccomp"] == "2", status


def test_the_server_of_sudo_is_confined(person):
    path = person.home / ".venv"
    person.sudo("mount", "--python", PYTHON, path, Wheel().write(person.tmp))
    assert person.run("sh", "-c", f"echo x > {path}/new").returncode == 0
    pids = by_name(person.servers())
    assert set(pids) == {"venvfs", "venvfs-super"}
    check_confined(pids["venvfs"])
    assert int(status_of(pids["venvfs-super"])["CapPrm"], 16) == 0
    for pid in pids.values():
        assert status_of(pid)["Uid"].split() == [str(person.uid)] * 4
        assert set(status_of(pid)["Groups"].split()) == {str(person.gid)}
    os.kill(pids["venvfs"], 9)
    assert person.run("cat", path / "new").stdout == "x\n"
    successor = by_name(person.servers())["venvfs"]
    assert successor != pids["venvfs"]
    check_confined(successor)


def test_the_server_of_root_is_confined(venvfs, tmp_path):
    path = tmp_path / ".venv"
    venvfs.run("mount", "--python", PYTHON, path, Wheel().write(tmp_path))
    (path / "new").write_text("x")
    pid = next(row["pid"] for row in venvfs.list())
    check_confined(pid)
    assert int(status_of(pid)["CapBnd"], 16) == 0


def test_sigterm_takes_the_mount_out_of_sight_and_its_last_user_ends_it(venvfs, tmp_path):
    path = tmp_path / ".venv"
    venvfs.run("mount", "--python", PYTHON, path, Wheel().write(tmp_path))
    pid = venvfs.list()[0]["pid"]
    with open(path / "pyvenv.cfg") as held:
        os.kill(pid, 15)
        wait_until(lambda: not any(path.iterdir()))
        assert held.read().startswith("home = ")
        assert status_of(pid)["State"][0] != "Z"
    wait_until(lambda: not pathlib.Path(f"/proc/{pid}/cmdline").exists() or status_of(pid)["State"][0] == "Z")


def in_namespace(tmp_path, mode, *command):
    """Runs it in a mount namespace where /dev/fuse has this mode."""
    device = tmp_path / f"fuse{mode:o}"
    if not device.exists():
        os.mknod(device, 0o020000 | mode, os.stat("/dev/fuse").st_rdev)
        device.chmod(mode)
    script = f'mount --bind {device} /dev/fuse; exec "$@"'
    return subprocess.run(["unshare", "-m", "sh", "-c", script, "sh", *map(str, command)], capture_output=True,
                          text=True, timeout=120)


def as_person(person, *command):
    return ["setpriv", *person.ids(), "env", "-i", "PATH=/usr/bin:/bin", f"HOME={person.home}", *command]


@pytest.mark.parametrize("mode, options, said", [
    (0o600, [], "failed to open /dev/fuse: Permission denied; root can let all users open it"),
    (0o666, ["-o", "allow_other"], "'user_allow_other' is set in /etc/fuse.conf; root must write that line"),
])
def test_what_fusermount3_refuses_has_a_remedy(person, mode, options, said):
    if not shutil.which("fusermount3"):
        missing("fusermount3")
    program, wheel = person.program(), Wheel().write(person.tmp)
    done = in_namespace(person.tmp, mode, *as_person(person, program, "mount", *options, "--python", PYTHON,
                                                   person.home / "v", wheel))
    assert done.returncode == 1 and said in done.stderr and len(done.stderr.splitlines()) == 1, done.stderr
    assert not (person.home / "v").exists()


def test_without_fusermount3_the_package_is_named(person):
    program, wheel = person.program(), Wheel().write(person.tmp)
    done = person.run("env", "-i", "PATH=/nowhere", f"HOME={person.home}", program, "mount", "--python", PYTHON,
                      person.home / "v", wheel)
    assert done.returncode == 1 and "install the package fuse3" in done.stderr, done.stderr


def test_in_a_user_namespace_it_mounts_by_itself(person):
    """As root of a namespace of their own, without fusermount3; also by another uid that has the right."""
    program, wheel = person.program(), Wheel().write(person.tmp)
    if person.run("unshare", "-Urm", "true").returncode != 0:
        missing("the right to make user namespaces")
    for at, how in (("a", ["-Urm"]), ("b", ["-Um", "--map-user=1000", "--map-group=1000", "--keep-caps"])):
        path = person.home / at
        done = in_namespace(person.tmp, 0o666, *as_person(person, "unshare", *how, "sh", "-ec", f"""
            PATH=/nowhere {program} mount --python {PYTHON} {path} {wheel}
            {path}/bin/python -c 'import demo; demo.main()'
            PATH=/nowhere {program} unmount {path}
        """))
        assert done.returncode == 0 and done.stdout == "1.0\n", done.stderr
