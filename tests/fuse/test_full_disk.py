"""A full disk below the upper: what does not fit is ENOSPC, and nothing is lost or stuck."""

import errno
import hashlib
import os
import pathlib
import subprocess

import pytest
from support import missing
from waiting import wait_until

DISK = 160 << 20
PIECE = 200_000
BIG = 40 << 20


class Full:
    """A mount whose upper lies on an ext4 of its own, and what was written into it."""

    def __init__(self, venvfs, root):
        self.venvfs, self.disk, self.at = venvfs, root / "disk", root / "at"
        self.lower, self.upper = root / "lower", self.disk / "upper"
        self.written = {}
        self.lower.mkdir()
        for i in range(200):
            (self.lower / f"l{i}").write_bytes(b"lower %d\n" % i * 500)
        (self.lower / "big").write_bytes(os.urandom(1 << 20) * (BIG >> 20))
        self.mount()

    def mount(self):
        self.venvfs.run("mount", self.at, "--layer", self.lower, "--upper", self.upper)

    def remount(self):
        self.venvfs.run("unmount", self.at)
        self.mount()

    def free(self):
        found = os.statvfs(self.disk)
        return found.f_bavail * found.f_frsize

    def fill(self):
        """Writes files until one does not fit; how many did."""
        for i in range(2 * DISK // PIECE):
            name = f"fill{len(self.written)}-{i}"
            code = self.write(name, os.urandom(PIECE))
            if code:
                assert code == errno.ENOSPC, errno.errorcode[code]
                return i
        raise AssertionError("the disk does not get full")

    def write(self, name, data):
        """Remembers what the mount said that it has taken; the error, or None."""
        done = 0
        try:
            fd = os.open(self.at / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        except OSError as e:
            return e.errno
        try:
            while done < len(data):
                done += os.write(fd, data[done:])
        except OSError as e:
            return e.errno
        finally:
            self.written[name] = hashlib.sha256(data[:done]).digest()
            os.close(fd)
        return None

    def fill_to_the_last_block(self):
        """Beside the upper, so that not even what the server might have freed is left; nor what the
        file system had set aside for writes that have come to the disk since."""
        wait_until(lambda: self.add_ballast() < 4096, "a full disk")

    def add_ballast(self):
        """What it leaves free."""
        with open(self.disk / "ballast", "ab", buffering=0) as f:
            size = 1 << 20
            while size >= 512:
                try:
                    f.write(b"x" * size)
                    os.fsync(f.fileno())
                except OSError as e:
                    assert e.errno == errno.ENOSPC
                    size //= 2
        return self.free()

    def assert_whole(self):
        for name, digest in self.written.items():
            assert hashlib.sha256((self.at / name).read_bytes()).digest() == digest, name
        for i in range(200):
            assert (self.at / f"l{i}").read_bytes() == b"lower %d\n" % i * 500
        assert sorted(os.listdir(self.at)) == sorted([*self.written, *os.listdir(self.lower)])


@pytest.fixture
def full(venvfs, tmp_path):
    """No reserved blocks: root may not write on when others may not."""
    image, disk = tmp_path / "disk.img", tmp_path / "disk"
    disk.mkdir()
    with open(image, "wb") as f:
        f.truncate(DISK)
    subprocess.run(["mkfs.ext4", "-q", "-m", "0", "-F", image], check=True)
    if subprocess.run(["mount", "-o", "loop", image, disk]).returncode:
        missing("a loop device")
    place = None
    try:
        place = Full(venvfs, tmp_path)
        yield place
    finally:
        if place:
            venvfs.unmount_all()
        subprocess.run(["umount", disk], check=True)


def test_every_write_that_does_not_fit_is_enospc(full):
    assert full.fill() > 100
    full.fill_to_the_last_block()
    # The server gives up the room that it keeps for itself while it writes rows back: one or the
    # other may fit then, and is kept like any that was.
    codes = [full.write(f"more{i}", b"x" * PIECE) for i in range(50)]
    assert set(codes) <= {None, errno.ENOSPC} and codes.count(errno.ENOSPC) >= 40
    with pytest.raises(OSError) as e:
        with open(full.at / next(iter(full.written)), "ab", buffering=0) as f:
            f.write(b"x" * PIECE)
            os.fsync(f.fileno())
            f.write(b"x" * PIECE)
    assert e.value.errno == errno.ENOSPC
    statvfs = os.statvfs(full.at)
    assert statvfs.f_bavail * statvfs.f_frsize < PIECE


def test_changes_on_a_full_disk_are_done_or_enospc(full):
    full.fill()
    full.fill_to_the_last_block()
    at, done = full.at, 0
    for i in range(100):
        for change in (
            lambda: os.mkdir(at / f"dir{i}"), lambda: os.symlink("x", at / f"link{i}"),
            lambda: os.chmod(at / f"l{i}", 0o600), lambda: os.rename(at / f"l{i}", at / f"moved{i}"),
            lambda: os.setxattr(at / "big", f"user.{i}", b"x" * 200), lambda: os.utime(at / f"l{i}"),
        ):
            try:
                change()
                done += 1
            except FileNotFoundError:
                pass  # l{i} was moved
            except OSError as e:
                assert e.errno == errno.ENOSPC, e
    print(f"{done} of 600 changes were done")
    full.remount()
    for i in range(100):
        assert (at / f"l{i}").exists() != (at / f"moved{i}").exists()


def test_a_copy_up_that_does_not_fit_leaves_the_lower_file(full):
    before = hashlib.sha256((full.at / "big").read_bytes()).digest()
    found = (full.at / "big").stat()
    full.fill()
    full.fill_to_the_last_block()
    with pytest.raises(OSError) as e:
        with open(full.at / "big", "r+b", buffering=0) as f:
            f.write(b"changed")
    assert e.value.errno == errno.ENOSPC
    assert hashlib.sha256((full.at / "big").read_bytes()).digest() == before
    now = (full.at / "big").stat()
    assert (now.st_size, now.st_mtime_ns, now.st_ino) == (found.st_size, found.st_mtime_ns, found.st_ino)
    sizes = [p.stat().st_size for p in full.upper.rglob("*") if p.is_file()]
    assert BIG not in sizes, "the copy was left behind"
    full.assert_whole()


def test_rm_works_at_0_bytes_free(full):
    full.fill()
    full.fill_to_the_last_block()
    for name in [*full.written, *(f"l{i}" for i in range(200))]:
        os.unlink(full.at / name)
    assert os.listdir(full.at) == ["big"]
    wait_until(lambda: full.free() > 20 << 20)  # which is freed a moment after the last name has gone
    full.written.clear()
    assert full.write("again", b"x" * PIECE) is None


def test_a_remount_at_0_bytes_free_keeps_what_was_acknowledged(full):
    full.fill()
    full.fill_to_the_last_block()
    full.assert_whole()
    full.remount()
    full.assert_whole()
    name = next(iter(full.written))
    os.unlink(full.at / name)
    del full.written[name]
    full.remount()
    full.assert_whole()


def test_rm_after_a_remount_at_0_bytes_free(full):
    full.fill()
    full.fill_to_the_last_block()
    full.remount()
    subprocess.run(["rm", "-r", "--", *(full.at / name for name in full.written)], check=True)
    full.written.clear()
    full.assert_whole()
    assert pathlib.Path(full.at / "l0").exists()
