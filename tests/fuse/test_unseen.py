"""Mounts that are out of sight and in use still."""

import os
import subprocess

from test_attacks import put, row


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
