"""Outside suites on a mount, each compared with the same run on the disk below (run)."""

import os
import pathlib
import subprocess
import sys

import pytest
from support import missing

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE))

import sqlite  # noqa: E402


@pytest.fixture
def place(venvfs, tmp_path):
    """(the mount, a plain folder, the server's process); the lower holds databases to copy up."""
    if os.geteuid() != 0 or not os.path.exists("/dev/fuse"):
        missing("root with /dev/fuse")
    at, lower, plain = tmp_path / "at", tmp_path / "lower", tmp_path / "plain"
    lower.mkdir()
    plain.mkdir()
    sqlite.make_lower(lower / "given")
    # Other users act in the mount; pytest's folders are closed to them.
    for parent in [tmp_path, *tmp_path.parents]:
        if str(parent).startswith("/tmp/"):
            parent.chmod(parent.stat().st_mode | 0o055)
    venvfs.run("mount", "-o", "suid,dev,allow_other", at, "--layer", lower, "--upper", tmp_path / "upper")
    return at, plain, venvfs.list()[0]["pid"]


def run_suite(name, place):
    at, plain, process = place
    env = {**os.environ, "SUITE_WATCH": str(process), "SUITE_DATABASE": str(at / "given")}
    done = subprocess.run([HERE / "run", name, at, plain], text=True, env=env,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    print(done.stdout)
    assert done.returncode == 0
    assert " passed, 0 failed" in done.stdout.splitlines()[-1]


@pytest.mark.parametrize("name", ["pjdfstest", "cpython", "stress", "sqlite"])
def test_a_suite_has_no_failure_that_the_disk_below_has_not(place, name):
    run_suite(name, place)


@pytest.mark.parametrize("arguments", [[], ["pjdfstest"], ["nonsense", "/tmp"], ["sqlite", "a", "b", "c"]])
def test_wrong_usage_is_status_2(arguments):
    assert subprocess.run([HERE / "run", *arguments], capture_output=True).returncode == 2


def test_a_failure_is_a_failure_and_a_known_one_is_none(monkeypatch, capsys):
    run = load_run()
    results = {"good": None, "left out": "", "bad": "it said so"}
    monkeypatch.setattr(run, "known", lambda name: {})
    assert not run.judge("sqlite", results, {})
    assert capsys.readouterr().out.endswith("1 passed, 1 failed, 1 skipped\n")
    assert run.judge("sqlite", results, {"bad": "why"})
    assert not run.judge("sqlite", {"left out": ""}, {})
    # What is listed as known must go on failing.
    monkeypatch.setattr(run, "known", lambda name: {"good": "why"})
    assert not run.judge("sqlite", {"good": None}, {"good": "why"})


def load_run():
    import importlib.machinery
    import importlib.util

    loader = importlib.machinery.SourceFileLoader("suite_run", str(HERE / "run"))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("suite_run", loader))
    loader.exec_module(module)
    return module
