"""Talks to overlay_driver.c: each request is one call of the overlay."""

import os
import signal
import subprocess
import typing


class Stat(typing.NamedTuple):
    st_ino: int
    st_mode: int
    st_nlink: int
    st_uid: int
    st_gid: int
    st_size: int
    st_atime_ns: int
    st_mtime_ns: int
    st_ctime_ns: int


def stat_of(numbers):
    times = [numbers[i] * 10**9 + numbers[i + 1] for i in (6, 8, 10)]
    return Stat(*numbers[:6], *times)


class DriverFailed(Exception):
    """It crashed, or found a fault of its own: no difference, but worse."""


class Driver:
    def __init__(self, program, cache, folder, upper):
        self.arguments = [program, cache, folder, upper]
        self.process = None

    def start(self):
        self.process = subprocess.Popen(self.arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def stop(self, kill):
        """Ends it as an unmount does, or as a crash; what was answered must be there afterwards."""
        process, self.process = self.process, None
        if process is None:
            return
        if kill:
            process.send_signal(signal.SIGKILL)
        process.stdin.close()
        status = process.wait(timeout=120)
        process.stdout.close()
        if status != (-signal.SIGKILL if kill else 0):
            raise DriverFailed(f"overlay_driver ended with {status}")

    def ask(self, verb, *numbers, parts=()):
        """(numbers, bytes) of the answer; OSError when it is an errno."""
        parts = [part if isinstance(part, bytes) else os.fsencode(part) for part in parts]
        words = [verb, *map(str, numbers), *(f"+{len(part)}" for part in parts)]
        try:
            self.process.stdin.write(b"".join([" ".join(words).encode(), b"\n", *parts]))
            self.process.stdin.flush()
            answer = self.process.stdout.readline().split()
        except BrokenPipeError:
            answer = []
        if not answer:
            raise DriverFailed(f"overlay_driver ended with {self.process.wait()} at {words}")
        code, data = int(answer[0]), b""
        if code < 0:
            raise OSError(-code, os.strerror(-code))
        if answer[-1].startswith(b"+"):
            data = self.process.stdout.read(int(answer.pop()))
        return [int(word) for word in answer[1:]], data
