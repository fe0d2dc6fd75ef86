"""Real mounts: real wheels of the index that pip is configured for, and real Python."""

import fcntl
import os
import pathlib
import subprocess
import sys

import pytest
from support import TOOLS, missing

BUILD = pathlib.Path(__file__).parents[2] / "build"
REAL = ["numpy", "requests", "rich"]


def pytest_collection_modifyitems(config, items):
    """A test of one kernel feature's own effect is left out where that is masked."""
    if not os.environ.get("VENVFS_MASK"):
        return
    left_out = {
        line.split()[0]
        for line in pathlib.Path(__file__).with_name("not-masked.txt").read_text().splitlines()
        if line and not line.startswith("#")
    }
    names = {item.originalname for item in items}
    assert left_out <= names, f"not-masked.txt names no test: {left_out - names}"
    deselected = [item for item in items if item.originalname in left_out]
    config.hook.pytest_deselected(items=deselected)
    items[:] = [item for item in items if item.originalname not in left_out]


@pytest.fixture(scope="session", autouse=True)
def fuse():
    if not os.path.exists("/dev/fuse"):
        missing("/dev/fuse")
    if os.geteuid() != 0:
        missing("root, whom these mounts are made by,")


def download(folder):
    for old in folder.glob("*.whl"):
        old.unlink()
    done = subprocess.run(
        [TOOLS / "python", "-m", "pip", "download", "-q", "--disable-pip-version-check",
         "--only-binary", ":all:", "-d", folder, *REAL],
        capture_output=True, text=True,
    )
    if done.returncode != 0:
        missing(f"an index with {REAL} ({done.stderr.strip()[-200:]})")
    (folder / "complete").touch()


@pytest.fixture(scope="session")
def real_wheels():
    """numpy, requests and rich with what they need, downloaded once."""
    folder = BUILD / "wheels"
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "complete").exists():
            download(folder)
    return sorted(folder.glob("*.whl"))


@pytest.fixture(scope="session")
def python():
    """The base interpreter of the tests' own."""
    return os.path.realpath(pathlib.Path(sys.base_prefix, "bin", f"python3.{sys.version_info.minor}"))


@pytest.fixture(scope="session")
def uv():
    if not (TOOLS / "uv").exists():
        missing("uv")
    return str(TOOLS / "uv")


@pytest.fixture
def venv(venvfs, tmp_path, python):
    """A function that mounts wheels and gives the mount point."""
    count = 0

    def mount(*wheels, at=None, options=(), **kwargs):
        nonlocal count
        count += 1
        path = at or tmp_path / f"env{count}" / ".venv"
        venvfs.run("mount", *options, "--python", python, path, *wheels, **kwargs)
        return path

    return mount
