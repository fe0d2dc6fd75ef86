"""How a mount is served: requests, damage, permissions, and its life from mount to unmount."""

import contextlib
import ctypes
import errno
import os
import pathlib
import pwd
import signal
import socket
import subprocess
import threading
import time

import pytest
from support import BINARY, is_masked, missing
from waiting import PATIENCE, has_ended, wait_until
from wheelmaker import Wheel

SUPERVISE = pathlib.Path(BINARY).with_name("venvfs-supervise")


def site(path):
    return next(path.glob("lib/python3*/site-packages"))


def big_wheel(folder, name="big"):
    """Small files of an image, one of several blocks, and an object."""
    w = Wheel(name)
    for i in range(300):
        w.add(f"{name}/m{i:03}.py", f"n = {i}\n".encode() * (i % 50 + 1))
    w.add(f"{name}/blocks.bin", os.urandom(50_000))
    w.add(f"{name}/object.bin", os.urandom(3_000_000))
    return w, w.write(folder)


def total(requests):
    """All requests but IOCTL: Python up to 3.13 asks each file that it opens by open() whether
    it is a terminal (TCGETS), and no FUSE file system can keep the kernel from asking."""
    return sum(count for name, count in requests.items() if name != "IOCTL")


def test_a_warm_import_sends_no_requests(venvfs, venv, real_wheels, tmp_path):
    path = venv(*real_wheels)
    env = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    env["PYTHONPYCACHEPREFIX"] = str(tmp_path / "pyc")
    seen = []

    def is_warm():
        """Whoever needs memory may have the kernel forget, and then an import is not warm."""
        subprocess.run([path / "bin/python", "-c", "import numpy, requests, rich"], check=True, env=env)
        seen.append(venvfs.requests(path))
        return len(seen) >= 4 and total(seen[-1]) == total(seen[-2])

    wait_until(is_warm, lambda: f"an import without requests: {seen[-2:]}")
    assert total(seen[0]) > 50
    # Without bytecode every source is opened: no request but that for a terminal.
    assert seen[-1].get("IOCTL", 0) - seen[-2].get("IOCTL", 0) <= 2


def test_open_and_opendir_come_once(venvfs, venv, tmp_path):
    w, wheel = big_wheel(tmp_path)
    path = venv(wheel)
    for file in site(path).rglob("*.py"):
        file.read_bytes()
    requests = venvfs.requests(path)
    assert requests["OPEN"] <= 4 and requests["OPENDIR"] <= 4, requests
    assert "RELEASE" not in requests and "RELEASEDIR" not in requests


def test_a_missing_name_is_asked_for_once(venvfs, venv, tmp_path):
    path = venv(Wheel().write(tmp_path))
    for _ in range(5):
        assert not (path / "nowhere").exists()
    first = venvfs.requests(path)["LOOKUP"]
    for _ in range(5):
        assert not (path / "nowhere").exists()
    assert venvfs.requests(path)["LOOKUP"] == first


def test_large_reads_come_in_large_requests(venvfs, venv, tmp_path):
    w, wheel = big_wheel(tmp_path)
    path = venv(wheel)
    assert (site(path) / "big/object.bin").read_bytes() == w.files["big/object.bin"]
    assert venvfs.requests(path)["READ"] <= 12


def test_a_large_write_comes_in_a_few_requests(venvfs, venv, tmp_path):
    path = venv(Wheel().write(tmp_path))
    data = os.urandom(1 << 20)
    with open(path / "large", "wb", buffering=0) as f:
        assert f.write(data) == len(data)
    assert (path / "large").read_bytes() == data
    assert venvfs.requests(path)["WRITE"] == (8 if is_masked("large_reads") else 4)  # of 128 KiB, of 256


def test_every_byte_is_right_however_it_is_read(venv, tmp_path):
    w, wheel = big_wheel(tmp_path)
    root = site(venv(wheel))
    for name, data in w.files.items():
        if name.startswith("big/"):
            assert (root / name).read_bytes() == data
    data = w.files["big/object.bin"]
    with open(root / "big/object.bin", "rb", buffering=0) as f:
        for at in (0, 1, 4095, 65535, 65536, 65537, 1_048_575, 2_999_999, 3_000_000, 4_000_000):
            assert os.pread(f.fileno(), 70_001, at) == data[at : at + 70_001], at


