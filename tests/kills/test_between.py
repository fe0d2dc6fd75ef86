"""Workers that die after a change was committed and before its reply: each change is made once.

VENVFS_TEST_DIE=N ends a worker by SIGKILL at its N-th change. The same calls are made in the
mount and in a plain directory; results and trees must be the same. Most of these calls fail,
or do something else, when they are done twice.
"""

import os
import stat
import sys

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../fuse"))

from modelparts.syscalls import RENAME_EXCHANGE, RENAME_NOREPLACE, System, call  # noqa: E402

SYSTEM = System()
MANY = (1, 2, 3, 5, 7, 11, 16, 24)
# These are made again, and so would end each worker anew where each change ends one.
REPEATED = {"tmpfile", "append", "cut_on_open", "truncate", "chmod", "own", "allocate"}


def create(root, name, content=b""):
    fd = os.open(root / name, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o640)
    try:
        os.write(fd, content)
    finally:
        os.close(fd)


def tmpfile(root, name):
    """Without a name first, then with one."""
    fd = os.open(root, os.O_TMPFILE | os.O_RDWR, 0o600)
    try:
        os.write(fd, b"nameless")
        SYSTEM.link_open(fd, root / name)
    finally:
        os.close(fd)


def append(root, name, content):
    with open(root / name, "ab", buffering=0) as f:
        f.write(content)


def cut_on_open(root, name):
    os.close(os.open(root / name, os.O_WRONLY | os.O_TRUNC))


def exchange(root, a, b):
    SYSTEM.rename(root / a, root / b, RENAME_EXCHANGE)


def rename_new(root, a, b):
    SYSTEM.rename(root / a, root / b, RENAME_NOREPLACE)


def mark(root, name, flag, value=b"1"):
    os.setxattr(root / name, "user.mark", value, flag)


def allocate(root, name):
    fd = os.open(root / name, os.O_RDWR)
    try:
        SYSTEM.fallocate(fd, 0, 0, 20_000)
    finally:
        os.close(fd)


def own(root, name):
    call("lchown", os.fsencode(root / name), 12, 34)


# (what, its arguments); `lower*` and `folder` are there from the start.
CALLS = (
    (create, "a", b"content"), (create, "b"), (create, "a"), (os.mkdir, "d"), (os.mkdir, "d"),
    (os.mkdir, "d/e"), (os.rename, "a", "d/a"), (os.rename, "a", "d/a"), (rename_new, "b", "d/b"),
    (rename_new, "d/a", "d/b"), (os.link, "d/a", "l1"), (os.link, "d/a", "l2"), (os.link, "d/a", "l2"),
    (os.rename, "l1", "l2"), (os.symlink, "d/a", "s"), (os.symlink, "d/a", "s"), (os.unlink, "l1"),
    (os.unlink, "l1"), (exchange, "d/a", "d/b"), (exchange, "d", "s"), (exchange, "d", "s"),
    (mark, "d/a", os.XATTR_CREATE), (mark, "d/a", os.XATTR_CREATE), (mark, "d/a", os.XATTR_REPLACE, b"2"),
    (mark, "d", os.XATTR_CREATE), (os.removexattr, "d", "user.mark"), (os.removexattr, "d", "user.mark"),
    (os.rmdir, "d/e"), (os.rmdir, "d/e"), (os.rmdir, "d"), (tmpfile, "t"), (tmpfile, "t"),
    (os.mkfifo, "fifo"), (os.mkfifo, "fifo"), (append, "d/a", b"1"), (append, "d/a", b"2"),
    (append, "lower1", b"more"), (append, "lower1", b"and more"), (cut_on_open, "lower2"), (os.truncate, "lower3", 70_000),
    (os.chmod, "lower4", 0o600), (own, "lower4"), (os.rename, "lower4", "lower5"), (os.unlink, "lower6"),
    (os.unlink, "lower6"), (create, "lower6", b"again"), (os.rename, "folder", "moved"), (os.mkdir, "folder"),
    (create, "folder/x", b"x"), (os.rename, "moved", "folder/moved"), (os.link, "lower7", "lower7b"),
    (os.unlink, "lower7"), (os.unlink, "folder/moved/lower"), (os.rmdir, "folder/moved"), (allocate, "lower7b"),
    (os.rename, "folder/x", "folder/y"), (os.rename, "folder/y", "folder/x"), (os.unlink, "folder/x"), (os.rmdir, "folder"),
    (os.mkdir, "folder"),
)
PATHS_OF = {os.link: 2, os.rename: 2}


