"""The model (tests/fuse/model.py) on the overlay without a mount, through overlay_driver.

    overlay_model.py DRIVER --under DIR --plain DIR2 --lower FOLDER --upper DIR3
                     [--prepare-lower SPEC] [--steps N] [--seed S] [--replay FILE] ...

What only a kernel does is left out: mappings, locks, exec, other users, fifos that are written,
spellings of a path. A remount ends the driver cleanly, by SIGKILL, or by that and another boot;
after a clean end the rows are checked as a whole. DIR holds the cache. Root only.
"""

import itertools
import os
import pathlib
import shutil
import sys

sys.path[:0] = [str(pathlib.Path(__file__).parent), str(pathlib.Path(__file__).parents[1] / "fuse")]

import model  # noqa: E402
import overlay_rows  # noqa: E402
from modelparts import drawing, generator  # noqa: E402
from modelparts.faults import FAULTS  # noqa: E402
from modelparts.place import Place  # noqa: E402
from overlay_driver import Driver  # noqa: E402
from overlay_system import OverlaySystem  # noqa: E402

KERNEL_ONLY = (
    "map", "map_read", "map_write", "unmap", "flock", "range_lock", "range_test", "process_lock",
    "exec", "access", "getcwd", "script",
)
ENDS = ("clean", "kill", "clean", "power cut")


class PlainDrawing(drawing.Drawing):
    def dressed(self, path):
        return path


class OverlayGenerator(generator.Generator):
    weighted = {name: weight for name, weight in generator.WEIGHTS.items() if name not in KERNEL_ONLY}
    drawing = PlainDrawing

    def draw_mknod(self, name):
        return {**super().draw_mknod(name), "kind": self.rng.choice(("socket", "file"))}

    def draw_open(self, name):
        drawn = super().draw_open(name)
        drawn["flags"] &= ~os.O_PATH
        if drawn["flags"] & os.O_CREAT:
            drawn["flags"] &= ~os.O_DIRECTORY
        return drawn

    def draw_copy(self, name):
        drawn = super().draw_copy(name)
        return {**drawn, "offset": abs(drawn["offset"]), "to_offset": abs(drawn["to_offset"])}


class OverlayPlace(Place):
    def __init__(self, options, program):
        cache = os.path.join(os.path.abspath(options.under), "cache")
        self.ends = itertools.cycle(ENDS)
        program = os.path.abspath(program)
        self.driver = Driver(program, cache, os.path.abspath(options.lower), os.path.abspath(options.upper))
        system = OverlaySystem
        if options.fault:
            system = type("Faulty", (FAULTS[options.fault], OverlaySystem), {})
        super().__init__(options, system(self.driver))

    def fresh(self):
        self.ends = itertools.cycle(ENDS)
        return super().fresh()

    def begin(self):
        os.chmod(self.upper, 0o700)
        self.system.linkable.clear()
        self.driver.start()

    def stop(self, how):
        running = self.driver.process is not None
        self.driver.stop(kill=how != "clean")
        if running and how == "power cut":
            overlay_rows.boot(self.upper)
        if running and how == "clean":
            overlay_rows.check(self.upper)

    def end(self):
        """With a last change: without one nothing is tidied up, so what a crash left stays."""
        if self.driver.process is not None:
            self.system.leave()
            self.system.mkdir("last")
            self.system.rmdir("last")
        self.stop("clean")

    def remount(self):
        self.stop(next(self.ends))
        self.begin()


def main(program, options):
    shutil.rmtree(options.under, ignore_errors=True)
    os.makedirs(options.under)
    options.users, options.generator = False, OverlayGenerator
    return model.run_at(OverlayPlace(options, program), options)


if __name__ == "__main__":
    if os.geteuid() != 0:
        sys.exit("overlay_model: not root, and only root may make device nodes and give files away")
    sys.exit(main(sys.argv[1], model.options_from(sys.argv[2:])))