def test_threads_reading_and_listing_at_once(venv, tmp_path):
    w, wheel = big_wheel(tmp_path)
    wheels = [wheel] + [Wheel(f"x{i}").add(f"space/n{i}.py", b"x").write(tmp_path) for i in range(20)]
    root = site(venv(*wheels))
    wrong = []

    def work(seed):
        names = sorted(n for n in w.files if n.startswith("big/"))
        for i in range(200):
            name = names[(i * 7 + seed) % len(names)]
            if (root / name).read_bytes() != w.files[name]:
                wrong.append(name)
            if len(os.listdir(root / "space")) != 20:
                wrong.append("space")

    threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong


def test_listings_have_each_name_once_and_can_be_resumed(venv, tmp_path):
    w, wheel = big_wheel(tmp_path)
    root = site(venv(wheel, Wheel("other").add("big/zzz.py", b"x").write(tmp_path)))
    names = os.listdir(root / "big")
    assert len(names) == len(set(names)) == sum(n.startswith("big/") for n in w.files) + 1
    libc = ctypes.CDLL(None, use_errno=True)
    libc.opendir.restype = ctypes.c_void_p
    libc.readdir.argtypes = libc.telldir.argtypes = [ctypes.c_void_p]
    libc.readdir.restype = ctypes.c_void_p
    libc.telldir.restype = ctypes.c_long
    libc.seekdir.argtypes = [ctypes.c_void_p, ctypes.c_long]

    def name_at(entry):
        return ctypes.string_at(entry + 19).decode()

    stream = libc.opendir(str(root / "big").encode())
    listed, places = [], []
    while True:
        place = libc.telldir(stream)
        entry = libc.readdir(stream)
        if not entry:
            break
        listed.append(name_at(entry))
        places.append(place)
    assert {".", ".."} < set(listed) and len(listed) == len(names) + 2
    for i in (1, 5, 100, len(listed) - 1):
        libc.seekdir(stream, places[i])
        assert name_at(libc.readdir(stream)) == listed[i]
    libc.closedir.argtypes = [ctypes.c_void_p]
    libc.closedir(stream)


@pytest.mark.parametrize("mask", [0o077, 0o777])
def test_a_mount_works_whatever_the_umask(venvfs, venv, tmp_path, mask):
    wheel, path = Wheel().write(tmp_path), tmp_path / ".venv"
    old = os.umask(mask)
    try:
        venv(wheel, at=path)
        (site(path) / "made.py").touch()
        venvfs.run("unmount", path)
        venv(wheel, at=path)
    finally:
        os.umask(old)
    assert (site(path) / "made.py").stat().st_mode & 0o777 == 0o666 & ~mask


def test_stat_says_what_an_installed_file_has(venv, tmp_path):
    w = Wheel().add("demo/tool", b"#!/bin/sh\n", 0o100755)
    path = venv(w.write(tmp_path))
    old = os.umask(0o077)
    try:
        source, tool = (site(path) / "demo/__init__.py").stat(), (site(path) / "demo/tool").stat()
    finally:
        os.umask(old)
    assert (source.st_mode & 0o7777, tool.st_mode & 0o7777) == (0o644, 0o755)
    assert (source.st_uid, source.st_gid) == (os.geteuid(), os.getegid())
    assert source.st_nlink == 1 and source.st_size == len(w.files["demo/__init__.py"])
    assert source.st_blocks == (source.st_size + 511) // 512
    assert source.st_mtime == int(source.st_mtime) and 315532800 <= source.st_mtime < 315532800 + (1 << 30)
    inodes = [p.lstat().st_ino for p in path.rglob("*")]
    assert len(inodes) == len(set(inodes)) and max(inodes) < 1 << 53
    # The root and what is listed have the numbers that stat gives.
    for entry in os.scandir(path):
        assert entry.inode() == entry.stat(follow_symlinks=False).st_ino


def test_inode_numbers_stay_over_a_remount(venvfs, venv, tmp_path):
    a, b = Wheel("a").write(tmp_path), Wheel("b").write(tmp_path)
    path = venv(a, b, at=tmp_path / ".venv")
    before = {str(p.relative_to(path)): p.lstat().st_ino for p in path.rglob("*")}
    venvfs.run("unmount", path)
    venv(a, b, at=path)
    assert {str(p.relative_to(path)): p.lstat().st_ino for p in path.rglob("*")} == before
    venvfs.run("unmount", path)
    # What stays in another plan keeps its number; what is new gets none that was used.
    venv(a, Wheel("c").write(tmp_path), at=path)
    after = {str(p.relative_to(path)): p.lstat().st_ino for p in path.rglob("*")}
    kept = [n for n in after if "/a/" in n]
    assert kept and all(after[n] == before[n] for n in kept)
    new = [n for n in after if "/c/" in n]
    assert new and not {after[n] for n in new} & set(before.values())


