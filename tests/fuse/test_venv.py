"""A mounted environment is one: what Python, pip and uv see."""

import csv
import filecmp
import json
import os
import pathlib
import re
import shutil
import stat
import subprocess
import sys

import pytest
from support import missing
from wheelmaker import Wheel, record_hash


def run(*args, ok=True, **kwargs):
    done = subprocess.run(list(map(str, args)), capture_output=True, text=True, timeout=300, **kwargs)
    assert not ok or done.returncode == 0, (args, done.stdout, done.stderr)
    return done


def test_numpy_inverts_a_matrix(venv, real_wheels):
    path = venv(*real_wheels)
    code = "import numpy; print(numpy.linalg.inv([[2.]]))"
    assert run(path / "bin/python", "-c", code).stdout == "[[0.5]]\n"


def test_it_works_on_tmpfs(venvfs, venv, real_wheels, tmp_path):
    disk = tmp_path / "tmpfs"
    disk.mkdir()
    run("mount", "-t", "tmpfs", "venvfs-test", disk)
    try:
        path = venv(*real_wheels, at=disk / ".venv")
        assert run(path / "bin/python", "-c", "import requests; print('yes')").stdout == "yes\n"
        venvfs.run("unmount", path)
    finally:
        run("umount", disk)


def test_sys_prefix_and_launchers(venv, real_wheels):
    path = venv(*real_wheels)
    said = run(path / "bin/python", "-c", "import sys; print(sys.prefix, sys.base_prefix != sys.prefix)")
    assert said.stdout.split() == [str(path), "True"]
    assert run(path / "bin/pygmentize", "-V").stdout.startswith("Pygments version")


def test_pip_and_uv_show_what_is_mounted(venv, real_wheels, uv, python):
    path = venv(*real_wheels)
    expected = {re.sub(r"[-_.]+", "-", w.name.split("-")[0]).lower() for w in real_wheels}
    env = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    for command in (
        [python, "-m", "pip", "--python", path / "bin/python", "list", "--format=freeze"],
        [uv, "pip", "list", "--python", path / "bin/python", "--format=freeze"],
    ):
        listed = {line.split("==")[0].lower() for line in run(*command, env=env).stdout.splitlines()}
        assert {re.sub(r"[-_.]+", "-", n) for n in listed} == expected, command
    assert "No broken requirements" in run(
        python, "-m", "pip", "--python", path / "bin/python", "check", env=env
    ).stdout
    run(uv, "pip", "check", "--python", path / "bin/python")


UV_ONLY = {".lock", "uv_cache.json", "activate.xsh", "_virtualenv.py", "_virtualenv.pth"}
MAY_DIFFER = {"INSTALLER", "pyvenv.cfg", "activate_this.py"}


def tree(root):
    found = {}
    for folder, folders, files in os.walk(root):
        for name in folders + files:
            path = pathlib.Path(folder, name)
            found[str(path.relative_to(root))] = path
    return found


def assert_same_record(ours, theirs):
    def rows(path):
        return [
            row for row in path.read_text().splitlines()
            if not row.split(",")[0].endswith(("/uv_cache.json", "/INSTALLER"))
        ]

    assert rows(ours) == rows(theirs), ours


def assert_same_tree(ours, theirs):
    a, b = tree(ours), tree(theirs)
    for name in list(b):
        if pathlib.Path(name).name in UV_ONLY or name.endswith(".bat"):
            del b[name]
    assert sorted(a) == sorted(b)
    for name in a:
        x, y = a[name].lstat(), b[name].lstat()
        assert stat.S_IFMT(x.st_mode) == stat.S_IFMT(y.st_mode), name
        base = pathlib.Path(name).name
        if stat.S_ISLNK(x.st_mode):
            assert os.readlink(a[name]) == os.readlink(b[name]), name
        elif stat.S_ISREG(x.st_mode):
            assert x.st_mode & 0o111 == y.st_mode & 0o111, name
            if base == "RECORD":
                assert_same_record(a[name], b[name])
            elif base not in MAY_DIFFER and not base.startswith("activate"):
                assert filecmp.cmp(a[name], b[name], shallow=False), name


