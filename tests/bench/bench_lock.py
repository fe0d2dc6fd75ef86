"""From a lock file to a usable environment: `venvfs mount` in a project, against `uv sync` of the same lock.

uv locks the project on the spot, with the index that the machine's settings name.
"""

import os
import pathlib
import shutil
import statistics
import subprocess
import sys

from bed import PYTHON, ROOT, UV, BINARY, alternate, bed, took
from report import goal, ms, table

ROUNDS = 15
DOWNLOADS = ROOT / "build/uv-bench"  # uv's cache of an earlier run
PROJECT = """[project]
name = "app"
version = "1.0"
requires-python = ">=3.11"
dependencies = [
    "numpy", "pandas", "scipy", "matplotlib", "scikit-learn", "sympy", "django", "flask", "sqlalchemy",
    "pytest", "fastapi[standard]", "boto3", "celery", "sphinx",
]
"""


class Project:
    def __init__(self, program):
        self.program, self.folder = program, program.root / "app"
        self.folder.mkdir()
        (self.folder / "pyproject.toml").write_text(PROJECT)
        self.uv_env = {
            **{k: v for k, v in program.env.items() if not k.startswith("VENVFS_")},
            "UV_CACHE_DIR": str(program.root / "uv"), "UV_PYTHON_DOWNLOADS": "never",
        }
        if DOWNLOADS.exists():
            shutil.copytree(DOWNLOADS, program.root / "uv", symlinks=True)
        self._uv("lock")
        self.sync("hardlink", offline=False)
        if not DOWNLOADS.exists():
            shutil.copytree(program.root / "uv", DOWNLOADS, symlinks=True)

    def _uv(self, *args, **env):
        done = subprocess.run(
            [UV, *args, "--python", PYTHON], cwd=self.folder, env={**self.uv_env, **env}, capture_output=True, text=True
        )
        if done.returncode != 0:
            sys.exit(f"scripts/bench: uv {args[0]} failed; is an index reachable?\n{done.stderr[-2000:]}")

    def sync(self, mode, offline=True):
        """Into a venv that is new each time; how long it took."""
        venv = self.program.root / "venv"
        shutil.rmtree(venv, ignore_errors=True)
        env = {**self.uv_env, "UV_LINK_MODE": mode, "UV_PROJECT_ENVIRONMENT": str(venv)}
        more = ["--offline"] if offline else []
        return took(
            [UV, "sync", "-q", "--frozen", "--python", PYTHON, *more], env, cwd=self.folder
        ).seconds

    def mounting(self, name, *options, known=True, path=None, **env):
        """Mounts in a copy of the project that is this contender's alone, so that none sees another's plan."""
        folder, plans = self.program.root / name, self.program.cache / "plans"
        shutil.copytree(self.folder, folder)
        env = {**self.program.env, **({"PATH": path} if path else {}), **env}

        def once():
            if not known:
                plans.rename(plans.with_name("aside"))
            seconds = took([BINARY, "mount", "--offline", *options], env, cwd=folder).seconds
            if not known:
                shutil.rmtree(plans)
                plans.with_name("aside").rename(plans)
            self.packages = len(list(folder.glob(".venv/lib/*/site-packages/*.dist-info")))
            took([BINARY, "unmount"], self.program.env, cwd=folder)
            return seconds

        return once


def uv_version():
    return subprocess.run([UV, "--version"], capture_output=True, text=True).stdout.split()[1]


def shims():
    """PATH with pyenv's shims first, where there is a pyenv whose Python is this one's version."""
    pyenv = shutil.which("pyenv")
    folder = pyenv and pathlib.Path(subprocess.run([pyenv, "root"], capture_output=True, text=True).stdout.strip(), "shims")
    return f"{folder}:{os.environ['PATH']}" if folder and (folder / "python3").exists() else None


def run():
    with bed("lock", fresh=True) as program:
        project = Project(program)
        given = ["--python", PYTHON]
        first = project.mounting("first", *given, UV_CACHE_DIR=str(program.root / "uv"))
        print(f"the first mount, with wheels from uv's cache: {first() * 1000:.0f} ms")
        near = f"{pathlib.Path(PYTHON).parent}:/usr/bin:/bin"
        contenders = {
            "uv sync --frozen, hard links": lambda: project.sync("hardlink"),
            "uv sync --frozen, copies": lambda: project.sync("copy"),
            "venvfs mount, lock to be read": project.mounting("unread", *given, known=False),
            "venvfs mount, lock known": project.mounting("given", *given),
            "the same, interpreter found": project.mounting("found", path=near),
        }
        shim = shims()
        if shim:
            contenders["the same, by a shim of pyenv"] = project.mounting("shim", path=shim)
        alternate(contenders, 1)
        found = alternate(contenders, ROUNDS)
    print(f"{project.packages} packages, uv {uv_version()}")
    table(["", "start to return"], *[(name, ms(times)) for name, times in found.items()])
    known, sync = (statistics.median(found[name]) for name in ("the same, interpreter found", "uv sync --frozen, hard links"))
    goal("a mount with everything cached:", known * 1000, 30, " ms")
    goal("of uv sync with hard links:", known / sync, 0.1)
