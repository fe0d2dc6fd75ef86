"""System calls as methods, so that a planted fault (faults.py) can replace one of them."""

import ctypes
import os
import struct

LIBC = ctypes.CDLL(None, use_errno=True)
AT_FDCWD, AT_SYMLINK_NOFOLLOW, AT_SYMLINK_FOLLOW, AT_EMPTY_PATH = -100, 0x100, 0x400, 0x1000
RENAME_NOREPLACE, RENAME_EXCHANGE = 1, 2
KEEP_SIZE, PUNCH_HOLE, ZERO_RANGE = 1, 2, 16
UTIME_NOW, UTIME_OMIT = (1 << 30) - 1, (1 << 30) - 2
HANDLE_SIZE = 128


class Timespec(ctypes.Structure):
    _fields_ = [("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long)]


def call(name, *args):
    result = getattr(LIBC, name)(*args)
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result


def timespec(value):
    """From nanoseconds, or from "now" or "omit"."""
    if value == "now":
        return Timespec(0, UTIME_NOW)
    if value == "omit":
        return Timespec(0, UTIME_OMIT)
    return Timespec(value // 10**9, value % 10**9)


class System:
    """What os has under its own names, and what it lacks.

    All that the model does in a directory goes through one of these, so that a directory can
    be something else than one of the kernel's.
    """

    enter = staticmethod(os.fchdir)

    def open_root(self, root):
        return os.open(root, os.O_RDONLY | os.O_DIRECTORY)

    def leave(self):
        os.chdir("/")

    def rename(self, path, to, flags=0):
        call("renameat2", AT_FDCWD, os.fsencode(path), AT_FDCWD, os.fsencode(to), flags)

    def link(self, path, to, follow):
        flags = AT_SYMLINK_FOLLOW if follow else 0
        call("linkat", AT_FDCWD, os.fsencode(path), AT_FDCWD, os.fsencode(to), flags)

    def link_open(self, fd, to):
        """Gives the open file a name, as is done with one made by O_TMPFILE."""
        call("linkat", fd, b"", AT_FDCWD, os.fsencode(to), AT_EMPTY_PATH)

    def link_by_proc(self, fd, to):
        source = b"/proc/self/fd/%d" % fd
        call("linkat", AT_FDCWD, source, AT_FDCWD, os.fsencode(to), AT_SYMLINK_FOLLOW)

    def fallocate(self, fd, mode, offset, length):
        call("fallocate64", fd, mode, ctypes.c_longlong(offset), ctypes.c_longlong(length))

    def utimens(self, path, atime, mtime, follow):
        times = (Timespec * 2)(timespec(atime), timespec(mtime))
        flags = 0 if follow else AT_SYMLINK_NOFOLLOW
        call("utimensat", AT_FDCWD, os.fsencode(path), times, flags)

    def futimens(self, fd, atime, mtime):
        call("futimens", fd, (Timespec * 2)(timespec(atime), timespec(mtime)))

    def getdents(self, fd, size):
        """[(name, cookie, inode)] of one call with a buffer of `size` bytes."""
        buffer = ctypes.create_string_buffer(size)
        end = call("getdents64", fd, buffer, size)
        found, at = [], 0
        while at < end:
            inode, cookie, length = struct.unpack_from("<QqH", buffer.raw, at)
            name = buffer.raw[at + 19 : at + length].split(b"\0")[0]
            found.append((os.fsdecode(name), cookie, inode))
            at += length
        return found

    def handle(self, path):
        """What names one file for ever on this disk: inode number and generation."""
        buffer = ctypes.create_string_buffer(struct.pack("<Ii", HANDLE_SIZE, 0), 8 + HANDLE_SIZE)
        mount = ctypes.c_int()
        call("name_to_handle_at", AT_FDCWD, os.fsencode(path), buffer, ctypes.byref(mount), 0)
        length = struct.unpack_from("<I", buffer.raw)[0]
        return buffer.raw[4 : 8 + length]


for _name in (
    "access chmod chown close copy_file_range fchdir fchmod fchown fdatasync fstat fsync ftruncate "
    "getcwd getxattr listdir listxattr lseek lstat mkdir mknod open pread pwrite read readlink "
    "removexattr rmdir scandir setxattr stat statvfs symlink truncate umask unlink write"
).split():
    setattr(System, _name, staticmethod(getattr(os, _name)))
