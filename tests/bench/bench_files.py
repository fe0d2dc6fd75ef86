"""A tree of 5,000 files in 2,190 folders: unpacked, walked, read and removed."""

import io
import os
import random
import statistics
import tarfile

import contenders
from bed import ROOT, alternate, settle, took
from report import goal, ms, table

FILES, FOLDERS, ROUNDS = 5_000, 2_190, 5
WARM = 6  # passes, after two that warm up; short ones, so their mean is taken
STEPS = ("tar x", "find, first", "find, warm", "read all, first", "read all, warm", "rm -r")


def make_tar(path):
    """Sizes as source files have them: 100 bytes to 64 KiB, most of them small."""
    dice = random.Random(1)
    folders = ["tree"]
    with tarfile.open(path, "w") as archive:
        for i in range(FOLDERS):
            if i > 0:
                folders.append(f"{dice.choice(folders[-50:])}/d{i}")
            info = tarfile.TarInfo(folders[-1])
            info.type, info.mode = tarfile.DIRTYPE, 0o755
            archive.addfile(info)
        for i in range(FILES):
            info = tarfile.TarInfo(f"{dice.choice(folders)}/f{i}.py")
            info.size, info.mtime = int(100 * 655 ** dice.betavariate(2, 3)), 1_600_000_000 + i
            archive.addfile(info, io.BytesIO(dice.randbytes(info.size)))


def one_round(name, tar):
    with contenders.fresh(name) as at:
        tree, took_s = at / "tree", {}

        def step(what, argv):
            took_s[what] = took(argv, os.environ).seconds

        def passes(what, argv):
            step(f"{what}, first", argv)
            step(f"{what}, second", argv)
            took_s[f"{what}, warm"] = statistics.mean(took(argv, os.environ).seconds for _ in range(WARM))

        step("tar x", ["tar", "xf", tar, "-C", at])
        settle()
        passes("find", ["find", tree, "-size", "+1000000"])
        passes("read all", ["tar", "cf", "/dev/zero", "-C", at, "tree"])
        settle()
        step("rm -r", ["rm", "-r", tree])
        return took_s


def run():
    contenders.check()
    tar = ROOT / "build/bench-files.tar"
    make_tar(tar)
    print(f"{FILES:,} files in {FOLDERS:,} folders, {tar.stat().st_size / 1e6:.0f} MB, {ROUNDS} rounds\n")
    ways = {name: lambda name=name: one_round(name, tar) for name in contenders.NAMES}
    found = alternate(ways, ROUNDS)
    tar.unlink()
    middle = {n: {s: statistics.median(r[s] for r in rounds) for s in STEPS} for n, rounds in found.items()}
    table(["", *contenders.NAMES], *[(s, *[ms([r[s] for r in found[n]]) for n in contenders.NAMES]) for s in STEPS])
    for what in ("tar x", "rm -r"):
        goal(f"{what}, of fuse-overlayfs", middle["venvfs"][what] / middle["fuse-overlayfs"][what], 0.7)
    goal("find warm, of ext4", middle["venvfs"]["find, warm"] / middle["ext4"]["find, warm"], 1.5)
    goal("reading all warm, of ext4", middle["venvfs"]["read all, warm"] / middle["ext4"]["read all, warm"], 1.05)
