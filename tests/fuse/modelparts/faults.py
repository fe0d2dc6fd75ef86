"""Faults to plant in the directory under test: each must be found, or the model sees nothing."""

import os
import shutil

from .syscalls import KEEP_SIZE, PUNCH_HOLE, RENAME_EXCHANGE, RENAME_NOREPLACE, System


class ShortWrite(System):
    """The last byte of a long write is lost."""

    def write(self, fd, data):
        return os.write(fd, data[:-1]) + 1 if len(data) > 4096 else os.write(fd, data)


class AppendOverwrites(System):
    def open(self, path, flags, mode=0o777):
        return os.open(path, flags & ~os.O_APPEND, mode)


class ExclIgnored(System):
    def open(self, path, flags, mode=0o777):
        return os.open(path, flags & ~os.O_EXCL if flags & os.O_CREAT else flags, mode)


class ExchangeReplaces(System):
    def rename(self, path, to, flags=0):
        super().rename(path, to, 0 if flags == RENAME_EXCHANGE else flags)


class NoreplaceReplaces(System):
    def rename(self, path, to, flags=0):
        super().rename(path, to, 0 if flags == RENAME_NOREPLACE else flags)


class RenameCopies(System):
    """As an overlay does that cannot rename: another file under the new name."""

    def rename(self, path, to, flags=0):
        super().rename(path, to, flags)
        if os.path.isfile(to) and not os.path.islink(to):
            replace_by_copy(to)


class TruncateCopiesUp(System):
    """A copy-up that makes another inode: whoever has the file open sees the old one."""

    def truncate(self, path, length):
        os.truncate(path, length)
        replace_by_copy(path)


def replace_by_copy(path):
    found = os.stat(path)
    shutil.copy2(path, path + "~")
    os.chown(path + "~", found.st_uid, found.st_gid)
    os.chmod(path + "~", found.st_mode & 0o7777)
    os.rename(path + "~", path)


class StickyLost(System):
    def chmod(self, path, mode):
        os.chmod(path, mode & ~0o1000)


class SecondsOnly(System):
    def utimens(self, path, atime, mtime, follow):
        super().utimens(path, whole(atime), whole(mtime), follow)


def whole(value):
    return value // 10**9 * 10**9 if isinstance(value, int) else value


class ParentUntouched(System):
    """mkdir leaves the mtime of the directory that it changes."""

    def mkdir(self, path, mode=0o777):
        parent = os.path.dirname(path.rstrip("/")) or "."
        found = os.stat(parent)
        os.mkdir(path, mode)
        os.utime(parent, ns=(found.st_atime_ns, found.st_mtime_ns))


class TimeOfYesterday(System):
    """A new file has a time that is not the present."""

    def mknod(self, path, mode):
        os.mknod(path, mode)
        yesterday = os.lstat(path).st_mtime_ns - 86400 * 10**9
        os.utime(path, ns=(yesterday, yesterday), follow_symlinks=False)


class HoleKeepsData(System):
    """As a hole after the end of a file that was cut and grown again: old bytes come back."""

    def ftruncate(self, fd, length):
        size = os.fstat(fd).st_size
        os.ftruncate(fd, length)
        if length > size:
            os.pwrite(fd, b"x", length - 1)


class PunchForgotten(System):
    def fallocate(self, fd, mode, offset, length):
        if mode != KEEP_SIZE | PUNCH_HOLE:
            super().fallocate(fd, mode, offset, length)


class XattrLost(System):
    def chmod(self, path, mode):
        os.chmod(path, mode)
        for name in os.listxattr(path):
            if name.startswith("user."):
                os.removexattr(path, name)


class ListedTwice(System):
    def getdents(self, fd, size):
        found = super().getdents(fd, size)
        return found + found[-1:] if len(found) > 20 else found


class EveryoneIsRoot(System):
    """No modes bind the caller: as a server without default_permissions."""

    def open(self, path, flags, mode=0o777):
        user = os.geteuid()
        os.seteuid(0)
        try:
            return os.open(path, flags, mode)
        finally:
            os.seteuid(user)


class WrongErrno(System):
    """rmdir of what is no directory says that there is nothing."""

    def rmdir(self, path):
        try:
            os.rmdir(path)
        except NotADirectoryError:
            raise FileNotFoundError(2, "No such file or directory") from None


class LinkIsACopy(System):
    def link(self, path, to, follow):
        super().link(path, to, follow)
        if os.path.isfile(to) and not os.path.islink(to):
            replace_by_copy(to)


class CopyIsShort(System):
    """copy_file_range copies one byte too few and says that it did all."""

    def copy_file_range(self, source, target, count, offset, to_offset):
        done = os.copy_file_range(source, target, max(count - 1, 1), offset, to_offset)
        return done + 1 if done == count - 1 and count > 1 else done


FAULTS = {
    "short-write": ShortWrite, "append-overwrites": AppendOverwrites, "excl-ignored": ExclIgnored,
    "exchange-replaces": ExchangeReplaces, "noreplace-replaces": NoreplaceReplaces,
    "rename-copies": RenameCopies, "truncate-copies-up": TruncateCopiesUp, "sticky-lost": StickyLost,
    "seconds-only": SecondsOnly, "parent-untouched": ParentUntouched,
    "time-of-yesterday": TimeOfYesterday, "hole-keeps-data": HoleKeepsData,
    "punch-forgotten": PunchForgotten, "xattr-lost": XattrLost, "listed-twice": ListedTwice,
    "everyone-is-root": EveryoneIsRoot, "wrong-errno": WrongErrno, "link-is-a-copy": LinkIsACopy,
    "copy-is-short": CopyIsShort,
}
