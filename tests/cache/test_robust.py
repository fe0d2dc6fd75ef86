"""What must not happen to a cache: anything half-visible, lost, or trusted wrongly."""

import os
import pathlib
import random
import shutil
import signal
import subprocess
import time

import pytest
from support import BINARY, Venvfs, missing
from waiting import PATIENCE, wait_until
from wheelmaker import Wheel

SEED = int(os.environ.get("VENVFS_SEED", random.randrange(1 << 32)))


@pytest.fixture(autouse=True)
def seed():
    print("VENVFS_SEED =", SEED)
    random.seed(SEED)


def large_wheel(name, folder, files=150, objects=3):
    """Small files for the image, and some that are large enough to be objects."""
    w = Wheel(name)
    for i in range(files):
        w.add(f"{name}/f{i}.py", random.randbytes(random.randrange(3000)))
    for i in range(objects):
        w.add(f"{name}/o{i}.bin", random.randbytes(200_000))
    return w.write(folder)


def verify(venvfs):
    done = venvfs.run("cache", "verify")
    assert "all right" in done.stdout
    return done.stdout


def test_a_killed_add_leaves_nothing_half_visible(venvfs, tmp_path):
    wheels = [large_wheel(f"w{i}", tmp_path) for i in range(6)]
    started = time.monotonic()
    venvfs.add(*wheels)
    whole = time.monotonic() - started
    for i in range(25):
        subprocess.run(["rm", "-rf", venvfs.cache], check=True)
        child = subprocess.Popen(
            [BINARY, "cache", "add", *wheels], env=venvfs.env,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )
        time.sleep(random.uniform(0, whole))
        child.send_signal(signal.SIGKILL)
        child.wait()
        if venvfs.cache.exists():
            verify(venvfs)
        venvfs.add(*wheels)
        assert "6 wheels, 6 images" in verify(venvfs), i
    venvfs.add(large_wheel("last", tmp_path))  # staging cleans up after the dead
    assert not list((venvfs.cache / "tmp").iterdir())


@pytest.fixture
def small_disk(tmp_path):
    if os.geteuid() != 0:
        missing("root, who may mount a small tmpfs,")
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "venvfs-test", disk], check=True)
    yield disk
    subprocess.run(["umount", disk], check=True)


def test_a_full_disk_is_said_and_costs_nothing(venvfs, tmp_path, small_disk):
    small = large_wheel("small", tmp_path, files=20, objects=1)
    large = large_wheel("large", tmp_path, files=20, objects=15)
    env = {"VENVFS_CACHE_DIR": str(small_disk / "cache")}
    venvfs.run("cache", "add", small, **env)
    line = venvfs.refused("cache", "add", large, **env)
    assert "No space left on device" in line and "large-1.0" in line
    assert "1 wheels, 1 images" in venvfs.run("cache", "verify", **env).stdout
    assert not list((small_disk / "cache/tmp").iterdir())
    subprocess.run(["mount", "-o", "remount,size=8m", small_disk], check=True)
    venvfs.run("cache", "add", large, **env)
    assert "2 wheels, 2 images" in venvfs.run("cache", "verify", **env).stdout


def test_a_disk_without_a_byte_left_can_be_verified_and_is_said_by_mount(venvfs, tmp_path, small_disk):
    wheel = large_wheel("small", tmp_path, files=20, objects=1)
    env = {"VENVFS_CACHE_DIR": str(small_disk / "cache")}
    venvfs.run("cache", "add", wheel, **env)
    subprocess.run(["dd", "if=/dev/zero", f"of={small_disk}/fill", "bs=64k"], stderr=subprocess.DEVNULL)
    assert os.statvfs(small_disk).f_bavail == 0
    assert "1 wheels, 1 images" in venvfs.run("cache", "verify", **env).stdout
    line = venvfs.refused("mount", tmp_path / ".venv", wheel, **env)
    assert str(small_disk / "cache") in line and "No space left on device" in line


def test_a_home_that_cannot_be_written_is_said_with_what_helps(venvfs, tmp_path):
    (tmp_path / "file").touch()
    line = venvfs.refused("cache", "add", Wheel().write(tmp_path), XDG_CACHE_HOME=str(tmp_path / "file"))
    assert str(tmp_path / "file/venvfs") in line and "VENVFS_CACHE_DIR" in line


def as_nobody(*args, env):
    """As a user whom permissions bind."""
    return subprocess.run(
        ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", *map(str, args)],
        capture_output=True, text=True, env=env, cwd="/",
    )


