"""signalled.py DIR restarts|interrupts SECONDS LEAST: makes, moves, reads and removes while signals come.

The system calls are made by ctypes: Python's own would be tried again after EINTR, and nobody
would see it. On a disk no signal makes these fail, so here it must not either. Prints a line
when the handler is there, at the end the number of operations and of signals, both of which are so many at least.
"""

import ctypes
import os
import pathlib
import signal
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).parents[2] / "fuse"))
from modelparts.syscalls import call  # noqa: E402

hits = 0


def note(number, frame):
    global hits
    hits += 1


def path(name):
    return os.fsencode(name)


def write_new(name, content):
    fd = call("open", path(name), os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o644)
    assert call("write", fd, content, len(content)) == len(content)
    return fd


def check(name, content):
    fd = call("open", path(name), os.O_RDONLY)
    call("posix_fadvise", fd, 0, 0, os.POSIX_FADV_DONTNEED)
    buffer = ctypes.create_string_buffer(len(content) + 1)
    assert call("read", fd, buffer, len(content) + 1) == len(content)
    assert buffer.raw[: len(content)] == content
    call("close", fd)


def once(n):
    content = b"%d;" % n * (n % 5000 + 1)
    call("mkdir", path(f"d{n}"), 0o755)
    fd = write_new(f"d{n}/a", content)
    call("fsync", fd)
    call("close", fd)
    call("link", path(f"d{n}/a"), path(f"d{n}/b"))
    call("symlink", b"a", path(f"d{n}/s"))
    call("setxattr", path(f"d{n}/a"), b"user.n", b"%d" % n, len(b"%d" % n), os.XATTR_CREATE)
    call("rename", path(f"d{n}"), path(f"e{n}"))
    check(f"e{n}/b", content)
    call("truncate", path(f"e{n}/b"), 10)
    call("removexattr", path(f"e{n}/a"), b"user.n")
    assert os.stat(f"e{n}/a").st_nlink == 2 and os.stat(f"e{n}/a").st_size == 10
    assert sorted(os.listdir(f"e{n}")) == ["a", "b", "s"]
    for name in ("a", "b", "s"):
        call("unlink", path(f"e{n}/{name}"))
    call("rmdir", path(f"e{n}"))


def main(folder, kind, seconds, least):
    signal.signal(signal.SIGUSR1, note)
    signal.siginterrupt(signal.SIGUSR1, kind == "interrupts")
    print(flush=True)
    os.mkdir(folder)
    os.chdir(folder)
    end, n = time.monotonic() + seconds, 0
    while time.monotonic() < end or n * 14 < least or hits < least:
        once(n)
        n += 1
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)  # Python's end would make it deadly
    print(n * 14, hits)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], float(sys.argv[3]), int(sys.argv[4]))
