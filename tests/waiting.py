"""Waiting for what comes sooner or later, on however slow a machine: no test measures time with it.

Only who waits in vain waits for PATIENCE, and is told for what. The same goes for limits of commands
that should come to an end by themselves.
"""

import contextlib
import inspect
import os
import pathlib
import select
import signal
import time

PATIENCE = 120  # seconds


def source(condition):
    """Its text, in a line."""
    try:
        return " ".join(inspect.getsource(condition).split())
    except (OSError, TypeError):
        return repr(condition)


def wait_until(is_so, what=None, pause=0.02):
    """What `is_so` gives, once that counts as true. `what` it is: a text, or a function that gives one."""
    end = time.monotonic() + PATIENCE
    while not (found := is_so()):
        if time.monotonic() > end:
            raise AssertionError(f"waited {PATIENCE} s in vain for: {what() if callable(what) else what or source(is_so)}")
        time.sleep(pause)
    return found


def has_ended(pid):
    """With all of its threads, so that nothing is open in it any more; it may still be a zombie."""
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([fd], [], [], 0)[0])
    finally:
        os.close(fd)


def kill(*pids, number=signal.SIGKILL):
    """One after the other, and waits for the end of all."""
    fds = []
    with contextlib.ExitStack() as opened:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                fds.append(os.pidfd_open(pid))
                opened.callback(os.close, fds[-1])
                signal.pidfd_send_signal(fds[-1], number)
        wait_until(lambda: len(select.select(fds, [], [], 0)[0]) == len(fds), f"the end of {pids}")


def is_stopped(pid):
    """All of its threads: one that is not yet may still take something and do it."""
    try:
        return all("State:\tT" in (task / "status").read_text()
                   for task in pathlib.Path(f"/proc/{pid}/task").iterdir())
    except (FileNotFoundError, ProcessLookupError):
        return False  # a thread that has just ended; it is looked again


@contextlib.contextmanager
def stopped(pid):
    os.kill(pid, signal.SIGSTOP)
    try:
        wait_until(lambda: is_stopped(pid), f"all threads of {pid} to stop")
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


def opens(pid, path):
    """Does the process have it open?"""
    with contextlib.suppress(OSError):
        for fd in os.listdir(f"/proc/{pid}/fd"):
            with contextlib.suppress(OSError):
                if os.readlink(f"/proc/{pid}/fd/{fd}") == str(path):
                    return True
    return False