def compare_with_uv(venv, uv, python, wheels, at, tmp_path):
    env = {**os.environ, "UV_CACHE_DIR": str(tmp_path / "uv-cache"), "UV_LINK_MODE": "copy"}
    run(uv, "venv", "-q", "--python", python, at, env=env)
    run(uv, "pip", "install", "-q", "--no-index", "--no-deps", "--python", at / "bin/python", *wheels, env=env)
    reference = tmp_path / "reference"
    os.rename(at, reference)
    venv(*wheels, at=at)
    assert_same_tree(at, reference)


def test_the_tree_is_what_uv_makes(venv, uv, python, real_wheels, tmp_path):
    compare_with_uv(venv, uv, python, real_wheels, tmp_path / ".venv", tmp_path)


def many_things():
    """A wheel with everything that has a place of its own."""
    w = Wheel("many", tag="py3-none-any")
    w.scripts("[console_scripts]\nmany-tool = many.cli:main\nmany_other = many:x.y [extra]\n"
              "[gui_scripts]\nmany-gui = many.cli:gui\n")
    w.add("many-1.0.data/scripts/many-sh", b"#!/bin/sh\necho sh\n")
    w.add("many-1.0.data/scripts/many-py", b"#!python\nprint('py')\n")
    w.add("many-1.0.data/data/share/many/data.txt", b"data\n")
    w.add("many-1.0.data/headers/many.h", b"int many;\n")
    w.add("many-1.0.data/purelib/many_pure.py", b"pure = 1\n")
    w.add("many-1.0.data/platlib/many_plat.py", b"plat = 1\n")
    w.add("many/tool", b"#!/bin/sh\n", 0o100755)
    w.add("many/setuid", b"x", 0o104755)
    w.add('many/with,comma and "quote".txt', b"x")
    w.add("many/\u00e9t\u00e9.txt", b"x")
    w.add("many-1.0.dist-info/RECORD.jws", b"{}")
    w.add("many-1.0.dist-info/licenses/LICENSE", b"x")
    w.add("many-1.0.data/data/bin/many-data", b"#!/bin/sh\n", 0o100755)
    w.add("many-1.0.data/data/lib/libmany.so.3", b"so")
    w.add("many/big.bin", bytes(range(256)) * 1000)
    return w


def test_every_kind_of_file_is_where_uv_puts_it(venv, uv, python, tmp_path):
    folder = tmp_path / "wheels"
    folder.mkdir()
    wheels = [many_things().write(folder), Wheel("other").write(folder)]
    compare_with_uv(venv, uv, python, wheels, tmp_path / "with spaces/.venv", tmp_path)


@pytest.mark.parametrize("names", [["pip", "pip3"], ["pip", "pip3", "pip3.8"]])
def test_pip_is_also_there_under_the_version_of_this_python(venv, uv, python, tmp_path, names):
    folder = tmp_path / "wheels"
    folder.mkdir()
    w = Wheel("pip", "24.0").scripts("[console_scripts]\n" + "".join(f"{n} = pip:main\n" for n in names))
    compare_with_uv(venv, uv, python, [w.write(folder)], tmp_path / ".venv", tmp_path)
    minor = sys.version_info.minor
    found = {p.name for p in (tmp_path / ".venv/bin").glob("pip*")}
    assert found == {"pip", "pip3", f"pip3.{minor}"}


def test_scripts_run_from_a_long_path_and_one_with_spaces(venv, tmp_path):
    wheel = many_things()
    wheel.add("many/cli.py", b"import sys\n\n\ndef main():\n    print(sys.prefix)\n\n\ndef gui():\n    pass\n")
    path = wheel.write(tmp_path)
    for at in (tmp_path / "a b" / ".venv", tmp_path / ("long" * 40) / ".venv"):
        venv(path, at=at)
        assert run(at / "bin/many-tool").stdout == f"{at}\n"
        assert run(at / "bin/many-py").stdout == "py\n"
        assert run(at / "bin/many-sh").stdout == "sh\n"


