"""--seed: the pip that a Python brings is there, too."""

import os
import subprocess

import pytest
from support import BINARY
from test_venv import run
from wheelmaker import Wheel


@pytest.mark.parametrize("verb", ["mount", "export"])
def test_pip_is_there_and_works(venvfs, tmp_path, python, verb):
    at, wheel, later = tmp_path / ".venv", Wheel().write(tmp_path), Wheel("later").write(tmp_path)
    venvfs.run(verb, "--seed", "--python", python, at, wheel)
    minor = run(at / "bin/python", "-c", "import sys; print(sys.version_info.minor)").stdout.strip()
    assert {p.name for p in (at / "bin").glob("pip*")} == {"pip", "pip3", f"pip3.{minor}"}
    dist_info = next(at.glob("lib/*/site-packages/pip-*.dist-info"))
    assert not (dist_info / "direct_url.json").exists() and "direct_url.json" not in (dist_info / "RECORD").read_text()
    env = {k: v for k, v in os.environ.items() if not k.startswith(("PIP_", "PYTHON"))}
    run(at / "bin/pip", "install", "-q", "--disable-pip-version-check", "--no-index", later, env=env)
    assert run(at / "bin/python", "-c", "import later, demo; print('yes')").stdout == "yes\n"
    assert "No broken" in run(at / "bin/pip", "check", env=env).stdout


def test_it_alone_is_an_environment(venvfs, tmp_path, python):
    venvfs.run("mount", "--seed", "--python", python, cwd=tmp_path)
    assert run(tmp_path / ".venv/bin/pip", "--version").stdout.startswith("pip ")
    done = subprocess.run([BINARY, "exec", "--seed", "-p", python, "--", "pip", "--version"],
                          env=venvfs.env, capture_output=True, text=True)
    assert done.stdout.startswith("pip "), done.stderr


def test_a_pip_that_is_named_is_the_one(venvfs, tmp_path, python):
    pip = Wheel("pip", "99.0").scripts("[console_scripts]\npip = pip:main\n").write(tmp_path)
    venvfs.run("mount", "--seed", "--python", python, tmp_path / ".venv", pip)
    assert run(tmp_path / ".venv/bin/pip").stdout == "99.0\n"


def test_a_pip_that_a_lock_has_is_the_one(venvfs, tmp_path, python):
    pip = Wheel("pip", "99.0").scripts("[console_scripts]\npip = pip:main\n").write(tmp_path)
    (tmp_path / "requirements.txt").write_text(f"{pip}\n")
    venvfs.run("mount", "--seed", "--python", python, "-r", "requirements.txt", cwd=tmp_path)
    assert run(tmp_path / ".venv/bin/pip").stdout == "99.0\n"


def test_a_python_without_one_is_refused(venvfs, tmp_path, python):
    fake = tmp_path / "python"
    fake.write_text(f"#!/bin/sh\n{python} \"$@\" | sed 's/\"pip_wheels\": \"[^\"]*\"/\"pip_wheels\": \"\"/'\n")
    fake.chmod(0o755)
    line = venvfs.refused("mount", "--seed", "--python", fake, tmp_path / ".venv", Wheel().write(tmp_path))
    assert "brings no pip" in line and not (tmp_path / ".venv").exists()
