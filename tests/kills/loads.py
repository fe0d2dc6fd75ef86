"""What clients do while workers die. Each load says what it did wrong by raising Failed.

prepare() mounts, undisturbed; round() is the load, as often as kills are left; check() looks
at the outcome afterwards, and once more when the mount was mounted again.
"""

import filecmp
import hashlib
import os
import pathlib
import random
import shlex
import shutil
import signal
import sqlite3
import sys
import time
from contextlib import closing

import made
from ground import BINARY, PYTHON, Failed

HERE = pathlib.Path(__file__).parent
CLIENTS = HERE / "clients"
SECONDS = 3  # how long a round of those lasts that could go on for ever; longer where little was done by then
LEAST = 50  # operations of such a round


class Load:
    writes = True

    def __init__(self, ground, seed):
        self.ground, self.seed = ground, seed
        self.at = ground.at

    def prepare(self):
        raise NotImplementedError

    def check(self):
        pass

    def lower(self, files, **kwargs):
        folder = self.ground.root / "lower"
        folder.mkdir()
        made.make_tree(folder, files, **kwargs)
        return folder

    def client(self, name, *arguments):
        return self.ground.start(sys.executable, "-B", CLIENTS / f"{name}.py", *arguments)


class Tar(Load):
    """Reads 27,000 files that the kernel knows nothing of yet."""

    name, writes, files = "tar", False, 27_000

    def prepare(self):
        self.folder = self.lower(self.files)
        self.expected = self.digest(self.folder)
        self.ground.mount("--layer", self.folder)

    def round(self, number):
        if number:
            self.ground.remount()
        self.compare()

    def compare(self):
        if self.digest(self.at) != self.expected:
            again = "the same" if self.digest(self.at) == self.expected else "not the same"
            raise Failed(f"tar's bytes are not those of the folder; read again they are {again}")

    check = compare

    def digest(self, folder):
        child = self.ground.start("tar", "--sort=name", "--format=gnu", "-C", folder, "-cf", "-", ".")
        said, wrong = self.ground.finish(child, 300)
        if wrong:
            raise Failed(f"tar: {wrong[-600:]}")
        return hashlib.sha256(said).hexdigest()


class Pip(Load):
    """Installs 20 wheels; the tree is that of an undisturbed run at the same place."""

    name = "pip"

    def prepare(self):
        wheels = made.make_wheels(self.ground.root / "wheels", 21)
        self.base, self.wheels = wheels[0], wheels[1:]
        self.ground.mount("--python", PYTHON, self.base)
        self.install()
        self.expected = self.tree()
        self.ground.remount("--fresh")

    def install(self):
        self.ground.run(
            PYTHON, "-m", "pip", "--python", self.at / "bin/python", "install", "-q", "--no-index", "--no-deps",
            "--disable-pip-version-check", "--no-cache-dir", *self.wheels,
            env={**self.ground.program.env, "PIP_CONFIG_FILE": "/dev/null"},
        )

    def round(self, number):
        if number:
            self.ground.remount("--fresh")
        self.install()
        self.check()

    def check(self):
        found = self.tree()
        if found != self.expected:
            names = sorted(set(found.items()) ^ set(self.expected.items()))
            raise Failed(f"{len(names)} differences to an undisturbed pip install: {names[:6]}")

    def tree(self):
        """{name: mode and content}; bytecode holds the time of its source, and counts by its size."""
        found = {}
        for parent, folders, names in os.walk(self.at, onerror=raise_failed):
            for name in folders + names:
                path = pathlib.Path(parent, name)
                st = path.lstat()
                content = ""
                if path.is_symlink():
                    content = os.readlink(path)
                elif path.is_file():
                    content = st.st_size if path.suffix == ".pyc" else hashlib.sha256(path.read_bytes()).hexdigest()
                found[str(path.relative_to(self.at))] = (st.st_mode, content)
        return found


def raise_failed(error):
    raise Failed(str(error))


