"""A throw-away environment: there for one command, and gone however that ends."""

import json
import os
import pathlib
import signal
import subprocess

import pytest
from support import BINARY, missing
from test_privileges import PYTHON, as_person, in_namespace, person  # noqa: F401
from waiting import PATIENCE, kill, wait_until
from wheelmaker import Wheel


class Ground:
    def __init__(self, venvfs, tmp_path, python):
        self.venvfs, self.python = venvfs, python
        self.temporary = tmp_path / "tmp"
        self.temporary.mkdir()
        venvfs.env["TMPDIR"] = str(self.temporary)
        self.wheel = Wheel().scripts("[console_scripts]\ndemo = demo:main\n").write(tmp_path)
        self.mounts = tmp_path / "state/venvfs/mounts"

    def argv(self, *words, options=()):
        return [BINARY, "exec", *options, "--python", self.python, self.wheel, "--", *map(str, words)]

    def run(self, *words, options=(), **kwargs):
        return subprocess.run(self.argv(*words, options=options), capture_output=True, text=True, env=self.venvfs.env,
                              timeout=PATIENCE, **kwargs)

    def start(self, *words, **kwargs):
        return subprocess.Popen(self.argv(*words), env=self.venvfs.env, text=True, stdout=subprocess.PIPE, **kwargs)

    def left(self):
        return [*self.temporary.iterdir(), *(self.mounts.iterdir() if self.mounts.exists() else [])]

    def gone(self):
        wait_until(lambda: not self.left())
        return True


@pytest.fixture
def ground(venvfs, tmp_path, python):
    found = Ground(venvfs, tmp_path, python)
    yield found
    assert found.gone()


def test_the_command_runs_as_after_activation(ground):
    code = ("import demo, json, os, shutil, sys; "
            "print(json.dumps([sys.prefix, os.environ['VIRTUAL_ENV'], shutil.which('demo'), os.environ['PATH'],"
            " 'PYTHONHOME' in os.environ]))")
    ground.venvfs.env["PYTHONHOME"] = "/nothere"
    done = ground.run("env", "-u", "PYTHONHOME", "python", "-c", code)
    assert done.returncode == 0, done.stderr
    prefix, variable, tool, path, home = json.loads(done.stdout)
    assert prefix == variable and tool == f"{prefix}/bin/demo" and path.split(":")[0] == f"{prefix}/bin"
    assert pathlib.Path(prefix).parent == ground.temporary and not home and done.stderr == ""
    assert ground.run("demo").stdout == "1.0\n"
    assert ground.run("sh", "-c", 'cat; echo "$0" "$@"', "a", "--", "-v", input="in\n").stdout == "in\na -- -v\n"


def test_it_can_be_changed_and_the_cache_cannot(ground):
    done = ground.run("sh", "-ec", 'echo "x = 1" > "$(python -c "import demo; print(demo.__file__)")"; python -c "import demo; print(demo.x)"; rm -r "$VIRTUAL_ENV/bin/demo"')
    assert done.stdout == "1\n", done.stderr
    assert ground.run("demo").stdout == "1.0\n"
    assert "all right" in ground.venvfs.run("cache", "verify").stdout
    done = ground.run("sh", "-c", 'touch "$VIRTUAL_ENV/x"', options=["--read-only"])
    assert done.returncode != 0 and "Read-only" in done.stderr


def test_nobody_else_sees_it(ground):
    child = ground.start("sh", "-c", 'echo "$VIRTUAL_ENV"; read x', stdin=subprocess.PIPE)
    path = pathlib.Path(child.stdout.readline().strip())
    assert path.is_dir() and not any(path.iterdir())
    assert any((pathlib.Path(f"/proc/{child.pid}/root") / path.relative_to("/")).iterdir())
    assert [row["state"] for row in ground.venvfs.list()] == ["serving elsewhere"]
    child.communicate("\n", timeout=PATIENCE)
    assert ground.gone() and ground.venvfs.list() == []


@pytest.mark.parametrize("status", [0, 1, 7, 255])
def test_the_exit_status_is_the_command_s(ground, status):
    assert ground.run("sh", "-c", f"exit {status}").returncode == status


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL, signal.SIGSEGV, signal.SIGHUP])
def test_a_signal_reaches_the_command_and_nothing_is_left(ground, number):
    child = ground.start("sh", "-c", "echo ready; exec sleep 600")
    assert child.stdout.readline() == "ready\n"
    child.send_signal(number)
    assert child.wait(timeout=PATIENCE) == -number
    assert ground.gone()


def test_a_command_that_handles_a_signal_may(ground):
    child = ground.start("python", "-c", "import signal, sys; signal.signal(signal.SIGTERM, lambda *a: sys.exit(5)); "
                         "print('ready', flush=True); signal.pause()")
    assert child.stdout.readline() == "ready\n"
    child.terminate()
    assert child.wait(timeout=PATIENCE) == 5


