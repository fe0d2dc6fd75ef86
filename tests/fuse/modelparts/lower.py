"""A tree to start from: the same on both sides, from what its line says.

"files=60,dirs=14,seed=1,big=3" makes that many of each; big ones are too large for an image
and are objects of their own in the cache, twins are hard links. All is old, so that a new time shows.
"""

import os
import random
import zlib

from .fileops import pattern

DEFAULTS = {"files": 60, "dirs": 14, "links": 6, "big": 3, "wide": 120, "twins": 0, "seed": 1}
OLD = 1_600_000_000


def parse(line):
    given = dict(part.split("=") for part in line.split(",") if part)
    unknown = set(given) - set(DEFAULTS)
    if unknown:
        raise ValueError(f"'{unknown.pop()}' is none of {', '.join(DEFAULTS)}")
    return {**DEFAULTS, **{name: int(value) for name, value in given.items()}}


def make(root, line):
    counts = parse(line)
    rng = random.Random(counts["seed"])
    folders = make_folders(root, rng, counts["dirs"])
    for i in range(counts["files"]):
        write(rng, os.path.join(rng.choice(folders), f"l{i}"), rng.choice((0, 7, 500, 4096, 9000, 30000)))
    for i in range(counts["big"]):
        write(rng, os.path.join(rng.choice(folders), f"big{i}"), 200_000 + i * 300_000)
    for i in range(counts["links"]):
        target = rng.choice(("l1", "d0", "nowhere", "d0/l2", "s0"))
        os.symlink(target, os.path.join(rng.choice(folders), f"s{i}"))
    if counts["wide"]:
        os.mkdir(os.path.join(root, "wide"))
        for i in range(counts["wide"]):
            write(rng, os.path.join(root, "wide", f"w{i}"), i % 5)
    for i in range(counts["twins"]):
        os.link(rng.choice(files_of(folders)), os.path.join(rng.choice(folders), f"t{i}"))
    age(root)


def files_of(folders):
    paths = [os.path.join(folder, name) for folder in folders for name in sorted(os.listdir(folder))]
    return [path for path in paths if os.path.isfile(path) and not os.path.islink(path)]


def make_folders(root, rng, count):
    folders = [root]
    for i in range(count):
        folder = os.path.join(rng.choice(folders[-6:]), f"d{i}")
        os.mkdir(folder)
        folders.append(folder)
    return folders


def write(rng, path, size):
    with open(path, "xb") as f:
        f.write(pattern([rng.randrange(251), size]))
    os.chmod(path, rng.choice((0o644, 0o644, 0o755)))


def age(root):
    """Sets all times by the path alone; children first, as their making changes the folder's."""
    for folder, folders, files in os.walk(root, topdown=False):
        for name in files + folders:
            path = os.path.join(folder, name)
            place = os.fsencode(os.path.relpath(path, root))
            if os.lstat(path).st_nlink > 1 and name not in folders:
                place = b""  # whichever name comes last
            mtime = (OLD + zlib.crc32(place) % 10**6) * 10**9
            os.utime(path, ns=(mtime, mtime), follow_symlinks=False)
