"""commits.py DATABASE MODE WHO SECONDS: inserts rows and prints the number of each that is committed; at least one."""

import sqlite3
import sys
import time

path, mode, who, seconds = sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4])
db = sqlite3.connect(path, timeout=300, isolation_level=None)
assert db.execute("PRAGMA journal_mode").fetchone()[0].upper() == mode
db.execute("PRAGMA synchronous=FULL" if who % 2 else "PRAGMA synchronous=OFF")
db.execute("PRAGMA mmap_size=1048576" if who % 3 == 0 else "PRAGMA mmap_size=0")
end, number = time.monotonic() + seconds, 0
while time.monotonic() < end or number == 0:
    db.execute("BEGIN IMMEDIATE")
    db.execute("INSERT INTO entry VALUES (?, ?, ?)", (who, number, bytes([who % 256]) * (number * 37 % 3000)))
    kept = number % 10 != 9
    db.execute("COMMIT" if kept else "ROLLBACK")
    if kept:
        print(number, flush=True)
    number += 1
