"""What others could prepare for a mount to fall for: each must be refused, or do no harm."""

import fcntl
import json
import os
import pathlib
import random
import shutil
import signal
import socket
import sqlite3
import struct
import subprocess
import threading
import time

import pytest
from handmade import FIELDS, Image
from hijack import hijacked
from support import BINARY
from test_privileges import PYTHON, person  # noqa: F401 (a fixture)
from waiting import PATIENCE, kill, wait_until
from wheelmaker import Wheel


def mounted_at(path):
    return any(line.split()[4] == str(path) for line in open("/proc/self/mountinfo"))


def put(folder, **files):
    for name, text in files.items():
        path = folder / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


# The mount point


def swapping_python(person, script):
    """An interpreter that does something as the user while mount has DIR resolved and not opened yet."""
    python = person.path("bin") / "python"
    python.write_text(f"#!/bin/sh\n{script}\nexec {PYTHON} \"$@\"\n")
    python.chmod(0o755)
    return python


@pytest.mark.parametrize("how", ["last", "above"])
def test_a_mount_point_that_became_a_symlink_is_not_followed(person, how):
    """Neither by root's mount(2) under sudo nor by what is made for it."""
    victim = person.tmp / "victim"
    put(victim, deep__kept="kept")
    path = person.path("project/deep")
    if how == "last":
        script = f"rm -rf {path}; ln -s {victim}/deep {path}"
    else:
        script = f"rm -rf {path.parent}; ln -s {victim} {path.parent}"
    line = person.sudo("mount", "--over", "--python", swapping_python(person, script), path, Wheel().write(person.tmp),
                       ok=False).stderr
    assert "Not a directory" in line, line
    assert not mounted_at(victim / "deep") and (victim / "deep/kept").read_text() == "kept"
    assert sorted(p.name for p in victim.rglob("*")) == ["deep", "kept"]


def test_swapping_the_mount_point_at_random_never_mounts_elsewhere(person):
    victim = person.tmp / "victim"
    victim.mkdir()
    path, folder = person.path("p"), put(person.tmp / "folder", a="a")
    ended = threading.Event()

    def swap():
        while not ended.is_set():
            person.run("sh", "-c", f"cd {person.home}; for i in 1 2 3 4 5 6 7 8; do "
                                   f"mv p q 2>/dev/null; ln -sn {victim} p 2>/dev/null; rm -f p; mv q p 2>/dev/null; done")

    thread = threading.Thread(target=swap)
    thread.start()
    results = []
    try:
        while len(results) < 25 or 1 not in results:  # a slow machine may not have swapped yet
            results.append(person.sudo("mount", "--over", path, "--layer", folder, ok=None).returncode)
            assert not mounted_at(victim)
            for _ in range(50):
                for at in (path, person.home / "q"):
                    if mounted_at(at):
                        person.sudo("unmount", at, ok=None)
                if not person.servers():
                    break
    finally:
        ended.set()
        thread.join()
        for at in (path, person.home / "q"):
            while mounted_at(at):
                subprocess.run(["umount", "-l", at], check=True)
    assert 1 in results and os.listdir(victim) == []


def test_nothing_is_mounted_over_what_the_kernel_shows_of_processes(person):
    """These directories belong to the user, and programs of root's believe what lies there."""
    folder = put(person.tmp / "folder", a="a")
    child = subprocess.Popen(["setpriv", *person.ids(), "sleep", "600"])
    try:
        wait_until(lambda: person.servers())
        for at in (f"/proc/{child.pid}", f"/proc/{child.pid}/fd", f"/proc/{child.pid}/attr"):
            line = person.sudo("mount", "--over", at, "--layer", folder, ok=False).stderr
            assert f"cannot mount at '{at}': what lies there is the kernel's" in line
            assert not mounted_at(at)
    finally:
        child.kill()
        child.wait()


def test_unmount_follows_no_symlink_that_was_put_into_the_path(person):
    """Root's unmount of one's own mount must not become one of what lies elsewhere."""
    victim = person.tmp / "victim"
    victim.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "t", victim], check=True)
    try:
        link = person.home / "link"
        person.run("ln", "-s", victim, link)
        assert "not a venvfs mount" in person.sudo("unmount", link, ok=False).stderr
        assert mounted_at(victim)
    finally:
        subprocess.run(["umount", victim], check=True)


# Cache, state, upper: who else could change the way to them


def test_a_cache_or_state_that_others_could_replace_is_refused(venvfs, tmp_path):
    wheel = Wheel().write(tmp_path)
    for mode in (0o777, 0o770, 0o757):
        shared = tmp_path / f"shared{mode:o}"
        shared.mkdir()
        os.chown(shared, 0, 4321)
        shared.chmod(mode)
        line = venvfs.refused("mount", "--python", PYTHON, tmp_path / "v", wheel, VENVFS_CACHE_DIR=str(shared / "cache"))
        assert f"'{shared}' is writable by others" in line
        line = venvfs.refused("mount", "--python", PYTHON, tmp_path / "v", wheel, XDG_STATE_HOME=str(shared / "state"))
        assert f"'{shared}' is writable by others" in line
    assert not (tmp_path / "v").exists()


def test_a_cache_or_state_below_another_s_directory_is_refused(venvfs, tmp_path):
    wheel = Wheel().write(tmp_path)
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    os.chown(theirs, 4321, 4321)
    for name in ("VENVFS_CACHE_DIR", "XDG_STATE_HOME"):
        line = venvfs.refused("mount", "--python", PYTHON, tmp_path / "v", wheel, **{name: str(theirs / name)})
        assert f"'{theirs}' belongs to uid 4321" in line


