"""stress-ng's file system stressors, each verifying what it does, for SUITE_SECONDS in all.

They run twice; between the two, and not during the first, is the memory of the process
SUITE_WATCH taken: what grows from one pass to the next will grow for ever.
"""

import os
import pathlib

from tools import install, said_by

STRESSORS = (
    "access", "chdir", "chmod", "chown", "copy-file", "dentry", "dir", "dirdeep", "dirmany", "dnotify",
    "dup", "fallocate", "fcntl", "fiemap", "file-ioctl", "filename", "flock", "fpunch", "fsize", "fstat",
    "getdent", "handle", "hdd", "inotify", "io", "iomix", "lease", "link", "locka", "lockf", "lockofd",
    "mknod", "open", "rename", "symlink", "sync-file", "touch", "utime", "xattr",
)
WORKERS = 2
PASSES = 2
GROWTH_KB = 16 * 1024
STATUS_SKIPPED = (3, 4)  # not implemented here, not enough of something


def prepare():
    install("stress-ng")


def run(folder):
    seconds = max(1, int(os.environ.get("SUITE_SECONDS", "300")) // (PASSES * len(STRESSORS)))
    results, memory = {}, []
    for _ in range(PASSES):
        for stressor in STRESSORS:
            said = run_one(stressor, folder, seconds)
            results[stressor] = results.get(stressor) or said
        memory.append(memory_of(os.environ.get("SUITE_WATCH")))
    if memory[0] is not None:
        grown = memory[-1] - memory[0]
        results["memory"] = f"grew by {grown} KiB from pass to pass" if grown > GROWTH_KB else None
    left = [p.name for p in folder.iterdir()]
    results["nothing left behind"] = f"left: {left[:5]}" if left else None
    return results


def run_one(stressor, folder, seconds):
    status, text = said_by("timeout", "-k", 10, seconds + 120, "stress-ng", f"--{stressor}", WORKERS,
                           "-t", seconds, "--verify", "--temp-path", folder)
    if status in STATUS_SKIPPED or "No stress workers invoked" in text:
        return ""
    # Some print a failed check, and exit with 0.
    if status == 0 and "stress-ng: fail" not in text:
        return None
    return text


def memory_of(process):
    if not process:
        return None
    for line in pathlib.Path(f"/proc/{process}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    return None