class Git(Load):
    """Clones, by pack and by copying objects, changes branches, packs, and has it all verified."""

    name = "git"

    def prepare(self):
        self.repository = self.ground.root / "repository"
        made.make_repository(self.repository)
        self.ground.mount("--layer", self.lower(100, large=1))
        self.clones = []

    def git(self, *words):
        said, wrong = self.ground.run("git", *words, env={**os.environ, **made.GIT})
        if "error" in wrong or "fatal" in wrong or "warning" in wrong:
            raise Failed(f"git {words}: {wrong[-600:]}")
        return said.decode().strip()

    def round(self, number):
        clone = self.at / f"clone{number}"
        # With --progress git has a timer whose signals interrupt its system calls.
        self.git("clone", "--progress", *(["--no-local"] if number % 2 else ["--no-hardlinks"]),
                 self.repository, clone)
        self.clones.append(clone)
        for branch in ("other", "main"):
            self.git("-C", clone, "checkout", "-q", branch)
        self.git("-C", clone, "gc", "-q")
        self.check_clone(clone)

    def check_clone(self, clone):
        self.git("-C", clone, "fsck", "--full", "--strict", "--no-progress")
        if status := self.git("-C", clone, "status", "--porcelain"):
            raise Failed(f"git status of {clone.name}: {status[:300]}")
        if self.git("-C", clone, "rev-parse", "HEAD") != self.git("-C", self.repository, "rev-parse", "HEAD"):
            raise Failed(f"{clone.name} has another HEAD")
        for path in self.repository.glob("p*/*"):
            if not filecmp.cmp(path, clone / path.relative_to(self.repository), shallow=False):
                raise Failed(f"{path.name} of {clone.name} has other content")

    def check(self):
        for clone in self.clones[-2:]:
            self.check_clone(clone)


class Sqlite(Load):
    """Two writers to each of a database with a WAL and one with a rollback journal."""

    name, modes, writers = "sqlite", ("WAL", "DELETE"), 2

    def prepare(self):
        self.ground.mount("--layer", self.lower(100, large=1))
        self.committed = {mode: set() for mode in self.modes}
        for mode in self.modes:
            with closing(sqlite3.connect(self.path(mode))) as db:
                db.execute(f"PRAGMA journal_mode={mode}")
                db.execute("CREATE TABLE entry (who, number, data, PRIMARY KEY (who, number))")

    def path(self, mode):
        return self.at / f"{mode}.db"

    def round(self, number):
        children = [(mode, who, self.client("commits", self.path(mode), mode, who, SECONDS))
                    for mode in self.modes for who in range(number * self.writers, (number + 1) * self.writers)]
        for mode, who, child in children:
            said, _ = self.ground.finish(child, SECONDS + 300)
            rows = {(who, int(line)) for line in said.split()}
            if not rows:
                raise Failed(f"writer {who} committed nothing in {mode} mode")
            self.committed[mode] |= rows
        self.check()

    def check(self):
        for mode in self.modes:
            self.check_mode(mode)

    def check_mode(self, mode):
        with closing(sqlite3.connect(self.path(mode), timeout=300)) as db:
            said = db.execute("PRAGMA integrity_check").fetchall()
            rows = {row[:2]: row[2] for row in db.execute("SELECT * FROM entry")}
        if said != [("ok",)]:
            raise Failed(f"{mode}: integrity_check: {said[:5]}")
        if set(rows) != self.committed[mode]:
            lost, more = self.committed[mode] - set(rows), set(rows) - self.committed[mode]
            raise Failed(f"{mode}: lost {sorted(lost)[:5]}, not committed {sorted(more)[:5]}")
        for (who, number), blob in rows.items():
            if blob != bytes([who % 256]) * (number * 37 % 3000):
                raise Failed(f"{mode}: row {who}, {number} has other data")


