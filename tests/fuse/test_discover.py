"""Which Python is taken when, and which directory. Pythons here are scripts that answer as one does."""

import json
import os
import pathlib
import platform
import subprocess

import pytest
from wheelmaker import Wheel

ANSWER = {
    "implementation": "CPython", "name": "cpython", "major": 3, "pointer_bits": 64,
    "machine": platform.machine(), "libc": "glibc", "libc_version": "2.36",
}


class Ground:
    """A home without any Python, to which tests add some."""

    def __init__(self, venvfs, tmp_path):
        self.venvfs, self.root = venvfs, tmp_path
        self.path = tmp_path / "path"
        self.uv = tmp_path / "home/.local/share/uv/python"
        self.wheel = Wheel().write(tmp_path)
        self.project = tmp_path / "project"
        for folder in (self.path, self.project, self.uv):
            folder.mkdir(parents=True)
        self.venvfs.env.update(PATH=f"{self.path}:/nothere:{self.path}")
        for name in [n for n in self.venvfs.env if n.startswith("UV_")]:
            del self.venvfs.env[name]

    def python(self, program, version, **facts):
        """Makes a Python of that version; `executable` is what it says of itself."""
        major, minor = version.split(".")[:2]
        program.parent.mkdir(parents=True, exist_ok=True)
        answer = {
            **ANSWER, "executable": str(program), "version": version, "minor": int(minor),
            "site_packages": f"lib/python3.{minor}/site-packages", **facts,
        }
        program.write_text(f"#!/bin/sh\nprintf '%s' '{json.dumps(answer)}'\n")
        program.chmod(0o755)
        return program

    def managed(self, folder, program, version, **facts):
        return self.python(self.uv / folder / "bin" / program, version, **facts)

    def found(self, *options, cwd=None, **env):
        """The interpreter that a mount takes, relative to the root."""
        at = self.root / "at"
        self.venvfs.run("mount", *options, at, self.wheel, cwd=cwd or self.project, **env)
        row = next(row for row in self.venvfs.list() if row["path"] == str(at))
        self.venvfs.run("unmount", at)
        return os.path.relpath(row["python"], self.root)

    def refused(self, *options, **env):
        done = self.venvfs.run("mount", *options, self.root / "at", self.wheel, ok=False, cwd=self.project, **env)
        assert done.returncode == 1, done.stderr
        assert len(done.stderr.splitlines()) == 1, done.stderr
        return done.stderr


@pytest.fixture
def ground(venvfs, tmp_path):
    return Ground(venvfs, tmp_path)


KEY = f"linux-{platform.machine()}-gnu"


def test_a_version_is_found_by_name_in_path_order(ground):
    other = ground.root / "other"
    ground.python(ground.path / "python3", "3.10.1")
    ground.python(ground.path / "python3.12", "3.12.1")
    ground.python(other / "python3.11", "3.11.1")
    ground.python(other / "python3.12", "3.12.2")
    ground.venvfs.env["PATH"] = f"{ground.path}:{other}"
    for asked, found in (
        (None, "path/python3"), ("3", "path/python3"), ("3.10", "path/python3"), ("310", "path/python3"),
        ("3.12", "path/python3.12"), ("3.12.2", "other/python3.12"), ("3.11", "other/python3.11"),
        ("python3.11", "other/python3.11"), ("cpython@3.11", "other/python3.11"),
        (f"cpython-3.11-{KEY}", "other/python3.11"), (str(other / "python3.11"), "other/python3.11"),
    ):
        assert ground.found(*(["-p", asked] if asked else [])) == found, asked
        if asked:
            assert ground.found(UV_PYTHON=asked) == found, asked
            assert ground.found("-p", asked, UV_PYTHON="3.99") == found, asked


