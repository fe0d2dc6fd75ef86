"""The model on what stands in for a mount: it finds what is planted, and nothing else."""

import os
import pathlib
import shlex
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "fuse"))

from modelparts import shrink  # noqa: E402
from modelparts.faults import FAULTS  # noqa: E402
from support import missing  # noqa: E402
from test_model import run_model  # noqa: E402

# ext4 gives an inode number again, kernel overlayfs differs in more.
PLAIN = ("--prepare-lower", "", "--allow", "inode-again")
OVERLAY = ("--prepare-lower", "", "--allow", "inode-again,ctime,mtime,held,listed-inode")


@pytest.fixture(scope="module", autouse=True)
def root():
    if os.geteuid() != 0:
        missing("root, as whom the model acts for other users,")


def test_two_plain_directories_do_not_differ(tmp_path):
    status, said = run_model(tmp_path, "--seed", 1, "--steps", 12000, *PLAIN)
    assert status == 0 and "12000 steps" in said and "no difference" in said


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_found(tmp_path, fault):
    status, said = run_model(tmp_path, "--seed", 3, "--fault", fault, "--shrink", 3, *PLAIN)
    assert status == 1 and "does not show again" not in said


def test_a_difference_is_shrunk_and_replayed(tmp_path):
    fault = ("--fault", "exchange-replaces")
    status, said = run_model(tmp_path, "--seed", 3, "--shrink", 30, *fault, *PLAIN)
    script = tmp_path / "script"
    script.write_text(said)
    lines = [line for line in said.splitlines() if line.startswith("{")]
    assert status == 1 and 0 < len(lines) < 25
    assert run_model(tmp_path, "--replay", script, *fault, *PLAIN)[0] == 1
    assert run_model(tmp_path, "--replay", script, *PLAIN)[0] == 0


def test_shrinking_leaves_what_is_needed():
    def is_same(script):
        return {3, 57, 99} <= set(script)

    assert shrink.shrink(list(range(200)), is_same, 10) == [3, 57, 99]


def overlay_on(folder):
    lower, upper = folder / "lower", folder / "upper"
    parts = [f"lowerdir={lower}", f"upperdir={upper}/u", f"workdir={upper}/w", "index=on",
             "redirect_dir=on", "metacopy=off", "xino=on"]
    mount = shlex.join(["mount", "-t", "overlay", "-o", ",".join(parts), "none", str(folder / "under")])
    mount = f"mkdir -p {shlex.quote(str(upper))}/u {shlex.quote(str(upper))}/w && {mount}"
    return ("--lower", lower, "--upper", upper, "--mount", mount, "--unmount",
            shlex.join(["umount", str(folder / "under")]))


def test_kernel_overlayfs_differs_in_nothing_else_than_is_known_of_it(tmp_path):
    status, said = run_model(tmp_path, "--seed", 1, *overlay_on(tmp_path), *OVERLAY)
    assert status == 0 and "no difference" in said


@pytest.mark.parametrize("known", ["ctime", "held"])
def test_what_is_known_of_kernel_overlayfs_is_found(tmp_path, known):
    allow = OVERLAY[-1].replace(f",{known}", "")
    status, said = run_model(tmp_path, "--seed", 1, "--shrink", 3, *overlay_on(tmp_path),
                             "--prepare-lower", "", "--allow", allow)
    assert status == 1, said
