"""What the kernel does between a program and the overlay: paths, descriptors, checks.

A System (modelparts/syscalls.py) over overlay_driver. It checks what the kernel checks before
it asks a FUSE server, and nothing that the overlay has to check itself. Root is the only user.
"""

import contextlib
import errno
import os
import stat
import types

from modelparts.syscalls import (
    KEEP_SIZE, PUNCH_HOLE, RENAME_EXCHANGE, RENAME_NOREPLACE, ZERO_RANGE, System,
)
from overlay_driver import stat_of
from overlay_files import Files, fail

SET_MODE, SET_UID, SET_GID, SET_SIZE, SET_ATIME, SET_MTIME, SET_ATIME_NOW, SET_MTIME_NOW, SET_TOUCH = (
    1 << bit for bit in range(9)
)
ROOT = 1


class Found:
    """Where a path leads: the directory, the last name, the node's stat or None."""

    def __init__(self, numbers, name):
        self.dir, self.name = numbers[0], name
        self.stat = stat_of(numbers[1:]) if len(numbers) > 1 else None

    def node(self):
        return self.stat if self.stat else fail(errno.ENOENT)


class Entry:
    def __init__(self, folder, name, node, mode):
        self.name, self.path, self.node, self.mode = name, os.path.join(folder, name), node, mode

    def inode(self):
        return self.node

    def is_dir(self, follow_symlinks):
        return stat.S_ISDIR(self.mode)


