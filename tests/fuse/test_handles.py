"""File handles (name_to_handle_at, open_by_handle_at), as NFS and backup programs keep them."""

import ctypes
import errno
import os
import shutil

import pytest

LIBC = ctypes.CDLL(None, use_errno=True)
HANDLE_BYTES = 128

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="open_by_handle_at(2) is root's")


class Handle(ctypes.Structure):
    _fields_ = [("size", ctypes.c_uint), ("type", ctypes.c_int), ("bytes", ctypes.c_ubyte * HANDLE_BYTES)]


def handle_of(path):
    handle = Handle(size=HANDLE_BYTES)
    if LIBC.name_to_handle_at(-100, os.fsencode(path), ctypes.byref(handle), ctypes.byref(ctypes.c_int()), 0) < 0:
        raise OSError(ctypes.get_errno(), "name_to_handle_at", str(path))
    return handle


def open_handle(mount, handle, flags=os.O_RDONLY):
    at = os.open(mount, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fd = LIBC.open_by_handle_at(at, ctypes.byref(handle), flags)
    finally:
        os.close(at)
    if fd < 0:
        raise OSError(ctypes.get_errno(), "open_by_handle_at")
    return fd


def read_by(mount, handle):
    with open(open_handle(mount, handle), "rb") as f:
        return f.read()


def path_by(mount, handle):
    fd = open_handle(mount, handle)
    try:
        return os.readlink(f"/proc/self/fd/{fd}")
    finally:
        os.close(fd)


def assert_stale(mount, handle):
    with pytest.raises(OSError) as e:
        os.close(open_handle(mount, handle))
    assert e.value.errno == errno.ESTALE


@pytest.fixture
def lower(tmp_path):
    root = tmp_path / "lower"
    for name in ("dir/sub/deep", "dir/plain", "tree/sub/leaf", "tree/kept", "renamed", "removed", "written"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)
    os.link(root / "renamed", root / "linked")
    return root


def test_handles_outlive_a_remount(venvfs, tmp_path, lower):
    mount = tmp_path / "mount"
    arguments = ("mount", mount, "--layer", lower, "--upper", tmp_path / "upper")
    venvfs.run(*arguments)
    (mount / "new" / "inner").mkdir(parents=True)
    (mount / "new/inner/file").write_text("made")
    names = ("dir/sub/deep", "dir/plain", "renamed", "linked", "written", "new/inner/file")
    files = {name: handle_of(mount / name) for name in names}
    folders = {name: handle_of(mount / name) for name in ("dir", "dir/sub", "new/inner", ".")}
    (mount / "renamed").rename(mount / "dir/elsewhere")
    (mount / "dir/sub").rename(mount / "moved")
    (mount / "written").write_text("other")
    venvfs.run("unmount", mount)
    venvfs.run(*arguments)
    assert read_by(mount, files["dir/sub/deep"]) == b"dir/sub/deep"
    assert read_by(mount, files["dir/plain"]) == b"dir/plain"
    assert read_by(mount, files["renamed"]) == read_by(mount, files["linked"]) == b"renamed"
    assert read_by(mount, files["written"]) == b"other"
    assert read_by(mount, files["new/inner/file"]) == b"made"
    assert path_by(mount, folders["dir"]) == f"{mount}/dir"
    assert path_by(mount, folders["dir/sub"]) == f"{mount}/moved"
    assert path_by(mount, folders["new/inner"]) == f"{mount}/new/inner"
    assert path_by(mount, folders["."]) == str(mount)


def test_a_handle_of_what_was_removed_is_stale(venvfs, tmp_path, lower):
    mount = tmp_path / "mount"
    arguments = ("mount", mount, "--layer", lower, "--upper", tmp_path / "upper")
    venvfs.run(*arguments)
    (mount / "new").write_text("made")
    names = ("removed", "new", "tree", "tree/sub", "tree/sub/leaf", "tree/kept", "renamed")
    handles = {name: handle_of(mount / name) for name in names}
    for name in ("removed", "new", "linked"):
        (mount / name).unlink()
    (mount / "tree/kept").rename(mount / "kept")
    shutil.rmtree(mount / "tree")
    (mount / "removed").write_text("another")
    (mount / "tree/sub").mkdir(parents=True)
    (mount / "tree/sub/leaf").write_text("another")
    # The second mount has removed the rows of what no name led to.
    for _ in range(3):
        for name in ("removed", "new", "tree", "tree/sub", "tree/sub/leaf"):
            assert_stale(mount, handles[name])
        assert read_by(mount, handles["tree/kept"]) == b"tree/kept"
        assert read_by(mount, handles["renamed"]) == b"renamed"
        venvfs.run("unmount", mount)
        venvfs.run(*arguments)


def test_a_read_only_mount_has_handles_too(venvfs, tmp_path, lower):
    mount = tmp_path / "mount"
    venvfs.run("mount", mount, "--layer", lower, "--read-only")
    leaf, folder = handle_of(mount / "dir/sub/deep"), handle_of(mount / "dir/sub")
    venvfs.run("unmount", mount)
    venvfs.run("mount", mount, "--layer", lower, "--read-only")
    assert read_by(mount, leaf) == b"dir/sub/deep"
    assert path_by(mount, folder) == f"{mount}/dir/sub"
