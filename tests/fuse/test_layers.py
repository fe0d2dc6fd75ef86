"""Plain folders as layers: path by path what they were, alone, stacked and below wheels."""

import json
import os
import pathlib
import pwd
import socket
import stat
import subprocess
import threading

import pytest
from support import BINARY, missing
from wheelmaker import Wheel

SIZES = [0, 1, 4096, 65_535, 65_536, 65_537, 300_000, 2_000_003]


def make_tree(root):
    """All that an image can hold, with every attribute set to something that is no default."""
    root = os.fsencode(root)

    def path(name):
        return os.path.join(root, os.fsencode(name))

    for name in ("empty", "empty/inner", "many", "deep" + "/d" * 60, "sticky"):
        os.makedirs(path(name), exist_ok=True)
    for size in SIZES:
        with open(path(f"size{size}"), "wb") as f:
            f.write(os.urandom(size))
    for i in range(700):
        with open(path(f"many/{i}"), "wb") as f:
            f.write(b"%d" % i)
    for name in ("with space", "x" * 255, "umlaut-ä", b"latin-\xe4", "-", ".hidden", "new\nline"):
        with open(path(name), "wb") as f:
            f.write(b"named")
    with open(path("deep" + "/d" * 60 + "/leaf"), "wb") as f:
        f.write(b"leaf")
    for target in ("nowhere/at/all", "/etc/passwd", "many", b"\xff", "t" * 4000):
        os.symlink(target, path(f"link{len(target)}"))
    os.mkfifo(path("fifo"))
    with socket.socket(socket.AF_UNIX) as s:
        where = os.getcwd()
        os.chdir(root)
        s.bind("socket")
        os.chdir(where)
    os.link(path("size65537"), path("many/linked"))
    os.link(path("size65537"), path("many/again"))
    os.link(path("size1"), path("sticky/one"))
    for i, (name, mode) in enumerate([
        ("size0", 0o6711), ("size1", 0o000), ("size4096", 0o4755), ("fifo", 0o620), ("many", 0o2770),
        ("sticky", 0o1777), ("empty", 0o000), ("empty/inner", 0o500), ("size300000", 0o444),
    ]):
        os.chown(path(name), 1000 + i, 2000 + i)
        os.chmod(path(name), mode)
    os.lchown(path("link4"), 77, 88)
    os.chown(path("many/again"), 4294967293, 5)
    everything = [os.path.join(d, n) for d, ds, fs in os.walk(root, topdown=False) for n in ds + fs]
    for i, name in enumerate([*everything, root]):
        ns = (i * 1_234_567_891_011 + 7) % 2_000_000_000_000_000_000 - 300_000_000_000_000_000
        os.utime(name, ns=(ns, ns), follow_symlinks=False)


def facts(name, owner):
    st = os.lstat(name)
    found = [stat.S_IFMT(st.st_mode), oct(stat.S_IMODE(st.st_mode)), st.st_mtime_ns]
    if owner:
        found += [st.st_uid, st.st_gid]
    if not stat.S_ISDIR(st.st_mode):
        found += [st.st_size, st.st_nlink]
    if stat.S_ISLNK(st.st_mode):
        found.append(os.readlink(name))
    if stat.S_ISREG(st.st_mode):
        with open(name, "rb") as f:
            found.append(f.read())
    return found


def read_tree(root, owner=False):
    """Everything below `root`, and itself, by its path."""
    root = os.fsencode(root)
    found = {b".": facts(root, owner)}
    for folder, folders, files in os.walk(root):
        for name in folders + files:
            path = os.path.join(folder, name)
            found[os.path.relpath(path, root)] = facts(path, owner)
    return found


def assert_same(a, b, owner=False):
    one, other = read_tree(a, owner), read_tree(b, owner)
    assert sorted(one) == sorted(other)
    different = [(p, one[p][:7], other[p][:7]) for p in one if one[p] != other[p]]
    assert not different, different[:5]


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    root = tmp_path_factory.mktemp("tree") / "folder"
    root.mkdir()
    make_tree(root)
    return root


@pytest.mark.parametrize("options", [[], ["--keep-owner"]])
def test_a_mounted_folder_is_the_folder_path_by_path(venvfs, tmp_path, tree, options):
    mount = tmp_path / "mount"
    venvfs.run("mount", mount, "--layer", tree, *options)
    assert_same(tree, mount, owner=bool(options))
    if not options:
        assert {(s[0], s[1]) for s in owners(mount)} == {(os.geteuid(), os.getegid())}
    venvfs.run("unmount", mount)
    assert "1 folders, 1 images" in venvfs.run("cache", "verify").stdout


def owners(root):
    for folder, folders, files in os.walk(os.fsencode(root)):
        for name in folders + files:
            st = os.lstat(os.path.join(folder, name))
            yield st.st_uid, st.st_gid


