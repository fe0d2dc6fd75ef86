"""Random operations side by side on a directory under test and on a plain one of the same disk.

    model.py --under DIR --plain DIR2 [--steps N] [--seed S] [--prepare-lower SPEC]
             [--lower FOLDER] [--upper DIR3] [--mount COMMAND --unmount COMMAND]
    model.py ... --replay FILE

Both must give the same results and errors, and hold the same tree: names, types, modes, owners,
link counts, contents, xattrs, times (which change at which step, and to what), with inode
numbers that are each file's own and stay. DIR and DIR2 are emptied. A seed gives the whole run.
A difference is shrunk to a short script, printed one operation a line, which --replay takes.
Exit status: 0 no difference, 1 a difference, 2 wrong usage. Root only: it acts as other users.
"""

import argparse
import json
import os
import random
import sys
import time

from modelparts import lower
from modelparts.faults import FAULTS
from modelparts.generator import Generator
from modelparts.place import Place
from modelparts.run import random_run, replay
from modelparts.shrink import shrink


def options_from(arguments):
    """What was asked for, and how operations are drawn; for other programs of this kind, too."""
    p = argparse.ArgumentParser(prog="model.py", description=__doc__,
                                formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--under", required=True, help="the directory under test, emptied")
    p.add_argument("--plain", required=True, help="the directory that is right, emptied")
    p.add_argument("--steps", type=int, default=20_000)
    p.add_argument("--seed", type=int, help="default: drawn, and printed")
    p.add_argument("--prepare-lower", metavar="SPEC", type=checked,
                   help=f"start with a tree, not empty: {lower.DEFAULTS} or another such line")
    p.add_argument("--lower", help="the tree is put here before --mount, not into --under")
    p.add_argument("--upper", help="emptied before a fresh --mount")
    p.add_argument("--mount", help="shell command that mounts --under")
    p.add_argument("--unmount", help="shell command that unmounts it")
    p.add_argument("--remount-every", type=int, default=1500, metavar="N", help="0: never")
    p.add_argument("--life", type=int, default=4000, metavar="N", help="steps until all starts anew")
    p.add_argument("--check", type=int, default=250, metavar="N", help="steps between whole trees")
    p.add_argument("--allow", default="", help="known deviations, by comma: ctime, mtime, "
                   "inode-again (a number is used again), listed-inode (readdir has another than stat), "
                   "held (descriptors see what was before a copy-up), or an operation's name")
    p.add_argument("--no-users", dest="users", action="store_false", help="act as root only")
    p.add_argument("--no-odd-names", dest="odd_names", action="store_false")
    p.add_argument("--no-tmpfile", dest="tmpfile", action="store_false", help="for kernels without it")
    p.add_argument("--shrink", type=int, default=120, metavar="SECONDS")
    p.add_argument("--fault", choices=FAULTS, help="plant this fault in --under")
    p.add_argument("--replay", metavar="FILE", help="run this script; - is standard input")
    options = p.parse_args(arguments)
    if bool(options.mount) != bool(options.unmount):
        p.error("--mount and --unmount go together")
    options.allow = [name for name in options.allow.split(",") if name]
    if options.seed is None:
        options.seed = random.SystemRandom().randrange(10**9)
    options.generator = Generator
    return options


def checked(line):
    try:
        lower.parse(line)
    except ValueError as e:
        raise argparse.ArgumentTypeError(str(e)) from None
    return line


def script_from(name):
    with open(name) if name != "-" else sys.stdin as f:
        return [json.loads(line) for line in f if line.startswith("{")]


def shortest(place, script, effective, difference, options):
    def is_same(candidate):
        found = replay(place, candidate, options)
        return found is not None and found.rule == difference.rule

    # Most steps read or fail: they are left out in one go where that is possible.
    for candidate in (effective + script[-1:], script):
        if is_same(candidate):
            return shrink(candidate, is_same, options.shrink)
    return None


def report(place, script, effective, difference, options):
    print(f"seed {options.seed}: step {difference.step} {json.dumps(difference.operation)}: {difference}")
    short = shortest(place, script, effective, difference, options)
    if short is None:
        print("# replayed from the start, the difference does not show again; all steps:")
        short = script
    print(f"# {len(short)} of {len(script)} steps: {difference.rule}")
    for operation in short:
        print(json.dumps(operation))
    print(f"# {replay(place, short, options)}", flush=True)


def run_random(place, options):
    begun, total = time.monotonic(), {}
    print(f"seed {options.seed}", flush=True)
    for counts, difference, script, effective in random_run(place, options.seed, options):
        if difference:
            report(place, script, effective, difference, options)
            return 1
        total = {name: total.get(name, 0) + count for name, count in counts.items()}
    said = ", ".join(f"{count} {name}" for name, count in total.items())
    print(f"seed {options.seed}: {said}, no difference, {time.monotonic() - begun:.1f} s")
    return 0


def run_script(place, options):
    script = script_from(options.replay)
    difference = replay(place, script, options)
    print(f"{len(script)} steps replayed: {difference or 'no difference'}")
    return 1 if difference else 0


def main(options):
    return run_at(Place(options, FAULTS[options.fault]() if options.fault else None), options)


def run_at(place, options):
    try:
        return (run_script if options.replay else run_random)(place, options)
    finally:
        place.end()


if __name__ == "__main__":
    if os.geteuid() != 0:
        sys.exit("model: not root, and only root can act as other users; run it as root")
    sys.exit(main(options_from(sys.argv[1:])))
