"""Grounds that leave nothing behind, whatever a test did to the processes of its mount."""

import os
import pathlib
import sys

import pytest
from support import missing
from waiting import wait_until

sys.path.insert(0, str(pathlib.Path(__file__).parent))

from ground import Ground  # noqa: E402


@pytest.fixture(scope="session", autouse=True)
def fuse():
    if os.geteuid() != 0 or not os.path.exists("/dev/fuse"):
        missing("root with /dev/fuse")


@pytest.fixture
def ground(tmp_path):
    """A function that makes a ground, with variables for its server."""
    made = []

    def make(**env):
        folder = tmp_path / f"ground{len(made)}"
        folder.mkdir()
        made.append(Ground(folder, **env))
        return made[-1]

    yield make
    for one in made:
        one.end()
        wait_until(lambda: not one.serving())
        assert "Sanitizer" not in one.logs() and "runtime error" not in one.logs()