def test_hard_links_are_one_inode_and_every_name_is_listed_once(venvfs, tmp_path, tree):
    mount = tmp_path / "mount"
    venvfs.run("mount", mount, "--layer", tree)
    names = ["size65537", "many/linked", "many/again"]
    assert len({os.stat(mount / n).st_ino for n in names}) == 1
    assert os.stat(mount / names[0]).st_nlink == 3
    listed = os.listdir(mount / "many")
    assert len(listed) == len(set(listed)) == 702
    inodes = {e.name: e.inode() for e in os.scandir(mount / "many")}
    assert inodes["linked"] == inodes["again"] == os.stat(mount / "size65537").st_ino


def test_inodes_stay_over_a_remount(venvfs, tmp_path, tree):
    mount = tmp_path / "mount"

    def inodes():
        venvfs.run("mount", mount, "--layer", tree)
        found = {p: os.lstat(p).st_ino for p in mount.rglob("*")}
        venvfs.run("unmount", mount)
        return found

    first = inodes()
    assert len(first) > 700 and inodes() == first


def put(root, **files):
    for name, text in files.items():
        path = root / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def test_of_several_folders_the_later_wins(venvfs, tmp_path):
    a = put(tmp_path / "a", both="a", d__both="a", d__a="a", file__in="a", dir="a")
    b = put(tmp_path / "b", both="b", d__both="b", d__b="b", file="b", dir__in="b")
    b.chmod(0o711)
    os.utime(b / "d", ns=(5, 123))
    os.utime(b, ns=(5, 456))
    mount = tmp_path / "mount"
    venvfs.run("mount", mount, "--layer", a, "--layer", b)
    assert sorted(os.listdir(mount)) == ["both", "d", "dir", "file"]
    assert {(mount / n).read_text() for n in ("both", "d/both", "d/b", "file", "dir/in")} == {"b"}
    assert (mount / "d/a").read_text() == "a" and sorted(os.listdir(mount / "d")) == ["a", "b", "both"]
    assert stat.S_IMODE(mount.stat().st_mode) == 0o711 and mount.stat().st_mtime_ns == 456
    assert (mount / "d").stat().st_mtime_ns == 123
    venvfs.run("unmount", mount)
    venvfs.run("mount", mount, "--layer", b, "--layer", a, "--layer", b, "--layer", a)
    assert (mount / "both").read_text() == "a" and (mount / "file/in").read_text() == "a"


