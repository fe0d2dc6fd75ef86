"""Other packages over what was changed: kept, gone or named, as a plain model says.

The model merges three sides by path: the old packages, the new ones, and what the user had.
"""

import os
import pathlib
import random
import shutil
import subprocess
import sys
import time

import pytest
from support import BINARY
from wheelmaker import Wheel

SIZE = 20  # conflicts that are named one by one


def package(name, version, changed="1"):
    """`changed` stands in a part of the files; the others say the same in each version."""
    return (
        Wheel(name, version)
        .add(f"{name}/a.py", f'value = "{changed}"\n'.encode())
        .add(f"{name}/b.py", b'value = "always"\n')
        .add(f"{name}/data.txt", f"{name} {changed}\n".encode())
        .add(f"{name}/sub/__init__.py", b"")
        .add(f"{name}/sub/c.py", f'value = "{name}"\n'.encode())
        .add(f"{name}/sub/d.py", f'value = "{changed}"\n'.encode())
    )


def old_packages():
    return [package(f"p{i}", "1.0") for i in range(16)]


def new_packages():
    """Ten are others: p0 of the same size, p1 under another name, p2 gone, r0 new."""
    same_size = package("p0", "1.1")
    renamed = package("q1", "1.0")
    bumped = [package(f"p{i}", "2.0.1", changed="two") for i in range(3, 9)]
    return [same_size, renamed, *bumped, *(package(f"p{i}", "1.0") for i in range(9, 16)), package("r0", "1.0")]


def third_packages():
    """What both others have, said in a third way."""
    return [package(f"p{i}", "3.0", changed="three") for i in range(3, 9)] + [package(f"p{i}", "1.0") for i in range(9, 16)]


