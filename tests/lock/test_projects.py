"""Of twenty projects' locks the same distributions and the same wheels are chosen as by uv and pip.

uv makes the locks from a real index, which is all that is asked of it; then the wheels in
them become small ones on 127.0.0.1, each of which knows its own name.
"""

import email
import functools
import importlib.metadata
import json
import os
import pathlib
import re
import shutil
import subprocess

import pytest
from fake_index import Index
from packaging.specifiers import SpecifierSet
from projects import PROJECTS
from support import BINARY, TOOLS, missing

DRIVER = os.environ.get("LOCK_DRIVER") or str(pathlib.Path(BINARY).parents[1] / "tests/lock/lock_driver")
UV = str(TOOLS / "uv")
ENV = {k: v for k, v in os.environ.items() if not k.startswith(("UV_PROJECT", "VIRTUAL_ENV", "VENVFS_"))}


def run(*args, cwd=None, ok=True, **env):
    done = subprocess.run([*map(str, args)], cwd=cwd, env={**ENV, **env}, capture_output=True, text=True, timeout=300)
    assert not ok or done.returncode == 0, f"{' '.join(map(str, args))}\n{done.stderr[-3000:]}"
    return done


@functools.cache
def pythons():
    """One of each minor version from 3.9 on that is here, by its version."""
    listed = json.loads(run(UV, "python", "list", "--only-installed", "--output-format", "json").stdout)
    paths = [pathlib.Path(p["path"]) for p in listed if "shims" not in p["path"]]
    paths += sorted(pathlib.Path.home().glob(".pyenv/versions/3.*/bin/python3"))
    found = {}
    for path in paths:
        done = run(path, "-c", "import sys; print('%d.%d' % sys.version_info[:2])", ok=False)
        minor = done.stdout.strip()
        if done.returncode == 0 and int(minor.split(".")[1]) >= 9:
            found.setdefault(minor, str(path))
    return found


def write(root, files):
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)


@pytest.fixture(scope="session")
def locked(tmp_path_factory):
    """The projects with their locks, as uv made them; made once."""
    root = tmp_path_factory.mktemp("projects")
    for p in PROJECTS:
        write(root / p["name"], p["files"])
        done = run(UV, "lock", "--python", pythons()["3.11"], cwd=root / p["name"], ok=False)
        if done.returncode != 0 and ("client error" in done.stderr or "fetch" in done.stderr):
            missing(f"an index for uv lock ({done.stderr.strip()[-200:]})")
        assert done.returncode == 0, done.stderr
    return root


@pytest.fixture(scope="session")
def index():
    server = Index()
    yield server
    server.close()


@pytest.fixture
def moved(locked, index, tmp_path, request):
    """One project whose wheels are those of the index."""
    p = request.param
    root = tmp_path / p["name"]
    shutil.copytree(locked / p["name"], root)
    lock = root / "uv.lock"
    lock.write_text(index.take_over(lock.read_text()))
    return root


def wanted(python, *args, tmp_path, cwd=None):
    done = run(DRIVER, "lock", python, *args, cwd=cwd, VENVFS_CACHE_DIR=str(tmp_path / "cache"))
    return json.loads(done.stdout)


def spelled(file):
    """A wheel's name in one spelling: uv normalises the distribution's in a pylock.toml."""
    name, rest = file.split("-", 1)
    return f"{name.lower().replace('.', '_')}-{rest}"


def chosen(answer):
    """The files, and the names of what is to be built."""
    files = {spelled(d["wheels"][0]["file"]) for d in answer["dists"] if d["wheels"]}
    return files, {d["name"] for d in answer["dists"] if d["source"] and d["source"]["kind"] == "sdist"}


def installed(venv):
    """The names that the wheels in it had."""
    found = set()
    for file in pathlib.Path(venv).glob("lib/*/site-packages/*.dist-info/METADATA"):
        summary = email.message_from_string(file.read_text())["Summary"]
        if summary and summary.endswith(".whl"):
            found.add(spelled(summary))
    return found


def uv_sync(root, python, options, built, tmp_path):
    """What `uv sync` installs, but what it would have to build."""
    venv = tmp_path / "venv"
    shutil.rmtree(venv, ignore_errors=True)
    skipped = [word for name in sorted(built) for word in ("--no-install-package", name)]
    run(UV, "sync", "--frozen", "--no-install-local", "--python", python, *options, *skipped, cwd=root,
        UV_PROJECT_ENVIRONMENT=str(venv), UV_CACHE_DIR=str(tmp_path / "uv"), UV_PYTHON_DOWNLOADS="never")
    return installed(venv)


