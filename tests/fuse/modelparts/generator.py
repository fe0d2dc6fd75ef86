"""Draws the next operation: mostly on what exists, now and then on what cannot be."""

import os

from . import drawing
from .syscalls import KEEP_SIZE, PUNCH_HOLE, RENAME_EXCHANGE, RENAME_NOREPLACE, ZERO_RANGE

WEIGHTS = {
    "open": 70, "close": 20, "read": 12, "pread": 14, "write": 16, "pwrite": 16, "lseek": 6,
    "seek_data": 4, "seek_hole": 4, "ftruncate": 10, "fallocate": 10, "fsync": 5, "fstat": 8,
    "fchmod": 4, "fchown": 3, "futimens": 4, "fsetxattr": 4, "fgetxattr": 3, "fremovexattr": 2,
    "listfd": 6, "link_open": 6, "copy": 8, "map": 10, "map_read": 10, "map_write": 10, "unmap": 4,
    "flock": 5, "range_lock": 5, "range_test": 4, "process_lock": 1,
    "mkdir": 22, "mknod": 6, "symlink": 12, "link": 16, "unlink": 26, "rmdir": 16, "rename": 50,
    "truncate": 14, "chmod": 14, "chown": 8, "utimens": 14, "setxattr": 10, "getxattr": 5,
    "listxattr": 5, "removexattr": 5, "stat": 16, "access": 6, "readlink": 6, "listdir": 10,
    "statvfs": 1, "getcwd": 3, "write_file": 34, "append_file": 12, "read_file": 24, "script": 3,
    "exec": 3, "fill": 1, "churn": 5, "rmtree": 2, "tick": 30,
}
GROWING = ("mkdir", "mknod", "symlink", "link", "write_file", "open", "fill", "link_open")
MOST_NAMES = 400
SLOTS, MAPS = 12, 4
ACCESS = (os.O_RDONLY, os.O_WRONLY, os.O_RDWR)
EXTRA = (
    os.O_CREAT, os.O_CREAT, os.O_EXCL, os.O_TRUNC, os.O_APPEND, os.O_NOFOLLOW, os.O_DIRECTORY,
    os.O_PATH, os.O_SYNC, os.O_NOATIME,
)
FALLOCATE = (
    0, KEEP_SIZE, KEEP_SIZE | PUNCH_HOLE, KEEP_SIZE | PUNCH_HOLE, ZERO_RANGE, ZERO_RANGE | KEEP_SIZE,
    PUNCH_HOLE,
)


