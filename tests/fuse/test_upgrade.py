"""Running mounts move to other programs, and nobody in them notices."""

import contextlib
import os
import pathlib
import shutil
import subprocess
import sys
import time

import pytest
from support import BINARY, TOOLS
from waiting import PATIENCE, has_ended, wait_until

SUPERVISE = pathlib.Path(BINARY).with_name("venvfs-supervise")

# A worker that gets as far as the switch, and no further.
DIES_AT_GO = """
#include <unistd.h>
int main(void) { char c; (void)!write(4, "prepared\\n", 9); return read(7, &c, 1) == 1 ? 9 : 8; }
"""
COMPLAINS_AT_GO = """
#include <unistd.h>
int main(void) { char c; (void)!write(4, "prepared\\n", 9); (void)!read(7, &c, 1);
    (void)!write(4, "no \\"upper\\" here\\n", 16); return 1; }
"""
SAYS_NOTHING = "int main(void) { return 0; }"
CRASHES = "#include <stdlib.h>\nint main(void) { abort(); }"


@pytest.fixture
def mounted(venvfs, tmp_path):
    lower = tmp_path / "lower"
    (lower / "pkg").mkdir(parents=True)
    for i in range(100):
        (lower / f"pkg/m{i}.py").write_text(f"number = {i}\n" * 50)
    path = tmp_path / "m"
    venvfs.run("mount", path, "--layer", lower)
    return path


def programs(folder, venvfs=BINARY, supervise=SUPERVISE):
    """Copies, as a new version would be; the one to upgrade to."""
    folder.mkdir()
    shutil.copy(venvfs, folder / "venvfs")
    shutil.copy(supervise, folder / "venvfs-supervise")
    return folder / "venvfs"


def compiled(tmp_path, source, name="compiled"):
    out = tmp_path / name
    subprocess.run(["cc", "-x", "c", "-", "-o", out], input=source, text=True, check=True)
    return out


def status(venvfs, path):
    return venvfs.status(path)


def program_of(pid):
    return os.readlink(f"/proc/{pid}/exe")


def run(binary, venvfs, *args, code=0):
    done = subprocess.run([binary, *map(str, args)], env=venvfs.env, capture_output=True, text=True, timeout=300)
    assert done.returncode == code, done.stderr
    return done.stderr


def test_supervisor_and_worker_are_those_of_the_new_version(venvfs, tmp_path, mounted):
    new = programs(tmp_path / "new")
    before = status(venvfs, mounted)
    with open(mounted / "pkg/m1.py") as kept:
        (mounted / "written").write_text("before\n")
        run(new, venvfs, "upgrade", mounted)
        after = status(venvfs, mounted)
        assert program_of(after["pid"]) == str(new)
        assert program_of(after["supervisor"]) == str(new.with_name("venvfs-supervise"))
        # It is the same process still: `mount --foreground` waits for it.
        assert after["supervisor"] == before["supervisor"] and after["pid"] != before["pid"]
        assert after["restarts"] == 0 and after["requests"]["WRITE"] == 1
        assert kept.read() == "number = 1\n" * 50
    assert (mounted / "written").read_text() == "before\n"
    wait_until(lambda: has_ended(before["pid"]))
    assert "upgraded" in pathlib.Path(after["log"]).read_text()


def test_what_crashes_later_is_followed_by_the_new_version(venvfs, tmp_path, mounted):
    new = programs(tmp_path / "new")
    run(new, venvfs, "upgrade", mounted)
    shutil.rmtree(new.parent)  # what was opened does not ask for its path
    pid = status(venvfs, mounted)["pid"]
    os.kill(pid, 9)
    wait_until(lambda: status(venvfs, mounted)["pid"] != pid)
    after = status(venvfs, mounted)
    assert after["restarts"] == 1 and str(new) in program_of(after["pid"])
    assert (mounted / "pkg/m2.py").read_text() == "number = 2\n" * 50


def test_all_mounts_are_upgraded_at_once(venvfs, tmp_path, mounted):
    second = tmp_path / "second"
    venvfs.run("mount", second, "--layer", tmp_path / "lower", "--read-only")
    new = programs(tmp_path / "new")
    run(new, venvfs, "upgrade", "--all")
    assert {program_of(status(venvfs, m)["pid"]) for m in (mounted, second)} == {str(new)}
    assert sorted(os.listdir(second / "pkg")) == sorted(os.listdir(mounted / "pkg"))


def test_a_mount_without_supervisor_can_be_upgraded(venvfs, tmp_path, mounted):
    os.kill(status(venvfs, mounted)["supervisor"], 9)
    new = programs(tmp_path / "new")
    run(new, venvfs, "upgrade", mounted)
    assert program_of(status(venvfs, mounted)["pid"]) == str(new)
    venvfs.run("unmount", mounted)


def test_a_mount_in_the_foreground_stays_there(venvfs, tmp_path, mounted):
    path = tmp_path / "fore"
    waiting = subprocess.Popen(
        [BINARY, "mount", "-f", path, "--layer", tmp_path / "lower"], env=venvfs.env, stderr=subprocess.PIPE
    )
    venvfs.hears_that_it_serves(waiting, path)
    run(programs(tmp_path / "new"), venvfs, "upgrade", path)
    assert waiting.poll() is None
    venvfs.run("unmount", path)
    assert waiting.wait(PATIENCE) == 0, waiting.stderr.read()


# What is wrong with the new version, and what the line says of it.
BROKEN = {
    "worker says nothing": (SAYS_NOTHING, None, "ended before it served"),
    "worker crashes": (CRASHES, None, "ended before it served"),
    "worker dies at the switch": (DIES_AT_GO, None, "ended before it served"),
    "worker complains at the switch": (COMPLAINS_AT_GO, None, "no 'upper' here"),
    "supervisor exits": (None, "int main(void) { return 7; }", "status 7"),
    "supervisor crashes": (None, CRASHES, "signal 6"),
    "supervisor of another memory": (None, "int main(void) { return 3; }", "unmount and mount again"),
    "supervisor is no program": (None, "", "status 127"),
}


