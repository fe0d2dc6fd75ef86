"""The life of the writable layer: where changes are kept, who may share them, what survives."""

import contextlib
import errno
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import time

import pytest
from support import missing
from wheelmaker import Wheel


@pytest.fixture
def lower(tmp_path):
    folder = tmp_path / "lower"
    (folder / "pkg/sub").mkdir(parents=True)
    (folder / "pkg/a.py").write_text("a = 1\n")
    (folder / "pkg/b.py").write_text("b = 1\n")
    (folder / "pkg/sub/c.py").write_text("c = 1\n")
    (folder / "big").write_bytes(os.urandom(3 << 20))
    return folder


@pytest.fixture
def layered(venvfs, lower, tmp_path):
    """Mounts the folder; options go to the command line."""
    def mount(*options, at=None, **kwargs):
        path = at or tmp_path / "m"
        venvfs.run("mount", path, "--layer", lower, *options, **kwargs)
        return path

    return mount


def state_of(venvfs, path):
    return pathlib.Path(next(row["state_directory"] for row in venvfs.list() if row["path"] == str(path)))


def ask_at(address, **request):
    """One question to a control socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as s:
        s.connect(address)
        s.send(json.dumps(request).encode())
        return json.loads(s.recv(1 << 20))


def socket_of(venvfs, path):
    return json.loads((state_of(venvfs, path) / "mount.json").read_text())["socket"]


def pages_of_changes(venvfs, path):
    request, address = {"verb": "changes"}, socket_of(venvfs, path)
    while True:
        answer = ask_at(address, **request)
        yield answer["changes"]
        if "next" not in answer:
            return
        request["from"] = answer["next"]


def changes(venvfs, path):
    return {row["path"]: row for page in pages_of_changes(venvfs, path) for row in page}


def test_without_a_change_there_is_no_index(venvfs, layered):
    path = layered()
    assert (path / "pkg/a.py").read_text() == "a = 1\n" and len(os.listdir(path / "pkg")) == 3
    upper = state_of(venvfs, path) / "upper"
    assert not (upper / "index.db").exists()
    (path / "new").touch()
    assert (upper / "index.db").exists()


def test_what_failed_is_no_change(venvfs, layered):
    path = layered()
    upper = state_of(venvfs, path) / "upper"
    for act in (
        lambda: os.rmdir(path / "pkg"), lambda: os.rename(path / "pkg/sub", path / "pkg"),
        lambda: os.removexattr(path / "big", "user.none"),
        lambda: os.setxattr(path / "big", "user.none", b"1", os.XATTR_REPLACE),
    ):
        with pytest.raises(OSError):
            act()
    os.rename(path / "big", path / "big")
    assert not (upper / "index.db").exists()
    os.rename(path / "pkg/sub", path / "sub")
    assert os.listdir(path / "sub") == ["c.py"] and (upper / "index.db").exists()


def test_changes_survive_a_remount_and_the_folder_stays_as_it_was(venvfs, layered, lower):
    path = layered()
    (path / "pkg/a.py").write_text("a = 2\n")
    (path / "pkg/new.py").write_text("new\n")
    os.rename(path / "pkg/sub", path / "moved")
    os.unlink(path / "pkg/b.py")
    before = {p: os.lstat(p).st_ino for p in (path / "pkg/a.py", path / "pkg/new.py", path / "moved")}
    venvfs.run("unmount", path)
    assert os.listdir(path) == []
    layered()
    assert (path / "pkg/a.py").read_text() == "a = 2\n" and (path / "pkg/new.py").read_text() == "new\n"
    assert os.listdir(path / "moved") == ["c.py"] and not (path / "pkg/b.py").exists()
    assert {p: os.lstat(p).st_ino for p in before} == before
    assert (lower / "pkg/a.py").read_text() == "a = 1\n" and (lower / "pkg/b.py").exists()


def test_a_server_killed_with_its_supervisor_loses_nothing_that_was_answered(venvfs, layered, tmp_path):
    path = layered()
    for round_number in range(5):
        done = []
        with contextlib.suppress(OSError):
            for i in range(2000):
                name = f"f{round_number}-{i}"
                (path / name).write_text(name)
                os.rename(path / name, path / (name + "x"))
                done.append(name + "x")
                if i == 150:
                    venvfs.kill_all(path)
        assert len(done) >= 150
        venvfs.run("mount", path, "--layer", tmp_path / "lower")
        for name in done:
            assert (path / name).read_text() == name[:-1]


def test_what_was_changed_is_listed(venvfs, layered):
    path = layered()
    os.chmod(path / "pkg/b.py", 0o600)
    (path / "pkg/a.py").write_text("a = 3\n")
    (path / "pkg/n.py").write_text("")
    os.rename(path / "pkg/sub", path / "sub2")
    (path / "sub2/d.py").write_text("")
    os.unlink(path / "big")
    kinds = {name: row["kind"] for name, row in changes(venvfs, path).items()}
    assert kinds == {
        "pkg/b.py": "attributes", "pkg/a.py": "changed", "pkg/n.py": "added", "pkg/sub": "removed",
        "sub2": "moved", "sub2/d.py": "added", "big": "removed",
    }
    before = changes(venvfs, path)["pkg/a.py"]
    time.sleep(0.01)
    (path / "pkg/a.py").write_text("a = 4\n")
    after = changes(venvfs, path)["pkg/a.py"]
    assert (before["change"], before["stamp"]) != (after["change"], after["stamp"])


def test_many_changes_come_in_pages(venvfs, layered):
    """What comes and goes in between neither hides anything else nor shows it twice."""
    path = layered()
    names = [f"{i:04}{'x' * 100}" for i in range(2000)]
    for name in names:
        (path / name).touch()
    found = []
    for at, page in enumerate(pages_of_changes(venvfs, path)):
        found += [row["path"] for row in page]
        (path / f"0000{at}").touch()
        os.rename(path / names[at], path / f"0001{at}")
        os.unlink(path / names[1999 - at])
    assert at > 3 and len(found) == len(set(found))
    assert set(names[at + 1 : 1999 - at]) <= set(found)


def test_a_change_has_any_path(venvfs, layered):
    path = layered()
    bells, bytes_ = "\a" * 255, b"\xff" * 255
    for i in range(400):
        os.mkdir(path / f"{i:03}{bells[3:]}")
    open(os.fsencode(path) + b"/" + bytes_, "x").close()
    deep = os.open(path, os.O_RDONLY)
    for _ in range(300):
        os.mkdir("d" * 255, dir_fd=deep)
        inner = os.open("d" * 255, os.O_RDONLY, dir_fd=deep)
        os.close(deep)
        deep = inner
    os.close(deep)
    rows = [row for page in pages_of_changes(venvfs, path) for row in page]
    assert sum(row.get("path", "").endswith("\a") for row in rows) == 400
    assert [row["bytes"] for row in rows if "bytes" in row] == [bytes_.hex()]
    lengths = [row.get("length") or len(row["path"]) for row in rows if "bytes" not in row]
    assert len(rows) == 701 and {n * 256 - 1 for n in range(1, 301)} <= set(lengths)
    assert {row["kind"] for row in rows} == {"added"}


def test_ephemeral_changes_are_dropped(venvfs, layered):
    path = layered("--ephemeral")
    (path / "new").write_text("x")
    (path / "pkg/a.py").write_text("other")
    state = state_of(venvfs, path)
    venvfs.run("unmount", path)
    assert not (state / "ephemeral/index.db").exists() and not (state / "ephemeral/files").exists()
    layered("--ephemeral")
    assert not (path / "new").exists() and (path / "pkg/a.py").read_text() == "a = 1\n"
    (path / "again").write_text("x")
    venvfs.kill_all(path)
    layered("--ephemeral")
    assert not (path / "again").exists()


def test_read_only_changes_nothing_and_shows_no_changes(venvfs, layered):
    path = layered()
    (path / "new").write_text("x")
    venvfs.run("unmount", path)
    layered("--read-only")
    assert not (path / "new").exists()
    with pytest.raises(OSError) as caught:
        (path / "other").touch()
    assert caught.value.errno == errno.EROFS


def test_changes_go_to_a_local_disk_when_the_state_lies_on_a_network(venvfs, layered, tmp_path):
    path = layered(VENVFS_TEST_REMOTE_STATE="1")
    state = state_of(venvfs, path)
    local = pathlib.Path(f"/var/tmp/venvfs-{os.geteuid()}", state.name)
    try:
        (path / "new").write_text("new")
        assert (local / "upper/index.db").exists() and not (state / "upper").exists()
        assert local.parent.stat().st_mode & 0o777 == 0o700
        venvfs.run("unmount", path)
        layered(VENVFS_TEST_REMOTE_STATE="1")
        assert (path / "new").read_text() == "new"
        venvfs.run("unmount", path)
    finally:
        shutil.rmtree(local, ignore_errors=True)


def test_systemd_tmpfiles_spares_changes_in_var_tmp(venvfs, layered, tmp_path):
    if not shutil.which("systemd-tmpfiles"):
        missing("systemd-tmpfiles")
    path = layered(VENVFS_TEST_REMOTE_STATE="1")
    local = pathlib.Path(f"/var/tmp/venvfs-{os.geteuid()}", state_of(venvfs, path).name)
    config = tmp_path / "old.conf"
    config.write_text(f"e {local} - - - 1s\n")

    def clean():
        assert subprocess.run(["systemd-tmpfiles", "--clean", config]).returncode == 0

    try:
        (path / "new").write_text("new")
        (path / "d").mkdir()
        before = {p for p in local.rglob("*") if p.is_file()}
        time.sleep(2)  # older than a second
        clean()
        assert {p for p in local.rglob("*") if p.is_file()} == before
        venvfs.run("unmount", path)
        time.sleep(2)
        clean()
        layered(VENVFS_TEST_REMOTE_STATE="1")
        assert (path / "new").read_text() == "new"
        venvfs.run("unmount", path)
    finally:
        shutil.rmtree(local, ignore_errors=True)


def test_content_that_somebody_removed_is_an_error_and_not_empty(venvfs, layered):
    path = layered()
    state = state_of(venvfs, path)
    (path / "new").write_text("new")
    venvfs.run("unmount", path)
    [content] = (state / "upper/files").glob("*/*")
    content.unlink()
    layered()
    with pytest.raises(OSError) as caught:
        (path / "new").read_text()
    assert caught.value.errno == errno.EIO
    assert "READ of inode" in (state / "log").read_text()
    (path / "new").unlink()
    (path / "new").write_text("once more")
    assert (path / "new").read_text() == "once more"


def test_a_folder_of_another_in_var_tmp_is_refused(venvfs, lower, tmp_path):
    own = pathlib.Path(f"/var/tmp/venvfs-{os.geteuid()}")
    own.mkdir(mode=0o700, exist_ok=True)
    own.chmod(0o770)
    try:
        said = venvfs.refused("mount", tmp_path / "m", "--layer", lower, VENVFS_TEST_REMOTE_STATE="1")
        assert str(own) in said and "--upper" in said
        venvfs.run("mount", tmp_path / "m", "--layer", lower, "--upper", tmp_path / "up", VENVFS_TEST_REMOTE_STATE="1")
    finally:
        own.chmod(0o700)


def test_a_refused_second_mount_leaves_the_upper_of_the_first_as_it_is(venvfs, layered, lower, tmp_path):
    first = layered("--upper", tmp_path / "up")
    before = [(tmp_path / "up" / name).read_bytes() for name in ("base", "layers")]
    other = tmp_path / "other"
    other.mkdir()
    (other / "else").write_text("else")
    for fresh in ([], ["--fresh"]):
        venvfs.refused("mount", tmp_path / "second", "--layer", other, "--upper", tmp_path / "up", *fresh)
        assert [(tmp_path / "up" / name).read_bytes() for name in ("base", "layers")] == before
    (first / "new").write_text("new")
    with open(first / "pkg/a.py", "a") as file:
        file.write("changed")
    venvfs.run("unmount", first)
    layered("--upper", tmp_path / "up")
    assert (first / "new").read_text() == "new" and (first / "pkg/a.py").read_text() == "a = 1\nchanged"


def test_no_second_mount_gets_in_between_two_servers_of_the_first(venvfs, layered, lower, tmp_path):
    first = layered("--upper", tmp_path / "up")
    row = venvfs.list()[0]
    other = tmp_path / "other"
    other.mkdir()
    (other / "else").write_text("else")
    before = (tmp_path / "up/base").read_bytes()
    # Stopped, it starts no other worker when that dies.
    os.kill(row["supervisor"], signal.SIGSTOP)
    try:
        os.kill(row["pid"], signal.SIGKILL)
        said = venvfs.refused("mount", tmp_path / "second", "--layer", other, "--upper", tmp_path / "up")
        assert str(first) in said and "two mounts cannot share" in said
    finally:
        os.kill(row["supervisor"], signal.SIGCONT)
    assert (tmp_path / "up/base").read_bytes() == before
    assert (first / "pkg/a.py").read_text() == "a = 1\n"


def test_an_upper_that_others_could_replace_is_refused(venvfs, lower, tmp_path):
    shared, own = tmp_path / "shared", tmp_path / "own"
    shared.mkdir()
    shared.chmod(0o777)
    own.mkdir()
    (shared / "link").symlink_to(own)
    for upper in (shared / "up", shared / "link", shared / "link/up"):
        said = venvfs.refused("mount", tmp_path / "m", "--layer", lower, "--upper", upper)
        assert str(shared) in said and "chmod go-w" in said
    assert sorted(shared.iterdir()) == [shared / "link"] and not list(own.iterdir())


def test_two_mounts_never_share_an_upper(venvfs, layered, lower, tmp_path):
    first = layered("--upper", tmp_path / "up")
    (first / "new").write_text("x")
    said = venvfs.refused("mount", tmp_path / "second", "--layer", lower, "--upper", tmp_path / "up")
    assert str(first) in said and "two mounts cannot share" in said
    assert not (tmp_path / "second").exists()
    venvfs.run("unmount", first)
    venvfs.run("mount", tmp_path / "second", "--layer", lower, "--upper", tmp_path / "up")
    assert (tmp_path / "second/new").read_text() == "x"


def test_an_upper_that_others_can_change_is_refused(venvfs, lower, tmp_path):
    (tmp_path / "up").mkdir()
    (tmp_path / "up").chmod(0o777)
    said = venvfs.refused("mount", tmp_path / "m", "--layer", lower, "--upper", tmp_path / "up")
    assert "is writable by others" in said


def test_an_index_that_is_none_is_refused_and_left_alone(venvfs, layered, lower, tmp_path):
    path = layered("--upper", tmp_path / "up")
    (path / "new").touch()
    venvfs.run("unmount", path)
    index = tmp_path / "up/index.db"
    for content in (b"garbage", b"garbage" * 1000, index.read_bytes()[:5000]):
        index.write_bytes(content)
        said = venvfs.refused("mount", path, "--layer", lower, "--upper", tmp_path / "up")
        assert "index.db" in said
        assert index.read_bytes() == content


def test_an_index_that_was_never_written_is_none(venvfs, layered, lower, tmp_path):
    """A power cut came between making it and its first row."""
    (tmp_path / "up").mkdir()
    (tmp_path / "up/index.db").touch()
    path = layered("--upper", tmp_path / "up")
    (path / "new").touch()
    assert sorted(os.listdir(path)) == ["big", "new", "pkg"]


def test_a_newer_index_is_refused_and_left_alone(venvfs, layered, lower, tmp_path):
    import sqlite3

    path = layered("--upper", tmp_path / "up")
    (path / "new").touch()
    venvfs.run("unmount", path)
    with contextlib.closing(sqlite3.connect(tmp_path / "up/index.db")) as db:
        db.execute("PRAGMA user_version = 99")
        db.commit()
    assert "another version" in venvfs.refused("mount", path, "--layer", lower, "--upper", tmp_path / "up")


def test_fresh_drops_changes_over_other_packages(venvfs, tmp_path, python):
    path = tmp_path / ".venv"
    first = Wheel().write(tmp_path)
    second = Wheel("other").write(tmp_path)
    venvfs.run("mount", "--python", python, path, first)
    (path / "mine").write_text("x")
    venvfs.run("unmount", path)
    venvfs.run("mount", "--fresh", "--python", python, path, first, second)
    assert not (path / "mine").exists()


@pytest.mark.parametrize("options", [[], ["--read-only"], ["--ephemeral"]])
def test_changes_can_be_reached_again_after_other_packages(venvfs, tmp_path, python, options):
    """Mounting something else there takes nothing from them."""
    path = tmp_path / ".venv"
    first = Wheel().write(tmp_path)
    others = [Wheel(name).write(tmp_path) for name in ("other", "third")]
    venvfs.run("mount", "--python", python, path, first)
    (path / "mine").write_text("x")
    venvfs.run("unmount", path)
    venvfs.run("mount", *options, "--python", python, path, *others)
    assert (path / "mine").exists() == (not options)
    venvfs.run("unmount", path)
    venvfs.run("mount", "--python", python, path, first)
    assert (path / "mine").read_text() == "x"


def test_content_of_an_index_that_is_gone_never_comes_back(venvfs, layered, tmp_path):
    """Numbers of nodes begin anew with an index; files/ of an earlier one must not count."""
    path = layered("--upper", tmp_path / "up")
    (path / "old").write_text("old content")
    venvfs.run("unmount", path)
    (tmp_path / "up/index.db").unlink()
    layered("--upper", tmp_path / "up")
    (path / "fresh").touch()
    assert (path / "fresh").read_text() == ""


def test_a_file_cut_to_nothing_may_lose_its_content_in_a_power_cut(venvfs, layered, tmp_path):
    path = layered("--upper", tmp_path / "up")
    (path / "pkg/a.py").write_text("")
    (path / "pkg/b.py").open("a").write("more")
    venvfs.run("unmount", path)
    contents = [p for p in (tmp_path / "up/files").rglob("*") if p.is_file()]
    assert len(contents) == 2
    for content in contents:
        content.unlink()
    layered("--upper", tmp_path / "up")
    assert (path / "pkg/a.py").read_text() == "" and (path / "pkg/a.py").stat().st_size == 0
    (path / "pkg/a.py").write_text("again")
    assert (path / "pkg/a.py").read_text() == "again"
    # The other one had content that was flushed: without it this is damage, which can be removed.
    with pytest.raises(OSError) as caught:
        (path / "pkg/b.py").read_text()
    assert caught.value.errno == errno.EIO
    (path / "pkg/b.py").unlink()


def test_trusted_names_are_root_s(layered, tmp_path):
    for parent in [tmp_path, *tmp_path.parents]:
        if str(parent).startswith("/tmp/"):
            parent.chmod(parent.stat().st_mode | 0o055)
    path = layered("-o", "allow_other")
    os.setxattr(path / "pkg/a.py", "trusted.note", b"x")
    os.setxattr(path / "pkg/a.py", "user.note", b"x")
    assert sorted(os.listxattr(path / "pkg/a.py")) == ["trusted.note", "user.note"]
    said = subprocess.run(["/usr/bin/getfattr", "-m", "-", path / "pkg/a.py"], user=4321, group=4321,
                          extra_groups=[], capture_output=True, text=True, check=True)
    assert said.stdout.splitlines()[1:] == ["user.note", ""]


@pytest.mark.parametrize("where", ["cache", "state", "upper", "below"])
def test_a_mount_over_what_its_server_needs_is_refused(venvfs, lower, tmp_path, where):
    """It would wait for itself."""
    inside = {"cache": tmp_path / "cache", "state": tmp_path / "state", "upper": tmp_path / "up",
              "below": tmp_path / "up"}[where]
    upper = tmp_path / "up" / "deep" if where == "below" else tmp_path / "up"
    said = venvfs.refused("mount", "--over", inside, "--layer", lower, "--upper", upper)
    assert "would be hidden by the mount" in said
    assert f" {inside} " not in pathlib.Path("/proc/self/mountinfo").read_text()


def test_a_mount_in_a_mount(venvfs, layered, lower, tmp_path):
    outer = layered()
    inner = outer / "pkg/inner"
    venvfs.run("mount", inner, "--layer", lower)
    (inner / "deep").write_text("x")
    assert (inner / "pkg/a.py").read_text() == "a = 1\n" and (inner / "deep").read_text() == "x"
    venvfs.run("unmount", inner)
    venvfs.run("unmount", outer)


def test_acls_and_capabilities_are_refused_and_user_xattrs_kept(layered):
    path = layered()
    file = path / "pkg/a.py"
    for name in ("system.posix_acl_access", "security.selinux"):
        with pytest.raises(OSError) as caught:
            os.setxattr(file, name, b"\x02\0\0\0")
        assert caught.value.errno in (errno.EOPNOTSUPP, errno.EINVAL), name
    os.setxattr(file, "user.note", b"kept")
    os.rename(file, path / "renamed")
    assert os.getxattr(path / "renamed", "user.note") == b"kept"


def test_a_copy_up_that_fails_leaves_the_file_as_it_was(venvfs, lower, tmp_path):
    """Too little room for a copy of the file: the error is the disk's, and nothing is left."""
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "venvfs-test", disk], check=True)
    path = tmp_path / "m"
    try:
        venvfs.run("mount", path, "--layer", lower, "--upper", disk / "up")
        before = (path / "big").read_bytes()
        with pytest.raises(OSError) as caught, open(path / "big", "r+b") as f:
            f.write(b"x")
        assert caught.value.errno == errno.ENOSPC
        assert (path / "big").read_bytes() == before
        assert os.listdir(disk / "up/staging") == []
        os.chmod(path / "big", 0o600)
        venvfs.run("unmount", path)
    finally:
        subprocess.run(["umount", disk], check=True)


def test_bytecode_is_kept(venv, tmp_path):
    """Bytecode is written, and read at the next start."""
    path = venv(Wheel().write(tmp_path))
    env = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    for _ in range(2):
        subprocess.run([path / "bin/python", "-c", "import demo"], check=True, env=env)
    assert list(path.glob("lib/python3*/site-packages/demo/__pycache__/*.pyc"))
