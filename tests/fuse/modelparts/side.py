"""One of the two directories: its root, the descriptors and mappings that the run holds in it."""

import contextlib
import errno
import os

from .syscalls import System

GROUPS = {1234: (1234, [1234, 777]), 4321: (4321, [4321])}


class NoSlot(Exception):
    """The step uses what no step before it opened: in a shrunk run that is no fault."""


class Wrong(Exception):
    """What no file system may do, whatever the other side does."""


class Side:
    def __init__(self, name, root, system=None):
        self.name, self.root = name, root
        self.system = system or System()
        self.fds, self.maps = {}, {}
        self.fd = self.system.open_root(root)

    def slot(self, number):
        if number not in self.fds:
            raise NoSlot
        return self.fds[number]

    def mapping(self, number):
        if number not in self.maps:
            raise NoSlot
        return self.maps[number]

    def keep(self, number, fd):
        self.drop(number)
        self.fds[number] = fd

    def drop(self, number):
        fd = self.fds.pop(number, None)
        if fd is not None:
            self.system.close(fd)

    def unmap(self, number):
        mapping = self.maps.pop(number, None)
        if mapping is not None:
            mapping.close()

    def release(self):
        """Closes all, so that the directory can be unmounted."""
        for number in list(self.maps):
            self.unmap(number)
        for number in list(self.fds):
            self.drop(number)
        if self.fd is not None:
            self.system.close(self.fd)
            self.fd = None
        self.system.leave()

    def reopen(self):
        self.fd = self.system.open_root(self.root)

    def enter(self, base=None):
        """Relative paths start here: so no other user needs a way through our parents."""
        self.system.enter(self.fd if base is None else self.slot(base))


@contextlib.contextmanager
def acting_as(user):
    """The whole process is single-threaded; so it can be the other user for one call."""
    if user is None:
        yield
        return
    group, groups = GROUPS[user]
    os.setgroups(groups)
    os.setegid(group)
    os.seteuid(user)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)
        os.setgroups([])


def perform(side, operation, table):
    """The operation's result in a form that the other side's can be compared with."""
    arguments = {k: v for k, v in operation.items() if k not in ("do", "base", "user", "umask")}
    side.system.umask(operation.get("umask", 0o022))
    try:
        side.enter(operation.get("base"))
        with acting_as(operation.get("user")):
            return ["ok", table[operation["do"]](side, **arguments)]
    except OSError as e:
        return ["error", errno.errorcode.get(e.errno, e.errno)]
    except NoSlot:
        return ["no slot"]
