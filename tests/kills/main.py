"""Loads on a mount whose workers die: no client may see an error (`scripts/kill-test`).

Each load runs twice: its worker is killed every 50 to 300 ms, and (where it changes anything)
its workers end themselves at an exact instant, drawn for each load: between the commit of a
change and its reply, or before or after a mark, every so many changes or requests. The kills are
shared out evenly; a load goes on in rounds until it has had its share. `--mask resend` makes the
mount do as on kernels before 6.9, where requests are taken from the dead worker's buffers.
"""

import argparse
import pathlib
import random
import shutil
import statistics
import subprocess
import sys
import time
import traceback
import typing

from ground import Failed, Ground
from killer import Between, Killer
from loads import LOADS

CHANGES = 20, 60  # one death in so many
REQUESTS = 100, 300
INSTANTS = "commit", "received", "run", "decided", "sent", "answered"
MOST_SECONDS = 900  # of one load; more than that is a server that gets nowhere


class Result(typing.NamedTuple):
    name: str
    how: str
    kills: int
    restarts: int
    rounds: int
    seconds: float
    pauses: list
    wrong: str | None

    def line(self):
        said = f"{self.name + ',':9} {self.how + ':':13} {self.kills:4} kills, {self.restarts:4} restarts, "
        said += f"{self.rounds:2} rounds, {self.seconds:6.1f} s"
        if self.pauses:
            said += f", next worker seen after {statistics.median(self.pauses) * 1000:.0f} ms"
            said += f" (most {max(self.pauses) * 1000:.0f})"
        return f"{said}: {'FAILED: ' + ' '.join(self.wrong.split())[-900:] if self.wrong else 'no error'}"


def rounds_of(load, killer, most):
    """Runs it until the kills are through; how many rounds that took."""
    end = time.monotonic() + MOST_SECONDS
    number = 0
    while True:
        load.round(number)
        number += 1
        if killer.wrong:
            raise Failed(killer.wrong)
        if killer.is_done():
            return number
        if number == 5 and killer.kills == 0:
            raise Failed("no worker has died in five rounds")
        if time.monotonic() > end:
            raise Failed(f"{killer.kills} of {most} kills after {MOST_SECONDS} s")


def death_of(rng):
    """An exact instant, as VENVFS_TEST_DIE names it."""
    instant = rng.choice(INSTANTS)
    return str(rng.randint(*CHANGES)) if instant == "commit" else f"{instant}:{rng.randint(*REQUESTS)}"


def run_load(name, folder, kills, seed, between=False, killer_class=Killer, mask=""):
    """A load on a ground of its own, which is left as it is where something went wrong."""
    rng = random.Random(f"{name} {seed} {between}")
    dies = {"VENVFS_TEST_DIE": death_of(rng)} if between else {}
    ground = Ground(folder, **dies, **({"VENVFS_MASK": mask} if mask else {}))
    load = LOADS[name](ground, rng.randrange(10**9))
    killer = Between(ground, kills) if between else killer_class(ground, rng.random(), kills)
    begun, rounds, wrong = time.monotonic(), 0, None
    try:
        load.prepare()
        begun = time.monotonic()
        killer.start()
        rounds = rounds_of(load, killer, kills)
        killer.stop()
        load.check()
        if ground.row():
            ground.remount()
            load.check()
        wrong = killer.wrong
    except Failed as e:
        wrong = str(e)
    except Exception:
        # A client of our own process that saw an error: an OSError of a check, say.
        wrong = traceback.format_exc(limit=-3)
    finally:
        if killer.is_alive():
            killer.stop()
        ground.end()
    wrong = wrong or wrong_count(killer)
    if not wrong:
        shutil.rmtree(folder)
    how = dies["VENVFS_TEST_DIE"] if between else "at random"
    return Result(name, how, killer.kills, killer.restarts, rounds, time.monotonic() - begun, killer.pauses, wrong)


def wrong_count(killer):
    if killer.restarts + killer.unseen != killer.kills:
        return f"{killer.restarts} restarts seen, {killer.unseen} not, should be {killer.kills}"
    return None


def shares(names, kills, most_between):
    """(load, between, kills) of each run."""
    runs = [(name, False) for name in names]
    runs += [(name, True) for name in names if LOADS[name].writes and most_between]
    each, rest = divmod(kills, len(runs))
    return [(name, between, each + (i < rest)) for i, (name, between) in enumerate(runs)]


def run_all(folder, names, kills, seed, between=True, mask=""):
    """Prints a line for each run; the Results."""
    results = []
    for name, dies, share in shares(names, kills, between):
        place = folder / f"{name}{'-between' if dies else ''}"
        place.mkdir(parents=True)
        results.append(run_load(name, place, share, seed, dies, mask=mask))
        print(results[-1].line(), flush=True)
    return results


def describe(seed, mask):
    head = subprocess.run(["git", "describe", "--always", "--dirty"], capture_output=True, text=True,
                          cwd=pathlib.Path(__file__).parent).stdout.strip()
    kernel = subprocess.run(["uname", "-r"], capture_output=True, text=True).stdout.strip()
    without = f", without {mask}" if mask else ""
    print(f"seed {seed}; venvfs {head}, Linux {kernel}{without}", flush=True)


def main(words):
    p = argparse.ArgumentParser(prog="scripts/kill-test", description=__doc__,
                                formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("loads", nargs="*", metavar="LOAD", help=" ".join(LOADS) + "; default: all")
    p.add_argument("--kills", type=int, default=1000, help="in all (1000)")
    p.add_argument("--seed", type=int, help="default: drawn, and printed")
    p.add_argument("--at-random-only", action="store_true", help="no deaths at exact instants")
    p.add_argument("--mask", default="", metavar="FEATURES", help="VENVFS_MASK of the mounts: resend")
    p.add_argument("--folder", type=pathlib.Path, help="where to work, emptied (build/kills)")
    o = p.parse_args(words)
    if unknown := [name for name in o.loads if name not in LOADS]:
        p.error(f"there is no load '{unknown[0]}'")
    folder = (o.folder or pathlib.Path(__file__).parents[2] / "build/kills").resolve()
    if folder.exists():
        shutil.rmtree(folder)
    seed = random.SystemRandom().randrange(10**6) if o.seed is None else o.seed
    describe(seed, o.mask)
    begun = time.monotonic()
    results = run_all(folder, o.loads or list(LOADS), o.kills, seed, not o.at_random_only, o.mask)
    failed = sum(r.wrong is not None for r in results)
    print(f"{sum(r.kills for r in results)} kills, {time.monotonic() - begun:.0f} s")
    print(f"{len(results) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
