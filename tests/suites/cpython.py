"""CPython's own tests of files, with TMPDIR on the directory."""

import os
import pathlib
import shutil
import sys
import xml.etree.ElementTree as xml

from tools import BUILD, install, said_by

MODULES = (
    "test_os", "test_shutil", "test_tempfile", "test_mmap", "test_fileio", "test_zipfile",
    "test_compileall", "test_import", "test_importlib", "test_venv", "test_sqlite3",
)
SYSTEM = "/usr/bin/python3"


def prepare():
    """Debian's package of tests, that of its own Python."""
    version = said_by(SYSTEM, "-c", "import sys; print('%d.%d' % sys.version_info[:2])")[1].strip()
    install(f"libpython{version}-testsuite")


def pythons():
    """Debian leaves out test_sqlite3: another Python that brings its tests may have it."""
    found = [SYSTEM, os.path.realpath(sys.executable), shutil.which("python3"), BUILD / "tools/bin/python"]
    return [str(python) for python in found if python and pathlib.Path(python).exists()]


def python_with(module):
    for python in pythons():
        if said_by(python, "-c", f"import test.{module}")[0] == 0:
            return python
    return None


def run(folder):
    results = {}
    env = {k: v for k, v in os.environ.items() if k not in ("PYTHONDONTWRITEBYTECODE", "PYTHONPATH")}
    env["TMPDIR"] = str(folder)
    for module in MODULES:
        python = python_with(module)
        if python is None:
            results[module] = ""
            continue
        results.update(run_module(python, module, env, folder))
    return results


def run_module(python, module, env, folder):
    report = BUILD / f"{module}.xml"
    report.unlink(missing_ok=True)
    status, text = said_by(python, "-m", "test", "--tempdir", folder, "--junit-xml", report, module,
                           env=env, cwd=folder)
    results = results_of(report) if report.exists() else {}
    # A module that did not come to its tests, or that its tests do not explain.
    if status and not any(results.values()):
        results[module] = text
    return results


def results_of(report):
    results = {}
    for case in xml.parse(report).iter("testcase"):
        said = None
        for child in case:
            if child.tag in ("failure", "error"):
                said = (child.get("message") or "") + (child.text or "") or "failed"
            elif child.tag == "skipped":
                said = ""
        results[case.get("name").replace(" ", "_")] = said
    return results