def make_lower(folder):
    (folder / "folder").mkdir(parents=True)
    (folder / "folder/lower").write_bytes(b"below")
    for i in range(1, 8):
        (folder / f"lower{i}").write_bytes(bytes([i]) * 90_000)


def do(root, what, *arguments):
    """What came of it: None, or the error's number."""
    try:
        if what in (os.symlink,):
            what(arguments[0], root / arguments[1])
        elif what.__module__ in ("posix", "os"):
            paths = PATHS_OF.get(what, 1)
            what(*[root / a for a in arguments[:paths]], *arguments[paths:])
        else:
            what(root, *arguments)
    except OSError as e:
        return e.errno
    return None


def tree(root):
    """{path: type, mode, owner, links, size, content or target, attributes}."""
    found = {}
    for parent, folders, names in os.walk(root):
        for name in folders + names:
            path = os.path.join(parent, name)
            st = os.lstat(path)
            content = None
            if stat.S_ISLNK(st.st_mode):
                content = os.readlink(path)
            elif stat.S_ISREG(st.st_mode):
                with open(path, "rb") as f:
                    content = f.read()
            marks = {n: os.getxattr(path, n, follow_symlinks=False)
                     for n in os.listxattr(path, follow_symlinks=False)}
            size = st.st_size if stat.S_ISREG(st.st_mode) else 0
            found[os.path.relpath(path, root)] = (st.st_mode, st.st_uid, st.st_gid, st.st_nlink, size, content, marks)
    return found


def do_all(root, left_out=()):
    return [(one[0].__name__, one[1:], do(root, *one)) for one in CALLS if one[0].__name__ not in left_out]


resent_or_kept = pytest.mark.parametrize("masked", ["", "resend"], ids=["resent", "from-buffers"])


@resent_or_kept
@pytest.mark.parametrize("changes", MANY)
def test_each_change_is_made_once(ground, tmp_path, changes, masked):
    lower, plain = tmp_path / "lower", tmp_path / "plain"
    make_lower(lower)
    make_lower(plain)
    g = ground(VENVFS_TEST_DIE=str(changes), **({"VENVFS_MASK": masked} if masked else {}))
    g.mount("--layer", lower)
    left_out = REPEATED if changes == 1 else ()
    expected = do_all(plain, left_out)
    found = g.together(lambda: do_all(g.at, left_out))[0]
    assert [pair for pair in zip(found, expected) if pair[0] != pair[1]] == []
    assert tree(g.at) == tree(plain)
    # Writes to content of its own are no changes of rows, and few calls are two.
    made = sum(result is None for _, _, result in expected) * 3 // 4
    assert made > 20 and g.row()["restarts"] >= made // changes - 1
    g.remount()
    assert tree(g.at) == tree(plain)


@resent_or_kept
@pytest.mark.parametrize("changes", [3, 4, 5])
def test_clients_at_once_are_each_answered_their_own(ground, tmp_path, changes, masked):
    lower, plain = tmp_path / "lower", tmp_path / "plain"
    clients = [f"client{i}" for i in range(4)]
    for name in clients:
        make_lower(lower / name)
    make_lower(plain)
    g = ground(VENVFS_TEST_DIE=str(changes), **({"VENVFS_MASK": masked} if masked else {}))
    g.mount("--layer", lower)
    expected = do_all(plain)
    found = g.together(*[lambda name=name: do_all(g.at / name) for name in clients])
    for name, its in zip(clients, found):
        assert [pair for pair in zip(its, expected) if pair[0] != pair[1]] == []
        assert tree(g.at / name) == tree(plain)
    assert g.row()["restarts"] >= 100 // changes


def test_a_name_that_comes_and_goes_does_so_once(ground, tmp_path):
    make_lower(tmp_path / "lower")
    g = ground(VENVFS_TEST_DIE="1")
    g.mount("--layer", tmp_path / "lower")

    def come_and_go():
        for _ in range(60):
            os.mkdir(g.at / "again")
            os.rmdir(g.at / "again")
        return True

    assert g.together(come_and_go) == [True]
    assert g.row()["restarts"] >= 120