class Model(Load):
    """Random operations beside a plain directory (tests/fuse/model.py), a new seed each round."""

    name, steps = "model", 3000

    def prepare(self):
        self.at.mkdir()
        self.rng = random.Random(self.seed)

    def round(self, number):
        root = self.ground.root
        spared = ["flock", str(self.ground.gate), BINARY]
        mount = [*spared, "mount", "-o", "allow_other", self.at, "--layer", root / "lower", "--upper", self.ground.upper]
        child = self.ground.start(
            sys.executable, "-B", HERE.parent / "fuse/model.py", "--under", self.at, "--plain", root / "plain",
            "--lower", root / "lower", "--upper", self.ground.upper, "--prepare-lower", "files=300",
            "--mount", shlex.join(map(str, mount)), "--unmount", shlex.join([*spared, "unmount", str(self.at)]),
            "--seed", self.rng.randrange(10**9), "--steps", self.steps, "--shrink", 5, env=self.ground.program.env,
        )
        said, wrong = self.ground.finish(child, 600, ok=False)
        if child.returncode or b"no difference" not in said:
            raise Failed(f"model: {said.decode()[:1500]} {wrong[-400:]}")


class Unlinked(Load):
    """Files and folders that have no name any more are read, written and cut."""

    name = "unlinked"

    def prepare(self):
        self.ground.mount("--layer", self.lower(400, large=12))

    def round(self, number):
        # The names of the lower are gone after a round: the next one needs them again.
        if number:
            self.ground.remount("--fresh")
        said, _ = self.ground.finish(self.client("unlinked", self.at, self.seed + number, SECONDS, LEAST), SECONDS + 300)
        if int(said) < LEAST:
            raise Failed(f"only {int(said)} operations on unlinked files")

    def check(self):
        if left := [name for name in os.listdir(self.at) if name.startswith(("new", "large"))]:
            raise Failed(f"unlinked, and there again: {left[:5]}")


class Signals(Load):
    """Processes that are hit by a signal every few ms, with and without SA_RESTART."""

    name = "signals"

    def prepare(self):
        self.ground.mount("--layer", self.lower(300, large=2))
        self.rng = random.Random(self.seed)

    def round(self, number):
        children = {kind: self.client("signalled", self.at / f"{kind}{number}", kind, SECONDS, LEAST)
                    for kind in ("restarts", "interrupts")}
        for child in children.values():
            child.stdout.readline()  # its handler is there
        end = time.monotonic() + SECONDS + 300
        while any(child.poll() is None for child in children.values()) and time.monotonic() < end:
            for child in children.values():
                child.send_signal(signal.SIGUSR1)
            time.sleep(self.rng.uniform(0.0005, 0.006))
        for kind, child in children.items():
            said, _ = self.ground.finish(child, 300)
            operations, hits = map(int, said.split())
            if operations < LEAST or hits < LEAST:
                raise Failed(f"signals ({kind}): only {operations} operations and {hits} signals")


class Imports(Load):
    """Python is started anew over and over, and imports what is mounted; its bytecode is dropped now and then."""

    name = "imports"

    def prepare(self):
        wheels = made.make_wheels(self.ground.root / "wheels", 3)
        self.ground.mount("--python", PYTHON, *wheels)
        names = [f"made{n:02}.part{i // 20}.m{i:02}" for n in range(3) for i in range(60)]
        self.code = f"import {', '.join(names)}; print(len([{', '.join(names)}]))"

    def round(self, number):
        end, count = time.monotonic() + SECONDS, 0
        while time.monotonic() < end:
            if count % 5 == 0:
                self.drop_bytecode()
            said, _ = self.ground.run(self.at / "bin/python", "-c", self.code, env=self.ground.program.env)
            if said.strip() != b"180":
                raise Failed(f"imported {said[:100]}, should be 180 modules")
            count += 1

    def drop_bytecode(self):
        for folder in list(self.at.rglob("made*/*/__pycache__")):
            shutil.rmtree(folder)


LOADS = {load.name: load for load in (Tar, Pip, Git, Sqlite, Model, Unlinked, Signals, Imports)}