@pytest.mark.parametrize("name", ["VENVFS_CACHE_DIR", "XDG_CACHE_HOME", "XDG_STATE_HOME", "XDG_RUNTIME_DIR"])
@pytest.mark.parametrize("deep", [False, True])
@pytest.mark.parametrize("maker", [0, 4321])
def test_a_planted_symlink_leads_root_nowhere(venvfs, tmp_path, name, deep, maker):
    """Whoever made it: in a directory of another it may be another one tomorrow."""
    theirs, mine = tmp_path / "theirs", put(tmp_path / "mine", precious="mine")
    theirs.mkdir()
    os.chown(theirs, 4321, 4321)
    place = theirs / "home" / "venvfs" if deep else theirs / "home"
    place.parent.mkdir(exist_ok=True)
    place.symlink_to(mine)
    os.chown(place, maker, maker, follow_symlinks=False)
    done = venvfs.run("mount", tmp_path / "v", "--layer", put(tmp_path / "f", a="a"), ok=False, **{name: str(theirs / "home")})
    if name == "XDG_RUNTIME_DIR" and not deep:
        assert done.returncode == 0, done.stderr  # there are other places for sockets
    else:
        assert done.returncode == 1 and "uid 4321" in done.stderr and not mounted_at(tmp_path / "v"), done.stderr
    assert os.listdir(mine) == ["precious"]


def test_a_socket_directory_of_another_is_refused(venvfs, tmp_path):
    theirs = tmp_path / "run/venvfs"
    theirs.mkdir(parents=True)
    theirs.chmod(0o700)
    os.chown(theirs, 4321, 4321)
    line = venvfs.refused("mount", tmp_path / "v", "--layer", put(tmp_path / "f", a="a"))
    assert f"'{theirs}' belongs to uid 4321" in line
    theirs.rmdir()


# The upper


@pytest.fixture
def layered(venvfs, tmp_path):
    """A mount of a folder and its upper, with changes; a function that mounts it again."""
    lower, at = put(tmp_path / "lower", a="a", d__b="b", d__c="c"), tmp_path / "m"

    def mount(*options, ok=True, **env):
        return venvfs.run("mount", at, "--layer", lower, *options, ok=ok, **env)

    mount()
    (at / "a").write_text("changed")
    (at / "d/b").chmod(0o640)
    (at / "d/new").write_text("new")
    (at / "d/sub").mkdir()
    (at / "d/sub/deep").write_text("deep")
    (at / "link").symlink_to("a")
    os.link(at / "a", at / "hard")
    os.setxattr(at / "a", "user.x", b"y")
    (at / "d/c").unlink()
    venvfs.run("unmount", at)
    upper = next((tmp_path / "state").rglob("index.db")).parent
    return at, upper, mount


def contents(upper):
    return sorted(p for p in (upper / "files").rglob("*") if p.is_file())


@pytest.mark.parametrize("kind", ["fifo", "device", "symlink", "directory", "socket"])
def test_content_that_is_no_plain_file_is_an_error_and_never_opened(venvfs, layered, tmp_path, kind):
    at, upper, mount = layered
    secret = tmp_path / "secret"
    secret.write_text("secret")
    for path in contents(upper):
        path.unlink()
        if kind == "fifo":
            os.mkfifo(path)
        elif kind == "device":
            os.mknod(path, 0o020666, os.makedev(1, 3))
        elif kind == "symlink":
            path.symlink_to(secret)
        elif kind == "socket":
            with socket.socket(socket.AF_UNIX) as s:
                os.chdir(path.parent)
                s.bind(path.name)
                os.chdir("/")
        else:
            path.mkdir()
    mount()
    for name in ("a", "d/new"):
        with pytest.raises(OSError):
            (at / name).read_bytes()
        with pytest.raises(OSError):
            with open(at / name, "r+b", buffering=0) as f:
                f.write(b"overwritten")
                os.fsync(f.fileno())
    assert secret.read_text() == "secret" and (at / "d/b").read_text() == "b"
    assert row(venvfs, at)["restarts"] == 0


def unmount(venvfs, at):
    """Other tests of this machine may look into every mount, or copy it into a namespace, for a moment."""
    said = []

    def done():
        said[:] = [venvfs.run("unmount", at, ok=False)]
        return said[0].returncode == 0 or "is not mounted" in said[0].stderr

    wait_until(done, lambda: said[0].stderr)
    wait_until(lambda: not [r for r in venvfs.list() if r["path"] == str(at)])


def row(venvfs, path):
    rows = [r for r in venvfs.list() if r["path"] == str(path)]
    assert len(rows) == 1, (path, venvfs.list())
    return rows[0]


def test_a_set_uid_program_of_root_in_an_upper_gives_nobody_rights(person):
    """A row may say what it likes: the mount is nosuid and nodev, for whoever serves it."""
    folder, at = put(person.tmp / "folder", a="a"), person.home / "m"
    person.sudo("mount", at, "--layer", folder, "-o", "allow_other")
    assert person.run("cp", "/usr/bin/id", at / "id").returncode == 0
    assert person.run("sh", "-ec", f"echo > {at}/null").returncode == 0
    person.sudo("unmount", at)
    index = next(person.state.rglob("index.db"))
    with sqlite3.connect(index) as db:
        size = "(SELECT id FROM node n JOIN dentry d ON d.node = n.id WHERE d.name = ?)"
        db.execute(f"UPDATE node SET mode = ?, uid = 0, gid = 0 WHERE id = {size}", (0o106755, b"id"))
        db.execute(f"UPDATE node SET mode = ?, rdev = ? WHERE id = {size}", (0o020666, os.makedev(1, 8), b"null"))
    db.close()
    for path in index.parent.iterdir():
        os.chown(path, person.uid, person.gid)
    person.sudo("mount", at, "--layer", folder, "-o", "allow_other")
    st = os.stat(at / "id")
    assert st.st_uid == 0 and st.st_mode == 0o106755
    assert person.run(at / "id", "-u").stdout.strip() == str(person.uid)
    with pytest.raises(PermissionError):
        open(at / "null", "rb")


