"""pjdfstest, the crate of that name: POSIX's words on files, one by one."""

import os
import re
import shutil
import tempfile

from tools import BUILD, install, said_by

PROGRAM = BUILD / "tools/cargo/bin/pjdfstest"
VERSION = "0.2.2"
# The two users are Debian's own. rename_ctime: ext4 changes it, and so do we.
SETTINGS = """
[features]
posix_fallocate = {}
rename_ctime = {}
utime_now = {}
utimensat = {}

[settings]
naptime = 0.02
allow_remount = false

[dummy_auth]
entries = [["nobody", "nogroup"], ["daemon", "daemon"]]
"""
RESULT = re.compile(r"^(\S+)\s+(ok|FAILED|skipped)$", re.M)


def prepare():
    if PROGRAM.exists():
        return
    install("libacl1-dev", "acl")
    if not shutil.which("cargo"):
        raise SystemExit("suites: pjdfstest needs cargo, which is missing; install Rust")
    status, text = said_by("cargo", "install", "--locked", "--version", VERSION, "--root",
                           BUILD / "tools/cargo", "pjdfstest")
    if status:
        raise SystemExit(f"suites: cargo cannot install pjdfstest: {text.strip()[-300:]}")


def run(folder):
    settings = BUILD / "pjdfstest.toml"
    settings.write_text(SETTINGS)
    # By a path of one length: sockets need a short one, and its makers of longest paths
    # fail for some lengths.
    with tempfile.TemporaryDirectory(prefix="pj", dir="/tmp") as short:
        os.chmod(short, 0o755)
        os.symlink(folder, f"{short}/s")
        _, text = said_by(PROGRAM, "-c", settings, "-p", f"{short}/s")
    results = {}
    for part in re.split(r"^(?=\S+\s+(?:ok|FAILED|skipped)$)", text, flags=re.M):
        found = RESULT.match(part)
        if found:
            said = {"ok": None, "skipped": "", "FAILED": part[found.end():] or "failed"}
            results[found[1]] = said[found[2]]
    return results
