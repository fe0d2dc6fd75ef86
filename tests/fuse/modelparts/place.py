"""Where a run happens: makes both directories anew, and unmounts and mounts between steps."""

import os
import shutil
import subprocess
import time

from . import lower
from .side import Side
from .syscalls import System


class Place:
    """Without commands the directory under test is plain, and remounting only closes all.

    `mount` and `unmount` are shell commands. `folder` is what is mounted over (a lower layer,
    prepared once; else the tree goes into the directory itself), `upper` what a fresh start
    empties.
    """

    def __init__(self, options, system=None):
        self.under, self.plain = os.path.abspath(options.under), os.path.abspath(options.plain)
        self.mount, self.unmount = options.mount, options.unmount
        self.folder, self.upper, self.spec = options.lower, options.upper, options.prepare_lower
        self.system = system or System()
        self.started = None
        self.mounted = False
        if self.folder:
            empty(self.folder)
            self.fill(self.folder)

    def fresh(self):
        self.end()
        for folder in filter(None, (self.plain, self.upper)):
            empty(folder)
        os.makedirs(self.under, exist_ok=True)
        if not self.folder:
            empty(self.under)
        self.fill(self.plain)
        if not self.folder and not self.mount:
            self.fill(self.under)
        self.begin()
        if not self.folder and self.mount:
            empty(self.under)
            self.fill(self.under)
        # Beyond the tick in which the trees were made: what a step makes is newer.
        time.sleep(0.02)
        self.started = time.time_ns()
        time.sleep(0.02)
        return Side("test", self.under, self.system), Side("plain", self.plain)

    def fill(self, folder):
        os.umask(0o022)
        os.chmod(folder, 0o755)
        if self.spec is not None:
            lower.make(folder, self.spec)

    def begin(self):
        if self.mount:
            shell(self.mount)
            self.mounted = True

    def end(self):
        if self.mounted:
            self.mounted = False
            shell(self.unmount)

    def remount(self):
        self.end()
        self.begin()


def empty(folder):
    os.makedirs(folder, exist_ok=True)
    for entry in list(os.scandir(folder)):
        if entry.is_dir(follow_symlinks=False):
            shutil.rmtree(entry.path)
        else:
            os.unlink(entry.path)


def shell(command):
    done = subprocess.run(command, shell=True, capture_output=True, text=True, cwd="/")
    if done.returncode:
        raise SystemExit(f"model: '{command}' failed: {done.stderr.strip()[-400:]}")
