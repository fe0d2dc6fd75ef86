"""SQLite in each journal mode with writers at once, before and after a database is copied up.

A database that is there before the suite (in the directory given, as a lower layer brings it)
is not needed: the test of copy-up passes it by SUITE_DATABASE, a path in the mount.
"""

import os
import pathlib
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing

MODES = ("WAL", "DELETE", "TRUNCATE", "PERSIST")
WRITERS, ROWS = 4, 120

WRITER = """
import sqlite3, sys
path, mode, who, rows = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
db = sqlite3.connect(path, timeout=120, isolation_level=None)
assert db.execute("PRAGMA journal_mode").fetchone()[0].upper() == mode or mode != "WAL"
db.execute(f"PRAGMA journal_mode={mode}")
db.execute("PRAGMA mmap_size=1048576" if who % 2 else "PRAGMA mmap_size=0")
for i in range(rows):
    db.execute("BEGIN IMMEDIATE")
    db.execute("INSERT INTO entry VALUES (?, ?, ?)", (who, i, bytes([who]) * (i * 37 % 3000)))
    db.execute("UPDATE total SET count = count + 1")
    db.execute("ROLLBACK" if i % 10 == 9 else "COMMIT")
    if i % 25 == 0:
        assert db.execute("SELECT count(*) FROM entry").fetchone() == db.execute(
            "SELECT count FROM total").fetchone(), "a reader sees half a transaction"
"""


def prepare():
    pass


def create(path, mode):
    db = sqlite3.connect(path)
    db.execute(f"PRAGMA journal_mode={mode}")
    db.execute("CREATE TABLE entry (who, number, data, PRIMARY KEY (who, number))")
    db.execute("CREATE TABLE total (count)")
    db.execute("INSERT INTO total VALUES (0)")
    db.commit()
    db.close()


def write_at_once(path, mode):
    """What the writers said that went wrong, or None."""
    command = [sys.executable, "-c", WRITER, str(path), mode]
    before = counts(path)[0]
    first = highest(path) + 1
    children = [
        subprocess.Popen([*command, str(first + i), str(ROWS)], stderr=subprocess.PIPE, text=True)
        for i in range(WRITERS)
    ]
    said = "".join(child.communicate()[1] for child in children)
    if said or any(child.returncode for child in children):
        return said or "a writer failed"
    expected = before + WRITERS * (ROWS - ROWS // 10)
    found = counts(path)
    if found != (expected, expected):
        return f"{found} rows and counted, should be {expected}"
    return check(path)


def highest(path):
    with closing(sqlite3.connect(path)) as db:
        return db.execute("SELECT coalesce(max(who), 0) FROM entry").fetchone()[0]


def counts(path):
    with closing(sqlite3.connect(path)) as db:
        return (db.execute("SELECT count(*) FROM entry").fetchone()[0],
                db.execute("SELECT count FROM total").fetchone()[0])


def check(path):
    with closing(sqlite3.connect(path)) as db:
        said = db.execute("PRAGMA integrity_check").fetchall()
    return None if said == [("ok",)] else str(said)


def run(folder):
    results = {}
    for mode in MODES:
        path = folder / f"{mode}.db"
        create(path, mode)
        results[f"writers at once, {mode}"] = write_at_once(path, mode)
        moved = folder / f"{mode}-moved.db"
        os.rename(path, moved)
        results[f"again under another name, {mode}"] = write_at_once(moved, mode)
    given = os.environ.get("SUITE_DATABASE")
    if given:
        results.update(run_given(pathlib.Path(given)))
    return results


def run_given(path):
    """Databases of a lower layer, PATH-MODE.db each: whole before the first write and after it."""
    results = {}
    for mode in MODES:
        database = path.with_name(f"{path.name}-{mode}.db")
        results[f"before copy-up, {mode}"] = check(database)
        results[f"writers copy it up, {mode}"] = write_at_once(database, mode)
    return results


def make_lower(path):
    """The databases that run_given takes, with some rows in each."""
    for mode in MODES:
        database = path.with_name(f"{path.name}-{mode}.db")
        create(database, mode)
        said = write_at_once(database, mode)
        if said:
            raise SystemExit(f"suites: {database} cannot be made: {said}")
    for leftover in path.parent.glob("*.db-*"):
        leftover.unlink()


if __name__ == "__main__":
    shutil.rmtree(sys.argv[1], ignore_errors=True)
    os.makedirs(sys.argv[1])
    make_lower(pathlib.Path(sys.argv[1], sys.argv[2]))
