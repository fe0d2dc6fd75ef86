"""unlinked.py DIR SEED SECONDS LEAST: works on files after their last name has gone, and checks each byte.

Half of them are the lower's (large*), half new. A folder is removed too, and stays the
working directory. Prints the number of operations, which are so many at least.
"""

import mmap
import os
import random
import sys
import time

BLOCK, MOST = 4096, 1 << 20


class File:
    def __init__(self, path, rng):
        self.rng = rng
        self.fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        self.data = bytearray(os.pread(self.fd, MOST, 0))
        if rng.random() < 0.5:
            self.write()
        self.inode = os.fstat(self.fd).st_ino
        if rng.random() < 0.5:
            os.unlink(path)
        else:
            other = f"{path}-other"
            os.close(os.open(other, os.O_CREAT | os.O_WRONLY))
            os.rename(other, path)
            os.unlink(path)

    def write(self):
        at = self.rng.randrange(MOST // 2)
        piece = self.rng.randbytes(self.rng.randrange(1, 3 * BLOCK))
        assert os.pwrite(self.fd, piece, at) == len(piece)
        self.data.extend(bytes(max(0, at + len(piece) - len(self.data))))
        self.data[at : at + len(piece)] = piece

    def cut(self):
        size = self.rng.randrange(len(self.data) + BLOCK)
        os.ftruncate(self.fd, size)
        del self.data[size:]
        self.data.extend(bytes(size - len(self.data)))

    def read(self):
        # Without what the kernel keeps: the server shall be asked.
        os.fdatasync(self.fd)
        os.posix_fadvise(self.fd, 0, 0, os.POSIX_FADV_DONTNEED)
        found = os.pread(self.fd, MOST, 0)
        assert found == self.data, f"{len(found)} bytes, {len(self.data)} written, or other ones"

    def map(self):
        if self.data:
            with mmap.mmap(self.fd, len(self.data), mmap.MAP_SHARED, mmap.PROT_READ) as m:
                assert m[:] == self.data, "a map shows other bytes"

    def look(self):
        st = os.fstat(self.fd)
        assert (st.st_nlink, st.st_size, st.st_ino) == (0, len(self.data), self.inode), st

    def mark(self):
        os.setxattr(self.fd, "user.mark", b"%d" % len(self.data))
        assert os.getxattr(self.fd, "user.mark") == b"%d" % len(self.data)
        os.fchmod(self.fd, self.rng.choice((0o600, 0o644)))


def leave_folder():
    """Gone, with this process in it."""
    os.mkdir("gone")
    os.chdir("gone")
    os.rmdir("../gone")


def check_folder():
    assert os.stat(".").st_nlink == 0 and os.listdir(".") == []
    try:
        os.mkdir("x")
    except FileNotFoundError:
        return
    raise AssertionError("a removed folder was given a folder")


def main(folder, seed, seconds, least):
    rng = random.Random(seed)
    os.chdir(folder)
    lower = sorted(name for name in os.listdir(".") if name.startswith("large"))
    files = [File(name, rng) for name in lower + [f"new{i}" for i in range(12)]]
    leave_folder()
    end, count = time.monotonic() + seconds, 0
    while time.monotonic() < end or count < least:
        file = rng.choice(files)
        rng.choice((file.write, file.read, file.read, file.cut, file.map, file.look, file.mark, check_folder))()
        count += 1
    for file in files:
        file.read()
        file.look()
    print(count)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4]))