def test_a_cache_that_cannot_be_written_is_said(tmp_path):
    if os.geteuid() != 0:
        missing("root, who may become another user,")
    for parent in [tmp_path, *tmp_path.parents]:
        if str(parent).startswith("/tmp/"):
            parent.chmod(parent.stat().st_mode | 0o055)
    venvfs = Venvfs(tmp_path)
    wheel = Wheel().write(tmp_path)
    cache = tmp_path / "mine"
    cache.mkdir(mode=0o700)
    for path in (cache, tmp_path / "home", tmp_path / "run"):
        os.chown(path, 65534, 65534)
    env = {**venvfs.env, "VENVFS_CACHE_DIR": str(cache)}
    binary = tmp_path / "venvfs"
    binary.write_bytes(pathlib.Path(BINARY).read_bytes())
    binary.chmod(0o755)
    assert as_nobody(binary, "cache", "add", wheel, env=env).returncode == 0
    cache.chmod(0o500)
    for part in cache.iterdir():
        if part.is_dir():
            part.chmod(0o500)
    other = Wheel("other").write(tmp_path)
    done = as_nobody(binary, "cache", "add", other, env=env)
    assert done.returncode == 1 and len(done.stderr.splitlines()) == 1, done.stderr
    assert str(cache) in done.stderr
    assert as_nobody(binary, "cache", "add", wheel, env=env).returncode == 0
    assert "1 wheels" in as_nobody(binary, "cache", "verify", env=env).stdout


def test_64_processes_adding_the_same_and_others_at_once(venvfs, tmp_path):
    wheels = [large_wheel(f"w{i}", tmp_path, files=20, objects=1) for i in range(8)]
    children = []
    for i in range(64):
        chosen = random.sample(wheels, 3)
        children.append(subprocess.Popen(
            [BINARY, "cache", "add", *chosen], env=venvfs.env,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        ))
    for child in children:
        said, _ = child.communicate(timeout=300)
        assert child.returncode == 0 and not said, said
    venvfs.add(*wheels)
    assert "8 wheels, 8 images, 8 objects" in verify(venvfs)
    assert not list((venvfs.cache / "tmp").iterdir())


def flip(path, at):
    """Changes one byte of a file that is read-only."""
    mode = path.stat().st_mode
    path.chmod(0o600)
    with path.open("r+b") as f:
        f.seek(at)
        byte = f.read(1)[0]
        f.seek(at)
        f.write(bytes([byte ^ 0x10]))
    path.chmod(mode)


def test_a_flipped_byte_anywhere_is_found(venvfs, tmp_path):
    venvfs.add(large_wheel("demo", tmp_path, files=10, objects=1))
    parts = ("images", "objects")
    files = [p for part in parts for p in (venvfs.cache / part).rglob("*") if p.is_file()]
    assert len(files) == 2
    for path in files:
        size = path.stat().st_size
        places = {0, 8, 100, 4095, 4096, size - 1, *(random.randrange(size) for _ in range(40))}
        for at in sorted(p for p in places if p < size):
            flip(path, at)
            done = venvfs.run("cache", "verify", ok=False)
            assert done.returncode == 1, f"byte {at} of {path} was not missed"
            assert path.name in done.stderr, done.stderr
            flip(path, at)
        verify(venvfs)


def test_a_damaged_image_is_replaced_by_adding_again(venvfs, tmp_path):
    wheel = large_wheel("demo", tmp_path, files=10, objects=1)
    venvfs.add(wheel)
    for part in ("images", "objects"):
        path = next(p for p in (venvfs.cache / part).rglob("*") if p.is_file())
        flip(path, path.stat().st_size - 1)
        assert venvfs.run("cache", "verify", ok=False).returncode == 1
        again = tmp_path / "again"
        again.mkdir(exist_ok=True)
        (again / wheel.name).write_bytes(wheel.read_bytes())
        venvfs.add(again / wheel.name)
        verify(venvfs)


@pytest.mark.parametrize("verified", [False, True])
def test_a_wheel_whose_image_is_gone_is_unpacked_again(venvfs, tmp_path, verified):
    wheel = large_wheel("demo", tmp_path, files=10, objects=1)
    venvfs.add(wheel)
    for image in (venvfs.cache / "images").rglob("*"):
        if image.is_file():
            image.unlink()
    if verified:
        assert "its image is missing" in venvfs.run("cache", "verify", ok=False).stderr
    venvfs.add(wheel)
    assert "1 wheels, 1 images" in verify(venvfs)


def test_a_cache_that_another_has_just_made_is_no_foreign_directory(venvfs, tmp_path):
    """Its maker may have put more into it since we saw that it has no format yet."""
    if not shutil.which("strace"):
        missing("strace")
    late = subprocess.Popen(
        ["strace", "-f", "-qq", "-o", tmp_path / "trace", "-e", "trace=openat2",
         "-e", "inject=openat2:delay_exit=1000000:when=1", BINARY, "cache", "list"],
        env={**venvfs.env, "ASAN_OPTIONS": "detect_leaks=0"}, stderr=subprocess.PIPE, text=True,
    )
    wait_until(venvfs.cache.exists)
    time.sleep(0.3)
    venvfs.add(Wheel().write(tmp_path))
    (venvfs.cache / "interpreters").mkdir()
    _, said = late.communicate(timeout=PATIENCE)
    assert late.returncode == 0, said


