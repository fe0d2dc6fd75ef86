"""What one step may do to mtime and ctime, looked at right after it.

The plain directory says which times of what the step touches change and which stay. Where it
changes one to the present, the other side must do so too, within the step; where it sets one
(utimens), both must be equal. A time that was changed a moment ago may be the same clock tick
again: then, and only then, "unchanged" proves nothing.
"""

import os
import stat
import time

from .side import NoSlot, Wrong

CLOCK_REALTIME_COARSE = 5
FIELDS = ("mtime", "ctime")


def now_coarse():
    """The clock that file systems take: the last tick's."""
    return time.clock_gettime_ns(CLOCK_REALTIME_COARSE)


class Observed:
    """The times of all that an operation names, by role."""

    def __init__(self, side, operation):
        self.side, self.operation = side, operation
        self.before, self.start = self.look(), now_coarse()

    def look(self):
        found = {}
        operation = self.operation
        try:
            self.side.enter(operation.get("base"))
        except (NoSlot, OSError):
            return found
        system = self.side.system
        if "base" in operation:
            note(found, "base", system.fstat, self.side.slot(operation["base"]))
        for role in ("path", "to"):
            if role in operation:
                name = operation[role]
                note(found, role, system.lstat, name)
                note(found, role + "'s target", system.stat, name)
                note(found, role + "'s directory", system.stat, os.path.dirname(name.rstrip("/")) or ".")
        for role in ("slot", "to_slot"):
            fd = self.side.fds.get(operation.get(role))
            if fd is not None:
                note(found, role, system.fstat, fd)
        return found

    def finish(self):
        self.after, self.end = self.look(), time.time_ns()
        self.by_number = {found.st_ino: found for found in self.after.values()}

    def change(self, role, field):
        """(old, new, verdict) of one time of what had this role before the step."""
        old = self.before[role]
        new = self.by_number.get(old.st_ino)
        if new is None:
            return None
        old, new = getattr(old, f"st_{field}_ns"), getattr(new, f"st_{field}_ns")
        if old != new:
            return old, new, "changed"
        return old, new, "unclear" if old >= self.start else "stayed"

    def is_present(self, value):
        return self.start <= value <= self.end


def note(found, role, look, name):
    try:
        found[role] = look(name)
    except (OSError, ValueError):
        pass


def compare(test, plain, allow):
    """Raises Wrong if what the step did to times differs, but not for what is in `allow`."""
    fields = [field for field in FIELDS if field not in allow]
    for field in fields:
        for role in plain.before:
            if role in test.before:
                compare_change(test, plain, role, field)
        for role in ("path", "to", "slot"):
            if role in plain.after and role in test.after:
                compare_new(test, plain, role, field)


def compare_change(test, plain, role, field):
    theirs, ours = plain.change(role, field), test.change(role, field)
    if theirs is None or ours is None or is_fifo_written(plain, role):
        return
    what = f"{field} of the {role}"
    if (theirs[2], ours[2]) == ("changed", "stayed"):
        raise Wrong(f"{what} stayed, and should have changed")
    if (theirs[2], ours[2]) == ("stayed", "changed"):
        raise Wrong(f"{what} changed, and should have stayed")
    if ours[2] == theirs[2] == "changed":
        compare_value(test, plain, what, ours[1], theirs[1])


def is_fifo_written(plain, role):
    """The kernel keeps a fifo's content, and does not tell a FUSE server that it was written."""
    writes = ("write", "write_file", "append_file", "copy", "script")
    return stat.S_ISFIFO(plain.before[role].st_mode) and plain.operation["do"] in writes


def compare_new(test, plain, role, field):
    """What the step made has the present as its times."""
    theirs, ours = plain.after[role], test.after[role]
    known = {found.st_ino for found in plain.before.values()}
    if theirs.st_ino in known:
        return
    what, name = f"{field} of the new {role}", f"st_{field}_ns"
    if plain.is_present(getattr(theirs, name)):
        compare_value(test, plain, what, getattr(ours, name), getattr(theirs, name))


def compare_value(test, plain, what, ours, theirs):
    if plain.is_present(theirs):
        if not test.is_present(ours):
            raise Wrong(f"{what} is {ours}, not within {test.start} to {test.end}")
    elif ours != theirs:
        raise Wrong(f"{what} is {ours}, and should be {theirs}")
