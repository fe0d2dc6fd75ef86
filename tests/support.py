"""venvfs with a cache and state of its own, and skipping that is loud."""

import json
import os
import pathlib
import signal
import subprocess
import sys

import pytest

BINARY = os.environ.get("VENVFS", str(pathlib.Path(__file__).parents[1] / "build/dev/cli/venvfs"))
TOOLS = pathlib.Path(sys.executable).parent
MASKED = bool(os.environ.get("VENVFS_MASK"))


def missing(what):
    """Skips, saying so; in CI (VENVFS_NO_SKIP) it is a failure."""
    if os.environ.get("VENVFS_NO_SKIP"):
        pytest.fail(f"{what} is missing, and CI must not skip")
    pytest.skip(f"{what} is missing")


class Venvfs:
    """The program, with folders of its own below `root`."""

    def __init__(self, root):
        self.root = pathlib.Path(root)
        self.env = {
            k: v for k, v in os.environ.items()
            if not k.startswith(("XDG_", "VENVFS_CACHE", "SUDO_", "PYTHON", "VIRTUAL_ENV"))
        }
        self.env.update(
            HOME=str(self.root / "home"), XDG_CACHE_HOME=str(self.root / "cache"),
            XDG_STATE_HOME=str(self.root / "state"), XDG_RUNTIME_DIR=str(self.root / "run"),
        )
        for name in ("home", "run"):
            (self.root / name).mkdir(exist_ok=True, parents=True)
        (self.root / "run").chmod(0o700)
        self.cache = self.root / "cache/venvfs"

    def run(self, *args, ok=True, cwd=None, **env):
        done = subprocess.run(
            [BINARY, *map(str, args)], capture_output=True, text=True, cwd=cwd or self.root,
            env={**self.env, **env}, timeout=300, stdin=subprocess.DEVNULL,
        )
        if ok:
            assert done.returncode == 0, (args, done.stderr)
            assert "runtime error" not in done.stderr
        return done

    def refused(self, *args, status=1, **env):
        """Runs what must fail with one line; that line."""
        done = self.run(*args, ok=False, **env)
        assert done.returncode == status, (done.returncode, done.stderr)
        lines = done.stderr.splitlines()
        assert len(lines) == 1 and lines[0].startswith("venvfs: "), done.stderr
        return lines[0]

    def add(self, *wheels):
        return self.run("cache", "add", *wheels)

    def list(self):
        return json.loads(self.run("list", "--json").stdout)

    def kill_all(self, path):
        """Supervisor and worker of a mount at once, so that nobody serves it any more."""
        row = next(row for row in self.list() if row["path"] == str(path))
        for pid in (row["supervisor"], row["pid"]):
            os.kill(pid, signal.SIGKILL)

    def requests(self, path):
        for row in self.list():
            if row["path"] == str(path):
                return row["requests"]
        raise AssertionError(f"{path} is not mounted")

    def traces(self):
        """Every file of the cache that is an image, an object, a note or staged."""
        found = []
        for part in ("images", "objects", "wheels", "seen", "tmp", "unsynced"):
            found += [str(p) for p in (self.cache / part).rglob("*") if p.is_file()]
        return sorted(found)
