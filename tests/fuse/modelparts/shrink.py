"""Delta debugging: the shortest script that still shows the same kind of difference."""

import time


def shrink(script, is_same, seconds):
    """Leaves out ever smaller pieces as long as `is_same(script)`; stops after `seconds`."""
    end = time.monotonic() + seconds
    pieces = 2
    while len(script) > 1:
        shorter = without_one(script, pieces, is_same, end)
        if time.monotonic() > end:
            return shorter or script
        if shorter is not None:
            script, pieces = shorter, max(2, pieces - 1)
        elif pieces >= len(script):
            return script
        else:
            pieces = min(len(script), pieces * 2)
    return script


def without_one(script, pieces, is_same, end):
    """The script without as many of its pieces as can be spared one after the other."""
    size = -(-len(script) // pieces)
    at, found = 0, None
    while at < len(script) and time.monotonic() < end:
        candidate = script[:at] + script[at + size :]
        if candidate and is_same(candidate):
            script = found = candidate
        else:
            at += size
    return found
