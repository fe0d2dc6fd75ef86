"""Ends the workers of a mount, at random or between commit and reply, and counts who came after."""

import random
import signal
import threading
import time

from ground import Failed, send

PAUSE = 0.05, 0.3


class Killer(threading.Thread):
    """Kills the worker of the moment after 50 to 300 ms, waits for the next one, and again.

    What it finds wrong is in `wrong`: no successor, or a worker that died by itself.
    """

    def __init__(self, ground, seed, most):
        super().__init__(daemon=True)
        self.ground, self.most, self.rng = ground, most, random.Random(seed)
        self.kills = self.restarts = self.unseen = 0
        self.last = {}  # of each supervisor: how many restarts it had when last asked
        self.pauses, self.wrong = [], None
        self.ended = threading.Event()

    def is_done(self):
        return self.kills >= self.most

    def run(self):
        try:
            while not self.is_done() and not self.ended.wait(self.rng.uniform(*PAUSE)):
                self.kill_once()
        except Failed as e:
            self.wrong = str(e)
        except Exception as e:  # of `list`, which must not fail either
            self.wrong = f"{type(e).__name__}: {e}"

    def kill_once(self):
        with self.ground.spared():
            row = self.ground.row()
            if row is None:
                return  # between two mounts
            if "pid" not in row:
                raise Failed(f"the mount has no worker: {row}")
            self.judge(row, 0)
            begun = time.monotonic()
            if not send(row["pid"], signal.SIGKILL):
                raise Failed(f"worker {row['pid']} died by itself")
            self.kills += 1
        after = self.ground.successor(row["pid"])
        self.pauses.append(time.monotonic() - begun)
        if after is None or after.get("supervisor") != row.get("supervisor"):
            self.unseen += 1  # unmounted before its successor could be seen
        else:
            self.judge(after, 1)
            self.restarts += 1

    def judge(self, row, added):
        found = row.get("restarts", 0)
        known = self.last.get(row.get("supervisor"), found - added)
        if found != known + added:
            raise Failed(f"a worker died by itself: {found} restarts, should be {known + added}")
        self.last[row.get("supervisor")] = found

    def stop(self):
        self.ended.set()
        self.join()


class Between(threading.Thread):
    """Counts the deaths of workers that end themselves (VENVFS_TEST_DIE): it kills none."""

    def __init__(self, ground, most):
        super().__init__(daemon=True)
        self.ground, self.most = ground, most
        self.seen, self.pauses, self.wrong, self.unseen = {}, [], None, 0
        self.ended = threading.Event()

    @property
    def kills(self):
        return sum(self.seen.values())

    restarts = kills

    def is_done(self):
        return self.kills >= self.most

    def run(self):
        try:
            while not self.ended.wait(0.1):
                self.look()
            self.look()
        except Exception as e:
            self.wrong = f"{type(e).__name__}: {e}"

    def look(self):
        with self.ground.spared():
            row = self.ground.row()
        if row and "restarts" in row:
            self.seen[row["supervisor"]] = row["restarts"]

    def stop(self):
        self.ended.set()
        self.join()
