"""venvfs with a cache and state of its own, and skipping that is loud."""

import fcntl
import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest
from waiting import has_ended, kill, opens, wait_until

BINARY = os.environ.get("VENVFS", str(pathlib.Path(__file__).parents[1] / "build/dev/cli/venvfs"))
TOOLS = pathlib.Path(sys.executable).parent
SILENT = "not answering"  # a state: its supervisor did not get to an answer in time


def is_masked(feature):
    """Of the kernel, for all mounts of this run."""
    return bool({"all", feature} & set(os.environ.get("VENVFS_MASK", "").split(",")))


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

    def list(self, silent=False):
        """The rows of `list`; who does not get to an answer is asked again, unless `silent` is expected."""
        rows = []

        def answered():
            rows[:] = json.loads(self.run("list", "--json").stdout)
            return silent or all(row["state"] != SILENT for row in rows)

        wait_until(answered, "an answer of each mount's supervisor")
        return rows

    def status(self, path):
        """What `status` tells, as `list` does; whether it serves, hangs or was given up."""
        said = []

        def answered():
            done = self.run("status", "--json", path, ok=False)
            assert done.stdout, done.stderr
            said[:] = done.returncode, json.loads(done.stdout)
            return said[1]["state"] != SILENT

        wait_until(answered, f"an answer of the supervisor of {path}")
        assert said[0] == (not said[1]["state"].startswith("serving")), said
        return said[1]

    def row(self, path):
        return next(row for row in self.list() if row["path"] == str(path))

    def kill_all(self, path):
        """Supervisor and worker of a mount at once, so that nobody serves it any more."""
        row = self.row(path)
        kill(row["supervisor"], row["pid"])

    def crash_until_it_ends(self, path, number=signal.SIGABRT, between=lambda: None):
        """Has workers crash until the mount is given up, and `between` run after each of the first two; how many
        crashed. It goes on when a slow machine takes longer than ten seconds for three, and only then."""
        begun = []
        while True:
            row = self.row(path)
            log = pathlib.Path(row["state_directory"], "log")
            before = log.read_text().count("another one starts")
            begun.append(time.monotonic())
            kill(row["pid"], number=number)
            wait_until(lambda: has_ended(row["supervisor"]) or log.read_text().count("another one starts") > before)
            if has_ended(row["supervisor"]):
                return len(begun)
            within = len(begun) >= 3 and time.monotonic() - begun[-3] < 10
            assert not within, "three crashed within ten seconds, and it goes on"
            if len(begun) < 3:
                between()

    def rests(self):
        """Waits until nobody holds a state: what a killed command had just forked may do so for a moment."""
        def is_free(lock):
            with lock.open() as f:
                try:
                    fcntl.flock(f, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    return False
            return True

        wait_until(lambda: all(map(is_free, (self.root / "state").glob("venvfs/mounts/*/lock"))), "states that nobody holds")

    def hears_that_it_serves(self, command, path):
        """Waits until a `mount --foreground` has heard that it is served, when it lets go of what it covers.
        Before, an unmount is one that failed, and a signal an interruption."""
        wait_until(lambda: os.path.ismount(path), f"a mount at {path}")
        wait_until(lambda: not opens(command.pid, path), f"process {command.pid} to let go of {path}")

    def unmount_all(self):
        """Of what others look into just now, as other tests may by /proc, it is tried again."""
        said = []

        def done():
            said[:] = [self.run("unmount", "--all", ok=False)]
            return said[0].returncode == 0

        wait_until(done, lambda: f"all mounts to be unmounted: {said[0].stderr}")

    def requests(self, path):
        return self.row(path)["requests"]

    def traces(self):
        """Every file of the cache that is an image, an object, a note or staged."""
        found = []
        for part in ("images", "objects", "wheels", "seen", "tmp", "unsynced"):
            found += [str(p) for p in (self.cache / part).rglob("*") if p.is_file()]
        return sorted(found)