def test_what_is_there_instead_is_named(ground):
    ground.python(ground.path / "python3", "3.10.1")
    ground.python(ground.path / "python3.12", "3.12.1")
    line = ground.refused("-p", "3.14")
    assert "no Python 3.14 here" in line and f"3.10.1 ({ground.path}/python3)" in line
    line = ground.refused("-p", f"cpython-3.12-linux-riscv64-gnu")
    assert "riscv64" in line and "3.12.1" in line
    assert "'pypy'" in ground.refused("-p", "pypy")
    assert "no 'nothere'" in ground.refused("-p", "nothere")
    assert "'./nothere'" in ground.refused("-p", "./nothere")
    ground.venvfs.env["PATH"] = "/nothere"
    assert "no Python in PATH" in ground.refused()


def test_one_that_is_broken_is_passed_over_unless_it_is_named(ground):
    broken = ground.path / "python3.12"
    ground.python(broken, "3.12.1").write_text("#!/bin/sh\nexit 127\n")
    ground.python(ground.path / "python3", "3.12.7")
    assert ground.found("-p", "3.12") == "path/python3"
    assert "status 127" in ground.refused("-p", broken)
    (ground.path / "python3").unlink()
    assert "status 127" in ground.refused("-p", "3.12")


def test_uvs_own_come_first_and_the_newest_of_them(ground):
    ground.python(ground.path / "python3", "3.10.1")
    ground.managed(f"cpython-3.9.20-{KEY}", "python3.9", "3.9.20")
    ground.managed(f"cpython-3.13.1-{KEY}", "python3.13", "3.13.1")
    ground.managed(f"cpython-3.13.0-{KEY}", "python3.13", "3.13.0")
    ground.managed(f"cpython-3.14.0rc2-{KEY}", "python3.14", "3.14.0rc2")
    ground.managed(f"cpython-3.13.2+freethreaded-{KEY}", "python3.13t", "3.13.2", free_threaded=True)
    ground.managed("cpython-3.13.7-linux-riscv32-gnu", "python3.13", "3.13.7")
    ground.managed(f"pypy-3.11.13-{KEY}", "pypy3.11", "3.11.13", name="pypy")
    ground.managed(".temp", "python3.13", "3.13.9")
    own = "home/.local/share/uv/python"
    for asked, found in (
        (None, f"cpython-3.13.1-{KEY}/bin/python3.13"), ("3.13", f"cpython-3.13.1-{KEY}/bin/python3.13"),
        ("3.13.0", f"cpython-3.13.0-{KEY}/bin/python3.13"), ("3.9", f"cpython-3.9.20-{KEY}/bin/python3.9"),
        ("3.14", f"cpython-3.14.0rc2-{KEY}/bin/python3.14"), ("3.14rc2", f"cpython-3.14.0rc2-{KEY}/bin/python3.14"),
        ("3.13t", f"cpython-3.13.2+freethreaded-{KEY}/bin/python3.13t"), ("pypy", f"pypy-3.11.13-{KEY}/bin/pypy3.11"),
        ("pypy3.11", f"pypy-3.11.13-{KEY}/bin/pypy3.11"),
    ):
        assert ground.found(*(["-p", asked] if asked else [])) == f"{own}/{found}", asked
    assert ground.found(UV_PYTHON_PREFERENCE="system") == "path/python3"
    assert ground.found(UV_NO_MANAGED_PYTHON="1") == "path/python3"
    assert ground.found("-p", "3.9", UV_PYTHON_PREFERENCE="system").startswith(own)
    assert "3.10.1" in ground.refused("-p", "3.9", UV_NO_MANAGED_PYTHON="1")
    assert "3.10" in ground.refused("-p", "3.10", UV_MANAGED_PYTHON="true")
    elsewhere = ground.root / "elsewhere"
    ground.python(elsewhere / f"cpython-3.12.1-{KEY}/bin/python3.12", "3.12.1")
    assert ground.found(UV_PYTHON_INSTALL_DIR=str(elsewhere)) == f"elsewhere/cpython-3.12.1-{KEY}/bin/python3.12"


