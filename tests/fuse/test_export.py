"""A plain environment is what a mount there would show, and is written whole or not at all."""

import csv
import hashlib
import os
import pathlib
import shutil
import signal
import stat
import subprocess

import pytest
from support import BINARY, missing
from test_venv import assert_same_tree, many_things, run, tree
from waiting import PATIENCE, wait_until
from wheelmaker import Wheel, record_hash


def snapshot(root):
    """All that a tree shows, but times of directories and its owner."""
    found = {}
    for name, path in tree(root).items():
        st = path.lstat()
        if stat.S_ISREG(st.st_mode):
            found[name] = (oct(st.st_mode), st.st_mtime_ns, hashlib.sha256(path.read_bytes()).hexdigest())
        elif stat.S_ISLNK(st.st_mode):
            found[name] = (oct(st.st_mode), os.readlink(path))
        else:
            found[name] = oct(st.st_mode)
    return found


def beside(path):
    return sorted(p.name for p in path.parent.iterdir() if p.name.startswith("."))


@pytest.fixture
def export(venvfs, python):
    def run_export(path, *words, **kwargs):
        options = [] if "--from" in words else ["--python", python]
        return venvfs.run("export", *options, path, *words, **kwargs)

    return run_export


@pytest.mark.parametrize("umask", [0o022, 0o077])
def test_it_is_what_a_mount_shows(venvfs, export, venv, real_wheels, tmp_path, umask):
    at = tmp_path / "with space" / ".venv"
    wheels = [*real_wheels, many_things().write(tmp_path)]
    mounted = snapshot(venv(*wheels, at=at))
    venvfs.run("unmount", at)
    before = os.umask(umask)
    try:
        export(at, *wheels)
    finally:
        os.umask(before)
    assert snapshot(at) == mounted
    assert stat.S_IMODE(at.stat().st_mode) == 0o755
    assert beside(at) == [".venv"]
    run(at / "bin/python", "-B", "-c", "import numpy; print(numpy.linalg.inv([[2.]]))")
    assert run(at / "bin/pygmentize", "-V").stdout.startswith("Pygments version")


def test_it_is_what_uv_installs(export, uv, python, real_wheels, tmp_path):
    at = tmp_path / ".venv"
    env = {**os.environ, "UV_CACHE_DIR": str(tmp_path / "uv-cache"), "UV_LINK_MODE": "copy"}
    run(uv, "venv", "-q", "--python", python, at, env=env)
    run(uv, "pip", "install", "-q", "--no-index", "--no-deps", "--python", at / "bin/python", *real_wheels, env=env)
    os.rename(at, tmp_path / "reference")
    export(at, *real_wheels)
    assert_same_tree(at, tmp_path / "reference")
    run(uv, "pip", "check", "--python", at / "bin/python")
    run(uv, "pip", "uninstall", "-q", "--python", at / "bin/python", "rich", env=env)
    assert not list(at.glob("lib/*/site-packages/rich*"))