@pytest.mark.parametrize("shell", ["sh", "bash", "zsh", "csh", "fish"])
def test_activate_and_deactivate(venv, real_wheels, tmp_path, shell):
    if not shutil.which(shell):
        missing(shell)
    at = tmp_path / "it's $HOME \"q\" `x` \\b" / ".venv"
    if shell in ("csh",):
        at = tmp_path / "it's a place" / ".venv"
    path = venv(*[w for w in real_wheels if "idna" in w.name], at=at)
    script = {"csh": "activate.csh", "fish": "activate.fish"}.get(shell, "activate")
    # The script's path comes by the environment, so that only activation quotes it.
    dot = "source" if shell in ("csh", "fish", "zsh", "bash") else "."
    text = f'{dot} "$SCRIPT"\nprintf "%s\\n" "$VIRTUAL_ENV"\npython -c "import sys; print(sys.prefix)"\ndeactivate\n'
    text += "sh -c 'echo \"after:$VIRTUAL_ENV\"'\n"
    env = {k: v for k, v in os.environ.items() if k != "VIRTUAL_ENV"}
    env["SCRIPT"] = str(path / "bin" / script)
    done = run(shell, "-f" if shell in ("csh", "zsh") else "-c", *([] if shell in ("csh", "zsh") else [text]),
               input=text if shell in ("csh", "zsh") else None, env=env)
    assert done.stdout.splitlines() == [str(path), str(path), "after:"], (done.stdout, done.stderr)


def test_activate_this(venv, real_wheels, python):
    path = venv(*[w for w in real_wheels if "idna" in w.name])
    code = (
        "import runpy, sys; runpy.run_path(sys.argv[1]); import idna; "
        "print(sys.prefix, idna.__file__.startswith(sys.argv[2]))"
    )
    said = run(python, "-c", code, path / "bin/activate_this.py", path).stdout
    assert said.split() == [str(path), "True"]


def test_a_bump_of_equal_size_runs_the_new_code(venvfs, venv, tmp_path, python):
    """Bytecode that was written outside must not outlive a change of equal size."""
    env = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    env["PYTHONPYCACHEPREFIX"] = str(tmp_path / "pyc")
    for version in ("1.0", "2.0"):
        w = Wheel("demo", version)
        at = venv(w.write(tmp_path), at=tmp_path / ".venv")
        for _ in range(2):
            said = run(at / "bin/python", "-c", "import demo; demo.main()", env=env)
            assert said.stdout == version + "\n"
        venvfs.run("unmount", at)
    assert list((tmp_path / "pyc").rglob("*.pyc"))


def test_the_later_wheel_wins_and_it_is_said_once(venvfs, tmp_path, python):
    a = Wheel("a").add("shared/x.py", b"a\n").add("shared/same.py", b"same\n").write(tmp_path)
    b = Wheel("b").add("shared/x.py", b"b\n").add("shared/same.py", b"same\n").write(tmp_path)
    at = tmp_path / ".venv"
    for first, second, winner in ((a, b, "b"), (b, a, "a")):
        done = venvfs.run("mount", "--python", python, at, first, second)
        assert len(done.stderr.splitlines()) == 1, done.stderr
        loser = {"a": "b", "b": "a"}[winner]
        assert "shared/x.py' is taken from " f"{winner} 1.0 and not from {loser} 1.0" in done.stderr
        site = next(at.glob("lib/python3*/site-packages"))
        assert (site / "shared/x.py").read_text() == winner + "\n"
        venvfs.run("unmount", at)
        done = venvfs.run("mount", "--python", python, at, first, second)
        assert done.stderr == ""
        venvfs.run("unmount", at)
    line = venvfs.refused("mount", "--strict", "--python", python, at, a, b)
    assert "shared/x.py" in line and "--strict" in line


def test_namespace_packages_of_several_wheels_are_one(venv, tmp_path):
    wheels = []
    for i in range(5):
        w = Wheel(f"part{i}")
        w.add(f"space/deep/part{i}.py", f"number = {i}\n".encode())
        if i % 2:
            w.add("space/deep/er/odd%d.py" % i, b"x = 1\n")
        wheels.append(w.write(tmp_path))
    at = venv(*wheels)
    code = "import importlib; print(sum(importlib.import_module(f'space.deep.part{i}').number for i in range(5)))"
    assert run(at / "bin/python", "-B", "-c", code).stdout == "10\n"
    site = next(at.glob("lib/python3*/site-packages"))
    assert sorted(os.listdir(site / "space/deep")) == ["er", *(f"part{i}.py" for i in range(5))]
    assert sorted(os.listdir(site / "space/deep/er")) == ["odd1.py", "odd3.py"]