def test_folders_lie_below_wheels(venvfs, tmp_path, python):
    wheel = Wheel().add("clash.py", b"x = 'wheel'").write(tmp_path)
    site = f"lib/python{os.path.basename(python).removeprefix('python')}/site-packages"
    folder = put(tmp_path / "folder", **{
        site + "/clash.py": "x = 'folder'", site + "/extra.py": "x = 'folder'", "pyvenv.cfg": "home = /nowhere",
        "data__set.csv": "1,2", "site-packages__no.py": "", "root__no": "", "bin__tool": "#!/bin/sh\necho tool\n",
    })
    (folder / "bin/tool").chmod(0o755)
    os.utime(folder / "data", ns=(1, 987_654_321))
    mount = tmp_path / "mount"
    done = venvfs.run("mount", "--python", python, mount, wheel, "--layer", folder)
    assert not done.stderr  # that a wheel outranks a folder is no clash
    code = "import clash, extra, demo, sys; print(clash.x, extra.x, sys.prefix)"
    said = subprocess.run([mount / "bin/python", "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.split() == ["wheel", "folder", str(mount)]
    assert (mount / "data/set.csv").read_text() == "1,2"
    assert (mount / "data").stat().st_mtime_ns == 987_654_321
    assert (mount / "site-packages/no.py").exists() and (mount / "root/no").exists()
    assert "/nowhere" not in (mount / "pyvenv.cfg").read_text()
    assert subprocess.run([mount / "bin/tool"], capture_output=True, text=True).stdout == "tool\n"
    row = venvfs.list()[0]
    assert (row["wheels"], row["folders"]) == (1, 1)


def test_a_plain_tree_needs_no_python(venvfs, tmp_path, tree):
    mount = tmp_path / "mount"
    venvfs.run("mount", mount, "--layer", tree, PATH="/nowhere")
    assert not (mount / "pyvenv.cfg").exists() and not (mount / "bin").exists()
    row = venvfs.list()[0]
    assert (row["wheels"], row["folders"], row["python"]) == (0, 1, "")
    assert not list((tmp_path / "state").rglob("pack"))


def test_a_mount_shows_what_the_folder_was(venvfs, tmp_path):
    folder, mount = put(tmp_path / "folder", a="old"), tmp_path / "mount"
    venvfs.run("mount", mount, "--layer", folder)
    put(folder, a="new", b="new")
    assert os.listdir(mount) == ["a"] and (mount / "a").read_text() == "old"
    venvfs.run("unmount", mount)
    venvfs.run("mount", mount, "--layer", folder)
    assert sorted(os.listdir(mount)) == ["a", "b"] and (mount / "a").read_text() == "new"


def test_a_mount_can_lie_in_and_over_its_folder(venvfs, tmp_path):
    folder = put(tmp_path / "folder", a="a")
    venvfs.run("mount", folder / "inner", "--layer", folder)
    assert (folder / "inner/a").read_text() == "a"
    assert "inner' is a mount point" in venvfs.refused("cache", "add", folder)
    venvfs.run("unmount", folder / "inner")
    venvfs.run("mount", "--over", folder, "--layer", folder)
    assert (folder / "a").read_text() == "a"


def test_add_prints_the_image_and_list_finds_it(venvfs, tmp_path, tree):
    first, again = (venvfs.run("cache", "add", tree).stdout for _ in range(2))
    assert first == again and first.startswith(f"{tree}: image ")
    wheel = Wheel().write(tmp_path)
    other = put(tmp_path / "other", a="a")
    assert venvfs.run("cache", "add", wheel, other).stdout.startswith(f"{other}: image ")
    rows = json.loads(venvfs.run("cache", "list", "--json").stdout)
    assert [(r["kind"], r["name"]) for r in rows] == [
        ("wheel", wheel.name), *(("folder", p) for p in sorted([str(other), str(tree)])),
    ]
    assert f": image {rows[-1]['image']}," in first or f": image {rows[-2]['image']}," in first
    assert str(tree) in venvfs.run("cache", "list").stdout
    assert "1 wheels, 2 folders, 3 images" in venvfs.run("cache", "verify").stdout


def test_a_copy_of_a_folder_is_the_same_image(venvfs, tmp_path, tree):
    copy = tmp_path / "copy"
    subprocess.run(["cp", "-a", tree, copy], check=True)
    ids = [venvfs.run("cache", "add", p).stdout.split("image ")[1].split(",")[0] for p in (tree, copy)]
    assert ids[0] == ids[1]


def test_a_damaged_image_is_mended_by_adding_the_folder_again(venvfs, tmp_path, tree):
    venvfs.run("cache", "add", tree)
    image = next(p for p in (venvfs.cache / "images").rglob("*") if p.is_file())
    data = bytearray(image.read_bytes())
    data[-1] ^= 1
    image.chmod(0o600)
    image.write_bytes(data)
    assert venvfs.run("cache", "verify", ok=False).returncode == 1
    venvfs.run("cache", "add", tree)
    assert "all right" in venvfs.run("cache", "verify").stdout


def test_what_cannot_be_in_an_image_is_refused_by_its_path(venvfs, tmp_path):
    folder = put(tmp_path / "folder", a="a", d__b="b")
    os.mknod(folder / "d/null", 0o020600, os.makedev(1, 3))
    mount = tmp_path / "mount"
    for command in (["cache", "add", folder], ["mount", mount, "--layer", folder]):
        assert f"'{folder}/d/null' is a device node" in venvfs.refused(*command)
    assert not mount.exists() and venvfs.traces() == []


def test_a_file_that_changes_while_it_is_read_is_refused(venvfs, tmp_path):
    folder = put(tmp_path / "folder", **{f"f{i}": "x" * 1000 for i in range(3000)})
    going = True

    def grow():
        while going:
            with open(folder / "f1500", "a") as f:
                f.write("y")

    thread = threading.Thread(target=grow)
    thread.start()
    try:
        line = venvfs.refused("cache", "add", folder)
    finally:
        going = False
        thread.join()
    assert line == f"venvfs: '{folder}/f1500' changed while it was read"
    assert venvfs.traces() == []
    venvfs.run("cache", "add", folder)


def test_a_sparse_file_takes_no_more_room_than_it_did(venvfs, tmp_path):
    """Neither in the cache, nor when it is changed in the mount."""
    lower, path = tmp_path / "lower", tmp_path / "m"
    lower.mkdir()
    with open(lower / "sparse", "wb") as f:
        f.truncate(64 << 20)
        f.seek(32 << 20)
        f.write(b"data")
    venvfs.run("mount", path, "--layer", lower)
    with open(path / "sparse", "r+b") as f:
        f.write(b"x")
    expected = bytearray((lower / "sparse").read_bytes())
    expected[0] = ord("x")
    assert (path / "sparse").read_bytes() == expected
    assert (path / "sparse").stat().st_blocks * 512 < 8 << 20
    objects = [p.stat() for p in (venvfs.cache / "objects").rglob("*") if p.is_file()]
    assert [o.st_size for o in objects] == [64 << 20] and objects[0].st_blocks * 512 < 8 << 20
    venvfs.run("unmount", path)
    venvfs.run("cache", "verify")


@pytest.mark.parametrize("args, said", [
    (["--layer", "nowhere"], "nowhere"), (["--layer", "file"], "file"), (["--layer", "."], "would hold itself"),
])
def test_a_folder_that_is_none_is_refused(venvfs, tmp_path, args, said):
    (tmp_path / "file").write_text("x")
    assert said in venvfs.refused("mount", tmp_path / "mount", *args)
    assert venvfs.list() == [] and not (tmp_path / "mount").exists()


@pytest.mark.parametrize("args", [
    ["--layer", "x"], ["d", "--keep-owner"], ["d", "--layer", "x", "--python", "python3"], ["x.whl", "--keep-owner"],
])
def test_options_that_do_not_go_together_are_status_2(venvfs, args):
    done = venvfs.run("mount", *args, ok=False)
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1 and not done.stdout


def mount_line(path):
    for line in pathlib.Path("/proc/self/mountinfo").read_text().splitlines():
        if line.split()[4] == str(path):
            return line
    raise AssertionError(f"{path} is not mounted")


@pytest.mark.parametrize("given, has, lacks", [
    ("suid,dev", "", "nosuid nodev"), ("rw,relatime", "relatime nosuid nodev", "allow_other"),
    ("noexec,noatime,nodiratime", "noexec noatime nodiratime", "relatime"),
    ("sync,dirsync,strictatime", "sync dirsync", "relatime noatime"), ("ro,defaults", "ro", ""),
    ("fsname=some thing,allow_other", "some\\040thing allow_other", ""),
    ("dev,nodev,noatime,atime,exec,async", "nodev", "noatime noexec sync"),
])
def test_generic_mount_options_are_honoured(venvfs, tmp_path, given, has, lacks):
    mount = tmp_path / "mount"
    venvfs.run("mount", mount, "--layer", put(tmp_path / "folder", a="a"), "-o", given)
    words = set(mount_line(mount).replace(",", " ").split())
    assert set(has.split()) <= words and not set(lacks.split()) & words, words


def test_a_set_id_program_needs_suid(venvfs, tmp_path):
    if not pathlib.Path("/usr/bin/id").exists():
        missing("id")
    user = pwd.getpwnam("nobody").pw_uid
    folder, mount = tmp_path / "folder", tmp_path / "mount"
    folder.mkdir()
    (folder / "id").write_bytes(pathlib.Path("/usr/bin/id").read_bytes())
    os.chown(folder / "id", user, -1)
    (folder / "id").chmod(0o4755)
    for option, expected in (("noatime", "0"), ("suid", str(user))):
        venvfs.run("mount", mount, "--layer", folder, "--keep-owner", "-o", option)
        done = subprocess.run([mount / "id", "-u"], capture_output=True, text=True)
        assert done.stdout.strip() == expected, option
        venvfs.run("unmount", mount)


def test_suid_and_dev_are_refused_under_sudo(venvfs, tmp_path):
    folder, mount = put(tmp_path / "folder", a="a"), tmp_path / "mount"
    for option in ("suid", "dev"):
        line = venvfs.refused("mount", "--user", "root", mount, "--layer", folder, "-o", option, SUDO_UID="1000")
        assert f"-o {option}: only root itself" in line and not mount.exists()


def test_an_ordinary_user_is_refused_what_only_root_may(tmp_path):
    for parent in [tmp_path, *tmp_path.parents]:
        if str(parent).startswith("/tmp/"):
            parent.chmod(parent.stat().st_mode | 0o055)
    user = pwd.getpwnam("nobody").pw_uid
    home, folder = tmp_path / "home", put(tmp_path / "folder", a="a", d__secret="s")
    home.mkdir()
    os.chown(home, user, user)
    (folder / "d/secret").chmod(0o600)
    program = tmp_path / "venvfs"
    program.write_bytes(pathlib.Path(BINARY).read_bytes())
    program.chmod(0o755)

    def refused(*args):
        done = subprocess.run(
            ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups", "env", "-i", "PATH=/usr/bin:/bin",
             f"HOME={home}", program, *args], capture_output=True, text=True, cwd=home,
        )
        assert done.returncode == 1 and len(done.stderr.splitlines()) == 1, done.stderr
        return done.stderr

    assert f"cannot read '{folder}/d/secret': Permission denied" in refused("cache", "add", folder)
    (folder / "d").chmod(0o700)
    assert f"cannot list '{folder}/d': Permission denied" in refused("cache", "add", folder)
    assert "--keep-owner is for root" in refused("mount", home / "m", "--layer", folder, "--keep-owner")
    assert "-o suid: only root itself" in refused("mount", home / "m", "--layer", folder, "-o", "suid")
