"""Files of a certain size on are objects, the rest lies in the image: from which size?"""

import os

from bed import BINARY, alternate, bed, files_below, mounted, settle, took
from bench_threads import cold_import, cold_read
from report import ms, table
from wheels import describe, key_of, wheels

SIZES, ROUNDS, COUNT = (4, 16, 64, 256), 5, 100


def neighbours(older, newer):
    """(older file, newer file) of each distribution that is there in two versions."""
    by_name = {key_of(path.name).split("==")[0]: path for path in newer}
    return [(path, by_name[key_of(path.name).split("==")[0]]) for path in older]


def objects_of(program, cache, path):
    """The objects that a wheel's image names, as they come in a cache of its own."""
    own = cache / "one" / path.stem
    took([BINARY, "cache", "add", path], {**program.env, "VENVFS_CACHE_DIR": str(own)})
    found = {p.name: p.stat().st_size for p in (own / "objects").rglob("*") if p.is_file()}
    total = sum(p.stat().st_size for part in ("objects", "images") for p in (own / part).rglob("*") if p.is_file())
    return found, total


def shared(program, cache, pairs):
    """Of the newer versions' bytes, how many the older ones have brought already."""
    common = total = 0
    for older, newer in pairs:
        before, _ = objects_of(program, cache, older)
        after, size = objects_of(program, cache, newer)
        common += sum(count for name, count in after.items() if name in before)
        total += size
    return common / total


def run():
    newer, older = wheels("add", "more"), wheels("older")
    files = newer[: COUNT - len(older)] + older
    pairs = neighbours(older, newer)
    print(f"{describe(files)}; {len(pairs)} packages in two neighbouring versions")
    mounted_files = wheels("add")
    inodes, share = {}, {}
    with bed("threshold", fresh=True) as program:
        def measure(kib):
            number = 0

            def once():
                nonlocal number
                number += 1
                cache = program.root / f"{kib}-{number}"
                env = {"VENVFS_CACHE_DIR": str(cache), "VENVFS_OBJECT_THRESHOLD": str(kib << 10)}
                settle()
                added = took([BINARY, "cache", "add", *files], {**program.env, **env}).seconds
                inodes[kib] = sum(len(names) + len(folders) for _, folders, names in os.walk(cache))
                path = program.root / "env"
                with mounted(program, path, mounted_files, "--read-only", **env):
                    imported = cold_import(program, path)
                    read = cold_read(list(files_below(path)))
                if number == 1:
                    cache = program.root / f"share{kib}"
                    program.env["VENVFS_OBJECT_THRESHOLD"] = str(kib << 10)
                    share[kib] = shared(program, cache, pairs)
                    del program.env["VENVFS_OBJECT_THRESHOLD"]
                return added, imported.seconds, read

            return once

        found = alternate({kib: measure(kib) for kib in SIZES}, ROUNDS)
    rows = []
    for kib, runs in found.items():
        added, imported, read = zip(*runs)
        rows.append((f"{kib} KiB", ms(list(added)), f"{inodes[kib]:,}", f"{share[kib]:.0%}",
                     ms(list(imported)), ms(list(read))))
    table(["threshold", "add", "inodes", "shared", "cold import", "cold read of all"], *rows)
