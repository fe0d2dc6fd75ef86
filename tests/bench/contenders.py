"""One writable directory three ways, each on an ext4 made just now: the disk itself, and over
an empty lower fuse-overlayfs and venvfs."""

import contextlib
import os
import shutil
import subprocess
import sys
import time

from bed import BINARY, ROOT, clear, fresh_disk, took, venvfs_in

NAMES = ("ext4", "fuse-overlayfs", "venvfs")


@contextlib.contextmanager
def _disk(base):
    folder = base / "at"
    folder.mkdir()
    yield folder


@contextlib.contextmanager
def _fuse_overlayfs(base):
    for name in ("lower", "upper", "work", "at"):
        (base / name).mkdir()
    options = f"lowerdir={base}/lower,upperdir={base}/upper,workdir={base}/work"
    server = subprocess.Popen(["fuse-overlayfs", "-f", "-o", options, base / "at"], stderr=subprocess.DEVNULL)
    try:
        while not os.path.ismount(base / "at") and server.poll() is None:
            time.sleep(0.01)
        yield base / "at"
    finally:
        took(["umount", base / "at"], os.environ)
        server.wait()


@contextlib.contextmanager
def _venvfs(base):
    (base / "lower").mkdir()
    with venvfs_in(base) as program:
        program.run("mount", base / "at", "--layer", base / "lower", "--upper", base / "upper")
        try:
            yield base / "at"
        finally:
            program.run("unmount", base / "at")


WAYS = {"ext4": _disk, "fuse-overlayfs": _fuse_overlayfs, "venvfs": _venvfs}


def check():
    if not shutil.which("fuse-overlayfs"):
        sys.exit("scripts/bench: fuse-overlayfs is missing (apt-get install fuse-overlayfs)")
    version = subprocess.run(["fuse-overlayfs", "--version"], capture_output=True, text=True).stdout
    print(f"fuse-overlayfs {version.splitlines()[0].split()[-1]}, each on an ext4 of its own made for the round")


@contextlib.contextmanager
def fresh(name):
    """The directory that contender `name` offers."""
    base = ROOT / "build/bench" / name
    clear(base)
    with fresh_disk(base, "8G"), WAYS[name](base) as at:
        os.sync()
        yield at
    base.rmdir()
