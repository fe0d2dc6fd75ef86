"""The benches by name; `scripts/bench` runs this.

Contenders alternate within one run, so that what disturbs the machine disturbs all of
them, and medians are printed. A missed goal is printed as missed and makes the exit
status 1: figures are to be read, and no test depends on them.
"""

import importlib
import sys

NAMES = {
    "add": "40 wheels into an empty cache, against uv pip install",
    "export": "a plain environment of 40 cached wheels, against uv venv and uv pip install",
    "mount": "mounting 160 cached wheels: first, again, as an ordinary user",
    "lock": "a project's uv.lock: to a mounted environment, against uv sync",
    "memory": "private memory of a server after find, and after reading all",
    "pagecache": "page cache of 1 and of 10 mounts after reading everything",
    "warm": "importing from a mount and from a venv on disk; stat and open",
    "threads": "1 to 4 serving threads: cold import, cold read, find",
    "files": "5,000 new files: tar, find, read, rm, against ext4 and fuse-overlayfs",
    "pip": "pip installs 40 wheels, against ext4 and fuse-overlayfs",
    "lower": "changes of lower files: rename, chmod, copy-up; requests a new file costs",
    "failover": "from a worker's death to the first answer, over an upper of 30,000 rows",
    "threshold": "files of which size are objects: time, inodes, sharing, cold import",
}


def main(words):
    if "--help" in words or "-h" in words:
        print("usage: scripts/bench [--list] [NAME...]")
        return 0
    if "--list" in words:
        for name, text in NAMES.items():
            print(f"{name:10} {text}")
        return 0
    unknown = [word for word in words if word not in NAMES]
    if unknown:
        print(f"scripts/bench: there is no bench '{unknown[0]}' (scripts/bench --list)", file=sys.stderr)
        return 2
    from report import describe_machine, missed
    describe_machine()
    for name in words or NAMES:
        print(f"\n## {name}: {NAMES[name]}\n", flush=True)
        importlib.import_module("bench_" + name).run()
    return 1 if missed() else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
