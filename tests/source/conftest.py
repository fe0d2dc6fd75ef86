"""A server of its own for each test, and venvfs that knows of no index but it."""

import os
import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))

from server import Server  # noqa: E402

# What the machine's own pip and uv are set to is none of the tests' business.
for name in list(os.environ):
    if name.startswith(("PIP_", "UV_")) or name.lower().endswith("_proxy"):
        del os.environ[name]


@pytest.fixture
def server():
    s = Server()
    yield s
    s.stop()
