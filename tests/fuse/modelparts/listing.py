"""Listings: whole, and in small pieces while names come and go."""

import os

from .side import Wrong


def walk_up(side, path):
    """(name, is a directory) of all below `path` and of itself, children first.

    A listing is read on after what it named was removed, as rm does it. What may not be listed
    has nothing below it.
    """
    try:
        with side.system.scandir(path) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    yield from walk_up(side, entry.path)
                else:
                    yield entry.path, False
    except OSError:
        pass
    yield path, True


def churn(side, path, chunk, edits, back):
    """Lists `path` in pieces, doing one edit after each; then goes back to a cookie.

    A name that was there all the time must come exactly once, at the first pass and when the
    listing is read again from any place; a name that was never there must not come.
    """
    fd = side.system.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        before = set(side.system.listdir(path))
        touched = {name for edit in edits for name in edit[1:]}
        listed, results = read_on(side, fd, path, chunk, list(edits))
        judge(listed, before - touched, before | touched)
        place = back % len(listed)
        side.system.lseek(fd, listed[place][1], os.SEEK_SET)
        again, _ = read_on(side, fd, path, chunk, [])
        seen = {entry[0] for entry in listed[: place + 1]}
        judge(again, before - touched - seen, (before | touched) - (seen - touched))
    finally:
        side.system.close(fd)
    return results


def read_on(side, fd, path, chunk, edits):
    listed, results = [], []
    while piece := side.system.getdents(fd, chunk):
        listed += piece
        if edits:
            results.append(edit(side, path, edits.pop(0)))
    # How many pieces there are is each file system's own affair; what is done is not.
    results += [edit(side, path, change) for change in edits]
    return listed, results


def edit(side, path, change):
    what, names = change[0], [os.path.join(path, name) for name in change[1:]]
    try:
        if what == "create":
            side.system.close(side.system.open(names[0], os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644))
        elif what == "unlink":
            side.system.unlink(names[0])
        else:
            side.system.rename(*names)
    except OSError as e:
        return e.errno
    return 0


def judge(listed, must, may):
    names = [entry[0] for entry in listed if entry[0] not in (".", "..")]
    stayed = [name for name in names if name in must]
    if len(stayed) != len(set(stayed)):
        twice = sorted(name for name in set(stayed) if stayed.count(name) > 1)
        raise Wrong(f"a listing has twice what stayed in place: {twice[:3]}")
    if must - set(stayed):
        raise Wrong(f"a listing lacks what was there all the time: {sorted(must - set(stayed))[:3]}")
    if set(names) - may:
        raise Wrong(f"a listing has what was not to come: {sorted(set(names) - may)[:3]}")
