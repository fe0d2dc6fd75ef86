"""The wheels of wheels.txt, downloaded once."""

import pathlib
import re
import subprocess
import sys
import zipfile

FOLDER = pathlib.Path(__file__).parents[2] / "build/wheels-bench"


def _names(path):
    sections, current = {}, None
    for line in path.read_text().splitlines():
        if line.startswith("["):
            current = sections.setdefault(line[1 : line.index("]")], [])
        elif line and not line.startswith("#"):
            current += line.split()
    return sections


def key_of(file_name):
    """"numpy==2.4.6"."""
    name, version = file_name.split("-")[:2]
    return re.sub(r"[-_.]+", "-", name).lower() + "==" + version


def _pip_download(wanted):
    return subprocess.run(
        [sys.executable, "-m", "pip", "download", "-q", "--disable-pip-version-check", "--no-deps",
         "--only-binary", ":all:", "-d", FOLDER, *wanted],
        capture_output=True, text=True,
    )


def _download(wanted):
    """One version a call of pip; what this Python cannot have is said and left out."""
    print(f"downloading {len(wanted)} wheels into {FOLDER}", flush=True)
    FOLDER.mkdir(parents=True, exist_ok=True)
    if _pip_download(wanted).returncode == 0:
        return
    for name in wanted:
        if _pip_download([name]).returncode != 0:
            print(f"left out: {name} (no wheel for this Python, or the index cannot be reached)")


def wheels(*sections):
    """The files of these sections of wheels.txt, in its order."""
    names = [name for s in sections for name in _names(pathlib.Path(__file__).with_name("wheels.txt"))[s]]
    have = {key_of(path.name): path for path in FOLDER.glob("*.whl")}
    missing = [name for name in names if name not in have]
    if missing:
        _download(missing)
        have = {key_of(path.name): path for path in FOLDER.glob("*.whl")}
    found = [have[name] for name in names if name in have]
    if not found:
        sys.exit("scripts/bench: no wheel could be downloaded; is the index reachable? (pip config list)")
    return found


def describe(files):
    count = size = 0
    for path in files:
        with zipfile.ZipFile(path) as archive:
            count += sum(not info.is_dir() for info in archive.infolist())
        size += path.stat().st_size
    return f"{len(files)} wheels, {count:,} files, {size / 1e6:.0f} MB packed"
