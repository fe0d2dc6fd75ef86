"""What loads start from, made up from a number: trees, wheels, a repository."""

import os
import pathlib
import random
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))
from wheelmaker import Wheel  # noqa: E402

TIME = 1_700_000_000
SIZES = (0, 40, 700, 3_000, 9_000)


def data(rng, size):
    return rng.randbytes(size)


def make_tree(folder, files, large=40):
    """`files` small files in folders of a hundred, some links, and `large` ones of several blocks."""
    rng = random.Random(files)
    for i in range(files):
        parent = folder / f"d{i // 3000:02}" / f"e{i // 100 % 30:02}"
        if i % 100 == 0:
            parent.mkdir(parents=True, exist_ok=True)
            (parent / "link").symlink_to(f"f{i:05}")
        write(parent / f"f{i:05}", data(rng, rng.choice(SIZES)), 0o755 if i % 9 == 0 else 0o644)
    for i in range(large):
        write(folder / f"large{i:02}", data(rng, rng.randrange(70_000, 900_000)), 0o644)
    for parent, _, _ in os.walk(folder):
        os.utime(parent, (TIME, TIME))


def write(path, content, mode):
    path.write_bytes(content)
    path.chmod(mode)
    os.utime(path, (TIME, TIME + len(content)))


def make_wheels(folder, count, files=60):
    """Wheels with modules, data of several blocks and a launcher each."""
    folder.mkdir(exist_ok=True)
    made = []
    for n in range(count):
        rng, name = random.Random(n), f"made{n:02}"
        w = Wheel(name)
        w.scripts(f"[console_scripts]\n{name} = {name}:main\n")
        for i in range(files):
            lines = "".join(f"x{k} = {rng.random()}\n" for k in range(rng.randrange(60)))
            w.add(f"{name}/part{i // 20}/m{i:02}.py", lines.encode())
        w.add(f"{name}/data.bin", data(rng, 150_000))
        made.append(w.write(folder))
    return made


GIT = {
    "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_SYSTEM": "/dev/null", "GIT_TERMINAL_PROMPT": "0",
    "GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@b", "GIT_COMMITTER_NAME": "a",
    "GIT_COMMITTER_EMAIL": "a@b", "GIT_AUTHOR_DATE": f"{TIME} +0000", "GIT_COMMITTER_DATE": f"{TIME} +0000",
}


def make_repository(folder, commits=25, files=900):
    """With two branches whose trees differ in half of the files."""
    rng = random.Random(commits)
    folder.mkdir()

    def git(*words):
        subprocess.run(["git", "-C", folder, *words], check=True, capture_output=True,
                       env={**os.environ, **GIT})

    git("init", "-q", "-b", "main")
    for i in range(files):
        path = folder / f"p{i % 30:02}/f{i:03}.txt"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data(rng, rng.choice(SIZES)))
    for n in range(commits):
        if n == commits - 5:
            git("checkout", "-q", "-b", "other")
        for i in rng.sample(range(files), files // 2 if n == commits - 1 else 12):
            (folder / f"p{i % 30:02}/f{i:03}.txt").write_bytes(data(rng, rng.choice(SIZES)))
        git("add", "-A")
        git("commit", "-q", "-m", f"change {n}")
    git("checkout", "-q", "main")
