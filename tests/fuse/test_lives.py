"""A mount outlives what goes wrong around its processes, and what goes wrong at its start leaves none."""

import os
import pathlib
import subprocess

import pytest
from support import BINARY
from test_privileges import person  # noqa: F401
from test_status import log_of, mounted, status, wait_until  # noqa: F401


def kill_worker(told):
    os.kill(told["pid"], 9)


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


def drop_caches():
    pathlib.Path("/proc/sys/vm/drop_caches").write_text("2")


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
    wait_until(lambda: status(venvfs, path, ok=None)["state"] == "serving")
    drop_caches()
    assert os.listdir(path) == ["x"] and (path / "x").read_text() == "precious"
    venvfs.run("unmount", path)
    left = pathlib.Path(told["state_directory"]) / "ephemeral"
    assert not left.exists() or os.listdir(left) == ["lock"]


KEEPS = 'echo data > "$VIRTUAL_ENV/keep"; echo begun; read line; cat "$VIRTUAL_ENV/keep"; ls "$VIRTUAL_ENV"'


def test_an_upgrade_that_fails_leaves_the_environment_of_exec(venvfs, tmp_path, away):
    (tmp_path / "tmp").mkdir()
    venvfs.env["TMPDIR"] = str(tmp_path / "tmp")
    (tmp_path / "lower").mkdir()
    command = subprocess.Popen([BINARY, "exec", "--layer", tmp_path / "lower", "--", "sh", "-c", KEEPS],
                               env=venvfs.env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert command.stdout.readline() == "begun\n"
    take, give = away
    take()
    assert venvfs.run("upgrade", "--all", ok=False).returncode == 1
    give()
    drop_caches()
    assert len(list((tmp_path / "tmp").iterdir())) == len(list((tmp_path / "state/venvfs/mounts").iterdir())) == 1
    assert command.communicate("\n", timeout=20)[0] == "data\nkeep\n"
    wait_until(lambda: not list((tmp_path / "tmp").iterdir()))