def test_the_preference_of_uvs_files_counts(ground, uv):
    """python-preference: of uv.toml, of [tool.uv], of the user's file, and of the environment before all."""
    ground.python(ground.path / "python3", "3.10.1")
    ground.managed(f"cpython-3.13.1-{KEY}", "python3.13", "3.13.1")
    own, system = f"home/.local/share/uv/python/cpython-3.13.1-{KEY}/bin/python3.13", "path/python3"
    project, toml = ground.project / "pyproject.toml", ground.project / "uv.toml"
    user = ground.root / "home/.config/uv/uv.toml"
    user.parent.mkdir(parents=True)
    assert ground.found() == own
    user.write_text('python-preference = "system"\n')
    assert ground.found() == system
    project.write_text('[project]\nname = "x"\n')
    assert ground.found() == system
    project.write_text('[tool.uv]\npython-preference = "managed"\n')
    assert ground.found() == own
    (ground.project / "sub").mkdir()
    assert ground.found(cwd=ground.project / "sub") == own
    toml.write_text('python-preference = "only-system"\n')  # uv.toml wins over pyproject.toml
    assert ground.found() == system
    assert "3.10.1" in ground.refused("-p", "3.13")
    assert ground.found(UV_PYTHON_PREFERENCE="managed") == own
    assert ground.found(UV_MANAGED_PYTHON="1") == own
    assert ground.found(UV_NO_CONFIG="1") == own
    named = ground.root / "named.toml"
    named.write_text('python-preference = "only-managed"\n')
    assert ground.found(UV_CONFIG_FILE=str(named)) == own
    toml.write_text('python-preference = "only-managed"\n')
    assert "3.10" in ground.refused("-p", "3.10")
    assert ground.found("-p", ground.path / "python3") == system  # of a path nothing is preferred
    toml.write_text('python-preference = 3\n')
    assert ground.found() == system  # as the user's says
    toml.write_text("python-preference =\n")
    assert f"{toml}" in ground.refused()


def test_the_link_of_a_minor_version_is_taken_unless_a_patch_is_named(ground):
    ground.managed(f"cpython-3.13.1-{KEY}", "python3.13", "3.13.1")
    link = ground.uv / f"cpython-3.13-{KEY}"
    link.symlink_to(f"cpython-3.13.1-{KEY}")
    program = ground.uv / f"cpython-3.13.1-{KEY}/bin/python3.13"
    # It says by which name it was called, as Python does.
    program.write_text(program.read_text().replace("printf", f'ME=$0; printf').replace(
        f'"executable": "{program}"', '"executable": "\'"$ME"\'"'))
    assert f"cpython-3.13-{KEY}" in ground.found("-p", "3.13")
    assert f"cpython-3.13.1-{KEY}" in ground.found("-p", "3.13.1")


def test_a_pin_is_found_upward_to_the_project_and_in_uvs_configuration(ground):
    for minor in (10, 11, 12):
        ground.python(ground.path / f"python3.{minor}", f"3.{minor}.1")
    sub = ground.project / "sub/sub"
    sub.mkdir(parents=True)
    assert ground.found(cwd=sub) == "path/python3.12"
    (ground.root / ".python-version").write_text("3.10\n")
    assert ground.found(cwd=sub) == "path/python3.10"
    (ground.project / "pyproject.toml").touch()
    assert ground.found(cwd=sub) == "path/python3.12"
    (ground.project / ".python-version").write_text("# ours\n\n  system\nmy-env\n 3.11.1 \n3.10\n")
    assert ground.found(cwd=sub) == "path/python3.11"
    assert ground.found("-p", "3.10", cwd=sub) == "path/python3.10"
    (ground.project / ".python-version").write_text("3.13\n")
    line = ground.refused()
    assert f"{ground.project}/.python-version" in line and "3.12.1" in line
    (ground.project / ".python-version").unlink()
    (ground.project / ".python-versions").write_text("3.10\n3.11\n")
    assert ground.found(cwd=sub) == "path/python3.10"
    (ground.project / ".python-versions").unlink()
    config = ground.root / "home/.config/uv"
    config.mkdir(parents=True)
    (config / ".python-version").write_text("3.11\n")
    assert ground.found(cwd=sub) == "path/python3.11"