def test_an_upper_of_another_is_not_served_by_root(venvfs, person, tmp_path):
    folder = put(person.tmp / "folder", a="a")
    theirs = person.path("upper")
    line = venvfs.refused("mount", tmp_path / "m", "--layer", folder, "--upper", theirs)
    assert f"'{person.home}' belongs to uid {person.uid}" in line
    given = put(tmp_path / "given", a="a")
    os.chown(given, person.uid, person.gid)
    line = venvfs.refused("mount", tmp_path / "m", "--layer", folder, "--upper", given)
    assert f"'{given}'" in line and f"{person.uid}" in line


HOSTILE = [0, 1, 2, -1, 2**31, 2**32, 2**51, 2**51 + 1, 2**52, 2**63 - 1, -2**63, 7, 0o777, 0o170000, 0o040755, 0o106777,
           0o120777, 0o020666, "text", "", b"", b"\x00", b"..", b".", b"a/b", b"/etc/passwd", b"x" * 300, None, 1.5]
COLUMNS = {"node": ["flags", "mode", "uid", "gid", "nlink", "rdev", "size", "atime", "mtime_ns", "parent", "change",
                    "target", "id"],
           "dentry": ["parent", "name", "node", "cookie", "flags", "base", "change"],
           "xattr": ["node", "name", "value"],
           "meta": ["next", "mark", "clean", "boot", "change", "request", "result", "node"]}


def spoil_rows(index, seed):
    rng = random.Random(seed)
    db = sqlite3.connect(index)
    for _ in range(rng.choice((1, 1, 3, 8))):
        table = rng.choice(list(COLUMNS))
        column = rng.choice(COLUMNS[table])
        values = HOSTILE + [r[0] for r in db.execute(f"SELECT {rng.choice(COLUMNS[table])} FROM {table}")]
        keys = "rowid" if table in ("node", "meta") else ("name" if table == "dentry" else "node")
        one = rng.choice(db.execute(f"SELECT {keys} FROM {table}").fetchall())[0]
        try:
            db.execute(f"UPDATE {table} SET {column} = ? WHERE {keys} IS ?", (rng.choice(values), one))
        except sqlite3.Error:
            pass
    db.commit()
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.close()


USE = """
import os, sys
def walk(path, depth):
    for entry in os.scandir(path):
        for use in (lambda: entry.stat(follow_symlinks=False), lambda: os.listxattr(entry.path, follow_symlinks=False),
                    lambda: os.readlink(entry.path), lambda: entry.is_file(follow_symlinks=False) and open(entry.path, "rb").read(4096)):
            try: use()
            except OSError: pass
        if entry.is_dir(follow_symlinks=False) and depth < 6:
            try: walk(entry.path, depth + 1)
            except OSError: pass
at = sys.argv[1]
try: walk(at, 0)
except OSError: pass
for use in (lambda: open(at + "/a", "ab").write(b"x"), lambda: os.mkdir(at + "/made"), lambda: os.rename(at + "/d", at + "/e"),
            lambda: os.unlink(at + "/hard"), lambda: os.rmdir(at + "/e/sub"), lambda: os.symlink("x", at + "/s"),
            lambda: os.rename(at + "/e", at + "/made/e"), lambda: os.statvfs(at)):
    try: use()
    except OSError: pass
"""