def test_directories_show_the_time_of_the_last_switch(venvfs, venv, tmp_path):
    a = Wheel("a").write(tmp_path)
    started = int(time.time())
    path = venv(a, at=tmp_path / ".venv")
    first = site(path).stat().st_mtime
    assert started <= first <= time.time()
    venvfs.run("unmount", path)
    time.sleep(1.1)
    venv(a, at=path)
    assert site(path).stat().st_mtime == first
    venvfs.run("unmount", path)
    venv(a, Wheel("b").write(tmp_path), at=path)
    assert site(path).stat().st_mtime > first


def test_everything_that_writes_is_erofs(venv, tmp_path):
    root = site(venv(Wheel().write(tmp_path), options=["--read-only"]))
    file = root / "demo/__init__.py"
    attempts = [
        lambda: file.write_bytes(b"x"), lambda: (root / "new").write_bytes(b"x"),
        lambda: os.mkdir(root / "new"), lambda: os.unlink(file), lambda: os.chmod(file, 0o600),
        lambda: os.rename(file, root / "demo/other"), lambda: os.symlink("x", root / "new"),
        lambda: os.utime(file), lambda: os.truncate(file, 0), lambda: os.link(file, root / "new"),
        lambda: os.setxattr(file, "user.x", b"y"), lambda: os.mkfifo(root / "new"),
        lambda: os.rmdir(root / "demo"), lambda: os.chown(file, 1, 1),
    ]
    for i, attempt in enumerate(attempts):
        with pytest.raises(OSError) as e:
            attempt()
        assert e.value.errno == errno.EROFS, i


def test_names_that_cannot_be(venv, tmp_path):
    path = venv(Wheel().write(tmp_path))
    for name, code in (("x" * 256, errno.ENAMETOOLONG), ("pyvenv.cfg/x", errno.ENOTDIR), ("a/b", errno.ENOENT)):
        with pytest.raises(OSError) as e:
            os.stat(path / name)
        assert e.value.errno == code, name


def test_the_mount_is_nosuid_nodev_ro(venv, tmp_path):
    path = venv(Wheel().write(tmp_path), options=["--read-only"])
    flags = os.statvfs(path).f_flag
    assert flags & os.ST_RDONLY and flags & os.ST_NOSUID and flags & os.ST_NODEV
    line = next(x for x in open("/proc/self/mountinfo") if f" {path} " in x)
    assert " fuse.venvfs venvfs " in line and "default_permissions" in line


def as_user(uid, *args):
    return subprocess.run(
        ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", *map(str, args)],
        capture_output=True, text=True,
    )


def test_other_users_get_in_with_allow_other_only_and_modes_bind_them(venvfs, tmp_path, python):
    for parent in [tmp_path, *tmp_path.parents]:
        if str(parent).startswith("/tmp/"):
            parent.chmod(parent.stat().st_mode | 0o055)
    path = tmp_path / ".venv"
    wheel = Wheel().write(tmp_path)
    venvfs.run("mount", "--python", python, path, wheel)
    assert as_user(1234, "cat", path / "pyvenv.cfg").returncode != 0
    venvfs.run("unmount", path)
    venvfs.run("mount", "--python", python, "-o", "allow_other,fsname=my venv", path, wheel)
    assert as_user(1234, "cat", path / "pyvenv.cfg").stdout.startswith("home = ")
    assert "my\\040venv" in open("/proc/self/mountinfo").read()


def images(venvfs):
    return [p for p in (venvfs.cache / "images").rglob("*") if p.is_file()]


def overwrite(path, at, data):
    mode = path.stat().st_mode
    path.chmod(0o600)
    with path.open("r+b") as f:
        f.seek(at)
        f.write(data)
        f.flush()
        os.fsync(f.fileno())
    path.chmod(mode)


def read_error(path):
    try:
        path.read_bytes()
    except OSError as e:
        return e.errno
    return None


