"""Descriptors over overlay_driver: node ids that are remembered, places, flags."""

import errno
import os

from overlay_driver import stat_of

DOTS = ((".", 1), ("..", 2))
SEEK_DATA, SEEK_HOLE = 3, 4


def fail(code):
    raise OSError(code, os.strerror(code))


class File:
    def __init__(self, node, flags, is_dir):
        self.node, self.is_dir, self.place = node, is_dir, 0
        access = flags & os.O_ACCMODE
        self.reads, self.writes = access != os.O_WRONLY, access != os.O_RDONLY
        self.appends = bool(flags & os.O_APPEND)


class Files:
    def __init__(self, driver):
        self.driver, self.ask = driver, driver.ask
        self.files, self.next = {}, 1000
        self.linkable = set()  # nodes made by O_TMPFILE that have had no name yet

    def file(self, fd):
        return self.files[fd] if fd in self.files else fail(errno.EBADF)

    def keep_node(self, node, flags, is_dir=False):
        """A descriptor of a node that is remembered already."""
        self.next += 1
        self.files[self.next] = File(node, flags, is_dir)
        return self.next

    def open_node(self, node, flags, is_dir=True):
        self.ask("remember", node)
        return self.keep_node(node, flags, is_dir)

    def close(self, fd):
        self.ask("forget", self.file(fd).node)
        del self.files[fd]

    def fstat(self, fd):
        return stat_of(self.ask("stat", self.file(fd).node)[0])

    # -- content --------------------------------------------------------------------------

    def readable(self, fd):
        file = self.file(fd)
        if not file.reads:
            fail(errno.EBADF)
        return fail(errno.EISDIR) if file.is_dir else file

    def writable(self, fd):
        file = self.file(fd)
        return file if file.writes else fail(errno.EBADF)

    def read(self, fd, length):
        file = self.readable(fd)
        data = self.ask("read", file.node, file.place, length)[1] if length else b""
        file.place += len(data)
        return data

    def pread(self, fd, length, offset):
        if offset < 0:
            fail(errno.EINVAL)
        file = self.readable(fd)
        return self.ask("read", file.node, offset, length)[1] if length else b""

    def write(self, fd, data):
        file = self.writable(fd)
        if data:
            file.place = self.put(file, data, file.place)
        return len(data)

    def pwrite(self, fd, data, offset):
        if offset < 0:
            fail(errno.EINVAL)
        file = self.writable(fd)
        if data:
            self.put(file, data, offset)
        return len(data)

    def put(self, file, data, offset):
        """Where it ends."""
        if file.appends:
            offset = stat_of(self.ask("stat", file.node)[0]).st_size
        written = self.ask("write", file.node, offset, parts=[data])[0][0]
        if written != len(data):
            fail(errno.ENOSPC)
        return offset + written

    def lseek(self, fd, offset, whence):
        file = self.file(fd)
        if whence in (SEEK_DATA, SEEK_HOLE):
            place = self.ask("seek", file.node, offset, whence)[0][0] if offset >= 0 else fail(errno.ENXIO)
        else:
            end = self.fstat(fd).st_size if whence == os.SEEK_END else 0
            place = offset + (file.place if whence == os.SEEK_CUR else end)
        if place < 0:
            fail(errno.EINVAL)
        file.place = place
        return place

    def fsync(self, fd):
        self.ask("sync", self.file(fd).node, 0)

    def fdatasync(self, fd):
        self.ask("sync", self.file(fd).node, 1)

    def copy_file_range(self, source, target, count, offset, to_offset):
        start, end = self.file(source), self.file(target)
        if start.is_dir or end.is_dir:
            fail(errno.EISDIR)
        if not start.reads or not end.writes or end.appends:
            fail(errno.EBADF)
        count = min(count, max(self.fstat(source).st_size - offset, 0))
        if start.node == end.node and offset < to_offset + count and to_offset < offset + count:
            fail(errno.EINVAL)
        if not count:
            return 0
        return self.ask("copy", start.node, offset, end.node, to_offset, count)[0][0]

    # -- listings -------------------------------------------------------------------------

    def list(self, node, cookie, room):
        """[(name, cookie, inode, mode)] of as many as fit."""
        numbers, names = self.ask("list", node, cookie, room, 1)
        names = [os.fsdecode(name) for name in names.split(b"\0")[:-1]]
        return [
            (name, numbers[3 * i + 2], numbers[3 * i], numbers[3 * i + 1])
            for i, name in enumerate(names)
        ]

    def getdents(self, fd, size):
        file = self.file(fd)
        found = [(name, cookie, file.node) for name, cookie in DOTS if cookie > file.place]
        room = size - 24 * len(found)
        listed = self.list(file.node, max(file.place, DOTS[-1][1]), room)
        found += [entry[:3] for entry in listed]
        if found:
            file.place = found[-1][1]
        return found