def use(at):
    """Everything a client might do; it must come to an end."""
    done = subprocess.run(["python3", "-c", USE, at], timeout=PATIENCE, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("first", range(0, 60, 10))
def test_a_foreign_index_is_refused_or_served_harmlessly(venvfs, layered, tmp_path, first):
    at, upper, mount = layered
    good = tmp_path / "good"
    shutil.copytree(upper, good)
    served = 0
    for seed in range(first, first + 10):
        wait_until(lambda: not list(upper.glob("index.db-*")))
        shutil.rmtree(upper)
        shutil.copytree(good, upper)
        spoil_rows(upper / "index.db", seed)
        done = mount(ok=False)
        if done.returncode != 0:
            assert done.returncode == 1 and len(done.stderr.splitlines()) == 1, (seed, done.stderr)
            continue
        served += 1
        use(at)
        assert row(venvfs, at)["restarts"] == 0 and row(venvfs, at)["state"] == "serving", seed
        unmount(venvfs, at)
    assert served > 0


@pytest.mark.parametrize("schema", [
    "CREATE TRIGGER t AFTER UPDATE ON node BEGIN DELETE FROM node; END",
    "CREATE VIEW v AS SELECT 1",
    "CREATE TABLE more(x)",
    "ALTER TABLE node ADD COLUMN more",
])
def test_an_index_with_a_schema_of_its_own_is_refused(layered, schema):
    at, upper, mount = layered
    db = sqlite3.connect(upper / "index.db")
    db.execute(schema)
    db.commit()
    db.close()
    done = mount(ok=False)
    assert done.returncode == 1 and "damaged or no index of venvfs" in done.stderr, done.stderr


def spoil_bytes(path, rng):
    data = bytearray(path.read_bytes())
    for _ in range(rng.choice((1, 1, 4, 30))):
        how = rng.randrange(4)
        at = rng.randrange(len(data) + 1)
        if how == 0 and data:
            data[at % len(data)] = rng.randrange(256)
        elif how == 1:
            data[at:at] = rng.choice((b"..", b"/", b"\x00", b"9" * 30, b"[" * 500, b"\xff", b"{}", b'"', b"-1", b"\n"))
        elif how == 2:
            del data[at:at + rng.randrange(1, 40)]
        else:
            del data[at:]
    path.write_bytes(data)


@pytest.mark.parametrize("name", ["mount.json", "layers", "upper/base"])
def test_foreign_files_of_a_state_are_refused_or_served_harmlessly(venvfs, layered, tmp_path, name):
    """By mount, which takes over what fits, by list and unmount --all, and by a server that is started on them."""
    at, upper, mount = layered
    state = upper.parent
    good = tmp_path / "good"
    shutil.copytree(state, good)
    for seed in range(30):
        shutil.rmtree(state)
        shutil.copytree(good, state)
        spoil_bytes(state / name, random.Random(seed))
        venvfs.run("list")
        venvfs.run("unmount", "--all")
        done = mount(ok=False)
        if done.returncode != 0:
            assert done.returncode == 1 and len(done.stderr.splitlines()) == 1, (seed, done.stderr)
            continue
        use(at)
        assert row(venvfs, at)["restarts"] == 0, seed
        unmount(venvfs, at)


def test_a_foreign_skeleton_is_made_again_and_never_believed(venvfs, tmp_path):
    """It holds launchers and activate scripts: what others wrote there must not be run."""
    at, wheel = tmp_path / ".venv", Wheel().write(tmp_path)
    mount = ("mount", "--python", PYTHON, at, wheel)
    venvfs.run(*mount)
    pack = next((tmp_path / "state").rglob("pack"))
    activate = (at / "bin/activate").read_text()
    for seed in range(12):
        unmount(venvfs, at)
        spoil_bytes(pack, random.Random(seed))
        venvfs.run(*mount)
        assert (at / "bin/activate").read_text() == activate, seed
    data = pack.read_bytes()
    place = data.index(b"deactivate () {")
    for spoiled in (data[:place] + b"rm" + data[place + 2:], data[:4096], b""):
        pack.write_bytes(spoiled)
        with open(at / "bin/activate") as f:
            os.posix_fadvise(f.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        use(at)
        try:
            assert (at / "bin/activate").read_text() == activate
        except OSError:
            pass
        assert row(venvfs, at)["restarts"] == 0


def test_a_skeleton_that_was_changed_is_read_though_its_times_were_put_back(venvfs, tmp_path):
    """One that is as it was when it was last compared is not read; ctime tells."""
    at, wheel = tmp_path / ".venv", Wheel().write(tmp_path)
    mount = ("mount", "--python", PYTHON, at, wheel)
    begun = time.time()
    venvfs.run(*mount)
    took = time.time() - begun
    pack = next((tmp_path / "state").rglob("pack"))
    plan = pack.parents[1] / "mount.json"
    activate = (at / "bin/activate").read_text()
    unmount(venvfs, at)
    time.sleep(max(0, pack.stat().st_ctime + 2.1 - time.time()))  # younger ones are not trusted
    assert took > 2 or "pack_seen" not in json.loads(plan.read_text())
    venvfs.run(*mount)
    unmount(venvfs, at)
    seen = json.loads(plan.read_text())["pack_seen"]
    data, times = pack.read_bytes(), pack.stat()
    with open(pack, "r+b") as f:
        f.seek(data.index(b"deactivate () {"))
        f.write(b"rm")
    os.utime(pack, ns=(times.st_atime_ns, times.st_mtime_ns))
    venvfs.run(*mount)
    assert (at / "bin/activate").read_text() == activate
    assert json.loads(plan.read_text()).get("pack_seen") != seen
    unmount(venvfs, at)


def test_a_mount_json_cannot_make_anybody_unmount_or_write_elsewhere(venvfs, layered, tmp_path):
    """It names a path, a socket, an upper: of a mount that is another's, or of nothing of ours."""
    at, upper, mount = layered
    state = upper.parent
    other = tmp_path / "other"
    other.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "t", other], check=True)
    put(other, kept="kept")
    try:
        plan = json.loads((state / "mount.json").read_text())
        for key, value in (("path", str(other)), ("socket", str(other / "kept")), ("socket", "/"), ("socket", "x" * 5000),
                           ("path", "relative/../.."), ("path", ""), ("socket", "")):
            (state / "mount.json").write_text(json.dumps(plan | {key: value}))
            venvfs.run("list")
            venvfs.run("unmount", "--all")
            subprocess.run([BINARY, "leave-mount", state], env=venvfs.env, capture_output=True)
            assert mounted_at(other) and (other / "kept").read_text() == "kept", (key, value)
    finally:
        subprocess.run(["umount", other], check=True)


# Images


@pytest.fixture
def added(venvfs, tmp_path):
    """A folder in the cache: its image, its note, and a function that mounts it."""
    folder = put(tmp_path / "folder", a="a", xx="two", x="one", evil_name="file", d__b="b", d__e__c="c", zz__y="y")
    (folder / "link").symlink_to("d/e/c")
    os.mkfifo(folder / "fifo")
    os.link(folder / "a", folder / "hard")
    (folder / "big").write_bytes(bytes(range(256)) * 600)
    (folder / "object").write_bytes(b"o" * 100_000)
    os.setxattr(folder / "a", "user.x", b"y")
    time.sleep(2.1)  # only what has rested for two seconds is not read again
    venvfs.run("cache", "add", folder)
    note = next((venvfs.cache / "folders").iterdir())
    identity = note.read_text().split()[1]
    image = venvfs.cache / "images" / identity[:2] / identity[2:]

    def mount(ok=True):
        return venvfs.run("mount", tmp_path / "m", "--layer", folder, "--fresh", ok=ok)

    return image, note, mount


