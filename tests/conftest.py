"""Fixtures of all tests in Python; support.py has what they are made of."""

import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))

from support import Venvfs  # noqa: E402


@pytest.fixture
def venvfs(tmp_path):
    program = Venvfs(tmp_path)
    yield program
    if (tmp_path / "state").exists():
        program.unmount_all()
    for log in (tmp_path / "state").rglob("log"):
        text = log.read_text()
        assert "Sanitizer" not in text and "runtime error" not in text, text