def test_a_changed_byte_of_content_is_eio_and_logged(venvfs, venv, tmp_path):
    w, wheel = big_wheel(tmp_path)
    path = venv(wheel)
    obj = max((p for p in (venvfs.cache / "objects").rglob("*") if p.is_file()), key=lambda p: p.stat().st_size)
    overwrite(obj, 2_000_000, bytes([obj.read_bytes()[2_000_000] ^ 1]))
    target = site(path) / "big/object.bin"
    assert read_error(target) == errno.EIO
    content = w.files["big/blocks.bin"]
    holders = [*images(venvfs), *(p for p in (venvfs.cache / "objects").rglob("*") if p.is_file())]
    holder = next(p for p in holders if content in p.read_bytes())
    overwrite(holder, holder.read_bytes().index(content) + 40_000, bytes([content[40_000] ^ 1]))
    assert read_error(site(path) / "big/blocks.bin") == errno.EIO
    assert (site(path) / "big/m001.py").read_bytes() == w.files["big/m001.py"]
    log = next((venvfs.root / "state").rglob("log")).read_text()
    assert "READ" in log and "damaged" in log
    assert venvfs.list()[0]["state"] == "serving"


def test_a_changed_byte_of_metadata_is_eio_at_first_use(venvfs, venv, tmp_path):
    w, wheel = big_wheel(tmp_path)
    venvfs.add(wheel)
    image = images(venvfs)[0]
    data = image.read_bytes()
    overwrite(image, data.index(b"m150.py"), b"M")
    path = venv(wheel)
    assert read_error(site(path) / "big/m150.py") in (errno.EIO, errno.ENOENT)
    with pytest.raises(OSError) as e:
        os.listdir(site(path) / "big")
    assert e.value.errno == errno.EIO
    assert venvfs.list()[0]["state"] == "serving"


def test_an_image_cut_short_under_a_live_mount_never_kills_the_server(venvfs, venv, tmp_path):
    w, wheel = big_wheel(tmp_path)
    other = Wheel("other").write(tmp_path)
    path = venv(wheel, other)
    image = max(images(venvfs), key=lambda p: p.stat().st_size)
    image.chmod(0o600)
    os.truncate(image, 4096)
    for name in sorted(w.files)[:50]:
        read_error(site(path) / name)
    try:
        os.listdir(site(path) / "big")
    except OSError as e:
        assert e.errno == errno.EIO
    assert (site(path) / "other/__init__.py").read_bytes()
    assert venvfs.list()[0]["state"] == "serving"


def test_random_damage_under_a_live_mount_never_kills_the_server(venvfs, venv, tmp_path):
    import random

    w, wheel = big_wheel(tmp_path)
    path = venv(wheel)
    image = images(venvfs)[0]
    size = image.stat().st_size
    for _ in range(20):
        for _ in range(50):
            overwrite(image, random.randrange(size), os.urandom(1))
        for name in random.sample(sorted(w.files), 20):
            data = None
            try:
                data = (site(path) / name).read_bytes()
            except (OSError, StopIteration):
                pass
            assert data is None or data == w.files[name]
        subprocess.run(["ls", "-lR", path], capture_output=True)
    assert venvfs.list()[0]["state"] == "serving"


# -- from mount to unmount ----------------------------------------------------------------


def test_list_and_unmount(venvfs, venv, tmp_path):
    path = venv(Wheel().write(tmp_path))
    row = venvfs.list()[0]
    assert row["path"] == str(path) and row["state"] == "serving" and row["wheels"] == 1
    assert str(path) in venvfs.run("list").stdout
    venvfs.run("unmount", path)
    assert venvfs.list() == [] and os.listdir(path) == []
    wait_until(lambda: has_ended(row["pid"]))
    assert "is not mounted" in venvfs.refused("umount", path)


def test_mounting_twice_is_refused(venvfs, venv, tmp_path, python):
    wheel = Wheel().write(tmp_path)
    path = venv(wheel)
    line = venvfs.refused("mount", "--python", python, path, wheel)
    assert "is mounted already" in line and "venvfs unmount" in line


def test_remounting_at_once_many_times(venvfs, venv, tmp_path):
    wheel = Wheel().write(tmp_path)
    for _ in range(15):
        path = venv(wheel, at=tmp_path / ".venv")
        assert (site(path) / "demo/__init__.py").exists()
        venvfs.run("unmount", path)