def mounted_with(added, change):
    image, note, mount = added
    made = Image(image)
    change(made)
    made.publish(image.parents[2], note)
    return mount(ok=False)


def test_a_handmade_image_is_served(venvfs, added, tmp_path):
    """Else the tests below would show nothing."""
    done = mounted_with(added, lambda image: image.rename(image.find(b"evil_name"), b"evil_nama"))
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "m/evil_nama").read_text() == "file" and not (tmp_path / "m/evil_name").exists()


@pytest.mark.parametrize("name", [b"..", b".", b"a/b/c/d/e", b"../../x", b"/etc/shad", b"evil\x00name", b""])
def test_names_that_lead_elsewhere_are_never_shown(venvfs, added, tmp_path, name):
    at = tmp_path / "m"
    (tmp_path / "x").write_text("outside")
    done = mounted_with(added, lambda image: image.rename(image.find(b"xx" if len(name) == 2 else b"evil_name"), name))
    if done.returncode != 0:
        assert len(done.stderr.splitlines()) == 1, done.stderr
        return
    try:
        names = os.listdir(os.fsencode(at))
    except OSError:
        names = []
    assert not set(names) & {b"..", b".", b""} and not any(b"/" in n for n in names), names
    assert (at / "..").resolve() == tmp_path and (at / "../x").read_text() == "outside"
    use(at)
    assert row(venvfs, at)["restarts"] == 0


@pytest.mark.parametrize("target", [b"/x", b"../x", b"."])
def test_links_lead_where_they_would_anywhere_and_never_the_server(venvfs, added, tmp_path, target):
    """A client follows a link, with its own rights; what the server reads is never found by one."""

    def change(image):
        number = image.find(b"link")
        at = image.text_at(image.get(number, "data"))
        image.bytes[at:at + len(target)] = target
        image.set(number, "length", len(target))

    done = mounted_with(added, change)
    assert done.returncode == 0, done.stderr
    assert os.fsencode(os.readlink(tmp_path / "m/link")) == target
    with pytest.raises(OSError):
        os.open(tmp_path / "m/link", os.O_RDONLY | os.O_NOFOLLOW)
    use(tmp_path / "m")
    assert row(venvfs, tmp_path / "m")["restarts"] == 0


def test_a_set_uid_file_of_root_in_an_image_gives_nobody_rights(venvfs, added, tmp_path):
    def change(image):
        image.set(image.find(b"a"), "mode", 0o6755)

    done = mounted_with(added, change)
    assert done.returncode == 0, done.stderr
    assert "nosuid" in next(line for line in open("/proc/self/mountinfo") if str(tmp_path / "m") in line)


VALUES = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 16, 255, 256, 4095, 4096, 65535, 65536, 2**31 - 1, 2**31, 2**32 - 1, 2**62, 2**63, 2**64 - 1]


def spoil_entries(image, rng):
    for _ in range(rng.choice((1, 1, 2, 6))):
        field = rng.choice(list(FIELDS))
        form = FIELDS[field][1]
        value = rng.choice([*VALUES, *(image.get(rng.randrange(image.count), field) for _ in range(5))])
        limit = 1 << (8 * struct.calcsize(form))
        value %= limit
        if form == "<q" and value >= limit // 2:
            value -= limit
        image.set(rng.randrange(image.count), field, value)


@pytest.mark.parametrize("first", range(0, 80, 10))
def test_images_with_any_entries_are_refused_or_served_harmlessly(venvfs, added, tmp_path, first):
    """Cycles, ranges beyond the end, types that are none: with sums that are right."""
    at, served = tmp_path / "m", 0
    for seed in range(first, first + 10):
        done = mounted_with(added, lambda image: spoil_entries(image, random.Random(seed)))
        if done.returncode != 0:
            assert done.returncode == 1 and len(done.stderr.splitlines()) == 1, (seed, done.stderr)
            continue
        served += 1
        use(at)
        assert row(venvfs, at)["restarts"] == 0, seed
        unmount(venvfs, at)
    assert served > 0


# The control socket


def connect(path):
    s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    s.settimeout(PATIENCE)
    fd = os.open(path.parent, os.O_PATH)
    try:
        s.connect(f"/proc/self/fd/{fd}/{path.name}")
    finally:
        os.close(fd)
    return s


def sockets(venvfs):
    found = sorted((venvfs.root / "run/venvfs").iterdir())
    assert found
    return found


def messages(rng):
    yield from (b"{}", b"[]", b"null", b"\x00", b"{", b'{"verb":', b'{"verb": 1}', b'{"verb": "nothing"}',
                b'{"verb": "changes", "from": -1}', b'{"verb": "changes", "from": 9223372036854775807}',
                b'{"verb": "changes", "from": 1e999}', b'{"verb": "changes", "from": "x"}', b'{"verb": "\xff\xfe"}',
                b'{"verb": "changes", "from": "1/"}', b'{"verb": "changes", "from": "-1/61"}',
                b'{"verb": "changes", "from": "1/6"}', b'{"verb": "changes", "from": "1/' + b"61" * 300 + b'"}',
                b"[" * 60000, b'{"a":' * 12000, b'{"verb": "' + b"x" * 65000 + b'"}', b"x" * 65536, b"x" * 100_000,
                b'{"verb":"status"}' * 4000)
    for _ in range(60):
        yield bytes(rng.randrange(256) for _ in range(rng.randrange(1, 300)))


