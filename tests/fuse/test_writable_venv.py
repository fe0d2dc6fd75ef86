"""pip and uv change a mounted environment as they change a plain one, and never the cache.

Each test does the same twice at the same place: in a venv that uv made, which is then moved
away, and in a mount of the same wheels; then it compares both.
"""

import filecmp
import hashlib
import os
import pathlib
import shutil
import stat

import pytest
from support import missing
from test_venv import UV_ONLY, run, tree
from wheelmaker import Wheel

# Written by uv only, or by each installer in its own words.
LEFT_OUT = UV_ONLY | {"uv_build.json"}
OWN_WORDS = {"INSTALLER", "pyvenv.cfg"}

PROJECT = """
[project]
name = "small"
version = "1.0"
requires-python = ">=3.9"
dependencies = ["idna", "rich"]

[project.scripts]
small = "small:main"

[build-system]
requires = ["setuptools>=64"]
build-backend = "setuptools.build_meta"
"""


class Pair:
    """The venv that is changed by `act`, first a plain one and then a mounted one."""

    def __init__(self, venvfs, venv, uv, python, at):
        self.venvfs, self.mount, self.uv, self.python, self.at = venvfs, venv, uv, python, at
        self.env = {
            **{k: v for k, v in os.environ.items() if not k.startswith(("VIRTUAL_ENV", "PYTHON"))},
            "UV_CACHE_DIR": str(venvfs.root / "uv-cache"), "UV_LINK_MODE": "copy",
        }

    def act_on_both(self, wheels, act):
        self.make_plain(wheels)
        act(self)
        reference = self.venvfs.root / "reference"
        os.rename(self.at, reference)
        self.mount(*wheels, at=self.at)
        before = hashes(self.venvfs.cache)
        act(self)
        assert_same(self.at, reference)
        assert hashes(self.venvfs.cache) == before
        self.venvfs.run("cache", "verify")
        # What was changed is there after a remount, too.
        self.venvfs.run("unmount", self.at)
        self.mount(*wheels, at=self.at)
        assert_same(self.at, reference)

    def make_plain(self, wheels):
        self.uv_run("venv", "-q", "--python", self.python, self.at)
        if wheels:
            self.uv_run("pip", "install", "--no-index", "--no-deps", *self.into(), *wheels)

    def into(self):
        return "--python", self.at / "bin/python"

    def uv_run(self, *args, **kwargs):
        return run(self.uv, *args, env=self.env, **kwargs)

    def pip_run(self, *args, **kwargs):
        return run(self.python, "-m", "pip", *self.into(), *args, env=self.env, **kwargs)

    def say(self, code):
        return run(self.at / "bin/python", "-c", code, env=self.env).stdout


@pytest.fixture
def pair(venvfs, venv, uv, python, tmp_path):
    return Pair(venvfs, venv, uv, python, tmp_path / "project/.venv")


def hashes(cache):
    """Of every image and object; a test that has none would prove nothing."""
    found = {}
    for part in ("images", "objects"):
        for path in (cache / part).rglob("*"):
            if path.is_file():
                found[path] = hashlib.sha256(path.read_bytes()).digest()
    assert found
    return found


def compared(root):
    return {name: path for name, path in tree(root).items()
            if path.name not in LEFT_OUT and not name.endswith(".bat")}


def assert_same(ours, theirs):
    a, b = compared(ours), compared(theirs)
    assert sorted(a) == sorted(b)
    for name in a:
        x, y = a[name].lstat(), b[name].lstat()
        assert stat.S_IFMT(x.st_mode) == stat.S_IFMT(y.st_mode), name
        if stat.S_ISLNK(x.st_mode):
            assert os.readlink(a[name]) == os.readlink(b[name]), name
        elif stat.S_ISREG(x.st_mode):
            assert x.st_mode & 0o111 == y.st_mode & 0o111, name
            assert_same_content(name, a[name], b[name])


def assert_same_content(name, ours, theirs):
    if ours.name == "RECORD":
        assert rows(ours) == rows(theirs), name
    # Bytecode holds the time of its source.
    elif ours.name not in OWN_WORDS and not ours.name.startswith("activate") and ours.suffix != ".pyc":
        assert filecmp.cmp(ours, theirs, shallow=False), name


def rows(record):
    """Without those of files that are left out, and bytecode by name only."""
    found = []
    for row in record.read_text().splitlines():
        name = row.split(",")[0]
        if pathlib.Path(name).name not in LEFT_OUT | OWN_WORDS:
            found.append(name if name.endswith(".pyc") else row)
    return sorted(found)


def demo(folder, version):
    """Versions share files, and each has some of its own."""
    folder.mkdir(exist_ok=True)
    w = Wheel("demo", version)
    w.scripts(f"[console_scripts]\ndemo-{version} = demo:main\ndemo = demo:main\n")
    w.add(f"demo/only_{version[0]}.py", b"x = 1\n").add("demo/same.py", b"same = 1\n")
    w.add("demo/data.bin", version.encode() * 70_000)
    return w.write(folder)