class OverlaySystem(Files, System):
    def __init__(self, driver):
        super().__init__(driver)
        self.here, self.mask = ROOT, 0o022

    # -- where things are -----------------------------------------------------------------

    def open_root(self, root):
        return self.open_node(ROOT, os.O_RDONLY)

    def enter(self, fd):
        self.here = self.file(fd).node

    def leave(self):
        self.here = ROOT

    def umask(self, mask):
        self.mask = mask

    def find(self, path, follow=True):
        numbers, name = self.ask("walk", self.here, int(follow), parts=[path])
        return Found(numbers, name)

    def node_of(self, what, follow=True):
        """Of a path or of a descriptor."""
        if isinstance(what, int):
            return self.fstat(what)
        return self.find(what, follow).node()

    def stat(self, path, follow_symlinks=True):
        return self.node_of(path, follow_symlinks)

    def lstat(self, path):
        return self.find(path, False).node()

    def readlink(self, path):
        found = self.lstat(path)
        if not stat.S_ISLNK(found.st_mode):
            fail(errno.EINVAL)
        return os.fsdecode(self.ask("readlink", found.st_ino)[1])

    def statvfs(self, path):
        self.find(path).node()
        names = ("f_bsize", "f_blocks", "f_bfree", "f_bavail", "f_namemax")
        return types.SimpleNamespace(**dict(zip(names, self.ask("statfs")[0])))

    # -- listings -------------------------------------------------------------------------

    def directory(self, what):
        found = self.node_of(what)
        return found.st_ino if stat.S_ISDIR(found.st_mode) else fail(errno.ENOTDIR)

    def entries(self, what):
        node, cookie = self.directory(what), 0
        folder = what if isinstance(what, str) else "."
        while piece := self.list(node, cookie, 32768):
            for name, cookie, inode, mode in piece:
                yield Entry(folder, name, inode, mode)

    @contextlib.contextmanager
    def scandir(self, what):
        self.directory(what)
        yield self.entries(what)

    def listdir(self, what):
        return [entry.name for entry in self.entries(what)]

    # -- making and removing --------------------------------------------------------------

    def make(self, found, mode, keep=False, target=None):
        parts = [found.name] if target is None else [found.name, target]
        return stat_of(self.ask("make", found.dir, mode, int(keep), parts=parts)[0])

    def place(self, path):
        """For a new name: nothing may be there, not even a symlink that leads nowhere."""
        found = self.find(path, False)
        return fail(errno.EEXIST) if found.stat else found

    def mkdir(self, path, mode=0o777):
        self.make(self.place(path), stat.S_IFDIR | mode & 0o1777 & ~self.mask)

    def mknod(self, path, mode):
        self.make(self.place(path), mode & ~self.mask)

    def symlink(self, target, path):
        self.make(self.place(path), stat.S_IFLNK | 0o777, target=target)

    def link_node(self, node, to):
        found = self.place(to)
        if stat.S_ISDIR(node.st_mode):
            fail(errno.EPERM)
        if node.st_nlink == 0 and node.st_ino not in self.linkable:
            fail(errno.ENOENT)
        self.ask("link", node.st_ino, found.dir, parts=[found.name])
        self.linkable.discard(node.st_ino)

    def link(self, path, to, follow):
        self.link_node(self.find(path, follow).node(), to)

    def link_open(self, fd, to):
        self.link_node(self.fstat(fd), to)

    link_by_proc = link_open

    def unlink(self, path):
        found = self.find(path, False)
        found.node()
        self.ask("remove", found.dir, 0, parts=[found.name])

    def rmdir(self, path):
        found = self.find(path, False)
        found.node()
        self.ask("remove", found.dir, 1, parts=[found.name])

    def parent_of(self, path):
        numbers, name = self.ask("parent-of", self.here, parts=[path])
        return Found(numbers, name)

    def look(self, found):
        try:
            return stat_of(self.ask("lookup", found.dir, parts=[found.name])[0])
        except FileNotFoundError:
            return None

    def way_up(self, node):
        way = [node]
        while way[-1] != ROOT:
            way.append(self.ask("parent", way[-1])[0][0])
        return way

    def rename(self, path, to, flags=0):
        if flags == RENAME_NOREPLACE | RENAME_EXCHANGE:
            fail(errno.EINVAL)
        old, new = self.parent_of(path), self.parent_of(to)
        old.stat = self.look(old)
        old.node()
        new.stat = self.look(new)
        self.check_rename(old, new, flags)
        if new.stat and new.stat.st_ino == old.stat.st_ino:
            return
        self.ask("rename", old.dir, new.dir, flags, parts=[old.name, new.name])

    def check_rename(self, old, new, flags):
        if flags == RENAME_NOREPLACE and new.stat:
            fail(errno.EEXIST)
        if flags == RENAME_EXCHANGE:
            new.node()
        if old.dir != new.dir and old.stat.st_ino in self.way_up(new.dir):
            fail(errno.EINVAL)
        if new.stat and old.dir != new.dir and new.stat.st_ino in self.way_up(old.dir):
            fail(errno.EINVAL if flags == RENAME_EXCHANGE else errno.ENOTEMPTY)

    # -- attributes -----------------------------------------------------------------------

    def set(self, node, flags, mode=0, uid=0, gid=0, size=0, atime=0, mtime=0):
        times = (atime // 10**9, atime % 10**9, mtime // 10**9, mtime % 10**9)
        self.ask("set", node, flags, mode, uid, gid, size, *times)

    def chmod(self, path, mode):
        self.set(self.node_of(path).st_ino, SET_MODE, mode=mode)

    fchmod = chmod

    def chown(self, path, uid, gid, follow_symlinks=True):
        flags = (SET_UID if uid != -1 else 0) | (SET_GID if gid != -1 else 0)
        node = self.node_of(path, follow_symlinks).st_ino
        self.set(node, flags or SET_TOUCH, uid=max(uid, 0), gid=max(gid, 0))

    fchown = chown

    def utimens(self, path, atime, mtime, follow=True):
        if atime == mtime == "omit":
            return
        flags = SET_ATIME if isinstance(atime, int) else SET_ATIME_NOW if atime == "now" else 0
        flags |= SET_MTIME if isinstance(mtime, int) else SET_MTIME_NOW if mtime == "now" else 0
        given = {name: value for name, value in (("atime", atime), ("mtime", mtime)) if isinstance(value, int)}
        self.set(self.node_of(path, follow).st_ino, flags, **given)

    futimens = utimens

    def truncate(self, path, length):
        if length < 0:
            fail(errno.EINVAL)
        found = self.find(path).node()
        if not stat.S_ISREG(found.st_mode):
            fail(errno.EISDIR if stat.S_ISDIR(found.st_mode) else errno.EINVAL)
        self.set(found.st_ino, SET_SIZE | SET_MTIME_NOW, size=length)

    def ftruncate(self, fd, length):
        file = self.file(fd)
        if length < 0 or not file.writes or file.is_dir:
            fail(errno.EINVAL)
        self.set(file.node, SET_SIZE, size=length)

    # -- extended attributes --------------------------------------------------------------

    def of_xattr(self, what, name, follow, code):
        """Only files and directories have such attributes, the kernel says."""
        found = self.node_of(what, follow)
        if name.startswith("user.") and not (stat.S_ISREG(found.st_mode) or stat.S_ISDIR(found.st_mode)):
            fail(code)
        return found.st_ino

    def setxattr(self, what, name, value, flags=0, follow_symlinks=True):
        node = self.of_xattr(what, name, follow_symlinks, errno.EPERM)
        self.ask("set-xattr", node, flags, parts=[name, value])

    def removexattr(self, what, name, follow_symlinks=True):
        self.ask("remove-xattr", self.of_xattr(what, name, follow_symlinks, errno.EPERM), parts=[name])

    def getxattr(self, what, name, follow_symlinks=True):
        node = self.of_xattr(what, name, follow_symlinks, errno.ENODATA)
        return self.ask("get-xattr", node, parts=[name])[1]

    def listxattr(self, what, follow_symlinks=True):
        names = self.ask("list-xattrs", self.node_of(what, follow_symlinks).st_ino)[1]
        return [os.fsdecode(name) for name in names.split(b"\0")[:-1]]

    # -- opening --------------------------------------------------------------------------

    def open(self, path, flags, mode=0o777):
        if flags & os.O_TMPFILE == os.O_TMPFILE:
            return self.open_nameless(path, flags, mode)
        exclusive = flags & os.O_CREAT and flags & os.O_EXCL
        found = self.find(path, not exclusive and not flags & os.O_NOFOLLOW)
        if found.stat is None and flags & os.O_CREAT:
            made = self.make(found, stat.S_IFREG | mode & 0o7777 & ~self.mask, keep=True)
            return self.keep_node(made.st_ino, flags)
        node = found.node()
        self.check_open(node.st_mode, flags, exclusive)
        if flags & os.O_TRUNC:
            self.set(node.st_ino, SET_SIZE, size=0)
        return self.open_node(node.st_ino, flags, stat.S_ISDIR(node.st_mode))

    def check_open(self, mode, flags, exclusive):
        writes = flags & (os.O_WRONLY | os.O_RDWR | os.O_TRUNC)
        if exclusive:
            fail(errno.EEXIST)
        if stat.S_ISDIR(mode) and flags & os.O_CREAT:
            fail(errno.EISDIR)
        if flags & os.O_DIRECTORY and not stat.S_ISDIR(mode):
            fail(errno.ENOTDIR)
        if stat.S_ISLNK(mode):
            fail(errno.ELOOP)
        if stat.S_ISDIR(mode) and writes:
            fail(errno.EISDIR)
        if stat.S_ISSOCK(mode):
            fail(errno.ENXIO)

    def open_nameless(self, path, flags, mode):
        if not flags & (os.O_WRONLY | os.O_RDWR):
            fail(errno.EINVAL)
        node = self.directory(path)
        made = stat_of(self.ask("nameless", node, mode & 0o7777 & ~self.mask)[0])
        self.linkable.add(made.st_ino)
        return self.keep_node(made.st_ino, flags)

    # -- room -----------------------------------------------------------------------------

    def fallocate(self, fd, mode, offset, length):
        if offset < 0 or length <= 0:
            fail(errno.EINVAL)
        if mode not in (0, KEEP_SIZE, KEEP_SIZE | PUNCH_HOLE, ZERO_RANGE, ZERO_RANGE | KEEP_SIZE):
            fail(errno.EOPNOTSUPP)
        file = self.file(fd)
        if not file.writes:
            fail(errno.EBADF)
        self.ask("allocate", file.node, mode, offset, length)