def test_the_project_s_requires_python_decides_and_has_the_last_word(ground):
    for minor in (10, 11, 13):
        ground.python(ground.path / f"python3.{minor}", f"3.{minor}.1")
    project = ground.project / "pyproject.toml"
    assert ground.found() == "path/python3.13"
    project.write_text('[project]\nname = "x"\nrequires-python = ">=3.10,<3.12"\n')
    sub = ground.project / "sub"
    sub.mkdir()
    assert ground.found() == ground.found(cwd=sub) == "path/python3.11"
    assert ground.found("-p", "3.10") == ground.found("-p", "<3.11") == "path/python3.10"
    line = ground.refused("-p", "3.13")
    assert ">=3.10,<3.12" in line and "--python" in line and "3.13.1" in line
    pin = ground.project / ".python-version"
    pin.write_text("3.13\n")
    assert str(pin) in ground.refused()
    pin.unlink()
    config = ground.root / "home/.config/uv"
    config.mkdir(parents=True)
    (config / ".python-version").write_text("3.13\n")  # the user's own gives way
    assert ground.found() == "path/python3.11"
    project.write_text('[project]\nrequires-python = ">=3.14"\n')
    line = ground.refused()
    assert ">=3.14" in line and "requires-python" in line and "3.13.1" in line
    project.write_text('[project]\nrequires-python = "nonsense"\n')
    assert "nonsense" in ground.refused("-p", "3.11")
    project.write_text("[project\n")
    assert f"{project}" in ground.refused()
    project.unlink()
    assert "'>=x' is no version" in ground.refused("-p", ">=x")


def test_a_virtual_environment_stands_for_its_base(venvfs, tmp_path, python, uv):
    env = {k: v for k, v in os.environ.items() if k != "VIRTUAL_ENV"}
    subprocess.run([uv, "venv", "-q", "--no-config", "--python", python, tmp_path / "venv"], check=True, env=env)
    wheel = Wheel().write(tmp_path)
    version = subprocess.run([python, "-c", "import platform; print(platform.python_version())"],
                             capture_output=True, text=True, check=True).stdout.strip()
    for options, path in (([], f"{tmp_path}/venv/bin"), (["-p", tmp_path / "venv"], "/nothere"),
                          (["-p", "venv"], "/nothere"), (["-p", version], f"{tmp_path}/venv/bin")):
        venvfs.run("mount", *options, "at", wheel, VIRTUAL_ENV=str(tmp_path / "venv"), PATH=path)
        found = venvfs.list()[0]["python"]
        assert os.path.realpath(found) == python and str(tmp_path) not in found
        assert os.readlink(tmp_path / "at/bin/python") == found
        venvfs.run("unmount", "at")


def test_uv_finds_the_same(venvfs, tmp_path, uv):
    """With the Pythons of this machine; each is reached by a name of its own."""
    real = {}
    for folder in [*os.environ["PATH"].split(":"), *pathlib.Path.home().glob(".pyenv/versions/*/bin")]:
        for program in pathlib.Path(folder).glob("python3.[0-9]*"):
            if program.name[7:].replace(".", "").isdigit() and "shims" not in folder.__str__():
                real.setdefault(program.name, program)
    assert real
    wheel = Wheel().write(tmp_path)
    path = ":".join(dict.fromkeys(str(p.parent) for p in real.values()))
    requests = [None, "3", *(name[6:] for name in real), *(name for name in real)]
    for asked in requests:
        arguments = [asked] if asked else []
        done = subprocess.run([uv, "python", "find", "--no-config", "--system", *arguments], capture_output=True,
                              text=True, env={**venvfs.env, "PATH": path}, cwd=tmp_path)
        ours = venvfs.run("mount", *(["-p", asked] if asked else []), "at", wheel, PATH=path, ok=False)
        if done.returncode or "3.6 or later" in ours.stderr:
            assert ours.returncode == 1, (asked, done.stderr)
            continue
        assert ours.returncode == 0, (asked, ours.stderr)
        assert os.path.realpath(venvfs.list()[0]["python"]) == os.path.realpath(done.stdout.strip()), asked
        venvfs.run("unmount", "at")