def test_a_directory_that_holds_something_needs_over(venvfs, tmp_path, python):
    path = tmp_path / ".venv"
    path.mkdir()
    (path / "precious").write_text("mine")
    wheel = Wheel().write(tmp_path)
    assert "--over" in venvfs.refused("mount", "--python", python, path, wheel)
    venvfs.run("mount", "--over", "--python", python, path, wheel)
    assert not (path / "precious").exists() and (path / "pyvenv.cfg").exists()
    venvfs.run("unmount", path)
    assert (path / "precious").read_text() == "mine"


def test_dir_defaults_to_dot_venv(venvfs, tmp_path, python):
    wheel = Wheel().write(tmp_path)
    venvfs.run("mount", "--python", python, wheel.name, cwd=tmp_path)
    assert (tmp_path / ".venv/pyvenv.cfg").exists()
    venvfs.run("unmount", ".venv", cwd=tmp_path)


def test_a_busy_mount_names_who_keeps_it(venvfs, venv, tmp_path):
    path = venv(Wheel().write(tmp_path))
    holder = subprocess.Popen(["sleep", "600"], cwd=path)
    try:
        wait_until(lambda: pathlib.Path(f"/proc/{holder.pid}/comm").read_text() == "sleep\n")
        line = venvfs.refused("unmount", path)
        assert f"sleep ({holder.pid}, working directory)" in line
        assert venvfs.list()[0]["state"] == "serving"
    finally:
        holder.kill()
        holder.wait()
    venvfs.run("unmount", path)


def test_a_dead_mount_is_cleaned_up_by_the_next(venvfs, venv, tmp_path):
    wheel = Wheel().write(tmp_path)
    path = venv(wheel)
    venvfs.kill_all(path)
    with pytest.raises(OSError) as caught:
        os.statvfs(path)
    assert caught.value.errno in (errno.ENOTCONN, errno.ECONNABORTED)
    venv(wheel, at=path)
    assert (path / "pyvenv.cfg").exists()
    venvfs.kill_all(path)
    venvfs.run("unmount", path)
    assert os.listdir(path) == []
    venv(wheel, at=path)
    venvfs.kill_all(path)
    assert [row["state"] for row in venvfs.list()] == ["dead"]
    assert os.listdir(path) == [] and venvfs.list() == []


def test_a_foreign_mount_is_left_alone(venvfs, tmp_path, python):
    path = tmp_path / "tmpfs"
    path.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "venvfs-test", path], check=True)
    try:
        line = venvfs.refused("mount", "--python", python, path, Wheel().write(tmp_path))
        assert "mount point already (tmpfs)" in line
        assert "not a venvfs mount" in venvfs.refused("unmount", path)
    finally:
        subprocess.run(["umount", path], check=True)


def test_a_mount_that_fails_leaves_nothing(venvfs, tmp_path, python):
    bad = tmp_path / "demo-1.0-py3-none-any.whl"
    bad.write_bytes(b"no zip")
    venvfs.refused("mount", "--python", python, tmp_path / "a/b/.venv", bad)
    assert not (tmp_path / "a").exists() and venvfs.list() == []


def processes_of(root):
    """Those of venvfs that have a path below `root` among their arguments."""
    found = []
    for path in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            words = path.read_bytes().split(b"\0")
            if words[0].startswith(b"venvfs") and any(w.startswith(os.fsencode(root)) for w in words):
                found.append(words)
    return found


def test_a_mount_that_fails_once_its_server_has_started_leaves_none(venvfs, tmp_path, python):
    """The server gets ready while the plan is made, which two wheels of one package end."""
    a, b = Wheel("demo", "1.0").write(tmp_path), Wheel("demo", "2.0").write(tmp_path)
    assert "two wheels of demo" in venvfs.refused("mount", "--python", python, tmp_path / "m", a, b)
    wait_until(lambda: processes_of(venvfs.root) == [])  # of a killed worker nobody waits for the end
    assert not (tmp_path / "m").exists()
    assert list((venvfs.root / "run/venvfs").iterdir()) == []
    venvfs.run("mount", "--python", python, tmp_path / "m", a)
    assert [row["state"] for row in venvfs.list()] == ["serving"]


