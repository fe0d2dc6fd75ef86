"""The operations on names and attributes; operations on open files are in fileops.py.

Each takes a Side and what its line of the script says, and returns what must be the same on
both sides. An OSError is a result, too (side.perform).
"""

import os
import stat

from . import fileops
from .listing import churn, walk_up
from .side import Wrong

KINDS = {"fifo": stat.S_IFIFO, "socket": stat.S_IFSOCK, "file": stat.S_IFREG}


def shown(found):
    """What two file systems must agree on; times.py and tree.py judge the rest."""
    links = found.st_nlink if not stat.S_ISDIR(found.st_mode) else None
    size = found.st_size if not stat.S_ISDIR(found.st_mode) else None
    return [oct(found.st_mode), found.st_uid, found.st_gid, links, size]


def do_mkdir(side, path, mode):
    side.system.mkdir(path, mode)
    return shown(side.system.lstat(path))


def do_mknod(side, path, kind, mode):
    side.system.mknod(path, KINDS[kind] | mode)
    return shown(side.system.lstat(path))


def do_symlink(side, target, path):
    side.system.symlink(target, path)
    return shown(side.system.lstat(path))


def do_link(side, path, to, follow):
    side.system.link(path, to, follow)
    return shown(side.system.lstat(to))


def do_unlink(side, path):
    side.system.unlink(path)


def do_rmdir(side, path):
    side.system.rmdir(path)


def do_rename(side, path, to, flags):
    before = side.system.lstat(path).st_ino
    side.system.rename(path, to, flags)
    after = side.system.lstat(to)
    if after.st_ino != before:
        raise Wrong(f"rename changed the inode number from {before} to {after.st_ino}")
    return shown(after)


def do_truncate(side, path, length):
    side.system.truncate(path, length)
    return shown(side.system.stat(path))


def do_chmod(side, path, mode):
    side.system.chmod(path, mode)
    return shown(side.system.stat(path))


def do_chown(side, path, uid, gid, follow):
    side.system.chown(path, uid, gid, follow_symlinks=follow)
    return shown(side.system.stat(path, follow_symlinks=follow))


def do_utimens(side, path, atime, mtime, follow):
    side.system.utimens(path, atime, mtime, follow)
    return explicit(side.system.stat(path, follow_symlinks=follow), atime, mtime)


def explicit(found, atime, mtime):
    """The times that were set, to the nanosecond."""
    return [
        found.st_atime_ns if isinstance(atime, int) else None,
        found.st_mtime_ns if isinstance(mtime, int) else None,
    ]


def do_setxattr(side, path, name, data, flags, follow):
    side.system.setxattr(path, name, fileops.pattern(data), flags, follow_symlinks=follow)


def do_getxattr(side, path, name, follow):
    return side.system.getxattr(path, name, follow_symlinks=follow).hex()


def do_listxattr(side, path, follow):
    return user_names(side.system.listxattr(path, follow_symlinks=follow))


def user_names(names):
    return sorted(name for name in names if name.startswith("user."))


def do_removexattr(side, path, name, follow):
    side.system.removexattr(path, name, follow_symlinks=follow)


def do_stat(side, path, follow):
    return shown(side.system.stat(path, follow_symlinks=follow))


def do_access(side, path, mode):
    """With the effective user: os.access asks for the real one, who is root here."""
    return side.system.access(path, mode, effective_ids=True)


def do_readlink(side, path):
    return side.system.readlink(path)


def do_listdir(side, path):
    return sorted(side.system.listdir(path))


def do_statvfs(side, path):
    found = side.system.statvfs(path)
    if not 0 <= found.f_bavail <= found.f_bfree <= found.f_blocks or not found.f_bsize:
        raise Wrong(f"statvfs makes no sense: {found}")
    return found.f_namemax


def do_getcwd(side):
    """Of the base, which may have been removed or moved since it was opened."""
    return os.path.relpath(side.system.getcwd(), os.path.realpath(side.root))


def do_write_file(side, path, data, mode):
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NONBLOCK
    return with_file(side, path, flags, lambda fd: side.system.write(fd, fileops.pattern(data)), mode)


def do_append_file(side, path, data):
    flags = os.O_WRONLY | os.O_APPEND | os.O_NONBLOCK
    return with_file(side, path, flags, lambda fd: side.system.write(fd, fileops.pattern(data)))


def do_read_file(side, path):
    flags = os.O_RDONLY | os.O_NONBLOCK
    return with_file(side, path, flags, lambda fd: fileops.digest(fileops.read_all(side, fd)))


def with_file(side, path, flags, act, mode=0o644):
    fd = side.system.open(path, flags, mode)
    try:
        return [act(fd), shown(side.system.fstat(fd))]
    finally:
        side.system.close(fd)


def do_script(side, path, code):
    """A program that exec can run."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NONBLOCK
    text = b"#!/bin/sh\nexit %d\n" % code
    return with_file(side, path, flags, lambda fd: side.system.write(fd, text), 0o755)


def do_exec(side, path):
    child = os.posix_spawn(os.path.join(".", path), [path], {})
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def do_fill(side, path, prefix, count):
    """Makes a directory with many names, so that listings take several requests."""
    side.system.mkdir(path)
    for i in range(count):
        side.system.close(side.system.open(f"{path}/{prefix}{i}", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644))
    return len(side.system.listdir(path))


def do_rmtree(side, path):
    """As rm -rf, listing and removing by turns, and going on after what may not be removed.

    Stopping there would show the order of the listing, which is each file system's own.
    """
    results = []
    for name, is_dir in walk_up(side, path):
        try:
            (side.system.rmdir if is_dir else side.system.unlink)(name)
            results.append([name, 0])
        except OSError as e:
            results.append([name, e.errno])
    return sorted(results)


TABLE = {
    "chmod": do_chmod, "chown": do_chown, "churn": churn, "exec": do_exec, "fill": do_fill,
    "getcwd": do_getcwd, "getxattr": do_getxattr, "link": do_link, "listdir": do_listdir,
    "listxattr": do_listxattr, "mkdir": do_mkdir, "mknod": do_mknod, "readlink": do_readlink,
    "read_file": do_read_file, "removexattr": do_removexattr, "rename": do_rename, "rmdir": do_rmdir,
    "rmtree": do_rmtree, "script": do_script, "setxattr": do_setxattr, "stat": do_stat,
    "statvfs": do_statvfs, "symlink": do_symlink, "truncate": do_truncate, "unlink": do_unlink,
    "utimens": do_utimens, "write_file": do_write_file, "append_file": do_append_file,
    "access": do_access,
    **fileops.TABLE,
}
