"""What has no wheel is built by the user's uv or pip: real mounts, real tools, no download."""

import json
import os
import pathlib
import shutil
import subprocess
import sys
import time

import pytest
from backend import Source
from support import TOOLS, missing
from wheelmaker import Wheel

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "source"))

from server import Server  # noqa: E402

UV = str(TOOLS / "uv")


@pytest.fixture
def server():
    s = Server()
    for name in ("one", "two"):
        s.add(Wheel(name))
    yield s
    s.stop()


class Builder:
    """A project of its own kind, with tools as a test wants them."""

    def __init__(self, venvfs, server, dependencies=(), **options):
        if not os.path.exists(UV):
            missing("uv")
        self.venvfs, self.server = venvfs, server
        self.source = Source(venvfs.root / "project", dependencies=dependencies, **options)
        self.root = self.source.root
        self.tools = venvfs.root / "tools"
        self.tools.mkdir()
        (self.tools / "uv").symlink_to(UV)
        self.env = {
            "UV_CACHE_DIR": str(venvfs.root / "uv"), "UV_PYTHON_DOWNLOADS": "never", "UV_DEFAULT_INDEX": server.index(),
            "PIP_NO_INDEX": "1", "PATH": f"{self.tools}:/usr/bin:/bin", "PIP_CONFIG_FILE": "/dev/null",
        }
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"):
            self.env[name] = ""

    def uv(self, *args, ok=True):
        done = subprocess.run([UV, *map(str, args)], cwd=self.root, env={**self.venvfs.env, **self.env}, capture_output=True, text=True)
        assert not ok or done.returncode == 0, done.stderr
        return done.stdout + done.stderr

    def lock(self):
        self.uv("lock", "--python", sys.executable)
        self.source.calls()

    def run(self, verb, *args, ok=True, **env):
        return self.venvfs.run(verb, "--python", sys.executable, *args, ok=ok, cwd=self.root, **{**self.env, **env})

    def mount(self, *args, **kwargs):
        return self.run("mount", *args, **kwargs)

    def unmount(self):
        self.venvfs.run("unmount", cwd=self.root)

    def remounted(self, *args, **kwargs):
        """What is said; and it is unmounted again."""
        said = self.mount(*args, **kwargs).stderr
        self.unmount()
        return said

    def site(self, venv=".venv"):
        return next((self.root / venv).glob("lib/python*/site-packages"))

    def info(self, name="proj", venv=".venv"):
        return next(self.site(venv).glob(f"{name}-*.dist-info"))

    def output(self, program, venv=".venv"):
        done = subprocess.run([self.root / venv / "bin" / program], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def is_clean(self):
        """uv and pip find nothing to do."""
        for how in ("--locked", "--frozen"):
            assert "Would make no changes" in self.uv("sync", how, "--dry-run")
        self.uv("pip", "check", "--python", ".venv")


@pytest.fixture
def project(venvfs, server):
    p = Builder(venvfs, server, ["one", "two"])
    p.lock()
    return p


def test_a_project_is_mounted_with_itself_as_an_editable(project):
    said = project.mount().stderr
    assert said == f"venvfs: proj is built by uv: uv pip install --no-deps --editable {project.root}\n"
    assert project.source.calls() == ["editable"]
    assert project.output("proj-hello") == "hello 1.0"
    assert project.output("proj-script") == str(project.root / ".venv")
    assert (project.root / ".venv/share/proj.txt").read_text() == "data\n"
    init = project.root / "src/proj/__init__.py"
    init.write_text(init.read_text().replace("1.0", "of now"))
    assert project.output("proj-hello") == "hello of now"
    project.is_clean()
    assert project.source.calls() == []
    assert f"proj    1.0     {project.root}" in project.uv("pip", "list", "--editable", "--python", ".venv")
    project.uv("run", "--frozen", "--no-sync", "python", "-c", "import proj, one")
    assert project.uv("sync", "--locked").count("\n") == 2  # resolved, checked
    assert project.source.calls() == []


def test_what_is_there_is_what_uv_sync_makes(project):
    project.uv("sync", "--locked")
    theirs = {p.name: p.read_bytes() for p in project.info().iterdir()}
    pth = (project.site() / "_proj.pth").read_bytes()
    shutil.rmtree(project.root / ".venv")
    project.mount()
    ours = {p.name: p.read_bytes() for p in project.info().iterdir()}
    assert ours.pop("INSTALLER") == b"venvfs" and theirs.pop("INSTALLER") == b"uv"
    rows = [{line for line in files.pop("RECORD").splitlines() if b"INSTALLER" not in line} for files in (ours, theirs)]
    assert ours == theirs and rows[0] == rows[1]
    assert (project.site() / "_proj.pth").read_bytes() == pth


def test_an_unchanged_project_starts_no_tool(project):
    project.remounted()
    project.source.calls()
    (project.tools / "uv").unlink()
    said = project.remounted("-v")
    assert f"{project.root}/uv.lock: known" in said and "built" not in said
    # The lock is read, and what was built is still known.
    lock = project.root / "uv.lock"
    lock.write_text("# Says nothing new.\n" + lock.read_text())
    said = project.remounted("-v")
    assert "uv.lock: read" in said and "built before" in said
    assert project.source.calls() == []


@pytest.mark.parametrize("name", ["pyproject.toml", "setup.py", "setup.cfg"])
def test_it_is_built_again_when_what_decides_its_build_changed(project, name):
    project.remounted()
    project.source.calls()
    (project.root / name).touch()
    said = project.mount().stderr
    assert "proj is built by uv" in said
    assert project.source.calls() == ["editable"]
    project.is_clean()
