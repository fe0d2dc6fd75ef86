"""Random operations on a mount and on a plain directory beside it: no difference (model.py)."""

import os
import pathlib
import shlex
import subprocess
import sys

import pytest
from support import BINARY, is_masked

MODEL = pathlib.Path(__file__).with_name("model.py")
STEPS = int(os.environ.get("VENVFS_MODEL_STEPS", "20000"))
SEEDS = os.environ.get("VENVFS_MODEL_SEEDS", "1,2").split(",")


def mount_commands(at, lower, upper, *options):
    """(mount, unmount) as the model's shell commands."""
    mount = [BINARY, "mount", "-o", "allow_other", *options, at, "--layer", lower, "--upper", upper]
    return shlex.join(map(str, mount)), shlex.join([BINARY, "unmount", str(at)])


def run_model(folder, *arguments, env=None):
    """Its exit status and all that it said; pytest shows that where the test fails."""
    done = subprocess.run(
        [sys.executable, "-B", str(MODEL), "--under", str(folder / "under"), "--plain",
         str(folder / "plain"), *map(str, arguments)],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=800, env=env,
    )
    print(done.stdout)
    return done.returncode, done.stdout


def run_on_mount(venvfs, folder, seed, *arguments):
    lower, upper = folder / "lower", folder / "upper"
    mount, unmount = mount_commands(folder / "under", lower, upper)
    return run_model(
        folder, "--lower", lower, "--upper", upper, "--mount", mount, "--unmount", unmount,
        "--seed", seed, "--steps", STEPS, *(["--no-tmpfile"] if is_masked("tmpfile") else []), *arguments, env=venvfs.env,
    )


@pytest.mark.parametrize("seed", SEEDS)
def test_a_mount_over_a_tree_is_as_a_plain_directory(venvfs, tmp_path, seed):
    status, said = run_on_mount(venvfs, tmp_path, seed, "--prepare-lower", "twins=12")
    assert status == 0 and "no difference" in said


def test_a_mount_over_an_empty_folder_is_as_a_plain_directory(venvfs, tmp_path):
    status, said = run_on_mount(venvfs, tmp_path, SEEDS[0])
    assert status == 0 and "no difference" in said


def test_a_short_life_with_many_remounts_is_as_a_plain_directory(venvfs, tmp_path):
    status, said = run_on_mount(venvfs, tmp_path, SEEDS[-1], "--prepare-lower", "files=20,wide=20",
                                "--remount-every", 60, "--check", 60, "--steps", STEPS // 10)
    assert status == 0 and "no difference" in said
