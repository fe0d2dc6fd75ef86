"""maker.py DIR ACKED: makes, moves and removes without end, until a call fails.

Everything is done relative to DIR as it was opened first. Each file that must be there from
then on is written to ACKED, a line each. Prints the name of the error that ended it.
"""

import errno
import os
import sys


def make(root, n):
    content = b"%d " % n * (n % 700)
    os.mkdir(f"d{n}", dir_fd=root)
    fd = os.open(f"d{n}/new", os.O_CREAT | os.O_EXCL | os.O_WRONLY, dir_fd=root)
    try:
        os.write(fd, content)
    finally:
        os.close(fd)
    os.rename(f"d{n}/new", f"kept{n}", src_dir_fd=root, dst_dir_fd=root)
    os.rmdir(f"d{n}", dir_fd=root)


def read(root, n):
    fd = os.open(f"kept{n}", os.O_RDONLY, dir_fd=root)
    try:
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        os.pread(fd, 1 << 20, 0)
    finally:
        os.close(fd)


def main(folder, acked):
    root = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    n = 0
    with open(acked, "w") as said:
        try:
            while True:
                make(root, n)
                print(n, file=said, flush=True)
                read(root, n // 2)
                n += 1
        except OSError as e:
            print(errno.errorcode[e.errno], flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