def test_it_needs_no_fuse_and_mount_says_so(venvfs, real_wheels, python, tmp_path):
    """In a namespace whose /dev has nothing but null in it."""
    script = ("mount -t tmpfs none /dev && mknod -m 666 /dev/null c 1 3 && "
              '"$0" export -p "$1" "$2/.venv" "$3" && "$0" mount -p "$1" "$2/m" "$3"')
    idna = next(w for w in real_wheels if "idna" in w.name)
    done = subprocess.run(["unshare", "-m", "sh", "-c", script, BINARY, python, tmp_path, idna],
                          env=venvfs.env, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert done.returncode == 1 and len(done.stderr.splitlines()) == 1, done.stderr
    assert "/dev/fuse" in done.stderr and "venvfs export" in done.stderr
    assert run(tmp_path / ".venv/bin/python", "-c", "import idna; print('yes')").stdout == "yes\n"


def test_what_is_there_stays_unless_clear_is_said(venvfs, export, venv, tmp_path, python):
    at = tmp_path / ".venv"
    one, two = Wheel("one").write(tmp_path), Wheel("two").write(tmp_path)
    at.mkdir()
    export(at, one)  # into an empty directory
    before = snapshot(at)
    line = venvfs.refused("export", "--python", python, at, two)
    assert "not empty" in line and "--clear" in line
    assert snapshot(at) == before
    export(at, "--clear", two)
    names = {p.name for p in at.glob("lib/*/site-packages/*")}
    assert "two" in names and "one" not in names
    assert beside(at) == [".venv"]
    (tmp_path / "file").write_text("x")
    assert "no directory" in venvfs.refused("export", "--python", python, tmp_path / "file", one)
    mounted = venv(one, at=tmp_path / "m")
    assert "mounted" in venvfs.refused("export", "--clear", "--python", python, mounted, two)


def test_a_wheel_that_is_refused_leaves_nothing(venvfs, tmp_path, python):
    at = tmp_path / "new/folders/.venv"
    wheel = Wheel("demo", tag="cp27-cp27m-linux_armv6l").write(tmp_path)
    assert "cp27" in venvfs.refused("export", "--python", python, at, wheel)
    a = Wheel("a").add("shared/x.py", b"a\n").write(tmp_path)
    b = Wheel("b").add("shared/x.py", b"b\n").write(tmp_path)
    assert "--strict" in venvfs.refused("export", "--strict", "--python", python, at, a, b)
    assert not (tmp_path / "new").exists()
    done = venvfs.run("export", "--python", python, at, a, b)
    assert "is taken from b 1.0" in done.stderr


def big_wheel(tmp_path, count=400):
    w = Wheel("big")
    for i in range(count):
        w.add(f"big/f{i}.bin", os.urandom(200_000))
    return w.write(tmp_path)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_signal_leaves_nothing_or_what_the_next_one_removes(venvfs, export, tmp_path, python, number):
    at = tmp_path / "new/.venv"
    wheel = big_wheel(tmp_path)
    venvfs.add(wheel)
    child = subprocess.Popen([BINARY, "export", "--python", python, at, wheel], env=venvfs.env,
                             stderr=subprocess.PIPE, text=True)
    wait_until(lambda: child.poll() is not None or (tmp_path / "new").exists() and os.listdir(tmp_path / "new"), pause=0.001)
    child.send_signal(number)
    said = child.communicate(timeout=PATIENCE)[1]
    assert child.returncode == -number
    assert not at.exists()
    if number == signal.SIGKILL:
        assert list(tmp_path.glob("new/.*"))
    else:
        assert not (tmp_path / "new").exists()
        assert len(said.splitlines()) == 1 and "interrupted" in said
    export(at, wheel)
    assert beside(at) == [".venv"]


def test_a_full_disk_leaves_nothing(venvfs, export, tmp_path, python):
    wheel = big_wheel(tmp_path)
    venvfs.add(wheel)
    disk = tmp_path / "disk"
    disk.mkdir()
    run("mount", "-t", "tmpfs", "-o", "size=20m", "venvfs-test", disk)
    try:
        line = venvfs.refused("export", "--python", python, disk / "new/.venv", wheel)
        assert "No space left" in line and str(disk) in line
        assert not list(disk.iterdir())
    finally:
        run("umount", disk)


def test_what_is_written_to_it_is_not_written_to_the_cache(venvfs, export, tmp_path):
    wheel = big_wheel(tmp_path, 3)
    export(tmp_path / ".venv", wheel)
    for path in (tmp_path / ".venv").rglob("*"):
        if path.is_file() and not path.is_symlink():
            with path.open("r+b") as f:
                f.write(b"changed")
    assert "all right" in venvfs.run("cache", "verify").stdout


def test_a_damaged_object_is_never_written(venvfs, tmp_path, python):
    wheel = big_wheel(tmp_path, 2)
    venvfs.add(wheel)
    for path in (venvfs.cache / "objects").rglob("*"):
        if path.is_file():
            data = bytearray(path.read_bytes())
            data[150_000] ^= 1
            path.chmod(0o644)
            path.write_bytes(data)
    for mode in ("clone", "hardlink", "copy"):
        line = venvfs.refused("export", "--link-mode", mode, "--python", python, tmp_path / "at", wheel)
        assert "big/f" in line
        assert not (tmp_path / "at").exists()


def test_hard_links_are_made_when_asked_for_but_not_of_programs(venvfs, export, tmp_path):
    wheel = Wheel("demo").add("demo/data.bin", os.urandom(100_000)).add("demo/small.txt", b"x")
    wheel = wheel.add("demo/tool", os.urandom(100_000), 0o100755).write(tmp_path)
    for words, env in ((["--link-mode", "hardlink"], {}), ([], {"UV_LINK_MODE": "hardlink"})):
        export(tmp_path / ".venv", "--clear", *words, wheel, **env)
        site = next((tmp_path / ".venv").glob("lib/*/site-packages/demo"))
        data, tool = (site / "data.bin").stat(), (site / "tool").stat()
        assert (data.st_nlink, stat.S_IMODE(data.st_mode)) == (2, 0o444)
        assert (tool.st_nlink, stat.S_IMODE(tool.st_mode)) == (1, 0o755)
        assert (site / "small.txt").stat().st_nlink == 1
    for words in (["--link-mode", "copy"], []):
        export(tmp_path / ".venv", "--clear", *words, wheel, UV_LINK_MODE="" if words else "symlink")
        assert (site / "data.bin").stat().st_nlink == 1
    done = venvfs.run("export", "--link-mode", "symlink", tmp_path / "x", wheel, ok=False)
    assert done.returncode == 2 and "gone with the cache" in done.stderr
    assert "all right" in venvfs.run("cache", "verify").stdout


def test_bytes_are_shared_where_the_disk_can(venvfs, export, tmp_path):
    if not shutil.which("mkfs.btrfs"):
        missing("mkfs.btrfs")
    image, disk = tmp_path / "image", tmp_path / "disk"
    disk.mkdir()
    run("truncate", "-s", "400M", image)
    run("mkfs.btrfs", "-q", image)
    run("mount", "-o", "loop", image, disk)
    try:
        wheel = Wheel("demo").add("demo/data.bin", os.urandom(30_000_000)).write(tmp_path)
        cache = {"VENVFS_CACHE_DIR": str(disk / "cache")}
        venvfs.run("cache", "add", wheel, **cache)
        done = export(disk / "one", "-v", wheel, **cache)
        assert "1 cloned, 0 linked, 0 copied" in done.stderr
        data = next((disk / "one").glob("lib/*/site-packages/demo/data.bin"))
        assert data.stat().st_nlink == 1 and data.stat().st_mode & 0o777 == 0o644
        run("sync", "-f", disk)
        used = run("btrfs", "filesystem", "du", "--raw", "-s", data).stdout.split()
        total, exclusive = map(int, used[-4:-2])
        assert total >= 30_000_000 and exclusive == 0, used
        data.write_bytes(b"changed")
        assert "all right" in venvfs.run("cache", "verify", **cache).stdout
    finally:
        run("umount", disk)


def assert_record_is_true(dist_info):
    """Rows of scripts, which name the path, have the right hashes."""
    site = dist_info.parent
    rows = list(csv.reader((dist_info / "RECORD").open(newline="")))
    assert rows
    for path, digest, size in rows:
        if digest and path.startswith("../../../bin/"):
            data = (site / path).read_bytes()
            assert [record_hash(data), str(len(data))] == [digest, size], path


@pytest.mark.parametrize("there, here", [("a/.venv", "b/.venv"), ("it's \"a\" place/.venv", "b/.venv"),
                                         ("a/.venv", "b b/.venv"), ("a/" + "long" * 30 + "/.venv", "b/.venv")])
def test_a_mount_is_exported_with_what_was_changed_in_it(venvfs, export, venv, uv, python, real_wheels, tmp_path,
                                                         there, here):
    there, here = tmp_path / there, tmp_path / here
    wheel = many_things().add("many/cli.py", b"import sys\n\n\ndef main():\n    print(sys.prefix)\n").write(tmp_path)
    later = Wheel("later").scripts("[console_scripts]\nlater = later:main\n").write(tmp_path)
    venv(wheel, *real_wheels, at=there)
    env = {**venvfs.env, "UV_CACHE_DIR": str(tmp_path / "uv-cache")}
    run(uv, "pip", "install", "-q", "--no-index", "--no-deps", "--python", there / "bin/python", later, env=env)
    run(python, "-m", "pip", "--python", there / "bin/python", "uninstall", "-q", "-y", "idna", env=env)
    site = next(there.glob("lib/*/site-packages"))
    (site / "rich/box.py").write_text("edited = 1\n")
    (site / "made").mkdir(mode=0o750)
    (site / "made/file").write_bytes(b"x" * 100)
    (site / "made/file").chmod(0o4640)
    os.link(site / "made/file", site / "made/other")
    os.setxattr(site / "made/file", "user.colour", b"red")
    os.utime(site / "made/file", ns=(1, 123456789))
    os.mkfifo(site / "made/fifo", 0o600)
    os.rename(site / "many", site / "moved")
    before = snapshot(there)
    export(here, "--from", there)
    after = snapshot(here)
    assert sorted(after) == sorted(before)
    differ = {name for name in before if before[name] != after[name]}
    scripts = {name for name in differ if name.startswith("bin/")}
    assert all(name.endswith(".dist-info/RECORD") for name in differ - scripts)
    assert {"bin/many-tool", "bin/many-py", "bin/later", "bin/activate", "bin/pygmentize"} <= scripts
    assert "bin/many-sh" not in scripts
    for name in differ:
        assert (here / name).read_bytes().count(str(there).encode()) == 0, name
        assert (here / name).stat().st_mode == (there / name).stat().st_mode
    site = here / site.relative_to(there)
    for dist_info in site.glob("*.dist-info"):
        assert_record_is_true(dist_info)
    made = site / "made"
    assert (made / "file").stat().st_ino == (made / "other").stat().st_ino
    assert os.getxattr(made / "file", "user.colour") == b"red"
    assert stat.S_IMODE(made.stat().st_mode) == 0o750 and stat.S_ISFIFO((made / "fifo").stat().st_mode)
    venvfs.run("unmount", there)
    assert run(here / "bin/later").stdout == "1.0\n"
    assert run(here / "bin/many-py").stdout == "py\n"
    env = {k: v for k, v in os.environ.items() if k != "VIRTUAL_ENV"}
    said = run("bash", "-c", '. "$0/bin/activate"; echo "$VIRTUAL_ENV"; python -c "import sys; print(sys.prefix)"', here, env=env)
    assert said.stdout.splitlines() == [str(here), str(here)]
    assert (here / "bin/activate").read_text().count(f"{here}") == 1 or "'" in str(here)


def test_only_a_mount_of_ours_is_exported_and_not_into_itself(venvfs, venv, tmp_path):
    at = venv(Wheel().write(tmp_path))
    assert "no venvfs mount" in venvfs.refused("export", tmp_path / "x", "--from", tmp_path)
    assert "in the mount" in venvfs.refused("export", at / "x", "--from", at)
    assert "mounted" in venvfs.refused("export", at, "--from", at)
    for words in (["--from", at, "x.whl"], ["--from", at, "--python", "3"], ["--from", at, "--link-mode", "copy"]):
        assert venvfs.run("export", tmp_path / "x", *words, ok=False).returncode == 2


def test_folders_are_exported_from_a_mount(venvfs, export, tmp_path):
    folder = tmp_path / "folder"
    (folder / "sub/empty").mkdir(parents=True)
    (folder / "sub/file").write_text("text")
    (folder / "sub/link").symlink_to("file")
    venvfs.run("mount", tmp_path / "m", "--layer", folder)
    export(tmp_path / "copy", "--from", tmp_path / "m")
    assert snapshot(tmp_path / "copy") == snapshot(tmp_path / "m") == snapshot(folder)