def test_a_server_ends_when_its_mount_is_not_made(venvfs, venv, tmp_path):
    """As after a `mount` that was killed before it had mounted."""
    path = venv(Wheel().write(tmp_path))
    (state,) = (venvfs.root / "state/venvfs/mounts").iterdir()
    (image,) = [p for p in (venvfs.cache / "images").glob("*/*") if p.is_file()]
    venvfs.run("unmount", path)
    before = (state / "mount.json").read_bytes()
    os.mkfifo(tmp_path / "gate")
    server = subprocess.Popen(
        ["sh", "-c", 'exec "$@" 3<>/dev/fuse 4>ready 5>>lock 9<gate', "sh", SUPERVISE, "mount", state,
         venvfs.root / "run/venvfs/socket", BINARY],
        cwd=tmp_path, env=venvfs.env, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )
    told = b"%b\0%b/run/venvfs/socket\0\0" % (os.fsencode(path), os.fsencode(venvfs.root))
    told += bytes.fromhex(image.parent.name + image.name) + bytes(16)
    (tmp_path / "gate").write_bytes(told)
    assert server.wait(timeout=PATIENCE) == 1
    assert (tmp_path / "ready").read_text() == "nothing was mounted\n"
    assert (state / "mount.json").read_bytes() == before
    assert list((venvfs.root / "run/venvfs").iterdir()) == [] == list((venvfs.cache / "leases").iterdir())


def test_a_mount_point_that_is_not_utf8_is_refused(venvfs, tmp_path, python):
    at = os.fsdecode(os.path.join(os.fsencode(tmp_path), b"lat\xe9in"))
    done = subprocess.run([BINARY, "mount", "--python", python, at, Wheel().write(tmp_path)],
                          capture_output=True, env=venvfs.env)
    assert done.returncode == 1 and b"is not UTF-8" in done.stderr and done.stderr.count(b"\n") == 1
    assert not os.path.exists(at)


def test_many_mounts_at_once(venvfs, tmp_path, python):
    wheel = Wheel().write(tmp_path)
    children = [
        subprocess.Popen([BINARY, "mount", "--python", python, tmp_path / f"e{i}/.venv", wheel], env=venvfs.env)
        for i in range(12)
    ]
    assert [c.wait() for c in children] == [0] * 12
    assert len(venvfs.list()) == 12
    venvfs.run("unmount", "--all")
    assert venvfs.list() == []


def test_two_mounts_of_one_place_at_once(venvfs, tmp_path, python):
    wheel = Wheel().write(tmp_path)
    command = [BINARY, "mount", "--python", python, tmp_path / ".venv", wheel]
    children = [subprocess.Popen(command, env=venvfs.env, stderr=subprocess.PIPE) for _ in range(6)]
    for c in children:
        c.communicate()
    assert sorted(c.returncode for c in children) == [0, 1, 1, 1, 1, 1]
    assert len(venvfs.list()) == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_foreground_serves_until_it_is_told_to_end(venvfs, tmp_path, python, number):
    path = tmp_path / ".venv"
    command = [BINARY, "mount", "-f", "--python", python, path, Wheel().write(tmp_path)]
    child = subprocess.Popen(command, env=venvfs.env)
    venvfs.hears_that_it_serves(child, path)
    assert venvfs.list()[0]["state"] == "serving" and (path / "pyvenv.cfg").exists()
    child.send_signal(number)
    assert child.wait(timeout=PATIENCE) == 0
    assert os.listdir(path) == [] and venvfs.list() == []


def test_foreground_ends_with_unmount(venvfs, tmp_path, python):
    path = tmp_path / ".venv"
    command = [BINARY, "mount", "--foreground", "--python", python, path, Wheel().write(tmp_path)]
    child = subprocess.Popen(command, env=venvfs.env)
    # Nor does it seem to be a user of the mount from then on.
    venvfs.hears_that_it_serves(child, path)
    assert (path / "pyvenv.cfg").exists()
    venvfs.run("unmount", path)
    assert child.wait(timeout=PATIENCE) == 0


def test_under_sudo_user_root_is_root(venvfs, tmp_path, python):
    path = tmp_path / ".venv"
    venvfs.run("mount", "--user", "root", "--python", python, path, Wheel().write(tmp_path), SUDO_UID="1000")
    assert {p.lstat().st_uid for p in venvfs.cache.rglob("*")} == {0}
    assert str(path) in venvfs.run("list", "--user", "root", SUDO_UID="1000").stdout
    venvfs.run("unmount", "--user", "root", path, SUDO_UID="1000")