def test_the_directory_is_uvs_or_dot_venv_of_the_project(venvfs, tmp_path, python):
    wheel = Wheel().write(tmp_path)
    project = tmp_path / "project"
    sub = project / "sub"
    sub.mkdir(parents=True)

    def mounted(cwd, **env):
        venvfs.run("mount", "-p", python, wheel, cwd=cwd, **env)
        found = [row["path"] for row in venvfs.list()]
        venvfs.run("unmount", cwd=cwd, **env)
        assert venvfs.list() == []
        return [os.path.relpath(path, tmp_path) for path in found]

    assert mounted(sub) == ["project/sub/.venv"]
    (project / "pyproject.toml").touch()
    assert mounted(sub) == ["project/.venv"]
    assert mounted(project) == ["project/.venv"]
    assert mounted(sub, UV_PROJECT_ENVIRONMENT=".vm-3.13") == ["project/.vm-3.13"]
    assert mounted(sub, UV_PROJECT_ENVIRONMENT=str(tmp_path / "else")) == ["else"]
    assert "not mounted" in venvfs.refused("unmount", UV_PROJECT_ENVIRONMENT="nothere")


def test_several_environments_stand_side_by_side_each_with_its_python(ground):
    for minor in (10, 12):
        ground.python(ground.path / f"python3.{minor}", f"3.{minor}.1")
    for minor in (10, 12):
        ground.venvfs.run("mount", "-p", f"3.{minor}", ground.wheel, cwd=ground.project,
                          UV_PROJECT_ENVIRONMENT=f".host-3.{minor}")
    found = {row["path"]: row["python_version"] for row in ground.venvfs.list()}
    assert found == {f"{ground.project}/.host-3.{minor}": f"3.{minor}.1" for minor in (10, 12)}
    for minor in (10, 12):
        at = ground.project / f".host-3.{minor}"
        assert (at / f"lib/python3.{minor}/site-packages/demo/__init__.py").exists()
        assert os.readlink(at / "bin/python") == str(ground.path / f"python3.{minor}")


class Pyenv:
    """pyenv as far as a shim needs it; its Pythons are programs that print what lies beside them."""

    SHIM = """#!/bin/bash
set -e
[ -n "$PYENV_DEBUG" ] && set -x

program="${{0##*/}}"

export PYENV_ROOT="{root}"
exec "{root}/libexec/pyenv" exec "$program" "$@"
"""
    PROGRAM = """#!/bin/sh
echo run >>{root}/runs
PATH=/usr/bin:/bin
v=${{PYENV_VERSION:-$(cat "$PWD/.python-version" 2>/dev/null || cat {root}/version)}}
program=$2
shift 2
exec {root}/versions/$v/bin/$program "$@"
"""

    def __init__(self, ground):
        self.ground, self.root = ground, ground.root / "pyenv"
        (self.root / "libexec").mkdir(parents=True)
        for path, text in ((self.root / "libexec/pyenv", self.PROGRAM), (ground.path / "python3", self.SHIM)):
            path.write_text(text.format(root=self.root))
            path.chmod(0o755)
        self.version("3.11.1")
        self.version("3.12.1")
        (self.root / "version").write_text("3.11.1\n")

    def version(self, folder, says=None):
        program = self.root / f"versions/{folder}/bin/python3"
        answer = subprocess.run([self.ground.python(program, says or folder)], capture_output=True, text=True, check=True).stdout
        program.unlink()
        source = f"#include <stdio.h>\nint main(void) {{ return puts({json.dumps(answer)}) < 0; }}\n"
        subprocess.run(["cc", "-x", "c", "-", "-o", program], input=source, text=True, check=True)

    def found(self, **env):
        """The version whose Python was taken, and how often the shim was run for it."""
        before = self._runs()
        path = self.ground.found(**env)
        assert path.startswith("pyenv/versions/") and path.endswith("/bin/python3"), path
        return path.split("/")[2], self._runs() - before

    def _runs(self):
        file = self.root / "runs"
        return len(file.read_text().splitlines()) if file.exists() else 0


