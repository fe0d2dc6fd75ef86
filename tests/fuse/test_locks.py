"""A project's lock file becomes a mounted environment; the index is a server of the test's."""

import os
import pathlib
import subprocess
import sys

import pytest
from support import TOOLS, missing
from wheelmaker import Wheel

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "source"))

from server import Server  # noqa: E402

UV = str(TOOLS / "uv")
PROJECT = """[project]
name = "project"
version = "0.1"
requires-python = ">=3.9"
dependencies = {dependencies}
[project.optional-dependencies]
more = ["extra-one"]
[dependency-groups]
dev = ["dev-one"]
docs = ["doc-one"]
"""


@pytest.fixture
def server():
    s = Server()
    for name in ("one", "two", "extra_one", "dev_one", "doc_one"):
        s.add(Wheel(name))
    s.add(Wheel("one", "2.0"))
    yield s
    s.stop()


class Project:
    """A project that uv locks, and venvfs mounts."""

    def __init__(self, venvfs, server):
        if not os.path.exists(UV):
            missing("uv")
        self.venvfs, self.server = venvfs, server
        self.root = venvfs.root / "project"
        self.root.mkdir()
        self.env = {"UV_CACHE_DIR": str(venvfs.root / "uv"), "UV_PYTHON_DOWNLOADS": "never"}
        self.lock(["one==1.0", "two"])

    def uv(self, *args):
        done = subprocess.run([UV, *map(str, args)], cwd=self.root, env={**self.venvfs.env, **self.env}, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stderr

    def lock(self, dependencies):
        (self.root / "pyproject.toml").write_text(PROJECT.format(dependencies=dependencies))
        self.uv("lock", "--python", sys.executable, "--default-index", self.server.index())
        self.server.requests.clear()

    def mount(self, *args, ok=True):
        options = ("--fresh", "--python", sys.executable)
        return self.venvfs.run("mount", *options, *args, ok=ok, cwd=self.root)

    def unmount(self):
        self.venvfs.run("unmount", cwd=self.root)

    def packages(self):
        found = self.root.glob(".venv/lib/*/site-packages/*.dist-info")
        return sorted(p.name.removesuffix(".dist-info") for p in found)

    def remounted(self, *args):
        self.mount(*args)
        found = self.packages()
        self.unmount()
        return found

    def fetched(self):
        return sorted(path.rsplit("/", 1)[1] for _, path in self.server.asked("/files/"))


@pytest.fixture
def project(venvfs, server):
    return Project(venvfs, server)


def test_a_project_is_mounted_as_it_is_locked(project):
    project.mount()
    assert project.packages() == ["dev_one-1.0", "one-1.0", "two-1.0"]
    python = project.root / ".venv/bin/python"
    done = subprocess.run([python, "-c", "import one, two, dev_one; print(one.value)"], capture_output=True, text=True)
    assert done.stdout == "1.0\n", done.stderr
    for how in ("--frozen", "--locked"):
        assert "Would make no changes" in project.uv("sync", how, "--dry-run", "--default-index", project.server.index())
    project.uv("run", "--frozen", "--no-sync", "python", "-c", "import one")


def test_only_what_the_lock_names_is_fetched_and_once(project):
    project.mount()
    assert project.fetched() == ["dev_one-1.0-py3-none-any.whl", "one-1.0-py3-none-any.whl", "two-1.0-py3-none-any.whl"]
    assert not project.server.asked("/simple/")
    project.unmount()
    project.server.requests.clear()
    project.mount("--offline")
    assert not project.server.asked()


def test_an_unchanged_lock_is_not_read_again(project):
    lock = project.root / "uv.lock"
    assert f"{lock}: read" in project.mount("-v").stderr
    project.unmount()
    lock.touch()
    assert f"{lock}: known" in project.mount("-v").stderr
    project.unmount()
    lock.write_text("# Says nothing new.\n" + lock.read_text())
    said = project.mount("-v", "--offline").stderr
    assert f"{lock}: read" in said
    assert project.packages() == ["dev_one-1.0", "one-1.0", "two-1.0"]
    project.unmount()
    # What pyproject.toml says of groups counts, too.
    pyproject = project.root / "pyproject.toml"
    pyproject.write_text(pyproject.read_text() + "[tool.uv]\ndefault-groups = []\n")
    assert project.remounted("--offline") == ["one-1.0", "two-1.0"]


def test_options_of_uv_sync_choose(project):
    assert project.remounted("--no-dev") == ["one-1.0", "two-1.0"]
    assert project.remounted("--extra", "more") == ["dev_one-1.0", "extra_one-1.0", "one-1.0", "two-1.0"]
    assert project.remounted("--group", "docs", "--no-dev") == ["doc_one-1.0", "one-1.0", "two-1.0"]
    assert project.remounted("--only-group", "docs") == ["doc_one-1.0"]
    assert "it has no extra 'nothing'" in project.mount("--extra", "nothing", ok=False).stderr
    assert "it has no group 'nothing'" in project.mount("--group", "nothing", ok=False).stderr


def test_a_new_lock_brings_its_wheels(project):
    assert "one-1.0" in project.remounted()
    project.lock(["one==2.0", "two"])
    assert project.remounted() == ["dev_one-1.0", "one-2.0", "two-1.0"]
    assert project.fetched() == ["one-2.0-py3-none-any.whl"]


def test_a_plan_whose_wheel_is_gone_is_made_again(project):
    project.mount()
    project.unmount()
    for note in (project.venvfs.cache / "wheels").rglob("*"):
        if note.is_file():
            note.unlink()
    project.server.requests.clear()
    assert "one-1.0" in project.remounted()
    assert len(project.fetched()) == 3


def test_a_wrong_hash_mounts_nothing(project):
    project.server.files["two-1.0-py3-none-any.whl"] += b"x"
    done = project.mount(ok=False)
    assert done.returncode == 1 and "two-1.0" in done.stderr and done.stderr.count("\n") == 1
    assert project.venvfs.list() == [] and not (project.root / ".venv").exists()


def test_pylock_comes_before_uv_lock(project):
    project.uv("export", "-q", "--frozen", "--no-dev", "--no-emit-project", "--format", "pylock.toml", "-o", "pylock.toml")
    assert project.remounted() == ["one-1.0", "two-1.0"]
    assert project.remounted("--lock", "uv.lock") == ["dev_one-1.0", "one-1.0", "two-1.0"]
    (project.root / "pylock.toml").rename(project.root / "pylock.other.toml")
    assert project.remounted("--lock", "pylock.other.toml") == ["one-1.0", "two-1.0"]


def test_requirements_are_pinned_and_checked(project):
    lines = project.root / "lines.txt"
    project.uv("export", "-q", "--frozen", "--no-dev", "--no-emit-project", "-o", lines)
    index = ("-i", project.server.index())
    assert project.remounted("-r", lines, *index) == ["one-1.0", "two-1.0"]
    more = project.root / "more.txt"
    more.write_text(f"--index-url {project.server.index()}\n-r lines.txt\ndoc-one==1.0\n")
    assert project.remounted("-r", more) == ["doc_one-1.0", "one-1.0", "two-1.0"]
    more.write_text("one>=1\n")
    said = project.mount("-r", more, ok=False).stderr
    assert "'one>=1' is not pinned to one version" in said and "uv pip compile" in said and said.count("\n") == 1
    more.write_text("one==1.0 --hash=sha256:" + "0" * 64 + "\n")
    assert "one" in project.mount("-r", more, *index, ok=False).stderr


def test_wheels_that_are_named_come_over_the_lock(project):
    over = Wheel("over", "3.0").write(project.root)
    assert project.remounted(over) == ["over-3.0"]
    assert project.remounted(over, "--no-dev") == ["one-1.0", "over-3.0", "two-1.0"]


def test_a_file_that_the_lock_names_says_where_it_is_from(project):
    here = Wheel("here", "1.0").write(project.root)
    (project.root / "lines.txt").write_text(f"here @ {here.as_uri()}\n{project.server.url('two-1.0-py3-none-any.whl')}\n")
    project.mount("-r", "lines.txt")
    texts = {p.parent.name: p.read_text() for p in project.root.glob(".venv/lib/*/site-packages/*/direct_url.json")}
    assert here.as_uri() in texts["here-1.0.dist-info"]
    assert project.server.url("two-1.0-py3-none-any.whl", hash=False) in texts["two-1.0.dist-info"]


def test_what_is_to_be_built_is_left_out_when_that_is_said(project):
    (project.root / "pyproject.toml").write_text(
        PROJECT.format(dependencies=["one==1.0"]) + "[build-system]\nrequires = ['hatchling']\nbuild-backend = 'hatchling.build'\n")
    project.uv("lock", "--python", sys.executable, "--default-index", project.server.index())
    said = project.mount("--no-dev", "--no-build")
    assert "project is left out" in said.stderr
    assert project.packages() == ["one-1.0"]
    project.unmount()
    # Nor is it forgotten where the lock is not read.
    assert "project is left out" in project.mount("--no-dev", "--no-build").stderr
    project.unmount()
    assert project.remounted("--no-dev", "--no-install-project") == ["one-1.0"]


def test_without_a_lock_it_says_how_to_make_one(venvfs):
    folder = venvfs.root / "empty"
    folder.mkdir()
    assert "there is no pylock.toml, uv.lock or requirements.txt" in venvfs.run("mount", ok=False, cwd=folder).stderr
    (folder / "pyproject.toml").write_text("[project]\nname = 'x'\n")
    assert "uv lock" in venvfs.run("mount", ok=False, cwd=folder).stderr


def test_exec_and_export_read_locks_too(project):
    done = project.venvfs.run("exec", "--python", sys.executable, "--no-dev", "--", "python", "-c", "import one; print(one.value)",
                              cwd=project.root)
    assert done.stdout == "1.0\n"
    project.venvfs.run("export", "out", "--python", sys.executable, cwd=project.root)
    assert sorted(p.name for p in project.root.glob("out/lib/*/site-packages/*.dist-info")) == [
        "dev_one-1.0.dist-info", "one-1.0.dist-info", "two-1.0.dist-info"]