def snapshot(folder):
    """Each file below and what it holds, without bytecode."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if "__pycache__" not in path.parts and not path.is_dir():
            found[str(path.relative_to(folder))] = path.read_bytes()
    return found


def parents(path):
    return [str(p) for p in pathlib.PurePath(path).parents][-2::-1]


def folders(files):
    return {parent for path in files for parent in parents(path)}


def merge(old, new, user):
    """What there will be, and the names of conflicts: a removed directory is one."""
    merged, conflicts = {}, set()
    gone = folders(old) & folders(new) - folders(user)
    for path in old.keys() | new.keys() | user.keys():
        before, after, mine = (side.get(path) for side in (old, new, user))
        result = after if mine in (before, after) else mine
        if mine != before and after not in (before, mine):
            conflicts.add(next((p for p in parents(path) if p in gone), path))
        elif result is not None:
            merged[path] = result
    return merged, conflicts


class Ground:
    def __init__(self, venvfs, folder, python):
        self.venvfs, self.python, self.at = venvfs, python, folder / "env/.venv"
        self.wheels = {}
        for side, made in (("old", old_packages()), ("new", new_packages()),
                           ("third", third_packages())):
            (folder / side).mkdir()
            self.wheels[side] = [w.write(folder / side) for w in made]

    @property
    def site(self):
        return next(self.at.glob("lib/python3*/site-packages"))

    def mount(self, side, *options, ok=True):
        done = self.venvfs.run(
            "mount", "-v", *options, "--python", self.python, self.at, *self.wheels[side], ok=ok
        )
        return done

    def unmount(self):
        self.venvfs.run("unmount", self.at)

    def shown(self, side):
        """What the packages alone show."""
        self.mount(side, "--read-only")
        found = snapshot(self.site)
        self.unmount()
        return found

    def say(self, code):
        done = subprocess.run(
            [self.at / "bin/python", "-c", code], capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def import_all(self):
        self.say(
            "import compileall, sys, sysconfig\n"
            "compileall.compile_dir(sysconfig.get_path('purelib'), quiet=2)"
        )

    def switch(self, side):
        """Mounts the other packages; the conflicts that are named."""
        self.unmount()
        done = self.mount(side, ok=False)
        lines = [l.removeprefix("conflict: ") for l in done.stderr.splitlines() if l.startswith("conflict: ")]
        assert done.returncode == (1 if lines else 0), done.stderr
        assert bool(lines) == ("--fresh" in done.stderr), done.stderr
        prefix = str(self.site.relative_to(self.at)) + "/"
        return [l.removeprefix(prefix) for l in lines]


@pytest.fixture
def ground(venvfs, tmp_path, python):
    return Ground(venvfs, tmp_path, python)


def change(ground, rng, old, new):
    """Edits, removes, adds, renames and replaces at random."""
    site = ground.site
    same_folders = sorted(
        f for f in folders(old)
        if {p: c for p, c in old.items() if f in parents(p)} == {p: c for p, c in new.items() if f in parents(p)}
    )
    for i in range(60):
        files = sorted(p for p in snapshot(site) if ".dist-info" not in p)
        path = site / rng.choice(files)
        kind = rng.choice(["edit", "edit", "remove", "add", "like-new", "rename", "replace", "move", "new-folder"])
        if kind == "edit":
            with open(path, "ab") as f:
                f.write(b"# %d\n" % i)
        elif kind == "remove":
            path.unlink()
        elif kind == "add":
            path.with_name(f"added{i}.py").write_bytes(b"value = %d\n" % i)
        elif kind == "like-new":
            theirs = rng.choice(sorted(new))
            if (site / theirs).parent.is_dir():
                (site / theirs).write_bytes(new[theirs])
        elif kind == "rename":
            os.rename(path, path.with_name(f"renamed{i}.py"))
        elif kind == "replace":
            aside = path.with_name("aside")
            aside.write_bytes(b"# replaced %d\n" % i)
            os.rename(aside, path)
        elif kind == "move" and same_folders:
            folder = site / same_folders.pop(rng.randrange(len(same_folders)))
            if folder.is_dir() and ".dist-info" not in str(folder):
                os.rename(folder, site / f"moved{i}")
        elif kind == "new-folder":
            (path.parent / f"folder{i}").mkdir()
            (path.parent / f"folder{i}/f.py").write_bytes(b"value = %d\n" % i)


def undo(ground, conflicts, old):
    for path in conflicts:
        at = ground.site / path
        if path in old:
            at.parent.mkdir(parents=True, exist_ok=True)
            at.write_bytes(old[path])
        elif at.is_dir():
            shutil.rmtree(at)
        else:
            at.unlink()


@pytest.mark.parametrize("seed", range(4))
def test_changes_come_along_as_the_model_says(ground, seed):
    old, new = ground.shown("old"), ground.shown("new")
    ground.mount("old")
    ground.import_all()
    change(ground, random.Random(seed), old, new)
    ground.import_all()
    user = snapshot(ground.site)
    merged, expected = merge(old, new, user)
    named = ground.switch("new")
    if expected:
        shown = sorted(expected)
        more = [f"and {len(shown) - SIZE} more"] if len(shown) > SIZE else []
        assert named == shown[:SIZE] + more
        # The packages of before, and nothing has changed.
        assert snapshot(ground.site) == user
        undo(ground, expected, old)
        user = snapshot(ground.site)
        merged, expected = merge(old, new, user)
        assert expected == set()
        named = ground.switch("new")
    assert named == []
    assert snapshot(ground.site) == merged
    # Once more the same: nothing happens.
    assert ground.switch("new") == []
    assert snapshot(ground.site) == merged
    ground.import_all()
    # And back.
    again, expected = merge(new, old, merged)
    if not expected:
        assert ground.switch("old") == []
        assert snapshot(ground.site) == again
    ground.unmount()


def test_new_code_runs_over_old_bytecode(ground):
    ground.mount("old")
    ground.import_all()
    assert ground.say("import p0; print(p0.value)") == "1.0"
    stale = ground.site / "p0/__pycache__"
    assert any(stale.glob("__init__.*.pyc"))
    (ground.site / "p9/b.py").write_text('value = "mine"\n')
    assert ground.switch("new") == []
    assert ground.say("import p0; print(p0.value)") == "1.1"
    assert ground.say("import p3.a; print(p3.a.value)") == "two"
    assert ground.say("import p9.b; print(p9.b.value)") == "mine"
    # What is gone is gone, and does not import as a namespace.
    for name in ("p1", "p2"):
        assert ground.say(f"import importlib.util; print(importlib.util.find_spec('{name}'))") == "None"
    assert ground.say("import q1.a, r0.a; print(q1.a.value, r0.a.value)") == "1 1"
    (ground.site / "p9/b.py").write_text('value = "always"\n')
    assert ground.switch("old") == []
    assert ground.say("import p0, p2.a; print(p0.value, p2.a.value)") == "1.0 1"
    ground.unmount()


def test_every_kind_of_conflict_is_named(ground):
    ground.mount("old")
    site = ground.site
    (site / "p3/a.py").write_text("edited")
    (site / "p4/a.py").unlink()
    (site / "p5/new").write_text("replaces")
    os.rename(site / "p5/new", site / "p5/a.py")
    os.rename(site / "p6/data.txt", site / "p6/moved.txt")
    shutil.rmtree(site / "p7/sub")
    os.rename(site / "p8/sub", site / "p8/away")
    (site / "p2/b.py").write_text("edited, and then gone")
    (site / "r0").write_text("in the way")
    (site / "q1").mkdir()
    (site / "q1/a.py").write_text("other")
    user = snapshot(site)
    expected = [
        "p2/b.py", "p3/a.py", "p4/a.py", "p5/a.py", "p6/data.txt", "p7/sub", "p8/sub", "q1/a.py", "r0",
    ]
    assert ground.switch("new") == expected
    assert snapshot(ground.site) == user
    assert ground.say("import p0; print(p0.value)") == "1.0"
    # It stays so until something is done about it; --fresh does.
    assert ground.switch("new") == expected
    ground.unmount()
    ground.mount("new", "--fresh")
    assert (ground.site / "p3/a.py").read_text() == 'value = "two"\n'
    ground.unmount()


def test_other_mounts_in_between_do_not_matter(ground):
    ground.mount("old")
    (ground.site / "p9/mine.txt").write_text("mine")
    ground.unmount()
    ground.mount("new", "--read-only")
    ground.unmount()
    ground.mount("new", "--ephemeral")
    ground.unmount()
    ground.mount("new")
    assert (ground.site / "p9/mine.txt").read_text() == "mine"
    assert (ground.site / "p3/a.py").read_text() == 'value = "two"\n'
    ground.unmount()


def test_killed_at_any_moment_nothing_is_lost(ground):
    """Whatever was mounted next, the old packages or the new ones: the changes are there."""
    old, new = ground.shown("old"), ground.shown("new")
    rng = random.Random(1)
    ground.mount("old")
    for i in range(9, 16):
        (ground.site / f"p{i}/a.py").write_text(f"edited {i}")
        os.rename(ground.site / f"p{i}/sub", ground.site / f"moved{i}")
    (ground.site / "p3/mine.txt").write_text("mine")
    user = snapshot(ground.site)
    ground.unmount()
    side = "old"
    for _ in range(30):
        other = "new" if side == "old" else "old"
        command = [BINARY, "mount", "--python", ground.python, ground.at, *ground.wheels[other]]
        process = subprocess.Popen(command, env=ground.venvfs.env, stderr=subprocess.DEVNULL)
        time.sleep(rng.uniform(0.002, 0.03))
        process.kill()
        process.wait()
        # It may have come so far that there is a mount.
        ground.venvfs.run("unmount", ground.at, ok=False)
        ground.venvfs.rests()
        side = rng.choice(["old", "new"])
        ground.mount(side)
        merged, conflicts = merge(old, {"old": old, "new": new}[side], user)
        assert not conflicts and snapshot(ground.site) == merged
        ground.unmount()


def test_killed_before_the_plan_is_written_the_rows_are_over_the_new_one(ground):
    ground.mount("old")
    (ground.site / "p9/mine.txt").write_text("mine")
    ground.unmount()
    state = pathlib.Path(next((ground.venvfs.root / "state/venvfs/mounts").iterdir()))
    before = {p: p.read_bytes() for p in (state / "mount.json", state / "skeleton/pack")}
    ground.mount("new")
    ground.unmount()
    for path, data in before.items():
        path.unlink()  # the pack has a second name
        path.write_bytes(data)
    ground.mount("old")
    assert (ground.site / "p9/mine.txt").read_text() == "mine"
    assert (ground.site / "p3/a.py").read_text() == 'value = "1"\n'
    ground.unmount()


def restore(ground, files):
    """As if a SIGKILL had come before these were written."""
    for path, data in files.items():
        path.unlink()  # a pack has a second name
        path.write_bytes(data)


def saved(ground):
    state = pathlib.Path(next((ground.venvfs.root / "state/venvfs/mounts").iterdir()))
    return {p: p.read_bytes() for p in (state / "mount.json", state / "skeleton/pack")}


def test_two_locks_that_conflict_follow_one_another(ground):
    ground.mount("old")
    (ground.site / "p3/a.py").write_text("edited")
    (ground.site / "p9/mine.txt").write_text("mine")
    assert ground.switch("new") == ["p3/a.py"]
    (ground.site / "p4/data.txt").write_text("edited, too")
    user = snapshot(ground.site)
    assert ground.switch("third") == ["p3/a.py", "p4/data.txt"]
    assert snapshot(ground.site) == user
    assert ground.switch("new") == ["p3/a.py", "p4/data.txt"]
    (ground.site / "p3/a.py").write_text('value = "three"\n')  # what the third one says
    (ground.site / "p4/data.txt").write_text("p4 1\n")  # as it was
    assert ground.switch("new") == ["p3/a.py"]
    assert ground.switch("third") == []
    assert (ground.site / "p9/mine.txt").read_text() == "mine"
    assert (ground.site / "p3/a.py").read_text() == 'value = "three"\n'
    assert ground.switch("old") == []
    assert (ground.site / "p9/mine.txt").read_text() == "mine"
    ground.unmount()


def test_a_third_lock_comes_while_another_one_was_looked_at(ground):
    ground.mount("old")
    (ground.site / "p3/a.py").write_text("edited")
    (ground.site / "p9/mine.txt").write_text("mine")
    user = snapshot(ground.site)
    for look in ("new", "third", "new"):
        ground.unmount()
        ground.mount(look, "--read-only")
        assert not (ground.site / "p9/mine.txt").exists()
    assert ground.switch("third") == ["p3/a.py"]
    assert snapshot(ground.site) == user
    ground.unmount()
    ground.mount("third", "--read-only")
    assert ground.switch("third") == ["p3/a.py"]
    assert snapshot(ground.site) == user
    (ground.site / "p3/a.py").write_text('value = "1"\n')
    ground.unmount()
    ground.mount("third", "--read-only")
    assert ground.switch("third") == []
    assert (ground.site / "p9/mine.txt").read_text() == "mine"
    ground.unmount()


def test_killed_before_the_plan_is_written_and_another_lock_is_looked_at(ground):
    """Rows are over the new packages then, which mount.json does not say yet."""
    ground.mount("old")
    (ground.site / "p9/mine.txt").write_text("mine")
    ground.unmount()
    before = saved(ground)
    ground.mount("new")
    ground.unmount()
    restore(ground, before)
    ground.mount("third", "--read-only")
    ground.unmount()
    ground.mount("old")
    assert (ground.site / "p9/mine.txt").read_text() == "mine"
    assert (ground.site / "p3/a.py").read_text() == 'value = "1"\n'
    ground.unmount()


def test_each_upper_has_its_own_packages_of_before(ground, tmp_path):
    uppers = [[], *(["--upper", tmp_path / f"upper{i}"] for i in range(2))]
    sides = ["old", "new", "third"]
    for i, (upper, side) in enumerate(zip(uppers, sides)):
        ground.mount(side, *upper)
        (ground.site / f"p{9 + i}/mine.txt").write_text(f"mine {i}")
        ground.unmount()
    ground.mount("new", "--read-only")
    ground.unmount()
    for i, upper in enumerate(uppers):
        ground.mount(sides[(i + 1) % 3], *upper)
        assert [p.read_text() for p in ground.site.glob("*/mine.txt")] == [f"mine {i}"]
        ground.unmount()


@pytest.mark.parametrize("seed", range(2))
def test_killed_at_any_moment_among_uppers_and_looks_nothing_is_lost(ground, tmp_path, seed):
    rng = random.Random(seed)
    uppers = [[], ["--upper", tmp_path / "upper"]]
    ground.mount("old")
    ground.unmount()
    for i, upper in enumerate(uppers):
        ground.mount("old", *upper)
        (ground.site / f"p{9 + i}/mine.txt").write_text(f"mine {i}")
        os.rename(ground.site / f"p{12 + i}/sub", ground.site / f"moved{i}")
        ground.unmount()
    for _ in range(40):
        side, upper = rng.choice(["old", "new", "third"]), rng.choice([*uppers, ["--read-only"]])
        command = [BINARY, "mount", *upper, "--python", ground.python, ground.at, *ground.wheels[side]]
        process = subprocess.Popen(command, env=ground.venvfs.env, stderr=subprocess.DEVNULL)
        time.sleep(rng.uniform(0.002, 0.05))
        process.kill()
        process.wait()
        ground.venvfs.run("unmount", ground.at, ok=False)
        ground.venvfs.rests()
        if rng.random() < 0.5:
            ground.mount(rng.choice(["old", "new", "third"]), "--read-only")
            ground.unmount()
        i = rng.randrange(2)
        ground.mount(rng.choice(["old", "new", "third"]), *uppers[i])
        assert [p.read_text() for p in ground.site.glob("*/mine.txt")] == [f"mine {i}"]
        assert (ground.site / f"moved{i}/c.py").exists()
        ground.unmount()


def tool(version):
    """A package with a launcher; half of it says the same in each version."""
    return package("tool", version, changed=version).scripts("[console_scripts]\ntool = tool.cli:main\n").add(
        "tool/cli.py", f"def main():\n    print('{version}')\n".encode())


class Installed(Ground):
    """p9 alone, or with a tool of some version; pip and uv install others into it."""

    def __init__(self, venvfs, folder, python, uv):
        super().__init__(venvfs, folder, python)
        self.uv = uv
        self.tools = {version: tool(version).write(folder) for version in ("1.0", "2.0")}
        plain = self.wheels["old"][9:10]
        self.wheels = {"none": plain, **{v: [*plain, w] for v, w in self.tools.items()}}

    def install(self, installer, version, *options):
        wheel, python = self.tools[version], self.at / "bin/python"
        command = {"pip": [sys.executable, "-m", "pip", "--python", python, "install", "-q", "--no-index",
                           "--disable-pip-version-check", *(["--force-reinstall"] if "again" in options else [])],
                   "uv": [self.uv, "pip", "install", "-q", "--offline", "--python", python, "--cache-dir", self.at.parent / "uv",
                          *(["--reinstall"] if "again" in options else [])]}[installer]
        done = subprocess.run([*command, wheel], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert self.says() == version

    def says(self):
        tool = self.at / "bin/tool"
        return tool.exists() and subprocess.run([tool], capture_output=True, text=True).stdout.strip()

    def infos(self):
        return sorted(p.name for p in self.site.glob("tool*.dist-info"))

    def as_locked(self, version):
        """The lock's alone is there: its notes, its launcher; and pip finds all in order."""
        assert self.says() == version and self.infos() == [f"tool-{version}.dist-info"]
        info = self.site / f"tool-{version}.dist-info"
        mine = {p.name: p.read_bytes() for p in info.iterdir() if p.is_file()}
        launcher = (self.at / "bin/tool").read_bytes()
        self.unmount()
        self.mount(version, "--read-only")
        assert {p.name: p.read_bytes() for p in info.iterdir() if p.is_file()} == mine
        assert (self.at / "bin/tool").read_bytes() == launcher
        self.unmount()
        self.mount(version)
        done = subprocess.run([sys.executable, "-m", "pip", "--python", self.at / "bin/python", "check"], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout


@pytest.fixture
def installed(venvfs, tmp_path, python, uv):
    found = Installed(venvfs, tmp_path, python, uv)
    yield found
    found.unmount()


@pytest.mark.parametrize("installer", ["pip", "uv"])
def test_what_was_installed_here_is_brought_by_the_lock(installed, installer):
    installed.mount("none")
    installed.install(installer, "1.0")
    assert (installed.site / "tool-1.0.dist-info/INSTALLER").read_text().strip() == installer
    (installed.site / "p9/mine.txt").write_text("mine")
    assert installed.switch("1.0") == []
    installed.as_locked("1.0")
    assert (installed.site / "p9/mine.txt").read_text() == "mine"
    # And then it goes with the lock.
    assert installed.switch("none") == []
    assert not installed.says() and installed.infos() == [] and not (installed.site / "tool").exists()


@pytest.mark.parametrize("installer", ["pip", "uv"])
def test_what_was_upgraded_here_is_what_the_lock_now_brings(installed, installer):
    installed.mount("1.0")
    installed.install(installer, "2.0")
    assert installed.switch("2.0") == []
    installed.as_locked("2.0")


@pytest.mark.parametrize("installer", ["pip", "uv"])
def test_what_was_installed_once_more_is_no_change(installed, installer):
    installed.mount("1.0")
    installed.install(installer, "1.0", "again")
    assert installed.switch("2.0") == []
    installed.as_locked("2.0")
    installed.install(installer, "2.0", "again")
    assert installed.switch("none") == []
    assert installed.infos() == [] and not (installed.site / "tool").exists() and not (installed.at / "bin/tool").exists()


def test_of_what_was_installed_here_and_edited_only_that_is_a_conflict(installed):
    installed.mount("none")
    installed.install("pip", "1.0")
    (installed.site / "tool/a.py").write_text("edited")
    (installed.at / "bin/tool").write_text((installed.at / "bin/tool").read_text() + "print('mine')\n")
    assert installed.switch("1.0") == ["bin/tool", "tool/a.py"]
    assert installed.switch("2.0") == [
        "bin/tool", *(f"tool/{name}" for name in ("__init__.py", "a.py", "cli.py", "data.txt", "sub/d.py"))]
    assert installed.infos() == ["tool-1.0.dist-info"]  # as pip left it
    assert (installed.site / "tool-1.0.dist-info/INSTALLER").read_text().strip() == "pip"


@pytest.mark.parametrize("installer", ["pip", "uv"])
def test_another_version_that_was_installed_here_stays_when_the_lock_drops_its_own(installed, installer):
    installed.mount("1.0")
    installed.install(installer, "2.0")
    assert installed.switch("none") == []  # nothing of the lock's was left, so it is the user's, with its launcher
    assert installed.says() == "2.0" and installed.infos() == ["tool-2.0.dist-info"]


def test_a_folder_that_was_removed_and_made_again(ground):
    """As the user sees it: nothing of the removed one shows; what both changed is named file by file."""
    ground.mount("old")
    site = ground.site
    for i in (3, 4, 5, 9):
        shutil.rmtree(site / f"p{i}/sub")
        (site / f"p{i}/sub").mkdir()
    copy = {"__init__.py": "", "c.py": 'value = "p3"\n', "d.py": 'value = "1"\n'}
    for name, text in copy.items():
        (site / "p3/sub" / name).write_text(text)  # as it was
        (site / "p4/sub" / name).write_text(text.replace("1", "two").replace("p3", "p4"))  # as it will be
    (site / "p5/sub/mine.py").write_text("mine")
    (site / "p9/sub/mine.py").write_text("mine")
    user = snapshot(site)
    assert ground.switch("new") == ["p5/sub/d.py"]  # removed by one, changed by the other
    assert snapshot(site) == user
    (site / "p5/sub/d.py").write_text('value = "two"\n')
    assert ground.switch("new") == []
    assert (site / "p3/sub/d.py").read_text() == (site / "p4/sub/d.py").read_text() == 'value = "two"\n'
    assert sorted(p.name for p in (site / "p5/sub").iterdir()) == ["d.py", "mine.py"]
    assert sorted(p.name for p in (site / "p9/sub").iterdir()) == ["mine.py"]
    assert sorted(p.name for p in (site / "p3/sub").iterdir()) == sorted(copy)
    ground.unmount()


def test_what_is_kept_and_gone_is_told(ground):
    ground.mount("old")
    (ground.site / "p3/mine.txt").write_text("mine")
    (ground.site / "p2/data.txt").unlink()
    ground.unmount()
    # A directory with a change in it has a row of its own.
    assert f"changes in '{ground.at}': 2 kept, 2 gone" in ground.mount("new").stderr
    ground.unmount()
    assert "changes in" not in ground.mount("new").stderr
    ground.unmount()


def test_a_wheel_that_left_the_cache_is_named(ground):
    ground.mount("old")
    (ground.site / "p3/mine.txt").write_text("mine")
    ground.unmount()
    images = ground.venvfs.cache / "images"
    kept = images.with_name("kept")
    os.rename(images, kept)
    images.mkdir()
    for note in (ground.venvfs.cache / "wheels").iterdir():
        note.unlink()
    done = ground.mount("new", ok=False)
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert "not in the cache any more" in last and "--fresh" in last, done.stderr
    shutil.rmtree(images)
    os.rename(kept, images)
    ground.mount("new")
    assert (ground.site / "p3/mine.txt").read_text() == "mine"
    ground.unmount()