def test_a_wheel_for_another_python_is_refused(venvfs, tmp_path, python):
    w = Wheel("demo", tag="cp27-cp27m-linux_armv6l").write(tmp_path)
    line = venvfs.refused("mount", "--python", python, tmp_path / ".venv", w)
    assert "cp27-cp27m-linux_armv6l" in line
    assert not (tmp_path / ".venv").exists()


def test_two_wheels_of_one_package_are_refused(venvfs, tmp_path, python):
    a = Wheel("demo", "1.0").write(tmp_path)
    b = Wheel("demo", "2.0").write(tmp_path)
    assert "two wheels of demo" in venvfs.refused("mount", "--python", python, tmp_path / ".venv", a, b)


def test_record_has_one_row_a_file_and_it_is_true(venv, tmp_path):
    """What a launcher or the installer writes over a file of the wheel has the only row."""
    w = Wheel("demo").scripts("[console_scripts]\ndemo = demo:main\na-b = demo:main\n")
    w.add("demo-1.0.data/data/bin/demo", b"#!/bin/sh\n", 0o100755)
    w.add("demo-1.0.data/headers/x,y.h", b"int x;\n")
    for name in ("INSTALLER", "REQUESTED", "direct_url.json"):
        w.add(f"demo-1.0.dist-info/{name}", b"from the wheel")
    at = venv(w.write(tmp_path))
    site = next(at.glob("lib/python3*/site-packages"))
    rows = list(csv.reader((site / "demo-1.0.dist-info/RECORD").open(newline="")))
    paths = [os.path.normpath(site / row[0]) for row in rows]
    assert len(paths) == len(set(paths)), rows
    for path, row in zip(paths, rows):
        data = pathlib.Path(path).read_bytes()
        if row[1]:
            assert [record_hash(data), str(len(data))] == row[1:], row
    assert run(at / "bin/demo").stdout == "1.0\n"


PYTHONS = [
    ({"free_threaded": True, "site_packages": "lib/python3.13t/site-packages"}, {"python3.13t"}),
    ({"name": "pypy", "site_packages": "lib/pypy3.13/site-packages"}, {"pypy", "pypy3"}),
    ({"name": "graalpy", "site_packages": "lib/graalpy3.13/site-packages"}, {"graalpy"}),
]


@pytest.mark.parametrize("answer, names", PYTHONS, ids=["free-threaded", "pypy", "graalpy"])
def test_other_pythons_have_the_names_and_places_that_uv_gives_them(venvfs, tmp_path, answer, names):
    facts = {
        "executable": "/opt/other/bin/python", "version": "3.13.0", "implementation": "X", "name": "cpython",
        "major": 3, "minor": 13, "pointer_bits": 64, **answer,
    }
    python = tmp_path / "other-python"
    python.write_text(f"#!/bin/sh\ncat <<'END'\n{json.dumps(facts)}\nEND\n")
    python.chmod(0o755)
    w = Wheel().add("demo-1.0.data/headers/x.h", b"int x;\n")
    at = tmp_path / ".venv"
    venvfs.run("mount", "--python", python, at, w.write(tmp_path))
    links = {p.name for p in (at / "bin").iterdir() if p.is_symlink()}
    assert links == {"python", "python3", "python3.13", *names}
    assert (at / answer["site_packages"] / "demo/__init__.py").exists()
    assert (at / "include/site/python3.13/demo/x.h").read_text() == "int x;\n"


@pytest.mark.parametrize("place", ["lib/python3.13/dist-packages", "/lib/x/site-packages", "lib/../site-packages", ""])
def test_a_python_whose_site_packages_are_elsewhere_is_refused(venvfs, tmp_path, place):
    facts = {"executable": "/opt/x", "version": "3.13.0", "major": 3, "minor": 13, "site_packages": place}
    python = tmp_path / "other-python"
    python.write_text(f"#!/bin/sh\necho '{json.dumps(facts)}'\n")
    python.chmod(0o755)
    line = venvfs.refused("mount", "--python", python, tmp_path / ".venv", Wheel().write(tmp_path))
    assert str(python) in line and f"'{place}'" in line