def test_oversized_and_malformed_messages_are_answered_or_dropped(venvfs, layered):
    at, upper, mount = layered
    mount()
    pid = row(venvfs, at)["pid"]
    for path in sockets(venvfs):
        for message in messages(random.Random(1)):
            with connect(path) as s:
                try:
                    s.send(message)
                    answer = s.recv(1 << 20)
                    assert not answer or isinstance(json.loads(answer), dict), message[:80]
                except (ConnectionError, BrokenPipeError):
                    pass
    assert row(venvfs, at)["pid"] == pid and row(venvfs, at)["restarts"] == 0
    assert (at / "a").read_text() == "changed"


def test_peers_that_say_nothing_keep_nobody_waiting_for_long(venvfs, layered):
    at, upper, mount = layered
    mount()
    silent = [connect(path) for path in sockets(venvfs) for _ in range(5)]
    assert (at / "d/new").read_text() == "new"
    assert row(venvfs, at)["restarts"] == 0  # though they are connected still
    for s in silent:
        s.close()


def test_descriptors_that_are_sent_along_are_not_kept(venvfs, layered):
    at, upper, mount = layered
    mount()
    pids = [row(venvfs, at)[name] for name in ("pid", "supervisor")]
    wait_until(lambda: (at / "a").exists())
    before = [len(os.listdir(f"/proc/{pid}/fd")) for pid in pids]
    for path in sockets(venvfs):
        for _ in range(20):
            with connect(path) as s, open("/dev/null") as f:
                socket.send_fds(s, [b'{"verb": "status"}'], [f.fileno()] * 50)
                s.recv(1 << 20)
    wait_until(lambda: [len(os.listdir(f"/proc/{pid}/fd")) for pid in pids] <= before)


def run_as(uid, function):
    """In a child that has become this uid; what it returned, an int below 100."""
    pid = os.fork()
    if pid == 0:
        status = 99
        try:
            os.setgroups([])
            os.setresgid(uid, uid, uid)
            os.setresuid(uid, uid, uid)
            status = function()
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_another_user_who_reaches_a_socket_gets_no_answer(venvfs, layered):
    """The directory is closed to them; should it not be, the server asks who they are."""
    at, upper, mount = layered
    mount()
    for path in sockets(venvfs):
        os.chmod(path, 0o777)
        fd = os.open(path.parent, os.O_PATH)

        def ask(verb):
            with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as s:
                s.settimeout(PATIENCE)
                s.connect(f"/proc/self/fd/{fd}/{path.name}")
                try:
                    s.send(b'{"verb": "%s"}' % verb)
                    return 1 if s.recv(100_000) else 0
                except ConnectionError:
                    return 0

        for verb in (b"status", b"changes"):
            path.parent.chmod(0o755)
            assert run_as(4321, lambda: ask(verb)) == 0
            path.parent.chmod(0o700)
        os.close(fd)


def test_a_server_that_is_another_s_is_not_believed(venvfs, layered):
    """Somebody else listens where the socket was."""
    at, upper, mount = layered
    mount()
    worker = row(venvfs, at)["pid"]
    path = min(sockets(venvfs), key=lambda p: len(p.name))
    kept = path.with_name("kept")
    path.rename(kept)
    parent = os.open(path.parent, os.O_PATH)
    ready, told = os.pipe()
    pid = os.fork()
    if pid == 0:
        s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        path.parent.chmod(0o777)
        os.setresuid(4321, 4321, 4321)
        s.bind(f"/proc/self/fd/{parent}/{path.name}")
        s.listen()
        os.write(told, b"x")
        while True:
            peer = s.accept()[0]
            peer.send(b'{"state": "serving", "pid": 1, "requests": {"FORGED": 1}}')
    try:
        os.read(ready, 1)
        path.parent.chmod(0o700)
        told = venvfs.list(silent=True)
        # Its supervisor may have noticed meanwhile, and listen elsewhere.
        assert "FORGED" not in json.dumps(told) and told[0].get("pid") in (None, worker)
        assert told[0]["state"] == ("not answering" if told[0].get("pid") is None else "serving")
    finally:
        os.kill(pid, 9)
        os.waitpid(pid, 0)
        path.unlink()
        kept.rename(path)
    assert row(venvfs, at)["state"] == "serving"


# A worker that somebody has taken over: what is left to them


def address(path):
    return struct.pack("<H108s", socket.AF_UNIX, os.fsencode(path))


def supervisor_socket(venvfs):
    return min(sockets(venvfs), key=lambda p: len(p.name))


def test_a_hijacked_worker_runs_nothing_and_signals_nobody(venvfs, layered):
    at, upper, mount = layered
    mount()
    with hijacked(row(venvfs, at)["pid"]) as worker:
        assert worker.getpid() == worker.pid  # it obeys
        for name, *arguments in (
            ("execve", "/bin/true", 0, 0), ("execveat", 0, "/bin/true", 0, 0, 0), ("fork",), ("vfork",), ("clone", signal.SIGCHLD),
            ("clone3", b"\0" * 88, 88), ("unshare", 0x10000000), ("mount", "none", "/mnt", "tmpfs", 0, 0), ("chroot", "/"),
            ("ptrace", 16, os.getpid(), 0, 0), ("process_vm_writev", os.getpid(), 0, 0, 0, 0, 0), ("bpf", 0, 0, 0),
            ("io_uring_setup", 8, b"\0" * 120), ("kill", os.getpid(), 0), ("kill", -1, 0), ("tkill", os.getpid(), 0),
            ("tgkill", os.getpid(), os.getpid(), 0), ("rt_sigqueueinfo", os.getpid(), 10, b"\0" * 128), ("pidfd_open", os.getpid(), 0),
            ("pidfd_send_signal", 3, 0, 0, 0), ("pidfd_getfd", 3, 0, 0), ("prlimit64", os.getpid(), 7, 0, 0),
            # A pipe or socket tells its owner when something comes: by which signal, could be chosen.
            ("fcntl", 3, fcntl.F_SETOWN, os.getpid()), ("fcntl", 3, 15, b"\0" * 8), ("fcntl", 3, fcntl.F_SETSIG, 9),
            ("fcntl", 3, fcntl.F_SETLEASE, 1), ("fcntl", 3, fcntl.F_NOTIFY, 2), ("ioctl", 3, 0x8901, b"\0" * 4)):
            worker.refuses(name, *arguments)
    assert (at / "d/new").read_text() == "new" and row(venvfs, at)["restarts"] == 0