@pytest.mark.parametrize("what", BROKEN)
def test_a_version_that_fails_to_start_leaves_the_old_one(venvfs, tmp_path, mounted, what):
    worker, supervisor, said = BROKEN[what]
    nothing = tmp_path / "nothing"
    nothing.write_text("#!/nonexistent\n")
    nothing.chmod(0o755)
    parts = {}
    if worker is not None:
        parts["venvfs"] = compiled(tmp_path, worker)
    if supervisor is not None:
        parts["supervise"] = compiled(tmp_path, supervisor) if supervisor else nothing
    new = programs(tmp_path / "new", **parts)
    before = status(venvfs, mounted)
    (mounted / "written").write_text("before\n")
    with open(mounted / "pkg/m1.py") as kept:
        line = venvfs.refused("upgrade", "--program", new, mounted)
        assert said in line and str(mounted) in line
        after = status(venvfs, mounted)
        assert after["state"] == "serving" and program_of(after["pid"]) == os.path.realpath(BINARY)
        assert after["supervisor"] == before["supervisor"]
        assert kept.read() == "number = 1\n" * 50
    assert (mounted / "written").read_text() == "before\n"
    (mounted / "after").write_text("after\n")
    # Nor does it stand in the way of one that starts.
    good = programs(tmp_path / "good")
    run(good, venvfs, "upgrade", mounted)
    assert program_of(status(venvfs, mounted)["pid"]) == str(good)
    assert (mounted / "after").read_text() == "after\n"


def test_memory_of_another_version_is_refused_by_supervisor_and_worker(venvfs, tmp_path, mounted):
    before = status(venvfs, mounted)
    with open(f"/proc/{before['supervisor']}/fd/6", "r+b", buffering=0) as memory:
        version = os.pread(memory.fileno(), 4, 4)
        os.pwrite(memory.fileno(), b"\x63", 4)
        try:
            first = venvfs.refused("upgrade", mounted)
            # A supervisor that does not care: then the worker does.
            careless = compiled(tmp_path, "int main(void) { return 0; }")
            second = venvfs.refused("upgrade", "--program",
                                    programs(tmp_path / "new", supervise=careless), mounted)
        finally:
            os.pwrite(memory.fileno(), version, 4)
    assert "unmount and mount again" in first and "unmount and mount again" in second
    assert status(venvfs, mounted)["pid"] == before["pid"]


def test_what_cannot_be_upgraded_is_said_in_a_line(venvfs, tmp_path, mounted):
    assert "is not mounted" in venvfs.refused("upgrade", tmp_path / "nothing")
    assert "cannot open" in venvfs.refused("upgrade", "--program", tmp_path / "nothing", mounted)
    assert venvfs.run("upgrade", ok=False).returncode == 2
    venvfs.run("unmount", mounted)
    assert "is not mounted" in venvfs.refused("upgrade", mounted)
    venvfs.run("upgrade", "--all")


# Loads that go on until the file `stop` is there: stop, python, and wheels to install.
IMPORTS = """
import os, subprocess, sys
code = "import importlib, pkgutil, pip\\nfor m in pkgutil.iter_modules(pip.__path__, 'pip.'):" \\
       " '__' in m.name or importlib.import_module(m.name)"
while not os.path.exists(sys.argv[1]):
    subprocess.run([sys.argv[2], "-c", code], check=True)
    print("done", flush=True)
"""
INSTALLS = """
import os, subprocess, sys
pip = [sys.argv[2], "-m", "pip", "--disable-pip-version-check", "-q"]
while True:
    subprocess.run([*pip, "install", "--no-index", "--no-deps", *sys.argv[3:]], check=True)
    print("done", flush=True)
    if os.path.exists(sys.argv[1]):
        break
    subprocess.run([*pip, "uninstall", "-y", "numpy", "requests", "rich"], check=True)
"""


@contextlib.contextmanager
def load(code, stop, *arguments):
    """What fails in it fails the test; it gets through at least once."""
    child = subprocess.Popen([sys.executable, "-c", code, *map(str, [stop, *arguments])], text=True,
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True)
    try:
        yield child
        stop.touch()
        said, complaints = child.communicate(timeout=600)
        assert child.returncode == 0 and "done" in said, complaints
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, 9)
        child.wait()


def test_20_upgrades_under_load_are_not_noticed(venvfs, venv, real_wheels, tmp_path):
    subprocess.run([TOOLS / "python", "-m", "pip", "download", "-q", "--disable-pip-version-check",
                    "--no-deps", "-d", tmp_path / "pip", "pip"], check=True)
    path = venv(next((tmp_path / "pip").glob("*.whl")))
    python = path / "bin/python"
    versions = [programs(tmp_path / "a"), programs(tmp_path / "b")]
    stop = tmp_path / "stop"
    with load(IMPORTS, stop, python) as imports, load(INSTALLS, stop, python, *real_wheels) as installs:
        for i in range(20):
            run(versions[i % 2], venvfs, "upgrade", path)
            told = status(venvfs, path)
            assert program_of(told["pid"]) == str(versions[i % 2]) and told["restarts"] == 0
            time.sleep(0.8)
            assert imports.poll() is installs.poll() is None
    done = subprocess.run([python, "-c", "import numpy, requests, rich; print(numpy.zeros(3).sum())"],
                          capture_output=True, text=True)
    assert done.stdout == "0.0\n", done.stderr
    assert subprocess.run([python, "-m", "pip", "check"], capture_output=True).returncode == 0