def test_what_the_command_left_running_keeps_it(ground):
    go = ground.temporary.parent / "go"
    os.mkfifo(go)
    done = ground.run("sh", "-c", "(read line < $1; demo > $0) >/dev/null 2>&1 &", ground.temporary.parent / "said", go)
    assert done.returncode == 0 and ground.left()
    go.write_text("on\n")
    assert ground.gone()
    assert (ground.temporary.parent / "said").read_text() == "1.0\n"


def test_the_command_has_no_child_that_it_did_not_make(ground):
    code = "import os\ntry:\n    print(os.wait())\nexcept ChildProcessError:\n    print('none')"
    assert ground.run("python", "-c", code).stdout == "none\n"
    assert ground.run("ls", "/proc/self/fd").stdout.split() == ["0", "1", "2", "3"]


def test_a_command_that_cannot_be_run(ground, tmp_path):
    done = ground.run("nothere")
    assert done.returncode == 127 and "cannot run 'nothere'" in done.stderr and len(done.stderr.splitlines()) == 1
    (tmp_path / "file").write_text("x")
    assert ground.run(tmp_path / "file").returncode == 126


def test_what_is_wrong_is_said_before_anything_is_made(ground, tmp_path):
    for words in (["exec"], ["exec", "x.whl"], ["exec", "x.whl", "--"], ["exec", "--x", "--", "a"]):
        assert ground.venvfs.run(*words, ok=False).returncode == 2, words
    assert ground.venvfs.run("exec", "--", "true", ok=False).returncode == 1  # there is no lock
    wheel = Wheel("other", tag="cp27-cp27m-linux_armv6l").write(tmp_path)
    done = ground.venvfs.run("exec", "--python", ground.python, wheel, "--", "true", ok=False)
    assert done.returncode == 1 and "cp27" in done.stderr and len(done.stderr.splitlines()) == 1
    assert ground.gone()


def test_what_died_with_its_server_is_removed_by_the_next(ground):
    child = ground.start("sh", "-c", "echo ready; exec sleep 600")
    assert child.stdout.readline() == "ready\n"
    row = ground.venvfs.list()[0]
    kill(row["supervisor"], row["pid"], child.pid)
    child.wait()
    assert ground.left()
    assert ground.run("true").returncode == 0
    assert ground.gone()


def test_a_worker_that_dies_is_followed(ground):
    child = ground.start("sh", "-c", "echo ready; read x; demo", stdin=subprocess.PIPE)
    assert child.stdout.readline() == "ready\n"
    os.kill(ground.venvfs.list()[0]["pid"], signal.SIGKILL)
    assert child.communicate("\n", timeout=PATIENCE)[0] == "1.0\n"


def test_many_at_once(ground):
    children = [ground.start("demo") for _ in range(8)]
    assert [child.communicate(timeout=PATIENCE)[0] for child in children] == ["1.0\n"] * 8


SCRIPT = """
    export HOME={home} TMPDIR={home}/tmp; cd $HOME; mkdir -p tmp
    {program} exec -v --python {python} {wheel} -- sh -c 'id -u; demo; sleep 0.1; exit 7' && exit 1
    test $? = 7
    {program} exec --python {python} {wheel} -- sh -c 'kill -KILL $$' && exit 1
    for i in $(seq 1200); do
        test -z "$(find tmp .local/state/venvfs/mounts -mindepth 1)" && exit 0
        sleep 0.1
    done
    find tmp .local/state/venvfs/mounts
    exit 9
"""


def script_of(person, wheel):
    return SCRIPT.format(home=person.home, program=person.program(), python=PYTHON, wheel=wheel)


def test_an_ordinary_user_has_it_in_a_user_namespace(person):  # noqa: F811
    if person.run("unshare", "-Urm", "true").returncode != 0:
        missing("the right to make user namespaces")
    wheel = Wheel().scripts("[console_scripts]\ndemo = demo:main\n").write(person.tmp)
    done = in_namespace(person.tmp, 0o666, *as_person(person, "sh", "-ec", script_of(person, wheel)))
    assert done.returncode == 0 and done.stdout == f"{person.uid}\n1.0\n", done.stdout + done.stderr
    assert "seen by the command only" in done.stderr


def test_without_namespaces_fusermount3_makes_it_and_it_goes_too(person):  # noqa: F811
    """In a chroot nobody may make a user namespace."""
    wheel = Wheel().scripts("[console_scripts]\ndemo = demo:main\n").write(person.tmp)
    root = person.tmp / "root"
    root.mkdir()
    words = " ".join(f"'{w}'" if "'" not in str(w) else f'"{w}"' for w in as_person(person, "sh", "-e", "/script"))
    (person.tmp / "script").write_text(script_of(person, wheel))
    done = in_namespace(person.tmp, 0o666, "sh", "-ec", f"""
        mount --rbind / {root}
        cp {person.tmp}/script {person.home}/script
        exec chroot {root} {words.replace('/script', str(person.home / 'script'))}
    """)
    assert done.returncode == 0 and done.stdout == f"{person.uid}\n1.0\n", done.stdout + done.stderr
    assert "seen by all until it ends" in done.stderr
