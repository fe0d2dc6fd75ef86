"""Power cuts under load: the disk below everything of ours stops, as EXT4_IOC_SHUTDOWN has it.

A program, run in a mount namespace of its own: after each cut it gives the machine another
boot id there. Prints what it did; an assertion ends it with status 1.
"""

import fcntl
import hashlib
import os
import pathlib
import random
import subprocess
import sys
import threading
import time
import uuid

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))
from support import Venvfs  # noqa: E402
from waiting import PATIENCE, kill, wait_until  # noqa: E402

EXT4_IOC_SHUTDOWN, NOLOGFLUSH = 0x8004587D, (2).to_bytes(4, "little")
BOOT_ID = "/proc/sys/kernel/random/boot_id"
LOWER_FILES, LOWER_SIZE = 60, 40_000


def lower_bytes(i):
    return b"%06d;" % i * (LOWER_SIZE // 7)


def version_bytes(number):
    return b"version %08d\n" % number * (1 + number * 7919 % 3000)


class Load:
    """What clients were told before the cut. Each thread ends at its first error."""

    def __init__(self, at, first):
        self.at, self.first = at, first
        self.synced, self.known, self.replaced, self.appended = {}, set(), 0, 0
        self.threads = [threading.Thread(target=self.until_it_fails, args=(step,))
                        for step in (self.sync_one, self.replace_one, self.append_one, self.mess_about)]

    def until_it_fails(self, step):
        try:
            for number in range(self.first, self.first + 1_000_000):
                step(number)
        except OSError:
            pass

    def sync_one(self, number):
        data = random.Random(number).randbytes(number * 4099 % 30_000)
        with open(self.at / f"synced{number}", "wb", buffering=0) as file:
            file.write(data)
            self.known.add(os.fstat(file.fileno()).st_ino)
            os.fsync(file.fileno())
        self.synced[f"synced{number}"] = hashlib.sha256(data).digest()

    def replace_one(self, number):
        with open(self.at / "aside", "wb", buffering=0) as file:
            file.write(version_bytes(number))
            self.known.add(os.fstat(file.fileno()).st_ino)
        os.rename(self.at / "aside", self.at / "replaced")
        self.replaced = number

    def append_one(self, number):
        if number - self.first >= LOWER_FILES:
            raise OSError("all were appended to")
        with open(self.at / f"l{number - self.first}", "ab", buffering=0) as file:
            file.write(b"appended")
        time.sleep(0.01)

    def mess_about(self, number):
        folder = self.at / f"folder{number}"
        folder.mkdir()
        self.known.add(folder.stat().st_ino)
        (folder / "file").write_bytes(b"x" * 5000)
        if number % 3:
            (folder / "file").unlink()
            folder.rmdir()


class Machine:
    def __init__(self, root, seed):
        self.root, self.disk, self.at = root, root / "disk", root / "at"
        self.image, self.dice = root / "disk.ext4", random.Random(seed)
        self.known, self.synced, self.number, self.boot = set(), {}, 0, 0
        self.lower = root / "lower"
        for folder in (self.disk, self.lower):
            folder.mkdir()
        for i in range(LOWER_FILES):
            (self.lower / f"l{i}").write_bytes(lower_bytes(i))
        run("truncate", "-s", "1G", self.image)
        run("mkfs.ext4", "-q", "-F", self.image)
        self.plug_in()

    def plug_in(self):
        run("mount", "-o", "loop", self.image, self.disk)
        self.boot += 1
        fake = self.root / f"boot{self.boot}"
        fake.write_text(f"{uuid.uuid4()}\n")
        run("mount", "--bind", fake, BOOT_ID)
        self.venvfs = Venvfs(self.disk)
        self.venvfs.run("mount", self.at, "--layer", self.lower)

    def cut(self):
        fd = os.open(self.disk, os.O_RDONLY)
        fcntl.ioctl(fd, EXT4_IOC_SHUTDOWN, NOLOGFLUSH)
        os.close(fd)

    def unplug(self, load, pids):
        kill(*pids)
        for thread in load.threads:
            thread.join(PATIENCE)
            assert not thread.is_alive(), "a client hangs"
        run("umount", "-l", self.at)
        run("umount", BOOT_ID)
        wait_until(lambda: subprocess.run(["umount", self.disk], capture_output=True).returncode == 0, "a disk that is not busy")

    def one_cut(self):
        row = self.venvfs.list()[0]
        load = Load(self.at, self.number)
        for thread in load.threads:
            thread.start()
        time.sleep(self.dice.uniform(0.1, 1.5))
        self.cut()
        synced = dict(load.synced)
        self.unplug(load, (row["supervisor"], row["pid"]))
        run("e2fsck", "-fp", self.image, ok=(0, 1))
        self.plug_in()
        self.check(load, synced)

    def check(self, load, synced):
        self.synced.update(synced)
        self.known |= load.known
        for name, digest in self.synced.items():
            assert hashlib.sha256((self.at / name).read_bytes()).digest() == digest, f"{name} was fsynced"
        if load.replaced > load.first:
            data = (self.at / "replaced").read_bytes()
            number = int(data[8:16])
            assert number <= load.replaced + 1 and data == version_bytes(number), "neither old nor new"
        for i in range(LOWER_FILES):
            data = (self.at / f"l{i}").read_bytes()
            assert data[:len(lower_bytes(i))] == lower_bytes(i), f"l{i} lost what it had below"
            # Each boot appended once, and nobody synced: as on ext4, zeros may be there instead.
            end = data[len(lower_bytes(i)):]
            whole = b"appended" * (self.boot - 1)
            assert len(end) <= len(whole), f"l{i} has grown"
            assert all(a in (0, b) for a, b in zip(end, whole)), f"l{i} ends with {end[:40]}"
        self.number = max(load.first, *(int(n.removeprefix("synced")) for n in self.synced), load.replaced) + 100
        self.check_ids()
        print(f"boot {self.boot}: {len(synced)} synced, {load.replaced - load.first} replaced, "
              f"{len(self.known)} ids known", flush=True)

    def check_ids(self):
        """What is made now has ids that nothing ever had that a client saw."""
        for i in range(50):
            path = self.at / f"new{self.boot}-{i}"
            path.write_bytes(b"new")
            ino = path.stat().st_ino
            assert ino not in self.known, f"id {ino:#x} was issued twice"
            self.known.add(ino)
            assert path.read_bytes() == b"new"


def run(*argv, ok=(0,)):
    done = subprocess.run([str(a) for a in argv], capture_output=True, text=True)
    assert done.returncode in ok, (argv, done.stdout, done.stderr)


def main(root, seed, cuts):
    print(f"seed {seed}", flush=True)
    machine = Machine(pathlib.Path(root), int(seed))
    try:
        for _ in range(int(cuts)):
            machine.one_cut()
    finally:
        machine.venvfs.run("unmount", "--all", ok=False)
        subprocess.run(["umount", BOOT_ID, machine.disk], capture_output=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
