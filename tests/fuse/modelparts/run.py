"""Does a script on both sides, comparing after each step and the whole trees now and then."""

import random
import re
import time

from . import times, tree
from .operations import TABLE
from .side import Wrong, perform
from .view import View

TICK = 0.005
READS = (
    "access", "fgetxattr", "flock", "fstat", "getcwd", "getxattr", "listdir", "listfd", "listxattr",
    "map_read", "pread", "range_test", "read_file", "readlink", "seek_data", "seek_hole", "stat", "statvfs",
)
REFRESH = 25


class Difference(Exception):
    """Where the sides part: at which step, by which rule, and how."""

    def __init__(self, step, operation, rule, text):
        super().__init__(text)
        self.step, self.operation, self.rule = step, operation, rule


class Run:
    def __init__(self, place, check=250, allow=()):
        self.place, self.check, self.allow = place, check, set(allow)
        self.test, self.plain = place.fresh()
        self.judge = tree.Judge(place.started, self.allow)
        self.view = View()
        self.done, self.effective = [], []
        self.counts = {"steps": 0, "checks": 0, "remounts": 0}
        self.guard(None, "start", self.compare)

    def guard(self, operation, kind, act, *args):
        try:
            return act(*args)
        except Wrong as e:
            raise Difference(len(self.done), operation, rule_of(kind, operation, str(e)), str(e)) from None

    def compare(self):
        self.counts["checks"] += 1
        return self.judge.compare(self.test, self.plain)

    def step(self, operation):
        self.done.append(operation)
        self.counts["steps"] += 1
        if operation["do"] == "tick":
            time.sleep(TICK)
        elif operation["do"] == "remount":
            self.guard(operation, "remount", self.remount)
        else:
            self.guard(operation, "step", self.do, operation)
        if len(self.done) % self.check == 0:
            self.guard(operation, "check", self.compare)

    def do(self, operation):
        theirs, expected = self.observed(self.plain, operation)
        ours, got = self.observed(self.test, operation)
        if got != expected and not self.is_allowed(operation):
            raise Wrong(f"result: {got}, and should be {expected}")
        times.compare(ours, theirs, self.allow)
        self.view.note(operation, expected)
        if expected[0] == "ok" and operation["do"] not in READS:
            self.effective.append(operation)

    def observed(self, side, operation):
        seen = times.Observed(side, operation)
        result = perform(side, operation, TABLE)
        seen.finish()
        return seen, result

    def is_allowed(self, operation):
        held = "held" in self.allow and ("slot" in operation or "number" in operation)
        return held or operation["do"] in self.allow

    def remount(self):
        for side in (self.test, self.plain):
            for number in list(side.maps):
                side.unmap(number)
            for number in list(side.fds):
                side.drop(number)
        before = self.compare()
        self.test.release()
        self.place.remount()
        self.test.reopen()
        tree.compare_remounted(before, tree.snapshot(self.test), self.allow)
        self.view.note({"do": "remount"}, ["ok", None])
        self.counts["remounts"] += 1

    def finish(self):
        self.guard(None, "check", self.compare)

    def release(self):
        self.test.release()
        self.plain.release()


def rule_of(kind, operation, text):
    """Names a kind of difference, whatever the paths and numbers: what shrinking keeps."""
    if text.startswith("result:"):
        return f"{operation['do']} {' '.join(re.findall(r'E[A-Z0-9]{3,}|ok', text))}"
    words = re.sub(r"[0-9]+", "N", text).split()
    return f"{'' if kind in ('check', 'remount') else operation['do'] if operation else kind} " + " ".join(words[:3])


def random_run(place, seed, options):
    """Yields (counts, Difference or None, script, its steps that had an effect), a life at a time.

    Each life starts anew, so that a script that shows a difference is not too long to shrink.
    """
    rng = random.Random(seed)
    left = options.steps
    while left > 0:
        length = min(left, options.life)
        yield random_life(place, rng, length, options)
        left -= length


def random_life(place, rng, length, options):
    run = Run(place, options.check, options.allow)
    generator = options.generator(rng, run.view, options.users, options.odd_names, options.tmpfile)
    difference = None
    try:
        for i in range(length):
            if i % REFRESH == 0:
                run.view.refresh(run.plain)
            remount = options.remount_every and i % options.remount_every == options.remount_every - 1
            run.step({"do": "remount"} if remount else generator.next())
        run.finish()
    except Difference as e:
        difference = e
    finally:
        run.release()
    return run.counts, difference, run.done, run.effective


def replay(place, script, options):
    """Runs a script that exists; returns the Difference or None."""
    run = Run(place, options.check, options.allow)
    try:
        for operation in script:
            run.step(operation)
        run.finish()
    except Difference as e:
        return e
    finally:
        run.release()
    return None
