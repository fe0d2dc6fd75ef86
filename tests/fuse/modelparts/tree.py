"""Both trees as a whole: names, types, attributes, contents, times and inode numbers."""

import os
import stat
import typing

from . import fileops
from .side import Wrong

# Two sides do a step one after the other; what differs by more was not done at that step.
APART = 5 * 10**9


class Entry(typing.NamedTuple):
    kind: int
    mode: int
    uid: int
    gid: int
    links: int
    size: int
    target: str
    content: list
    xattrs: dict
    atime: int
    mtime: int
    ctime: int
    inode: int
    listed_inode: int


SAME = ("kind", "mode", "uid", "gid", "links", "size", "target", "content", "xattrs")


def snapshot(side):
    """{path: Entry} of the whole tree; the root itself is ".", without times of its own."""
    side.enter()
    found = {}
    pending = ["."]
    while pending:
        folder = pending.pop()
        listed = listing_of(side.system, folder)
        if len({name for name, _, _ in listed}) != len(listed):
            raise Wrong(f"{folder} lists a name twice")
        for name, inode, is_dir in listed:
            path = os.path.normpath(os.path.join(folder, name))
            found[path] = entry_of(side, path, inode)
            if is_dir != (found[path].kind == stat.S_IFDIR):
                raise Wrong(f"{path} is listed with another type than stat gives")
            if is_dir:
                pending.append(path)
    return found


def listing_of(system, folder):
    """[(name, inode, is a directory)]; O_NOATIME, as atime is compared over a remount."""
    fd = system.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOATIME)
    try:
        with system.scandir(fd) as entries:
            return [(e.name, e.inode(), e.is_dir(follow_symlinks=False)) for e in entries]
    finally:
        system.close(fd)


def entry_of(side, path, listed_inode):
    s = side.system.lstat(path)
    is_dir = stat.S_ISDIR(s.st_mode)
    content = None
    if stat.S_ISREG(s.st_mode):
        content = fileops.digest(content_at(side, path))
    return Entry(
        kind=stat.S_IFMT(s.st_mode), mode=oct(s.st_mode), uid=s.st_uid, gid=s.st_gid,
        links=None if is_dir else s.st_nlink, size=None if is_dir else s.st_size,
        target=side.system.readlink(path) if stat.S_ISLNK(s.st_mode) else None,
        content=content, xattrs=xattrs_of(side.system, path), atime=s.st_atime_ns, mtime=s.st_mtime_ns,
        ctime=s.st_ctime_ns, inode=s.st_ino, listed_inode=listed_inode,
    )


def content_at(side, path):
    fd = side.system.open(path, os.O_RDONLY | os.O_NOATIME)
    try:
        return fileops.read_all(side, fd)
    finally:
        side.system.close(fd)


def xattrs_of(system, path):
    names = [n for n in system.listxattr(path, follow_symlinks=False) if n.startswith("user.")]
    return {n: system.getxattr(path, n, follow_symlinks=False).hex() for n in names}


class Judge:
    """Compares snapshots, and remembers which inode number each file of the plain side has."""

    def __init__(self, start, allow):
        self.start, self.allow = start, allow
        self.numbers = {}  # handle on the plain side: inode number under test
        self.handles = {}  # inode number under test: handle
        self.ctimes = {}

    def compare(self, test, plain):
        ours, theirs = snapshot(test), snapshot(plain)
        if set(ours) != set(theirs):
            more, less = sorted(set(ours) - set(theirs)), sorted(set(theirs) - set(ours))
            raise Wrong(f"tree: there is also {more[:5]}, and {less[:5]} are missing")
        for path in sorted(ours):
            compare_entry(path, ours[path], theirs[path])
            self.compare_times(path, ours[path], theirs[path])
        plain.enter()
        live = {path: plain.system.handle(path) for path in theirs}
        self.compare_numbers(ours, live)
        if "ctime" not in self.allow:
            self.compare_ctimes(ours, theirs, live)
        if "held" not in self.allow:
            self.compare_open(test, plain)
        return ours

    def compare_times(self, path, ours, theirs):
        if "mtime" in self.allow or theirs.kind == stat.S_IFIFO:
            return  # of fifos: times.is_fifo_written
        both_new = min(ours.mtime, theirs.mtime) >= self.start
        if ours.mtime != theirs.mtime and not (both_new and abs(ours.mtime - theirs.mtime) < APART):
            raise Wrong(f"tree: mtime of {path} is {ours.mtime}, and should be {theirs.mtime}")

    def compare_ctimes(self, ours, theirs, live):
        """Not equal where nothing has happened since the start; but it stays."""
        for path in ours:
            a, b = ours[path].ctime, theirs[path].ctime
            if theirs[path].kind == stat.S_IFIFO:
                continue
            if b >= self.start:
                if a < self.start or abs(a - b) >= APART:
                    raise Wrong(f"tree: ctime of {path} is {a}, and should be about {b}")
            elif self.ctimes.setdefault(live[path], a) != a:
                raise Wrong(f"tree: ctime of {path} changed without a cause")

    def compare_numbers(self, ours, live):
        """Links share a number, all else has its own, and keeps it for ever."""
        numbers = {}
        for path, handle in live.items():
            number = ours[path].inode
            if ours[path].listed_inode != number and "listed-inode" not in self.allow:
                raise Wrong(f"inode: {path} is listed with {ours[path].listed_inode}, stat gives {number}")
            if numbers.setdefault(number, handle) != handle:
                raise Wrong(f"inode: {path} has {number}, as another file has")
            if self.numbers.setdefault(handle, number) != number:
                raise Wrong(f"inode: {path} has {number}, and had {self.numbers[handle]}")
            if "inode-again" not in self.allow and self.handles.setdefault(number, handle) != handle:
                raise Wrong(f"inode: {path} has {number}, which a removed file had")

    def compare_open(self, test, plain):
        for number in plain.fds:
            ours, theirs = fileops.content_of(test, number), fileops.content_of(plain, number)
            if ours != theirs:
                raise Wrong(f"tree: slot {number} shows {ours}, and should show {theirs}")


def compare_entry(path, ours, theirs):
    for field in SAME:
        a, b = getattr(ours, field), getattr(theirs, field)
        if a != b:
            raise Wrong(f"tree: {field} of {path} is {a}, and should be {b}")


def compare_remounted(before, after, allow):
    """A mount that was remounted shows all as it was, to the inode number and the nanosecond."""
    if set(before) != set(after):
        raise Wrong(f"remount: the names differ: {sorted(set(before) ^ set(after))[:5]}")
    for path, old in before.items():
        for field in set(Entry._fields) - {name.replace("-", "_") for name in allow}:
            a, b = getattr(old, field), getattr(after[path], field)
            # readlink has no O_NOATIME.
            if a != b and not (field == "atime" and old.kind == stat.S_IFLNK):
                raise Wrong(f"remount: {field} of {path} was {a}, and is {b}")