@pytest.mark.parametrize("args", [
    ["mount", "--nonsense"], ["unmount", "--all", "x"], ["list", "x"], ["nonsense"], [],
    ["cache"], ["cache", "nonsense"], ["cache", "add"],
])
def test_wrong_usage_is_status_2(venvfs, args):
    done = venvfs.run(*args, ok=False)
    assert done.returncode == 2 and done.stderr and not done.stdout


@pytest.mark.parametrize("verb", [[], ["mount"], ["unmount"], ["list"], ["export"], ["exec"], ["cache"], ["cache", "add"],
                                  ["cache", "list"], ["cache", "verify"], ["cache", "dir"]])
def test_help_for_every_verb(venvfs, verb):
    done = venvfs.run(*verb, "--help")
    assert done.stdout.startswith("usage: venvfs") and not done.stderr


@pytest.mark.parametrize("option", ["nonsense", "fsname=", "allow_other,bogus"])
def test_a_mount_option_that_cannot_be_is_refused(venvfs, tmp_path, option):
    path = tmp_path / ".venv"
    line = venvfs.refused("mount", "-o", option, path, Wheel().write(tmp_path))
    assert "-o" in line and not path.exists()


def test_a_python_that_is_none_is_refused(venvfs, tmp_path):
    wheel = Wheel().write(tmp_path)
    for wanted in ("/nowhere/python3", "/bin/true", "9.9", "/etc/passwd", str(tmp_path)):
        line = venvfs.refused("mount", "--python", wanted, tmp_path / ".venv", wheel)
        assert wanted in line, line


def test_an_ordinary_user_mounts_by_fusermount3(tmp_path, python):
    """In a mount namespace of its own, where /dev/fuse is open to all."""
    if not pathlib.Path("/usr/bin/fusermount3").exists():
        missing("fusermount3")
    for parent in [tmp_path, *tmp_path.parents]:
        if str(parent).startswith("/tmp/"):
            parent.chmod(parent.stat().st_mode | 0o055)
    home, wheel = tmp_path / "home", Wheel().write(tmp_path)
    home.mkdir()
    user = pwd.getpwnam("nobody").pw_uid  # fusermount3 wants a user that has a name
    os.chown(home, user, user)
    for name in ("venvfs", "venvfs-supervise"):
        (tmp_path / name).write_bytes(pathlib.Path(BINARY).with_name(name).read_bytes())
        (tmp_path / name).chmod(0o755)
    fuse = tmp_path / "fuse"
    os.mknod(fuse, 0o020666, os.stat("/dev/fuse").st_rdev)
    fuse.chmod(0o666)
    script = f"""
        set -e
        mount --bind {fuse} /dev/fuse
        exec setpriv --reuid={user} --regid={user} --clear-groups env -i PATH=/usr/bin:/bin HOME={home} sh -ec '
            {tmp_path}/venvfs mount --python /usr/bin/python3 {home}/.venv {wheel}
            {home}/.venv/bin/python -c "import demo; demo.main()"
            {tmp_path}/venvfs list
            {tmp_path}/venvfs unmount {home}/.venv
            ls -A {home}/.venv
        '
    """
    done = subprocess.run(["unshare", "-m", "sh", "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("1.0\n") and "serving" in done.stdout, done.stdout


def test_who_has_it_for_a_moment_does_not_keep_it(venvfs, venv):
    """A descriptor that is in flight is in no process, so nobody can be named."""
    path = venv(Wheel().write(venvfs.root))
    ours, theirs = socket.socketpair()
    fd = os.open(path, os.O_RDONLY)
    socket.send_fds(ours, [b"x"], [fd])
    os.close(fd)
    assert "not ours to see" in venvfs.refused("unmount", path)
    ours.close()
    theirs.close()

    def had_for(seconds):
        """Unmounts while it is in flight for that long; how long that became, and what came of it."""
        ours, theirs = socket.socketpair()
        fd = os.open(path, os.O_RDONLY)
        socket.send_fds(ours, [b"x"], [fd])
        os.close(fd)
        begun, ended = time.monotonic(), []
        timer = threading.Timer(seconds, lambda: (theirs.close(), ended.append(time.monotonic())))
        timer.start()
        done = venvfs.run("unmount", path, ok=False)
        timer.join()
        ours.close()
        return ended[0] - begun, done

    def went_in_time():
        """Half a second is a moment; where the timer came later, nothing was shown."""
        took, done = had_for(0.15)
        assert done.returncode == 0 or took > 0.45, done.stderr
        return done.returncode == 0

    wait_until(went_in_time)
