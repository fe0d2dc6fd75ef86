"""Activate this environment in a Python that is already running.

    import runpy
    runpy.run_path("bin/activate_this.py")

Made by venvfs.
"""

import os
import site
import sys

_bin = os.path.dirname(os.path.abspath(__file__))
_base = os.path.dirname(_bin)

os.environ["PATH"] = os.pathsep.join([_bin, *os.environ.get("PATH", "").split(os.pathsep)])
os.environ["VIRTUAL_ENV"] = _base
os.environ["VIRTUAL_ENV_PROMPT"] = @PROMPT@ or os.path.basename(_base)

# What .pth files of the environment add comes first, then what was there before.
_before = len(sys.path)
site.addsitedir(os.path.realpath(os.path.join(_bin, @SITE@)))
sys.path[:] = sys.path[_before:] + sys.path[:_before]

sys.real_prefix = sys.prefix
sys.prefix = _base
