"""Where a bench lies, and how it runs and times things."""

import contextlib
import ctypes
import os
import pathlib
import shutil
import subprocess
import sys
import time
import typing

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))
from support import BINARY, TOOLS, Venvfs  # noqa: E402

ROOT = pathlib.Path(__file__).parents[2]
PYTHON = os.path.realpath(pathlib.Path(sys.base_prefix, "bin", f"python3.{sys.version_info.minor}"))
UV = TOOLS / "uv"


class Took(typing.NamedTuple):
    seconds: float
    cpu: float  # of the process and its children, user and system


@contextlib.contextmanager
def fresh_disk(folder, size="32G"):
    """An ext4 made just now, in a sparse file on the disk that the project lies on.

    ext4 leaves inodes alone that were freed within the last five minutes, and searches
    long past them: what an earlier round removed makes a later one slow.
    """
    image = folder.with_suffix(".ext4")
    took(["truncate", "-s", size, image], os.environ)
    took(["mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=0,lazy_journal_init=0", image], os.environ)
    try:
        took(["mount", "-o", "loop", image, folder], os.environ)
        try:
            yield
        finally:
            took(["umount", folder], os.environ)
    finally:
        image.unlink()


@contextlib.contextmanager
def bed(name, fresh=False):
    """A venvfs with folders of its own, on the project's disk or a fresh one on top of it."""
    folder = ROOT / "build/bench" / name
    clear(folder)
    with fresh_disk(folder) if fresh else contextlib.nullcontext():
        with venvfs_in(folder) as program:
            yield program
    shutil.rmtree(folder)


@contextlib.contextmanager
def venvfs_in(folder):
    program = Venvfs(folder)
    # Neither shall decide what is written or which options count.
    program.env.pop("PYTHONDONTWRITEBYTECODE", None)
    try:
        yield program
    finally:
        program.run("unmount", "--all", ok=False)


def clear(folder):
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)


def took(argv, env, ok=True, **kwargs):
    """Runs it to its end; a failure ends the bench."""
    start = time.perf_counter()
    child = subprocess.Popen(
        [str(a) for a in argv], env=env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, **kwargs
    )
    _, status, usage = os.wait4(child.pid, 0)
    seconds = time.perf_counter() - start
    child.returncode = os.waitstatus_to_exitcode(status)
    if ok and child.returncode != 0:
        sys.exit(f"scripts/bench: failed with {child.returncode}: {' '.join(map(str, argv))}"[:400])
    return Took(seconds, usage.ru_utime + usage.ru_stime)


def alternate(contenders, rounds):
    """Every contender once a round, each round begun by another; what each call gave."""
    names = list(contenders)
    results = {name: [] for name in names}
    for i in range(rounds):
        for name in names[i % len(names) :] + names[: i % len(names)]:
            results[name].append(contenders[name]())
    return results


def settle():
    """What was written before is none of the next one's business."""
    os.sync()


def drop_caches():
    os.sync()
    pathlib.Path("/proc/sys/vm/drop_caches").write_text("3")


def mount(program, path, files, *options, binary=BINARY, **env):
    return took([binary, "mount", "--python", PYTHON, *options, path, *files], {**program.env, **env})


@contextlib.contextmanager
def mounted(program, path, files, *options, **env):
    mount(program, path, files, *options, **env)
    try:
        yield path
    finally:
        unmount(program, path)


def unmount(program, path, **env):
    took([BINARY, "unmount", path], {**program.env, **env})


def server_pid(path):
    """Of the process that serves the mount at `path`."""
    for line in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            words = line.read_bytes().split(b"\0")
            if words[1:2] == [b"serve-mount"] and str(path) in _mount_of(words[2].decode()):
                return int(line.parent.name)
    sys.exit(f"scripts/bench: nobody serves {path}")


def _mount_of(state):
    return pathlib.Path(state, "mount.json").read_text()


def files_below(*folders):
    """Every regular file, once an inode."""
    seen = set()
    for folder in folders:
        for parent, _, names in os.walk(folder):
            for name in names:
                path = os.path.join(parent, name)
                st = os.lstat(path)
                if os.path.islink(path) or (st.st_dev, st.st_ino) in seen:
                    continue
                seen.add((st.st_dev, st.st_ino))
                yield path


def cached_bytes(*folders):
    """How much of these folders' files is in the page cache, by cachestat(2)."""
    cachestat, pages = 451, 0
    libc = ctypes.CDLL(None, use_errno=True)
    whole, found = (ctypes.c_uint64 * 2)(0, 0), (ctypes.c_uint64 * 5)()
    for path in files_below(*folders):
        fd = os.open(path, os.O_RDONLY)
        if libc.syscall(cachestat, fd, whole, found, 0) != 0:
            sys.exit(f"scripts/bench: cachestat(2): {os.strerror(ctypes.get_errno())} (Linux 6.5 has it)")
        os.close(fd)
        pages += found[0]
    return pages * os.sysconf("SC_PAGE_SIZE")