def test_a_hijacked_worker_speaks_to_nobody(venvfs, layered, tmp_path):
    """Not to the supervisor, which starts programs; and there are D-Bus and the daemons of containers."""
    at, upper, mount = layered
    mount()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as hears, hijacked(row(venvfs, at)["pid"]) as worker:
        hears.bind(str(tmp_path / "hears"))
        for family in (socket.AF_INET, socket.AF_INET6, socket.AF_NETLINK, socket.AF_VSOCK):
            worker.refuses("socket", family, socket.SOCK_STREAM, 0)
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_RAW, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC):
            worker.refuses("socket", socket.AF_UNIX, kind, 0)
            worker.refuses("socketpair", socket.AF_UNIX, kind, 0, b"\0" * 8)
        own = worker.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET, 0)
        assert own > 0  # to listen at
        worker.refuses("connect", own, address(supervisor_socket(venvfs)), 110)
        assert worker.sendto(own, b"x", 1, 0, address(tmp_path / "hears"), 110) < 0
        worker.close(own)
        hears.setblocking(False)
        with pytest.raises(BlockingIOError):
            hears.recv(1)
    assert row(venvfs, at)["restarts"] == 0


ASKS = """
import os, socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
d = os.open(os.path.dirname(sys.argv[1]), os.O_PATH)
s.connect(f"/proc/self/fd/{d}/{os.path.basename(sys.argv[1])}")
socket.send_fds(s, [b'{"verb": "upgrade"}'], [os.open(sys.argv[2], os.O_PATH)] * 2)
print(s.recv(4096).decode())
"""
FILTER = """
import ctypes, sys
code = (ctypes.c_uint8 * 8)(6, 0, 0, 0, 0, 0, 0xff, 0x7f)  # "allow"
class Program(ctypes.Structure):
    _fields_ = [("count", ctypes.c_ushort), ("code", ctypes.c_void_p)]
libc = ctypes.CDLL(None, use_errno=True)
assert libc.prctl(22, 2, ctypes.byref(Program(1, ctypes.addressof(code)))) == 0, ctypes.get_errno()
"""


def test_a_hijacked_worker_gets_into_no_other_process(venvfs, layered):
    """Memory, descriptors and folders of processes of the same uid are files; the filter sees no path."""
    at, upper, mount = layered
    mount()
    unconfined = ["setpriv", "--bounding-set=-all", "--inh-caps=-all", "sleep", "600"]  # else capabilities would keep it out
    with subprocess.Popen(unconfined) as victim, hijacked(row(venvfs, at)["pid"]) as worker:
        try:
            wait_until(lambda: "sleep" in os.readlink(f"/proc/{victim.pid}/exe"))
            for name in ("mem", "environ", "maps"):
                worker.refuses("open", f"/proc/{victim.pid}/{name}", os.O_RDONLY)
            worker.refuses("open", f"/proc/{victim.pid}/mem", os.O_RDWR)
            worker.refuses("open", f"/proc/{victim.pid}/fd/0", os.O_RDONLY)
            worker.refuses("open", f"/proc/{victim.pid}/root/etc/passwd", os.O_RDONLY)
            own = worker.open(f"/proc/{worker.pid}/mem", os.O_RDONLY)
            assert own > 0
            worker.close(own)
        finally:
            victim.kill()
    # What it moves from one directory to another it may still.
    (at / "d/b").write_text("copied up")
    assert (at / "d/b").read_text() == "copied up" and row(venvfs, at)["restarts"] == 0


@pytest.mark.parametrize("how", ["one capability less", "no capability", "a filter", "a user namespace"])
def test_a_supervisor_runs_nothing_for_who_may_do_less(venvfs, layered, how):
    """Who is confined, as its own worker is, would leave its confinement so."""
    at, upper, mount = layered
    mount()

    def answer(command, program):
        done = subprocess.run([*command, program, supervisor_socket(venvfs), "/bin/false"], capture_output=True, text=True, timeout=PATIENCE)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)["error"]

    if how == "a user namespace":
        told = answer(["unshare", "-Ur", "python3", "-c"], ASKS)
    elif how == "a filter":
        told = answer(["python3", "-c"], FILTER + ASKS)
    else:
        less = "sys_admin" if how == "one capability less" else "all"
        told = answer(["setpriv", f"--bounding-set=-{less}", f"--inh-caps=-{less}", "python3", "-c"], ASKS)
    assert "may do less" in told
    assert "the new venvfs-supervise ends with status 1" in answer(["python3", "-c"], ASKS)  # who may do as much is served
    assert row(venvfs, at)["restarts"] == 0


def test_a_supervisor_of_a_user_runs_nothing_for_who_may_gain_no_rights(person):
    """It may run fusermount3, which is set-uid; who has no_new_privs may not."""
    person.sudo("mount", person.home / "m", "--layer", put(person.tmp / "folder", a="a"))
    path = min(person.state.rglob("run/*"), key=lambda p: len(p.name))
    asks = [PYTHON, "-c", ASKS, path, "/bin/false"]
    done = person.run("setpriv", "--no-new-privs", *asks)
    assert "may do less" in done.stdout, done.stdout + done.stderr
    done = person.run(*asks)
    assert "ends with status 1" in done.stdout, done.stdout + done.stderr


