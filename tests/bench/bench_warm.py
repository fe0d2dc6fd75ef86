"""What daily work sees: imports and file calls on a mount and in a venv on the same disk.

Both write their bytecode themselves, into __pycache__, as they would for a user.
"""

import statistics
import subprocess

from bed import PYTHON, UV, alternate, bed, drop_caches, mount, mounted, took, unmount
from bench_threads import MODULES
from report import ms, table
from wheels import describe, wheels

ROUNDS, LOOPS = 9, 5

# Prints us per call, the fastest of LOOPS rounds over some thousand files.
MICRO = """
import os, sys, time
root, loops = sys.argv[1], int(sys.argv[2])
files = [os.path.join(p, n) for p, _, ns in os.walk(root) for n in ns if n.endswith(".py")][:5000]
folders = [p for p, _, _ in os.walk(root)][:500]
def opened(path):
    os.close(os.open(path, os.O_RDONLY))
def read(path):
    fd = os.open(path, os.O_RDONLY)
    os.read(fd, 1 << 20)
    os.close(fd)
def missing(path):
    try:
        os.stat(path + "x")
    except OSError:
        pass
for call, paths in ((os.stat, files), (missing, files), (opened, files), (read, files), (os.listdir, folders)):
    best = 1e9
    for _ in range(loops + 1):
        start = time.perf_counter()
        for path in paths:
            call(path)
        best = min(best, time.perf_counter() - start)
    print(best / len(paths) * 1e6)
"""
CALLS = ("stat", "stat, missing", "open and close", "open, read and close", "listdir")


def numpy_first(program, files):
    """An import right after mounting, nothing cached; then one more."""
    path = program.root / "numpy-env"

    def once():
        program.run("unmount", path, ok=False)
        mount(program, path, files, "--ephemeral")
        drop_caches()
        argv = [path / "bin/python", "-c", "import numpy"]
        result = took(argv, program.env).seconds, took(argv, program.env).seconds
        unmount(program, path)
        return result

    return zip(*[once() for _ in range(ROUNDS)])


def micro(program, path):
    text = subprocess.run(
        [PYTHON, "-c", MICRO, path / "lib", str(LOOPS)], capture_output=True, text=True, check=True,
        env=program.env,
    ).stdout
    return [float(word) for word in text.split()]


def run():
    files = wheels("add")
    print(describe(files))
    with bed("warm", fresh=True) as program:
        path, plain = program.root / "env", program.root / "plain"
        program.add(*files)
        first, second = numpy_first(program, files)
        table(["import numpy", "time"], ("first, cold, without bytecode", ms(list(first))), ("second", ms(list(second))))
        env = {**program.env, "UV_CACHE_DIR": str(program.root / "uv"), "UV_NO_CONFIG": "1"}
        took([UV, "venv", "-q", "--python", PYTHON, plain], env)
        took([UV, "pip", "install", "-q", "--no-index", "--no-deps", "--python", plain / "bin/python", *files], env)
        with mounted(program, path, files):
            def importing(root):
                return lambda: took([root / "bin/python", "-c", "import " + MODULES], program.env)

            contenders = {"venvfs": importing(path), "ext4": importing(plain)}
            alternate(contenders, 2)
            found = alternate(contenders, ROUNDS)
            calls = alternate({"venvfs": lambda: micro(program, path), "ext4": lambda: micro(program, plain)}, 3)
    table(
        ["warm import of 2,300 modules", "time", "CPU"],
        *[(name, ms([t.seconds for t in runs]), ms([t.cpu for t in runs])) for name, runs in found.items()],
    )
    ratio = statistics.median(t.cpu for t in found["venvfs"]) / statistics.median(t.cpu for t in found["ext4"])
    print(f"CPU time of venvfs / of ext4: {ratio:.2f}\n")
    best = {name: [min(column) for column in zip(*runs)] for name, runs in calls.items()}
    table(
        ["us a call, the fastest", "venvfs", "ext4"],
        *[(call, f"{v:.2f}", f"{e:.2f}") for call, v, e in zip(CALLS, best["venvfs"], best["ext4"])],
    )
