"""Who a mount is for, and what its processes may do: sudo, --user, capabilities, seccomp."""

import os
import pathlib
import pwd
import shutil
import socket
import subprocess
import tempfile
import uuid

import pytest
from support import BINARY, missing
from waiting import PATIENCE, has_ended, kill, opens, wait_until
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
        done = subprocess.run([BINARY, *map(str, args)], capture_output=True, text=True, env=env, timeout=PATIENCE,
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


def a_person():
    if not shutil.which("useradd"):
        missing("useradd")
    who = Person()
    yield who
    who.sudo("unmount", "--all")
    for log in who.state.rglob("log"):
        text = log.read_text()
        assert "Sanitizer" not in text and "runtime error" not in text, text
    wait_until(lambda: not who.servers())
    subprocess.run(["userdel", who.name], check=True, capture_output=True)
    shutil.rmtree(who.tmp)


person = pytest.fixture(a_person, name="person")
other = pytest.fixture(a_person, name="other")


def owners(folder):
    found = {}
    for path in [folder, *folder.rglob("*")]:
        found.setdefault(path.lstat().st_uid, []).append(path)
    return found


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
    assert f"'{person.tmp}/roots' is a mount of root, who may end it" in line
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"uid={person.uid}", "t", person.path("tmpfs")], check=True)
    try:
        assert "not a venvfs mount" in person.sudo("unmount", person.home / "tmpfs", ok=False).stderr
    finally:
        subprocess.run(["umount", person.home / "tmpfs"], check=True)
    person.sudo("mount", "--python", PYTHON, path, wheel)
    holder = subprocess.Popen(["setpriv", *person.ids(), "sh", "-c", f"cd {path} && echo in && sleep 600"],
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
    pids = by_name(person.servers())
    kill(*(pids[name] for name in ("venvfs-super", "venvfs")))  # in this order, else another worker may be started in between
    wait_until(lambda: not person.servers())
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
    # The command lets go of what it covers once it has heard that it is served; before, a signal interrupts it.
    wait_until(lambda: not any(opens(pid, path) for pid in person.servers()))
    child.terminate()
    assert child.wait(timeout=PATIENCE) == 0
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
        assert not has_ended(pid)
    wait_until(lambda: has_ended(pid))


# Prints what the one mount's worker may do.
CONFINED = """sh -c 'p=$("$0" list --json | sed -n "s/.*\\"pid\\": \\([0-9]*\\).*/\\1/p")
    grep -E "^(CapInh|CapPrm|CapEff|CapAmb|NoNewPrivs|Seccomp):" /proc/$p/status'"""
AS_CONFINED = "".join(f"{name}:\t{0:016x}\n" for name in ("CapInh", "CapPrm", "CapEff", "CapAmb")) + "NoNewPrivs:\t1\nSeccomp:\t2\n"


def in_namespace(tmp_path, mode, *command):
    """Runs it in a mount namespace where /dev/fuse has this mode."""
    device = tmp_path / f"fuse{mode:o}"
    if not device.exists():
        os.mknod(device, 0o020000 | mode, os.stat("/dev/fuse").st_rdev)
        device.chmod(mode)
    script = f'mount --bind {device} /dev/fuse; exec "$@"'
    return subprocess.run(["unshare", "-m", "sh", "-c", script, "sh", *map(str, command)], capture_output=True,
                          text=True, timeout=PATIENCE)


def as_person(person, *command):
    return ["setpriv", *person.ids(), "env", "-i", "PATH=/usr/bin:/bin", f"HOME={person.home}", *map(str, command)]


def in_one_namespace(script, **people):
    """A script of root's, in a mount namespace where all may mount; `NAME COMMAND` is run by that person, without sudo."""
    tmp = next(iter(people.values())).tmp
    functions = "".join(f"{name}() {{ {' '.join(as_person(who))} \"$@\"; }}\n" for name, who in people.items())
    refused = 'refused() { if "$@" >"$said" 2>&1; then echo "not refused: $*"; exit 1; fi; cat "$said"; }\n'
    # A server in the namespace would keep it alive.
    end = "trap 'grep fuse.venvfs /proc/self/mountinfo | cut -d\" \" -f5 | xargs -r umount -l' EXIT\n"
    root = f"export HOME={tmp}/root said={tmp}/said\nmkdir -p $HOME\nunset XDG_STATE_HOME XDG_CACHE_HOME XDG_RUNTIME_DIR\n"
    done = in_namespace(tmp, 0o666, "sh", "-ec", end + root + functions + refused + script)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


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


# Users and groups are known to who listens at a socket, as with sssd or nscd.
NSS = """
#include <grp.h>
#include <nss.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
static int reached(void)
{
	struct sockaddr_un address = { AF_UNIX, "" };
	int s = socket(AF_UNIX, SOCK_STREAM, 0);
	strcpy(address.sun_path, getenv("XDG_TEST_NSS"));
	int r = connect(s, (void *)&address, sizeof(address));
	close(s);
	return r == 0;
}
static char name[] = "asked", empty[] = "", *nobody[] = { 0 };
enum nss_status _nss_asked_getpwuid_r(uid_t uid, struct passwd *p, char *bytes, size_t size, int *code)
{
	if (!reached())
		return NSS_STATUS_UNAVAIL;
	*p = (struct passwd){ .pw_name = name, .pw_passwd = empty, .pw_uid = uid, .pw_gid = uid, .pw_gecos = empty,
			      .pw_dir = getenv("XDG_TEST_HOME"), .pw_shell = empty };
	return NSS_STATUS_SUCCESS;
}
enum nss_status _nss_asked_getgrgid_r(gid_t gid, struct group *g, char *bytes, size_t size, int *code)
{
	if (!reached())
		return NSS_STATUS_UNAVAIL;
	*g = (struct group){ .gr_name = name, .gr_passwd = empty, .gr_gid = gid, .gr_mem = nobody };
	return NSS_STATUS_SUCCESS;
}
"""


def test_users_that_only_a_daemon_knows_are_known_to_a_confined_server(person):
    """Their home is writable by a group that is their own; and the server cannot ask the daemon, so it did before."""
    if person.run("unshare", "-Urm", "true").returncode != 0:
        missing("the right to make user namespaces")
    program, home, id = person.program(), person.path("home"), 54321
    library, switch, at = person.tmp / "libnss_asked.so.2", person.tmp / "nsswitch.conf", person.tmp / "socket"
    subprocess.run(["cc", "-shared", "-fPIC", "-x", "c", "-", "-o", library], input=NSS, text=True, check=True)
    switch.write_text("passwd: asked\ngroup: asked\n")
    home.chmod(0o770)
    os.chown(home, id, id)
    person.home.chmod(0o755)
    os.chown(person.home, 0, 0)
    folder = person.tmp / "folder"
    folder.mkdir()
    (folder / "a").write_text("a\n")
    with socket.socket(socket.AF_UNIX) as daemon:
        daemon.bind(str(at))
        at.chmod(0o666)
        daemon.listen(1000)
        # No HOME: that has to be asked for, too.
        script = f"""
            mount --bind {switch} /etc/nsswitch.conf
            exec setpriv --reuid={id} --regid={id} --clear-groups unshare -Um --map-user={id} --map-group={id} --keep-caps \\
                env -i PATH=/usr/bin:/bin XDG_STATE_HOME={home}/state XDG_TEST_NSS={at} XDG_TEST_HOME={home} \\
                LD_LIBRARY_PATH={person.tmp} sh -ec '
                    {program} mount {home}/m --layer {folder}
                    cat {home}/m/a
                    kill -9 $({program} list --json | sed -n "s/.*\\"pid\\": \\([0-9]*\\).*/\\1/p")
                    cat {home}/m/a
                    {program} unmount {home}/m'
        """
        done = in_namespace(person.tmp, 0o666, "sh", "-ec", script)
    assert done.returncode == 0 and done.stdout == "a\na\n", done.stdout + done.stderr
    assert (home / ".cache/venvfs/format").exists()


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
            {CONFINED} {program}
            PATH=/nowhere {program} unmount {path}
        """))
        assert done.returncode == 0 and done.stdout == "1.0\n" + AS_CONFINED, done.stdout + done.stderr


def test_a_directory_on_what_fusermount3_does_not_know_has_a_remedy_that_helps(person):
    """Folders shared into virtual machines are such; hugetlbfs is what every kernel has of these."""
    if not shutil.which("fusermount3") or "hugetlbfs" not in open("/proc/filesystems").read():
        missing("fusermount3 or hugetlbfs")
    program, wheel, huge = person.program(), Wheel().write(person.tmp), person.path("huge")
    sudo = f"env SUDO_UID={person.uid} {program}"
    out = in_one_namespace(f"""
        mount -t hugetlbfs -o mode=755,uid={person.uid},gid={person.gid} none {huge}
        refused person {program} mount --python {PYTHON} {huge}/.venv {wheel}
        {sudo} mount --python {PYTHON} {huge}/.venv {wheel}
        person {huge}/.venv/bin/python -c 'import demo; demo.main()'
        person {program} unmount {huge}/.venv
        person {program} mount --python {PYTHON} {person.home}/.venv {wheel}
        person ln -s {person.home}/.venv {huge}/.venv2 || true
        person {program} unmount {person.home}/.venv
    """, person=person)
    line, ran = out.splitlines()[:2]
    assert f"fusermount3 does not mount over '{huge}/.venv', which lies on a file system of a kind that it does not know; " \
           "use: sudo venvfs mount, or mount in the home directory and make a symlink to it here" in line
    assert ran == "1.0"


def test_without_a_device_its_module_and_the_container_s_option_are_named(person):
    program, wheel = person.program(), Wheel().write(person.tmp)
    mount = f"{program} mount --python {PYTHON} {person.home}/v {wheel}"
    out = in_one_namespace(f"""
        mount -t tmpfs -o mode=755 dev /dev
        mknod -m 666 /dev/null c 1 3
        refused person {mount}
        refused env SUDO_UID={person.uid} {mount}
    """, person=person)
    helps = "; load the kernel's module (modprobe fuse), in a container pass the device in: --device /dev/fuse; " \
            "or write a plain environment: venvfs export\n"
    assert out.count(helps) == 2 == len(out.splitlines()), out


def test_what_sudo_mounted_ends_without_it_and_the_other_way_round(person):
    program, wheel, at = person.program(), Wheel().write(person.tmp), person.home / ".venv"
    sudo = f"env SUDO_UID={person.uid} {program}"
    mount = f"mount --python {PYTHON} {at} {wheel}"
    in_one_namespace(f"""
        {sudo} {mount}
        person touch {at}/made
        person {program} unmount {at}
        person {program} {mount}
        person test -e {at}/made
        {sudo} unmount {at}
        ! test -e {at}/made
    """, person=person)


def test_mounts_of_others_are_theirs_and_said_to_be_so(person, other):
    """To another user, to another by sudo, to root, and to root who has other variables."""
    program, theirs, wheel, at = person.program(), other.program(), Wheel().write(person.tmp), person.home / ".venv"
    person.tmp.joinpath("roots").mkdir()
    sudo = f"env SUDO_UID={other.uid} {theirs}"
    out = in_one_namespace(f"""
        chmod 755 {person.home}
        person {program} mount --python {PYTHON} {at} {wheel}
        {theirs} mount --python {PYTHON} {person.tmp}/roots {wheel}
        refused other {theirs} unmount {at}
        refused {sudo} unmount {at}
        for verb in status refresh upgrade; do
            refused other {theirs} $verb {at}
            refused {sudo} $verb {at}
            refused {theirs} $verb {at}
            refused env XDG_STATE_HOME={person.tmp}/elsewhere {theirs} $verb {person.tmp}/roots
        done
        {theirs} status --user {person.name} {at} >/dev/null
        refused other {theirs} mount --over --python {PYTHON} {at} {wheel}
        refused {theirs} mount --python {PYTHON} {at} {wheel}
        refused env XDG_STATE_HOME={person.tmp}/elsewhere {theirs} mount --python {PYTHON} {person.tmp}/roots {wheel}
        echo --
        other {theirs} list
        {sudo} list
        echo --
        other {theirs} list --all
        echo --
        env XDG_STATE_HOME={person.tmp}/elsewhere {theirs} list --all
        env XDG_STATE_HOME={person.tmp}/elsewhere {theirs} unmount {person.tmp}/roots
        {theirs} unmount {at}
        echo --
        person {program} list
        {theirs} list
        person {program} mount --python {PYTHON} {at} {wheel}
        person {program} unmount {at}
    """, person=person, other=other)
    refusals, lists, all_lists, elsewhere, last = (part.splitlines() for part in out.split("--\n"))
    ending = f"'{at}' is a mount of {person.name}, who may end it; so may root: sudo venvfs unmount --user root '{at}'"
    assert all(ending in line for line in refusals[:2]), refusals
    asked = [refusals.pop(2) for _ in range(12)]
    whose = f"'{at}' is a mount of {person.name}, who may ask this of it; so may root, with --user {person.name}"
    assert all(whose in line for line in asked if "roots" not in line), asked
    assert sum("roots' was mounted with its state elsewhere (XDG_STATE_HOME, HOME)" in line for line in asked) == 3, asked
    assert all(f"'{at}' is mounted already, by {person.name}" in line for line in refusals[2:4]), refusals
    assert "is mounted already, with its state elsewhere (XDG_STATE_HOME, HOME)" in refusals[4] and len(refusals) == 5
    assert lists == [] and last == []
    assert f"{at}\t-\t-\t-\tanother user's ({person.name})\t-" in all_lists
    assert f"{person.tmp}/roots\t-\t-\t-\tanother user's (root)\t-" in all_lists
    assert f"{person.tmp}/roots\t-\t-\t-\tstate elsewhere (root)\t-" in elsewhere


def test_with_allow_other_others_may_do_what_modes_allow(person, other):
    folder, at = person.tmp / "folder", person.home / "m"
    for name in ("open", "closed"):
        (folder / name).mkdir(parents=True)
        (folder / name / "file").write_text("lower")
    person.home.chmod(0o755)
    person.sudo("mount", at, "--layer", folder)
    for command in (["ls", at], ["cat", at / "open/file"], ["touch", at / "new"], ["stat", at / "open"]):
        assert "Permission denied" in other.run(*command).stderr
    person.sudo("unmount", at)
    person.sudo("mount", at, "--layer", folder, "-o", "allow_other")
    assert person.run("chmod", "700", at / "closed").returncode == 0
    assert person.run("chmod", "1777", at / "open").returncode == 0
    assert other.run("cat", at / "open/file").stdout == "lower"
    assert other.run("sh", "-ec", f"echo theirs > {at}/open/new; cat {at}/open/new").stdout == "theirs\n"
    assert os.stat(at / "open/new").st_uid == other.uid
    for command in (f"ls {at}/closed", f"cat {at}/closed/file", f"echo x > {at}/open/file", f"rm -f {at}/open/file",
                    f"touch {at}/new", f"chmod 777 {at}/open", f"mkdir {at}/made", f"ln {at}/open/file {at}/open/hard",
                    f"mv {at}/open/file {at}/open/moved"):
        done = other.run("sh", "-c", command)
        assert done.returncode != 0 and ("denied" in done.stderr or "not permitted" in done.stderr), command
    assert sorted(p.name for p in (at / "open").iterdir()) == ["file", "new"]


def cached(person):
    return {p: (p.stat().st_mtime_ns, p.read_bytes()) for kind in ("images", "objects")
            for p in (person.cache / kind).rglob("*") if p.is_file()}


def test_nobody_changes_the_cache_through_a_mount(person, other):
    folder, at = person.tmp / "folder", person.home / "m"
    folder.mkdir()
    for name, size in (("small", 10), ("large", 100_000)):
        (folder / name).write_bytes(b"l" * size)
        (folder / name).chmod(0o666)
    person.home.chmod(0o755)
    person.sudo("mount", at, "--layer", folder, "-o", "allow_other")
    before = cached(person)
    assert len(before) == 2
    write = (f"import mmap, os\nfor n in ('small', 'large'):\n f = open('{at}/' + n, 'r+b')\n f.write(b'w'); f.flush()\n"
             " m = mmap.mmap(f.fileno(), 0); m[5:6] = b'm'; m.flush()\n os.posix_fallocate(f.fileno(), 0, 200_000)\n f.truncate(7)")
    for who in (person, other):
        done = who.run(PYTHON, "-c", write)
        assert done.returncode == 0, done.stderr
    subprocess.run([PYTHON, "-c", write], check=True)
    assert (at / "large").read_bytes() == b"wllllml" and cached(person) == before
    assert "all right" in person.sudo("cache", "verify").stdout


def test_the_supervisor_of_root_keeps_only_what_mounting_needs(venvfs, tmp_path):
    path = tmp_path / ".venv"
    venvfs.run("mount", "--python", PYTHON, path, Wheel().write(tmp_path))
    pid = venvfs.list()[0]["supervisor"]
    status = status_of(pid)
    dac_read_search, setpcap, sys_admin = 1 << 2, 1 << 8, 1 << 21
    assert int(status["CapPrm"], 16) == dac_read_search | setpcap | sys_admin and status["NoNewPrivs"] == "1"
    os.kill(pid, 15)
    wait_until(lambda: not venvfs.list())
    assert not any(path.iterdir())


def test_everything_works_for_an_ordinary_user(person, real_wheels):
    """What the README shows, by fusermount3 alone."""
    if not shutil.which("fusermount3"):
        missing("fusermount3")
    program, project = person.program(), person.path("project")
    wheels = person.tmp / "wheels"
    shutil.copytree(real_wheels[0].parent, wheels)
    extra = Wheel().write(person.tmp)
    data = person.path("data")
    out = in_one_namespace(f"""
        cat > {person.tmp}/steps <<'END'
            set -eu
            cd {project}
            v={program}
            $v mount --python {PYTHON} .venv {wheels}/*.whl
            .venv/bin/python -c 'import numpy, requests, rich; print(numpy.linalg.inv([[2.]]))'
            .venv/bin/python -m pip --version >/dev/null 2>&1 || .venv/bin/python -m ensurepip >/dev/null
            .venv/bin/python -m pip install -q --no-index --disable-pip-version-check {extra}
            .venv/bin/python -c 'import demo; demo.main()'
            echo 'x = 1' >> $(echo .venv/lib/python3*/site-packages/rich/__init__.py)
            $v list
            {CONFINED} $v
            $v unmount .venv
            $v mount --python {PYTHON} .venv {wheels}/*.whl
            .venv/bin/python -c 'import rich, demo; print(rich.x)'
            if $v unmount .venv < .venv/pyvenv.cfg; then exit 1; fi
            $v unmount .venv
            # What was edited is not in it: mounted as before.
            if $v mount --python {PYTHON} .venv {extra}; then exit 1; fi
            .venv/bin/python -c 'import rich; print(rich.x)'
            $v unmount .venv
            $v mount --fresh --python {PYTHON} .venv {extra}
            $v unmount --all
            echo plain > ../data/file
            $v mount m --layer ../data --read-only
            cat m/file
            if touch m/new; then exit 1; fi
            $v umount m
            $v mount m --layer ../data --upper ../changes
            echo changed > m/file
            $v unmount m
            $v mount m --layer ../data --upper ../changes
            cat m/file ../data/file
            $v unmount m
            $v mount m --layer ../data --ephemeral
            echo gone > m/file
            $v unmount m
            $v mount --foreground m --layer ../data &
            while ! test -e m/file; do sleep 0.1; done
            $v unmount m
            wait
            $v cache add -v {extra} ../data
            $v cache list
            $v cache verify
            $v cache dir
END
        person sh {person.tmp}/steps
    """, person=person)
    assert out.startswith("[[0.5]]\n1.0\n") and "\n1\n" in out and "\nplain\nchanged\nplain\n" in out, out
    assert AS_CONFINED in out
    assert "all right" in out and out.endswith(f"{person.cache}\n")
    assert set(owners(person.state)) == set(owners(person.cache)) == {person.uid}


def test_a_user_namespace_without_a_mount_namespace_of_its_own_is_told(person):
    program, wheel = person.program(), Wheel().write(person.tmp)
    if person.run("unshare", "-Ur", "true").returncode != 0:
        missing("the right to make user namespaces")
    out = in_one_namespace(f"refused person unshare -Ur {program} mount --python {PYTHON} {person.home}/v {wheel}", person=person)
    assert "a mount namespace too (unshare -Urm)" in out and len(out.splitlines()) == 1, out
    assert not (person.home / "v").exists()


def test_a_confined_server_may_still_choose_its_cpu(venvfs, tmp_path):
    """What the filter does not allow fails without a word, so nobody would miss it."""
    if len(os.sched_getaffinity(0)) < 2:
        missing("a second CPU")
    folder = tmp_path / "folder"
    folder.mkdir()
    venvfs.run("mount", tmp_path / "m", "--layer", folder)
    pid = venvfs.list()[0]["pid"]

    def one_cpu():
        for _ in range(400):
            assert not (tmp_path / "m" / uuid.uuid4().hex).exists()
        return any(len(os.sched_getaffinity(int(t.name))) == 1 for t in pathlib.Path(f"/proc/{pid}/task").iterdir())

    wait_until(one_cpu)
