"""Installing what suites need."""

import os
import pathlib
import subprocess

BUILD = pathlib.Path(__file__).resolve().parents[2] / "build"


def said_by(*command, **kwargs):
    """(exit status, all that it printed)."""
    done = subprocess.run(
        list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        errors="replace", stdin=subprocess.DEVNULL, **kwargs,
    )
    return done.returncode, done.stdout


def install(*packages):
    """Debian's packages, where they are missing."""
    status, _ = said_by("dpkg", "-s", *packages)
    if status == 0:
        return
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    said_by("apt-get", "update", env=env)
    status, text = said_by("apt-get", "install", "-y", "--no-install-recommends", *packages, env=env)
    if status:
        raise SystemExit(f"suites: apt-get cannot install {' '.join(packages)}: {text.strip()[-300:]}")
