"""Mounts that are out of sight and in use still, and states that are not as they were left."""

import os
import subprocess

import pytest

from test_attacks import layered, put, row  # noqa: F401 (a fixture)


def test_a_mount_that_was_taken_away_lazily_is_said_to_be_in_use(venvfs, tmp_path):
    lower, at = put(tmp_path / "lower", a="a"), tmp_path / "m"
    venvfs.run("mount", at, "--layer", lower)
    inside = os.open(at, os.O_RDONLY)
    try:
        subprocess.run(["umount", "-l", at], check=True)
        assert row(venvfs, at)["state"] == "serving elsewhere"
        done = venvfs.run("mount", at, "--layer", lower, ok=False)
        assert done.returncode == 1 and "somebody still has it" in done.stderr and len(done.stderr.splitlines()) == 1
    finally:
        os.close(inside)
    venvfs.run("mount", at, "--layer", lower)
    assert (at / "a").read_text() == "a"


@pytest.mark.parametrize("name", ["mount.json", "layers", "log", "upper/lock"])
def test_a_fifo_in_a_state_keeps_nobody_waiting(venvfs, layered, name):
    at, upper, mount = layered
    other = at.with_name("other")
    venvfs.run("mount", other, "--layer", at.with_name("lower"))
    (upper.parent / name).unlink(missing_ok=True)
    os.mkfifo(upper.parent / name)
    assert [r["path"] for r in venvfs.list()] == [str(other)]
    done = mount(ok=None)
    assert done.returncode == (0 if name == "mount.json" else 1) and len(done.stderr.splitlines()) < 2, done.stderr
    venvfs.run("unmount", "--all")
    assert venvfs.list() == []
    if (upper.parent / name).is_fifo():
        (upper.parent / name).unlink()  # who reads the logs in the end would wait for it


def test_a_base_that_cannot_be_read_is_named(layered):
    at, upper, mount = layered
    (upper / "base").unlink()
    (upper / "base").mkdir()
    assert f"cannot read '{upper}/base': Is a directory" in mount(ok=False).stderr


def test_a_damaged_list_of_layers_is_named_with_what_helps(venvfs, layered):
    at, upper, mount = layered
    (upper.parent / "layers").write_text("next 0\n")
    told = mount(ok=False).stderr
    assert f"'{upper.parent}/layers' is damaged" in told and len(told.splitlines()) == 1
    subprocess.run(told.split("drop both: ")[1], shell=True, check=True)
    mount()
    assert (at / "a").read_text() == "a"