def test_uv_installs(pair, tmp_path):
    other = Wheel("other").add("other/deep/er/x.py", b"x = 1\n").write(tmp_path)

    def act(pair):
        pair.uv_run("pip", "install", "--no-index", *pair.into(), other)
        assert pair.say("import other.deep.er.x as m; print(m.x)") == "1\n"

    pair.act_on_both([demo(tmp_path, "1.0")], act)


def test_uv_uninstalls_what_the_cache_has(pair, tmp_path, real_wheels):
    def act(pair):
        pair.uv_run("pip", "uninstall", *pair.into(), "demo", "numpy")
        assert pair.say("import importlib.util as u; print(u.find_spec('numpy'))") == "None\n"
        pair.uv_run("pip", "check", *pair.into())

    pair.act_on_both([*real_wheels, demo(tmp_path, "1.0")], act)


def test_uv_installs_again_what_it_uninstalled(pair, tmp_path):
    wheel = demo(tmp_path, "1.0")

    def act(pair):
        for _ in range(2):
            pair.uv_run("pip", "uninstall", *pair.into(), "demo")
            pair.uv_run("pip", "install", "--no-index", *pair.into(), wheel)
        assert pair.say("import demo; demo.main()") == "1.0\n"

    pair.act_on_both([wheel], act)


def test_pip_upgrades(pair, tmp_path):
    old, new = demo(tmp_path, "1.0"), demo(tmp_path / "new", "2.0")

    def act(pair):
        # Bytecode of the old version, as pip removes it.
        assert pair.say("import demo, demo.same; demo.main()") == "1.0\n"
        pair.pip_run("install", "--no-index", "--upgrade", "--find-links", new.parent, "demo")
        assert pair.say("import demo, demo.same; demo.main()") == "2.0\n"
        assert run(pair.at / "bin/demo-2.0").stdout == "2.0\n" and not (pair.at / "bin/demo-1.0").exists()

    pair.act_on_both([old], act)


def project(folder):
    (folder / "src/small").mkdir(parents=True, exist_ok=True)
    (folder / "pyproject.toml").write_text(PROJECT)
    (folder / "src/small/__init__.py").write_text("import rich\n\n\ndef main():\n    print('small')\n")


def clean(folder):
    """As it was before the first side built in it, but for what uv locked."""
    for path in folder.rglob("*.egg-info"):
        shutil.rmtree(path)
    shutil.rmtree(folder / "build", ignore_errors=True)


def needs_index(pair, tmp_path):
    """Building a project downloads setuptools, as pip and uv are configured."""
    done = run(pair.python, "-m", "pip", "download", "-q", "--no-deps", "-d", tmp_path / "probe",
               "setuptools>=64", ok=False)
    if done.returncode:
        missing("an index with setuptools")


def test_pip_installs_a_project_in_place(pair, tmp_path, real_wheels):
    needs_index(pair, tmp_path)
    folder = pair.at.parent
    project(folder)

    def act(pair):
        clean(folder)
        pair.pip_run("install", "--no-deps", "-e", ".", cwd=folder)
        assert run(pair.at / "bin/small").stdout == "small\n"
        assert pair.say("import small; print(small.__file__)") == f"{folder}/src/small/__init__.py\n"

    pair.act_on_both(real_wheels, act)


def test_uv_syncs_a_project(pair, tmp_path, real_wheels):
    needs_index(pair, tmp_path)
    folder = pair.at.parent
    project(folder)

    def act(pair):
        clean(folder)
        pair.uv_run("sync", "-q", "--python", pair.python, cwd=folder)
        assert run(pair.at / "bin/small").stdout == "small\n"
        # numpy is none of its dependencies, and was there.
        assert pair.say("import importlib.util as u; print(u.find_spec('numpy'))") == "None\n"

    pair.act_on_both(real_wheels, act)


def test_compared_trees_can_differ(tmp_path):
    for side in ("a", "b"):
        (tmp_path / side / "x.dist-info").mkdir(parents=True)
        (tmp_path / side / "x.dist-info/RECORD").write_text("x.py,sha256=1,2\nx.dist-info/INSTALLER,,\n")
        (tmp_path / side / "x.py").write_text("x")
    assert_same(tmp_path / "a", tmp_path / "b")
    record = tmp_path / "a/x.dist-info/RECORD"
    record.write_text("x.py,sha256=2,2\n")
    with pytest.raises(AssertionError):
        assert_same(tmp_path / "a", tmp_path / "b")
    shutil.copy(tmp_path / "b/x.dist-info/RECORD", record)
    (tmp_path / "a/x.py").write_text("y")
    with pytest.raises(AssertionError):
        assert_same(tmp_path / "a", tmp_path / "b")
