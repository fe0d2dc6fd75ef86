"""Random operations on the overlay without a mount and on a plain directory: no difference."""

import os
import pathlib
import shutil
import sqlite3
import subprocess
import sys

import pytest

sys.path[:0] = [str(pathlib.Path(__file__).parent), str(pathlib.Path(__file__).parents[1] / "fuse")]

import overlay_rows  # noqa: E402
from modelparts.side import Wrong  # noqa: E402
from support import missing  # noqa: E402

HERE = pathlib.Path(__file__).parent
DRIVER = os.environ.get("OVERLAY_DRIVER", str(HERE.parents[1] / "build/dev/tests/model/overlay_driver"))
STEPS = int(os.environ.get("VENVFS_MODEL_STEPS", "20000"))
SEEDS = os.environ.get("VENVFS_MODEL_SEEDS", "1").split(",")
# Those that are no fault of a system call's own.
FAULTS = ("exchange-replaces", "noreplace-replaces", "seconds-only", "punch-forgotten", "listed-twice")


@pytest.fixture(scope="module", autouse=True)
def root():
    if os.geteuid() != 0:
        missing("root, who may give files away,")


def run_model(folder, *arguments):
    """Its exit status and all that it said, the seed too; pytest shows that where the test fails."""
    places = [("--under", "under"), ("--plain", "plain"), ("--lower", "lower"), ("--upper", "upper")]
    done = subprocess.run(
        [sys.executable, "-B", str(HERE / "overlay_model.py"), DRIVER,
         *(word for option, name in places for word in (option, str(folder / name))),
         *map(str, arguments)],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=800,
    )
    print(done.stdout)
    return done.returncode, done.stdout


@pytest.mark.parametrize("seed", SEEDS)
def test_an_overlay_over_a_tree_is_as_a_plain_directory(tmp_path, seed):
    status, said = run_model(tmp_path, "--seed", seed, "--steps", STEPS, "--prepare-lower", "twins=6")
    assert status == 0 and f"{STEPS} steps" in said and "no difference" in said


def test_many_crashes_and_remounts_lose_nothing(tmp_path):
    status, said = run_model(tmp_path, "--seed", SEEDS[-1], "--steps", STEPS // 10, "--remount-every", 40,
                             "--check", 80, "--prepare-lower", "files=20,wide=20,twins=3")
    assert status == 0 and "no difference" in said


def test_an_overlay_over_nothing_is_as_a_plain_directory(tmp_path):
    status, said = run_model(tmp_path, "--seed", SEEDS[-1], "--steps", STEPS // 10)
    assert status == 0 and "no difference" in said


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_found(tmp_path, fault):
    status, said = run_model(tmp_path, "--seed", 3, "--fault", fault, "--shrink", 3,
                             "--prepare-lower", "files=20,wide=60")
    assert status == 1 and "step" in said and "Traceback" not in said


@pytest.fixture(scope="module")
def used_upper(tmp_path_factory):
    folder = tmp_path_factory.mktemp("used")
    assert run_model(folder, "--seed", 1, "--steps", 400, "--prepare-lower", "files=20")[0] == 0
    return folder / "upper"


@pytest.mark.parametrize("change, fault", [
    ("DELETE FROM node WHERE id IN (SELECT node FROM dentry)", "names of no node"),
    ("UPDATE node SET nlink = 0 WHERE id = (SELECT max(id) FROM node)", "unlinked nodes"),
    ("UPDATE node SET nlink = nlink + 1 WHERE mode & 61440 = 32768", "other names than links"),
    ("UPDATE node SET parent = parent + 1 WHERE parent <> 0", "directories that are elsewhere"),
    ("UPDATE meta SET next = 1, mark = 1", "numbers that can come again"),
    ("UPDATE meta SET clean = 0", "an end that is not clean"),
    ("INSERT INTO xattr VALUES(12345, x'61', x'62')", "attributes of no node"),
    ("UPDATE node SET flags = 1 WHERE mode & 61440 = 40960", "no content of"),
    ("DELETE FROM dentry; DELETE FROM node; DELETE FROM xattr", "content of"),
])
def test_rows_that_cannot_be_are_found(tmp_path, used_upper, change, fault):
    """What the check of rows after each clean end is worth."""
    shutil.copytree(used_upper, tmp_path / "upper")
    overlay_rows.check(tmp_path / "upper")
    with sqlite3.connect(tmp_path / "upper/index.db") as db:
        db.executescript(change)
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.close()
    with pytest.raises(Wrong, match=fault):
        overlay_rows.check(tmp_path / "upper")