class Generator:
    weighted = WEIGHTS
    drawing = drawing.Drawing

    def __init__(self, rng, view, users=True, odd_names=True, tmpfile=True):
        self.rng, self.view, self.users = rng, view, users
        self.draw = self.drawing(rng, view, odd_names)
        self.tmpfile = tmpfile
        self.names, self.weights = list(self.weighted), list(self.weighted.values())

    def next(self):
        name = self.rng.choices(self.names, self.weights)[0]
        if len(self.view.names) > MOST_NAMES and name in GROWING:
            name = self.rng.choice(("unlink", "rmdir", "rmtree", "rename"))
        operation = {"do": name, **getattr(self, f"draw_{name}", self.draw_by_path)(name)}
        if name not in ("tick", "close", "unmap"):
            self.add_circumstances(operation)
        return operation

    def add_circumstances(self, operation):
        folders = [slot for slot, kind in self.view.slots.items() if kind == "dir"]
        by_path = "path" in operation or "to" in operation or operation["do"] == "getcwd"
        if by_path and folders and (operation["do"] == "getcwd" or self.rng.random() < 0.08):
            operation["base"] = self.rng.choice(folders)
            for role in ("path", "to"):
                if role in operation and self.rng.random() < 0.8:
                    operation[role] = self.draw.name()
        # chown(2) of nothing looks to a FUSE server like what the kernel asks before a write by
        # anybody, so whether the caller may take set-id bits so cannot be told.
        nothing = operation.get("uid") == operation.get("gid") == -1
        if self.users and not nothing and self.rng.random() < 0.15:
            operation["user"] = self.rng.choice((1234, 1234, 4321))
        if self.rng.random() < 0.1:
            operation["umask"] = self.rng.choice((0, 0o002, 0o077, 0o777))

    def slot(self, kind="file"):
        fitting = [slot for slot, k in self.view.slots.items() if k == kind]
        if fitting and self.rng.random() < 0.97:
            return self.rng.choice(fitting)
        return self.rng.randrange(SLOTS)

    def chance(self, probability):
        return self.rng.random() < probability

    # -- names and attributes -------------------------------------------------------------

    def draw_by_path(self, name):
        """unlink, read_file, readlink and the like: a path of the kind they are for."""
        kinds = {
            "readlink": ("link",), "rmdir": ("dir",), "listdir": ("dir",), "rmtree": ("dir",),
            "unlink": ("file", "link", "other"), "read_file": ("file",), "exec": ("file",),
        }
        found = {"path": self.draw.path(kinds.get(name))}
        if name in ("stat", "listxattr"):
            found["follow"] = self.chance(0.6)
        return found

    def draw_statvfs(self, name):
        return {"path": self.draw.path()}

    def draw_tick(self, name):
        return {}

    def draw_getcwd(self, name):
        return {}

    def draw_access(self, name):
        return {"path": self.draw.path(), "mode": self.rng.randrange(8)}

    def draw_mkdir(self, name):
        return {"path": self.draw.new_path(), "mode": self.draw.mode()}

    def draw_mknod(self, name):
        kind = self.rng.choice(("fifo", "socket", "file"))
        return {"path": self.draw.new_path(), "kind": kind, "mode": self.draw.mode()}

    def draw_symlink(self, name):
        return {"target": self.draw.target(), "path": self.draw.new_path()}

    def draw_link(self, name):
        return {"path": self.draw.path(("file", "link", "other")), "to": self.draw.new_path(),
                "follow": self.chance(0.3)}

    def draw_rename(self, name):
        kind = ("dir",) if self.chance(0.35) else None
        flags = self.rng.choice((0, 0, 0, 0, RENAME_NOREPLACE, RENAME_EXCHANGE, RENAME_EXCHANGE, 3))
        wants_old = flags == RENAME_EXCHANGE or self.chance(0.4)
        to = self.draw.path(kind) if wants_old else self.draw.new_path()
        return {"path": self.draw.path(kind), "to": to, "flags": flags}

    def draw_truncate(self, name):
        return {"path": self.draw.path(("file",)), "length": self.draw.offset()}

    def draw_chmod(self, name):
        return {"path": self.draw.path(), "mode": self.draw.mode()}

    def draw_chown(self, name):
        return {"path": self.draw.path(), "uid": self.draw.owner(), "gid": self.draw.owner(),
                "follow": self.chance(0.5)}

    def draw_utimens(self, name):
        return {"path": self.draw.path(), **self.draw.times(), "follow": self.chance(0.6)}

    def draw_setxattr(self, name):
        return {"path": self.draw.path(), "name": self.draw.xattr(), "data": self.draw.small(),
                "flags": self.rng.choice((0, 0, os.XATTR_CREATE, os.XATTR_REPLACE)),
                "follow": self.chance(0.7)}

    def draw_getxattr(self, name):
        return {"path": self.draw.path(), "name": self.draw.xattr(), "follow": self.chance(0.7)}

    draw_removexattr = draw_getxattr

    def draw_write_file(self, name):
        return {"path": self.draw.path_or_new(("file",)), "data": self.draw.data(),
                "mode": self.draw.mode()}

    def draw_append_file(self, name):
        return {"path": self.draw.path(("file",)), "data": self.draw.data()}

    def draw_script(self, name):
        return {"path": self.draw.path_or_new(("file",)), "code": self.rng.randrange(1, 9)}

    def draw_fill(self, name):
        return {"path": self.draw.new_path(), "prefix": self.rng.choice(("f", "n_", "é")),
                "count": self.rng.randrange(40, 120)}

    def draw_churn(self, name):
        path = self.draw.widest()
        children = [os.path.basename(p) for p in self.view.names if os.path.dirname(p) == path]
        edits = []
        for i in range(self.rng.randrange(2, 9)):
            old = self.rng.choice(children) if children else "x"
            new = f"c{self.rng.randrange(1000)}"
            edits.append(self.rng.choice((["create", new], ["unlink", old], ["rename", old, new])))
        return {"path": path, "chunk": self.rng.choice((300, 512, 1000, 4096)), "edits": edits,
                "back": self.rng.randrange(200)}

    # -- open files -----------------------------------------------------------------------

    def draw_open(self, name):
        flags = self.rng.choice(ACCESS) | os.O_NONBLOCK
        for _ in range(self.rng.choice((0, 1, 1, 2, 3))):
            flags |= self.rng.choice(EXTRA)
        kind = ("dir",) if flags & os.O_DIRECTORY else ("file",)
        if self.chance(0.15):
            flags, kind = os.O_RDONLY | os.O_DIRECTORY, ("dir",)
        elif self.chance(0.08) and self.tmpfile:
            flags, kind = os.O_TMPFILE | self.rng.choice(ACCESS), ("dir",)
        elif self.chance(0.25):
            flags, kind = os.O_RDWR | os.O_NONBLOCK, ("file",)
        path = self.draw.path_or_new(kind) if flags & os.O_CREAT else self.draw.path(kind)
        return {"path": path, "flags": flags, "mode": self.draw.mode(), "slot": self.rng.randrange(SLOTS)}

    def draw_close(self, name):
        return {"slot": self.slot()}

    draw_fstat = draw_close

    def draw_read(self, name):
        return {"slot": self.slot(), "length": self.draw.length()}

    def draw_pread(self, name):
        return {"slot": self.slot(), "length": self.draw.length(), "offset": self.draw.offset()}

    def draw_write(self, name):
        return {"slot": self.slot(), "data": self.draw.data()}

    def draw_pwrite(self, name):
        return {"slot": self.slot(), "data": self.draw.data(), "offset": self.draw.offset()}

    def draw_lseek(self, name):
        return {"slot": self.slot(), "offset": self.draw.offset(), "whence": self.rng.randrange(3)}

    def draw_seek_data(self, name):
        return {"slot": self.slot(), "offset": self.draw.offset()}

    draw_seek_hole = draw_seek_data

    def draw_ftruncate(self, name):
        return {"slot": self.slot(), "length": self.draw.offset()}

    def draw_fallocate(self, name):
        return {"slot": self.slot(), "mode": self.rng.choice(FALLOCATE), "offset": self.draw.offset(),
                "length": self.draw.length()}

    def draw_fsync(self, name):
        return {"slot": self.slot(self.rng.choice(("file", "dir"))), "data_only": self.chance(0.5)}

    def draw_fchmod(self, name):
        return {"slot": self.slot(), "mode": self.draw.mode()}

    def draw_fchown(self, name):
        return {"slot": self.slot(), "uid": self.draw.owner(), "gid": self.draw.owner()}

    def draw_futimens(self, name):
        return {"slot": self.slot(), **self.draw.times()}

    def draw_fsetxattr(self, name):
        return {"slot": self.slot(), "name": self.draw.xattr(), "data": self.draw.small(),
                "flags": self.rng.choice((0, 0, os.XATTR_CREATE, os.XATTR_REPLACE))}

    def draw_fgetxattr(self, name):
        return {"slot": self.slot(), "name": self.draw.xattr()}

    draw_fremovexattr = draw_fgetxattr

    def draw_listfd(self, name):
        return {"slot": self.slot("dir")}

    def draw_link_open(self, name):
        return {"slot": self.slot(), "to": self.draw.new_path(), "by_proc": self.chance(0.5)}

    def draw_copy(self, name):
        return {"slot": self.slot(), "to_slot": self.slot(), "length": self.draw.length(),
                "offset": self.draw.offset(), "to_offset": self.draw.offset()}

    def draw_map(self, name):
        return {"slot": self.slot(), "number": self.rng.randrange(MAPS), "length": self.draw.length(),
                "shared": self.chance(0.7), "writable": self.chance(0.7)}

    def mapping(self):
        return self.rng.choice(sorted(self.view.maps)) if self.view.maps else 0

    def draw_map_read(self, name):
        return {"number": self.mapping(), "offset": abs(self.draw.offset()), "length": self.draw.length()}

    def draw_map_write(self, name):
        return {"number": self.mapping(), "offset": abs(self.draw.offset()), "data": self.draw.data()}

    def draw_unmap(self, name):
        return {"number": self.mapping()}

    def draw_flock(self, name):
        return {"slot": self.slot(), "kind": self.draw.lock()}

    def draw_range_lock(self, name):
        return {"slot": self.slot(), "kind": self.draw.lock(), "offset": self.rng.randrange(0, 64),
                "length": self.rng.randrange(1, 64)}

    draw_process_lock = draw_range_test = draw_range_lock
