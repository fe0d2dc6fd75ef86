"""After a power cut: what was fsynced is there, the rest is old or new, no id comes twice."""

import pathlib
import random
import shutil
import subprocess
import sys

import pytest
from support import missing

CUTS = 4


@pytest.mark.parametrize("try_", range(2))
def test_power_cuts(tmp_path, try_):
    for tool in ("mkfs.ext4", "e2fsck", "unshare"):
        if not shutil.which(tool):
            missing(tool)
    seed = random.randrange(1_000_000)
    done = subprocess.run(
        ["unshare", "--mount", sys.executable, pathlib.Path(__file__).with_name("power_cut.py"), tmp_path, str(seed),
         str(CUTS)], capture_output=True, text=True, timeout=800,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