def test_without_proc_what_another_process_published_is_checked_before_it_is_trusted(venvfs, tmp_path):
    if os.geteuid() != 0:
        missing("root, who may hide /proc/sys,")
    wheel = large_wheel("demo", tmp_path, files=10, objects=1)
    script = f"""
        set -e
        mount -t tmpfs venvfs-test /proc/sys
        {BINARY} cache add {wheel}
        image=$(find {venvfs.cache}/images -type f)
        chmod 600 $image
        printf x | dd of=$image bs=1 seek=$(($(stat -c %s $image) - 1)) conv=notrunc status=none
        {BINARY} cache add {wheel}
        {BINARY} cache verify
    """
    done = subprocess.run(["unshare", "-m", "sh", "-c", script], capture_output=True, text=True, env=venvfs.env)
    assert done.returncode == 0 and "all right" in done.stdout, (done.stdout, done.stderr)


def test_an_unknown_format_is_refused_and_never_rewritten(venvfs, tmp_path):
    wheel = Wheel().write(tmp_path)
    venvfs.add(wheel)
    (venvfs.cache / "format").write_text("venvfs-cache 999\n")
    assert "999" in venvfs.refused("cache", "add", wheel)
    assert (venvfs.cache / "format").read_text() == "venvfs-cache 999\n"


def test_a_cache_that_others_can_write_is_refused(venvfs, tmp_path):
    wheel = Wheel().write(tmp_path)
    venvfs.add(wheel)
    venvfs.cache.chmod(0o777)
    assert str(venvfs.cache) in venvfs.refused("cache", "add", wheel)


def test_a_further_cache_is_read_and_one_that_others_own_is_passed_over(venvfs, tmp_path):
    if os.geteuid() != 0:
        missing("root, who may give files away,")
    wheel = large_wheel("demo", tmp_path, files=3, objects=1)
    shared = tmp_path / "shared"
    venvfs.run("cache", "add", wheel, VENVFS_CACHE_DIR=str(shared))
    env = {"VENVFS_CACHE_PATH": str(shared)}
    venvfs.run("cache", "add", wheel, **env)
    assert venvfs.traces() == []
    assert "demo-1.0" in venvfs.run("cache", "list", **env).stdout
    os.chown(shared, 1234, 1234)
    done = venvfs.run("cache", "add", wheel, **env)
    assert str(shared) in done.stderr
    assert venvfs.traces() != []
    os.chown(shared, 0, 0)


def test_a_wheel_seen_before_is_not_read_again(venvfs, tmp_path):
    if not shutil.which("strace"):
        missing("strace")
    wheel = Wheel().write(tmp_path)
    time.sleep(2.1)  # ctime is a stamp too, and a file that has just changed is not trusted

    def opens_the_wheel():
        done = subprocess.run(
            ["strace", "-f", "-e", "trace=openat,openat2", BINARY, "cache", "add", wheel],
            capture_output=True, text=True, env={**venvfs.env, "ASAN_OPTIONS": "detect_leaks=0"},
        )
        assert done.returncode == 0, done.stderr
        return f'"{wheel}"' in done.stderr

    assert opens_the_wheel()
    assert not opens_the_wheel()


def test_a_changed_wheel_is_another_wheel(venvfs, tmp_path):
    a = Wheel().write(tmp_path)
    venvfs.add(a)
    stamp = a.stat().st_mtime_ns
    w = Wheel()
    w.files["demo/__init__.py"] = w.files["demo/__init__.py"].replace(b"1.0", b"9.9")
    w.write(tmp_path)
    os.utime(a, ns=(stamp, stamp))
    venvfs.add(a)
    assert "2 wheels, 2 images" in verify(venvfs)


def test_files_of_equal_content_have_one_object(venvfs, tmp_path):
    data = random.randbytes(300_000)
    a = Wheel("a").add("a/data.bin", data).write(tmp_path)
    b = Wheel("b").add("b/data.bin", data).write(tmp_path)
    venvfs.add(a, b)
    assert "2 wheels, 2 images, 1 objects" in verify(venvfs)


def test_a_relative_cache_is_the_same_for_the_server(venvfs, tmp_path):
    wheel = Wheel().write(tmp_path)
    venvfs.run("mount", tmp_path / "m", wheel, VENVFS_CACHE_DIR="rel/cache", VENVFS_CACHE_PATH="nowhere:rel2")
    assert (tmp_path / "m/bin/python").is_symlink() and (tmp_path / "rel/cache/images").is_dir()