def test_a_request_without_its_descriptors_leaves_none_open(venvfs, layered):
    at, upper, mount = layered
    mount()
    pid = row(venvfs, at)["supervisor"]
    before = len(os.listdir(f"/proc/{pid}/fd"))
    for _ in range(20):
        with connect(supervisor_socket(venvfs)) as s:
            s.send(b'{"verb": "upgrade"}')
            assert "missing" in s.recv(1000).decode()
    wait_until(lambda: len(os.listdir(f"/proc/{pid}/fd")) <= before)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_of_a_worker_reaches_its_supervisor(venvfs, layered, number):
    """By a bell; and no thread of the worker, that of an upper with rows neither, dies of it."""
    at, upper, mount = layered
    mount()
    with open(at / "a") as held:
        before = row(venvfs, at)
        os.kill(before["pid"], number)
        wait_until(lambda: not mounted_at(at))
        assert held.read() == "changed"
        assert os.readlink(f"/proc/{before['pid']}/exe") == BINARY
    wait_until(lambda: not list(upper.parent.glob("upper/*-wal")))


WORKER_AT = 20  # where struct shared (supervise/shared.h) has its pid


def write_shared(pid, at, data):
    line = next(line for line in open(f"/proc/{pid}/maps") if "memfd:venvfs" in line)
    with open(f"/proc/{pid}/mem", "r+b", buffering=0) as memory:
        memory.seek(int(line.split("-")[0], 16) + at)
        memory.write(data)


def environment(pid):
    return pathlib.Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")


def followed(venvfs, at):
    """The row, once another supervisor has followed one that is killed here."""
    first = row(venvfs, at)["supervisor"]
    kill(first)
    wait_until(lambda: row(venvfs, at).get("supervisor", first) != first)
    return row(venvfs, at)


def killed(venvfs, at):
    """The row of the next worker."""
    pid = row(venvfs, at)["pid"]
    kill(pid)
    wait_until(lambda: row(venvfs, at).get("pid", pid) != pid)
    return row(venvfs, at)


def test_who_follows_believes_no_pid_that_a_worker_can_write(venvfs, layered):
    """It took the environment of that process and killed it."""
    at, upper, mount = layered
    mount()
    with subprocess.Popen(["sleep", "600"], env={"LD_NOTHING": "1", "VENVFS_SERVING_THREADS": "1"}) as victim:
        try:
            pid = row(venvfs, at)["pid"]
            write_shared(pid, WORKER_AT, struct.pack("<i", victim.pid))
            assert row(venvfs, at)["pid"] == pid
            assert followed(venvfs, at)["pid"] == pid
            venvfs.run("upgrade", at)
            assert victim.poll() is None
            assert not {b"LD_NOTHING=1", b"VENVFS_SERVING_THREADS=1"} & set(environment(killed(venvfs, at)["pid"]))
        finally:
            victim.kill()
    assert (at / "a").read_text() == "changed"


@pytest.mark.parametrize("number", [0, 1 << 21, -1])
def test_a_pid_that_is_no_worker_s_keeps_nobody_from_following(venvfs, layered, number):
    """A supervisor may die between starting a worker and noting its pid."""
    at, upper, mount = layered
    mount()
    pid = row(venvfs, at)["pid"]
    write_shared(pid, WORKER_AT, struct.pack("<i", number))
    assert followed(venvfs, at)["pid"] == pid
    assert killed(venvfs, at)["restarts"] == 1 and (at / "a").read_text() == "changed"


def test_who_follows_takes_nothing_from_a_worker_that_runs_other_programs(venvfs, layered, tmp_path):
    at, upper, mount = layered
    mount()
    pid = row(venvfs, at)["pid"]
    begin, end = map(int, pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[47:49])
    evil = (b"LD_PRELOAD=/evil.so\0LD_AUDIT=/evil.so\0GLIBC_TUNABLES=x\0PATH=/evil\0PYTHONPATH=/evil\0=x\0HOME=" +
            os.fsencode(tmp_path) + b"\0XDG_STATE_HOME=" + os.fsencode(tmp_path / "state") + b"\0XDG_CACHE_HOME=" +
            os.fsencode(tmp_path / "cache") + b"\0XDG_RUNTIME_DIR=" + os.fsencode(tmp_path / "run") + b"\0VENVFS_SERVING_THREADS=2")
    with open(f"/proc/{pid}/mem", "r+b", buffering=0) as memory:
        memory.seek(begin)
        memory.write(evil.ljust(end - begin, b"\0"))
    followed(venvfs, at)
    found = environment(killed(venvfs, at)["pid"])
    assert b"VENVFS_SERVING_THREADS=2" in found and b"HOME=" + os.fsencode(tmp_path) in found
    assert not [v for v in found if b"evil" in v or v.startswith((b"LD_", b"GLIBC_"))], found
    assert b"PATH=" + os.fsencode(venvfs.env["PATH"]) in found
    assert (at / "a").read_text() == "changed"
    os.kill(row(venvfs, at)["pid"], signal.SIGTERM)
    wait_until(lambda: not mounted_at(at))


def test_sigterm_reaches_a_supervisor_that_followed_another(venvfs, layered):
    """The worker rings a bell that each supervisor gets from it."""
    at, upper, mount = layered
    mount()
    os.kill(followed(venvfs, at)["pid"], 15)
    wait_until(lambda: not mounted_at(at))
