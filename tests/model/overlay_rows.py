"""What must hold of the rows of an upper that was closed, whatever was done (FORMAT.md)."""

import os
import pathlib
import sqlite3
import stat

from modelparts.side import Wrong

NODE_UPPER, COOKIE_UPPER = 1 << 51, 1 << 62
CONTENT = 1

# What each finds is a fault.
FAULTS = {
    "names of no node": "SELECT name FROM dentry WHERE node NOT NULL AND node NOT IN (SELECT id FROM node)",
    "unlinked nodes": "SELECT id FROM node WHERE nlink = 0",
    "attributes of no node": "SELECT node FROM xattr WHERE node NOT IN (SELECT id FROM node)",
    "directories in two places": f"""SELECT node FROM dentry JOIN node ON id = node
        WHERE mode & {0o170000} = {stat.S_IFDIR} GROUP BY node HAVING count(*) > 1""",
    "directories that are elsewhere": f"""SELECT id FROM node JOIN dentry d ON d.node = id
        WHERE mode & {0o170000} = {stat.S_IFDIR} AND node.parent <> d.parent""",
    "new nodes with other names than links": f"""SELECT id, nlink FROM node
        WHERE id >= {NODE_UPPER} AND mode & {0o170000} <> {stat.S_IFDIR}
        AND nlink <> (SELECT count(*) FROM dentry WHERE dentry.node = id)""",
    "names in a new directory that is not there": f"""SELECT name FROM dentry
        WHERE parent >= {NODE_UPPER} AND parent NOT IN (SELECT id FROM node)""",
    "numbers that can come again": f"""SELECT next FROM meta
        WHERE next <= (SELECT max(id & {NODE_UPPER - 1}) FROM node WHERE id >= {NODE_UPPER})
        OR next <= (SELECT max(cookie & {NODE_UPPER - 1}) FROM dentry WHERE cookie >= {COOKIE_UPPER})""",
    "an end that is not clean": "SELECT clean FROM meta WHERE NOT clean OR mark <> next",
    "changes that were not counted": """SELECT change FROM meta
        WHERE change < (SELECT max(change) FROM node) OR change < (SELECT max(change) FROM dentry)""",
}


def check(upper):
    index = pathlib.Path(upper) / "index.db"
    if not index.exists():
        return
    if os.path.exists(f"{index}-wal"):
        raise Wrong("rows: a WAL is left")
    with sqlite3.connect(f"file:{index}?mode=ro&immutable=1", uri=True) as db:
        if db.execute("PRAGMA integrity_check").fetchall() != [("ok",)]:
            raise Wrong("rows: SQLite finds damage")
        for what, query in FAULTS.items():
            found = db.execute(query).fetchall()
            if found:
                raise Wrong(f"rows: there are {what}: {found[:5]}")
        rows = {row[0]: row[1:] for row in db.execute("SELECT id, flags, mode FROM node")}
    db.close()
    check_content(pathlib.Path(upper), rows)


def check_content(upper, rows):
    """Each file is that of a row that says so, and nothing is staged."""
    held = {int(path.name, 16) for path in (upper / "files").glob("*/*")}
    for node in held:
        flags, mode = rows.get(node, (0, 0))
        if not stat.S_ISREG(mode) or not (node >= NODE_UPPER or flags & CONTENT):
            raise Wrong(f"rows: content of {node:x}, which no row has")
    for node, (flags, _) in rows.items():
        if flags & CONTENT and node not in held:
            raise Wrong(f"rows: no content of {node:x}, which has some")
    if any((upper / "staging").iterdir()):
        raise Wrong("rows: something is left in staging")


def boot(upper):
    """As if the machine had been switched off since: after a crash numbers are skipped."""
    index = pathlib.Path(upper) / "index.db"
    if index.exists():
        with sqlite3.connect(index) as db:
            db.execute("UPDATE meta SET boot = 'another'")
        db.close()
