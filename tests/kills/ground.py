"""Where a load runs: a venvfs of its own with one mount, and the processes behind it.

Mounting and unmounting exclude kills (`gate`, a file for flock): what is killed is a worker
that serves. Whoever waits for the mount waits for a time that ends, and is freed then.
"""

import contextlib
import fcntl
import os
import pathlib
import signal
import subprocess
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))
from support import BINARY, Venvfs  # noqa: E402
from waiting import PATIENCE, has_ended, wait_until  # noqa: E402

PYTHON = os.path.realpath(pathlib.Path(sys.base_prefix, "bin", f"python3.{sys.version_info.minor}"))


class Failed(Exception):
    """What a client saw that it must not see."""


class Ground:
    def __init__(self, root, **env):
        self.root = pathlib.Path(root)
        self.program = Venvfs(self.root)
        self.program.env.update(env)
        self.at, self.upper, self.gate = self.root / "at", self.root / "upper", self.root / "gate"
        self.gate.touch()
        self.arguments = ()

    @contextlib.contextmanager
    def spared(self):
        """No kill while this is held."""
        with self.gate.open() as f:
            fcntl.flock(f, fcntl.LOCK_EX)
            yield

    def mount(self, *arguments):
        self.arguments = arguments
        with self.spared():
            self._mount(*arguments)

    def remount(self, *more):
        """What the kernel knew is forgotten; with --fresh what was changed, too."""
        with self.spared():
            self._run("unmount", self.at)
            self._mount(*self.arguments, *more)

    def _mount(self, *arguments):
        self._run("mount", self.at, "--upper", self.upper, *arguments)

    def _run(self, *words):
        done = self.program.run(*words, ok=False)
        if done.returncode:
            raise Failed(f"venvfs {words[0]}: {done.stderr.strip()}")

    def row(self):
        """What `list` says of the mount; None: it is not mounted."""
        return next((row for row in self.program.list() if row["path"] == str(self.at)), None)

    def state(self):
        return pathlib.Path(self.row()["state_directory"])

    def logs(self):
        return "".join(p.read_text() for p in sorted((self.root / "state").rglob("log*")))

    def successor(self, old):
        """The row with another worker than `old`, or None when the mount has been taken away."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            row = self.row()
            if row is None or row.get("pid", old) != old:
                return row
            time.sleep(0.005)
        raise Failed(f"worker {old} is dead and has no successor after {PATIENCE} s: {row}")

    def serving(self):
        """(process, what it is) of all that serve here: supervisors, workers, helpers."""
        return [(p, what) for p in map(int, filter(str.isdigit, os.listdir("/proc")))
                if (what := self._serves(p))]

    def _serves(self, process):
        folder = pathlib.Path("/proc", str(process))
        try:
            words = (folder / "cmdline").read_bytes().split(b"\0")
            around = b"\0".join(words) + (folder / "environ").read_bytes()
        except OSError:
            return None
        name = os.path.basename(os.fsdecode(words[0]))
        # Also what a command is before it has started somebody else.
        serves = name.startswith("venvfs-") or words[1:2] in ([b"serve-mount"], [b"mount"], [b"exec"])
        return name if serves and os.fsencode(self.root) + b"/" in around else None

    def kill_all(self, number=signal.SIGKILL):
        """Everything behind the mount at once; how many that were."""
        # Supervisors first: they would start another worker.
        found = sorted(self.serving(), key=lambda one: not one[1].startswith("venvfs-"))
        sent = [process for process, _ in found if send(process, number)]
        wait_until(lambda: all(map(has_ended, sent)), f"the end of {found}")
        return len(sent)

    def end(self):
        """Whatever has happened here, nothing is left."""
        if self.program.run("unmount", self.at, ok=False).returncode and self.serving():
            self.kill_all()
        self.program.run("unmount", self.at, ok=False)

    def start(self, *command, **kwargs):
        return subprocess.Popen(
            list(map(str, command)), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            **kwargs,
        )

    def finish(self, child, seconds, data=b"", ok=True):
        """(what it wrote, what it complained of); a hanging one is a failure, and freed."""
        try:
            said, wrong = child.communicate(data, seconds)
        except subprocess.TimeoutExpired:
            where = stack_of(child.pid)
            self.kill_all()
            child.kill()
            child.communicate()
            raise Failed(f"{name_of(child)} hangs after {seconds} s, in {where}") from None
        if ok and child.returncode != 0:
            raise Failed(f"{name_of(child)}: status {child.returncode}: {wrong.decode()[-600:].strip()}")
        return said, wrong.decode()

    def run(self, *command, seconds=300, **kwargs):
        return self.finish(self.start(*command, **kwargs), seconds)

    def together(self, *acts, seconds=300):
        """What each gives, run in threads of this process; one that hangs is a failure, and freed."""
        given = [None] * len(acts)

        def work(i):
            given[i] = acts[i]()

        threads = [threading.Thread(target=work, args=(i,), daemon=True) for i in range(len(acts))]
        for thread in threads:
            thread.start()
        end = time.monotonic() + seconds
        for thread in threads:
            thread.join(max(0, end - time.monotonic()))
        if any(thread.is_alive() for thread in threads):
            restarts = (self.row() or {}).get("restarts")
            self.kill_all()
            raise Failed(f"a client hangs after {seconds} s; {restarts} restarts")
        return given


def name_of(child):
    return " ".join(child.args)[:120]


def stack_of(process):
    with contextlib.suppress(OSError):
        return pathlib.Path(f"/proc/{process}/stack").read_text().replace("\n", " ")
    return "no stack to be had"


def send(process, number):
    """The process that bears this number now, or none: never a later one."""
    with contextlib.suppress(ProcessLookupError):
        fd = os.pidfd_open(process)
        try:
            if process_is_server(process):
                signal.pidfd_send_signal(fd, number)
                return True
        finally:
            os.close(fd)
    return False


def process_is_server(process):
    try:
        words = pathlib.Path(f"/proc/{process}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    return os.path.basename(words[0]).startswith(b"venvfs")


__all__ = ["BINARY", "PYTHON", "Failed", "Ground", "send"]