@pytest.fixture
def pyenv(ground):
    return Pyenv(ground)


def test_what_a_shim_of_pyenv_runs_is_remembered_until_something_that_decides_changes(pyenv):
    pin, hook = pyenv.ground.project / ".python-version", pyenv.root / "plugins/x/etc/pyenv.d/version-name/x.bash"
    assert pyenv.found() == ("3.11.1", 1)
    assert pyenv.found() == ("3.11.1", 0)
    pin.write_text("3.12.1\n")
    assert pyenv.found() == ("3.12.1", 1)
    assert pyenv.found() == ("3.12.1", 0)
    pin.write_text("3.11.1\n")
    assert pyenv.found() == ("3.11.1", 1)
    pin.unlink()
    assert pyenv.found(PYENV_VERSION="3.12.1") == ("3.12.1", 1)
    assert pyenv.found(PYENV_VERSION="3.12.1") == ("3.12.1", 0)
    assert pyenv.found() == ("3.11.1", 0)
    (pyenv.root / "version").write_text("3.12.1\n")
    assert pyenv.found() == ("3.12.1", 1)
    pyenv.version("3.13.1")
    assert pyenv.found() == ("3.12.1", 1)
    # What a hook of somebody's looks at is not known.
    hook.parent.mkdir(parents=True)
    hook.touch()
    assert pyenv.found() == ("3.12.1", 1) and pyenv.found() == ("3.12.1", 1)


def test_a_python_behind_a_shim_that_became_another_one_is_asked_anew(pyenv):
    assert pyenv.found() == ("3.11.1", 1)
    pyenv.version("3.11.1", says="3.11.2+new")
    at = pyenv.ground.root / "other"
    pyenv.ground.venvfs.run("mount", at, pyenv.ground.wheel, cwd=pyenv.ground.project)
    assert [row["python_version"] for row in pyenv.ground.venvfs.list()] == ["3.11.2+new"]


def test_a_shim_that_is_not_as_pyenv_writes_it_is_run_each_time(pyenv):
    shim = pyenv.ground.path / "python3"
    shim.write_text(shim.read_text().replace("set -e\n", "set -e\n. /dev/null\n") + "# more\n")
    assert pyenv.found() == ("3.11.1", 1)
    assert pyenv.found() == ("3.11.1", 1)


def test_what_the_user_has_in_path_is_not_remembered_for_a_shim(pyenv):
    """pyenv calls it "system": which that is PATH decides."""
    pyenv.version("system", says="3.11.1")
    assert pyenv.found(PYENV_VERSION="system") == ("system", 1)
    assert pyenv.found(PYENV_VERSION="system") == ("system", 1)


def test_what_a_project_requires_counts_at_once(ground):
    """It is remembered by the file's bytes."""
    ground.python(ground.path / "python3.11", "3.11.1")
    ground.python(ground.path / "python3.12", "3.12.1")
    for wanted, other in (("3.12", "3.11"), ("3.11", "3.12"), ("3.12", "3.11")):
        (ground.project / "pyproject.toml").write_text(f'[project]\nname = "x"\nrequires-python = "=={wanted}.*"\n')
        for _ in range(2):
            assert ground.found() == f"path/python{wanted}"
            assert "requires Python" in ground.refused("-p", other)
    (ground.project / "pyproject.toml").write_text("[project\n")
    assert "pyproject.toml" in ground.refused()