def fits(root, minor):
    text = (root / "pyproject.toml").read_text()
    least = re.search(r'requires-python = ">=3\.(\d+)"', text)
    return not least or int(minor.split(".")[1]) >= int(least.group(1))


each_project = pytest.mark.parametrize("moved", PROJECTS, indirect=True, ids=lambda p: p["name"])


@each_project
def test_uv_lock_is_what_uv_sync_installs(moved, tmp_path, request):
    for options in [[], *request.node.callspec.params["moved"]["options"]]:
        files, built = chosen(wanted(pythons()["3.11"], *options, "--find", moved, tmp_path=tmp_path))
        assert files or options  # a group that is left out may have been all
        assert files == uv_sync(moved, pythons()["3.11"], options, built, tmp_path), options


@each_project
def test_every_python_gets_its_own_wheels(moved, tmp_path):
    for minor, python in pythons().items():
        if fits(moved, minor):
            files, built = chosen(wanted(python, "--find", moved, tmp_path=tmp_path))
            assert files == uv_sync(moved, python, [], built, tmp_path), minor


@each_project
def test_pylock_is_what_uv_installs(moved, tmp_path):
    lock = tmp_path / "pylock.toml"
    run(UV, "export", "-q", "--frozen", "--no-emit-local", "--format", "pylock.toml", "-o", lock, cwd=moved)
    for minor, python in pythons().items():
        if not fits(moved, minor):
            continue
        files, built = chosen(wanted(python, lock, tmp_path=tmp_path))
        if built:
            continue
        venv = tmp_path / f"venv-{minor}"
        run(UV, "venv", "-q", "--python", python, venv)
        run(UV, "pip", "sync", "--preview", "-q", "--python", venv, "--allow-empty-requirements", lock, UV_CACHE_DIR=str(tmp_path / "uv"))
        assert files == installed(venv), minor


def pip_serves(minor):
    """This pip may be too new for old Pythons."""
    return SpecifierSet(importlib.metadata.metadata("pip")["Requires-Python"]).contains(minor)


@each_project
def test_pip_takes_the_same_files(moved, index, tmp_path):
    # pip takes its time; what has most compiled wheels is tried with all.
    minors = pythons() if moved.name in ("science", "data", "crypto") else {"3.11"}
    for minor, python in pythons().items():
        if minor not in minors or not fits(moved, minor) or not pip_serves(minor):
            continue
        answer = wanted(python, "--find", moved, tmp_path=tmp_path)
        pins = [f"{d['name']}=={d['version']}" for d in answer["dists"] if d["wheels"]]
        (tmp_path / "pins.txt").write_text("\n".join(pins))
        report = tmp_path / "report.json"
        run(TOOLS / "python", "-m", "pip", "--python", python, "install", "-q", "--dry-run", "--ignore-installed", "--no-deps",
            "--no-cache-dir", "--disable-pip-version-check", "--isolated", "--index-url", f"{index.url}/simple", "--report", report,
            "-r", tmp_path / "pins.txt")
        urls = [i["download_info"]["url"] for i in json.loads(report.read_text())["install"]]
        assert chosen(answer)[0] == {spelled(u.rsplit("/", 1)[1].replace("%2B", "+")) for u in urls}, minor


@each_project
def test_requirements_say_what_the_lock_says(moved, tmp_path):
    file = tmp_path / "requirements.txt"
    run(UV, "export", "-q", "--frozen", "--no-emit-local", "-o", file, cwd=moved)
    for minor, python in pythons().items():
        if not fits(moved, minor):
            continue
        lock = {d["name"]: d for d in wanted(python, "--find", moved, tmp_path=tmp_path)["dists"] if not d["direct"]}
        pins = {d["name"]: d for d in wanted(python, "-r", file, tmp_path=tmp_path)["dists"]}
        assert {n: d["version"] for n, d in pins.items()} == {n: d["version"] for n, d in lock.items()}
        for name, d in lock.items():
            if d["wheels"]:
                assert d["wheels"][0]["bytes"]["sha256"] in [h["sha256"] for h in pins[name]["hashes"]]
