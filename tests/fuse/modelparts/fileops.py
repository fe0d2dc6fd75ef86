"""The operations on open files, on mappings and on locks; they are held over many steps."""

import errno
import fcntl
import hashlib
import mmap
import os
import stat
import struct

from .side import Wrong
from .syscalls import PUNCH_HOLE

BLOCK = bytes(range(1, 252))
PIECE = 1 << 20
LOCKS = {"shared": fcntl.LOCK_SH, "exclusive": fcntl.LOCK_EX, "none": fcntl.LOCK_UN}
RANGE_LOCKS = {"shared": fcntl.F_RDLCK, "exclusive": fcntl.F_WRLCK, "none": fcntl.F_UNLCK}


def pattern(data):
    """Bytes without a zero from [seed, length]: a hole is never mistaken for them."""
    seed, length = data
    start = seed % len(BLOCK)
    return (BLOCK * (length // len(BLOCK) + 2))[start : start + length]


def digest(data):
    return [len(data), hashlib.blake2b(data, digest_size=8).hexdigest()]


def read_all(side, fd):
    pieces = []
    while piece := side.system.read(fd, PIECE):
        pieces.append(piece)
    return b"".join(pieces)


def attributes(side, fd):
    found = side.system.fstat(fd)
    is_dir = stat.S_ISDIR(found.st_mode)
    return [oct(found.st_mode), found.st_uid, found.st_gid] + (
        [] if is_dir else [found.st_nlink, found.st_size]
    )


def do_open(side, path, flags, mode, slot):
    fd = side.system.open(path, flags, mode)
    side.keep(slot, fd)
    return attributes(side, fd)


def do_close(side, slot):
    side.slot(slot)
    side.drop(slot)


def do_read(side, slot, length):
    return digest(side.system.read(side.slot(slot), length))


def do_pread(side, slot, length, offset):
    return digest(side.system.pread(side.slot(slot), length, offset))


def do_write(side, slot, data):
    return side.system.write(side.slot(slot), pattern(data))


def do_pwrite(side, slot, data, offset):
    return side.system.pwrite(side.slot(slot), pattern(data), offset)


def do_lseek(side, slot, offset, whence):
    fd = side.slot(slot)
    if stat.S_ISDIR(side.system.fstat(fd).st_mode):
        return "a directory's places are its file system's own"
    return side.system.lseek(fd, offset, whence)


def do_seek_data(side, slot, offset):
    """What is skipped must be zero; how much can be is the disk's own affair."""
    return sought(side, slot, offset, os.SEEK_DATA)


def do_seek_hole(side, slot, offset):
    return sought(side, slot, offset, os.SEEK_HOLE)


def sought(side, slot, offset, whence):
    fd = side.slot(slot)
    if not stat.S_ISREG(side.system.fstat(fd).st_mode):
        return "no regular file"
    place, size = side.system.lseek(fd, 0, os.SEEK_CUR), side.system.fstat(fd).st_size
    try:
        found = side.system.lseek(fd, offset, whence)
    except OSError as e:
        # From a hole at the end on there is no data: ENXIO, as beyond the end.
        if e.errno != errno.ENXIO or offset >= size or whence == os.SEEK_HOLE:
            raise
        found = size
    side.system.lseek(fd, place, os.SEEK_SET)
    judge_sought(side, fd, offset, found, size, whence)
    return "right"


def judge_sought(side, fd, offset, found, size, whence):
    if not offset <= found <= size:
        raise Wrong(f"seeking from {offset} gives {found}, the size being {size}")
    try:
        data = side.system.pread(fd, size - offset, offset)
    except OSError:
        return  # open for writing only
    if whence == os.SEEK_DATA and data[: found - offset].strip(b"\0"):
        raise Wrong(f"SEEK_DATA from {offset} skips data before {found}")
    if whence == os.SEEK_HOLE and found < size and data[found - offset]:
        raise Wrong(f"SEEK_HOLE from {offset} names {found}, where data is")


def do_ftruncate(side, slot, length):
    fd = side.slot(slot)
    side.system.ftruncate(fd, length)
    return attributes(side, fd)


def do_fallocate(side, slot, mode, offset, length):
    fd = side.slot(slot)
    side.system.fallocate(fd, mode, offset, length)
    if mode & PUNCH_HOLE and side.system.pread(fd, length, offset).strip(b"\0"):
        raise Wrong("a punched hole is not zero")
    return attributes(side, fd)


def do_fsync(side, slot, data_only):
    (side.system.fdatasync if data_only else side.system.fsync)(side.slot(slot))


def do_fstat(side, slot):
    return attributes(side, side.slot(slot))


def do_fchmod(side, slot, mode):
    side.system.fchmod(side.slot(slot), mode)
    return attributes(side, side.slot(slot))


def do_fchown(side, slot, uid, gid):
    side.system.fchown(side.slot(slot), uid, gid)
    return attributes(side, side.slot(slot))


def do_futimens(side, slot, atime, mtime):
    side.system.futimens(side.slot(slot), atime, mtime)
    found = side.system.fstat(side.slot(slot))
    return [
        found.st_atime_ns if isinstance(atime, int) else None,
        found.st_mtime_ns if isinstance(mtime, int) else None,
    ]


def do_fsetxattr(side, slot, name, data, flags):
    side.system.setxattr(side.slot(slot), name, pattern(data), flags)


def do_fgetxattr(side, slot, name):
    return side.system.getxattr(side.slot(slot), name).hex()


def do_fremovexattr(side, slot, name):
    side.system.removexattr(side.slot(slot), name)


def do_listfd(side, slot):
    return sorted(side.system.listdir(side.slot(slot)))


def do_link_open(side, slot, to, by_proc):
    act = side.system.link_by_proc if by_proc else side.system.link_open
    act(side.slot(slot), to)
    return attributes(side, side.slot(slot))


def do_copy(side, slot, to_slot, length, offset, to_offset):
    """copy_file_range until it gives nothing: a short count is allowed, a wrong sum is not."""
    source, target, done = side.slot(slot), side.slot(to_slot), 0
    while done < length:
        count = side.system.copy_file_range(
            source, target, length - done, offset + done, to_offset + done)
        if not count:
            break
        done += count
    return done


def do_map(side, slot, number, length, shared, writable):
    side.unmap(number)
    fd = side.slot(slot)
    kind = mmap.MAP_SHARED if shared else mmap.MAP_PRIVATE
    protection = mmap.PROT_READ | (mmap.PROT_WRITE if writable else 0)
    try:
        side.maps[number] = mmap.mmap(fd, length, kind, protection)
    except ValueError:
        return "longer than the file"
    return "mapped"


def do_map_read(side, number, offset, length):
    mapping = side.mapping(number)
    return digest(mapping[offset : min(offset + length, within(mapping))])


def within(mapping):
    """How far a mapping may be touched: beyond the file's end is SIGBUS."""
    return min(len(mapping), mapping.size())


def do_map_write(side, number, offset, data):
    """Ends with msync: until then a file's times are whatever the kernel likes."""
    mapping = side.mapping(number)
    end = min(offset + data[1], within(mapping))
    if offset >= end:
        return 0
    try:
        mapping[offset:end] = pattern(data)[: end - offset]
    except TypeError:
        return "read only"
    mapping.flush()
    return end - offset


def do_unmap(side, number):
    side.mapping(number)
    side.unmap(number)


def do_flock(side, slot, kind):
    fcntl.flock(side.slot(slot), LOCKS[kind] | fcntl.LOCK_NB)


def range_lock(side, slot, command, kind, offset, length):
    request = struct.pack("hhqqi4x", RANGE_LOCKS[kind], os.SEEK_SET, offset, length, 0)
    answer = fcntl.fcntl(side.slot(slot), command, request)
    return list(struct.unpack("hhqqi4x", answer))[:4]


def do_range_lock(side, slot, kind, offset, length):
    """A POSIX lock that belongs to the open file, so that two slots can be rivals."""
    range_lock(side, slot, fcntl.F_OFD_SETLK, kind, offset, length)


def do_range_test(side, slot, kind, offset, length):
    return range_lock(side, slot, fcntl.F_OFD_GETLK, kind, offset, length)


def do_process_lock(side, slot, kind, offset, length):
    """A POSIX lock of this process, and what another process then may lock."""
    fd = side.slot(slot)
    fcntl.lockf(fd, LOCKS[kind] | (fcntl.LOCK_NB if kind != "none" else 0), length, offset)
    child = os.fork()
    if child == 0:
        os._exit(may_lock(fd, offset, length))
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def may_lock(fd, offset, length):
    try:
        fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB, length, offset)
    except OSError as e:
        return e.errno
    return 0


def content_of(side, number):
    """What a held descriptor shows, for the comparison of whole trees."""
    fd = side.slot(number)
    shown = attributes(side, fd)
    if stat.S_ISREG(int(shown[0], 8)):
        try:
            shown.append(digest(side.system.pread(fd, shown[-1] + 1, 0)))
        except OSError as e:
            shown.append(e.errno)
    return shown


TABLE = {
    "open": do_open, "close": do_close, "read": do_read, "pread": do_pread, "write": do_write,
    "pwrite": do_pwrite, "lseek": do_lseek, "seek_data": do_seek_data, "seek_hole": do_seek_hole,
    "ftruncate": do_ftruncate, "fallocate": do_fallocate, "fsync": do_fsync, "fstat": do_fstat,
    "fchmod": do_fchmod, "fchown": do_fchown, "futimens": do_futimens, "fsetxattr": do_fsetxattr,
    "fgetxattr": do_fgetxattr, "fremovexattr": do_fremovexattr, "listfd": do_listfd,
    "link_open": do_link_open, "copy": do_copy, "map": do_map, "map_read": do_map_read,
    "map_write": do_map_write, "unmap": do_unmap, "flock": do_flock, "range_lock": do_range_lock,
    "range_test": do_range_test, "process_lock": do_process_lock,
}
