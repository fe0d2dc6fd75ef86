"""Workers that die at an exact instant of a request: before and after each of its marks.

VENVFS_TEST_DIE=INSTANT:N[:REQUEST] (fusefs/serve/test_death.h) ends each worker when it comes to
that instant for the N-th time. With RESEND masked what it left is taken from its buffers.
"""

import contextlib
import os

import pytest
from test_between import do_all, make_lower, tree
from waiting import stopped, wait_until

resent_or_kept = pytest.mark.parametrize("mask", ["", "resend"], ids=["resent", "from-buffers"])
INSTANTS = ["received", "run", "decided", "sent", "answered"]
SIZE = 60_000


def restarts(g, least):
    """So many were there, or come to be: the last worker may die after its client."""
    wait_until(lambda: g.row()["restarts"] >= least, lambda: f"{least} restarts: {g.row()}")
    return g.row()["restarts"]


def repeat_until(g, least, load):
    """Who is to die once its reply is sent may, on a loaded machine, see a whole load go by before."""
    def is_enough():
        assert g.together(load) == [True]
        return g.row()["restarts"] >= least

    wait_until(is_enough, lambda: f"{least} restarts: {g.row()}")


@pytest.fixture
def mounted(ground, tmp_path):
    def mount(dies, mask, *arguments):
        g = ground(VENVFS_TEST_DIE=dies, **({"VENVFS_MASK": mask} if mask else {}))
        if not (tmp_path / "lower").exists():
            make_lower(tmp_path / "lower")
        g.mount("--layer", tmp_path / "lower", *arguments)
        return g

    return mount


@resent_or_kept
@pytest.mark.parametrize("instant", INSTANTS)
def test_each_call_is_made_once(mounted, tmp_path, instant, mask):
    """Every second request of any kind ends a worker there."""
    make_lower(tmp_path / "plain")
    g = mounted(f"{instant}:2", mask)
    expected = do_all(tmp_path / "plain")
    found = g.together(lambda: do_all(g.at))[0]
    assert [pair for pair in zip(found, expected) if pair[0] != pair[1]] == []
    assert tree(g.at) == tree(tmp_path / "plain")
    assert restarts(g, 20) >= 20
    g.remount()
    assert tree(g.at) == tree(tmp_path / "plain")


@resent_or_kept
@pytest.mark.parametrize("instant", INSTANTS)
def test_clients_at_once_are_each_answered_their_own(mounted, tmp_path, instant, mask):
    clients = [f"client{i}" for i in range(4)]
    for name in clients:
        make_lower(tmp_path / "lower" / name)
    make_lower(tmp_path / "plain")
    g = mounted(f"{instant}:7", mask)
    expected = do_all(tmp_path / "plain")
    found = g.together(*[lambda name=name: do_all(g.at / name) for name in clients])
    for name, its in zip(clients, found):
        assert [pair for pair in zip(its, expected) if pair[0] != pair[1]] == []
        assert tree(g.at / name) == tree(tmp_path / "plain")
    assert restarts(g, 20) >= 20


def write_over(path, rounds):
    """Two blocks, each over the one before; what is there afterwards must be the last."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT)
    try:
        for i in range(rounds):
            block = bytes([i]) * SIZE
            assert os.pwrite(fd, block, 0) == SIZE
            assert os.pwrite(fd, bytes([i + 100]) * 10, 5) == 10
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
            found = os.pread(fd, SIZE, 0)
            assert found == block[:5] + bytes([i + 100]) * 10 + block[15:], (i, found[:20])
    finally:
        os.close(fd)
    return True


@resent_or_kept
@pytest.mark.parametrize("instant", INSTANTS)
@pytest.mark.parametrize("number", [2, 3, 4])
def test_a_write_is_not_made_again_over_a_later_one(mounted, number, instant, mask):
    """The first of two is answered, its client writes the second, and only then the worker dies."""
    g = mounted(f"{instant}:{number}:WRITE", mask)
    repeat_until(g, 3, lambda: write_over(g.at / "file", 30))


@resent_or_kept
def test_a_cut_is_not_made_again_over_a_later_write(mounted, mask):
    g = mounted("sent:2:SETATTR", mask)

    def cut_and_write():
        for i in range(20):
            with open(g.at / "file", "w+b", buffering=0) as f:
                f.truncate(10)
                f.write(bytes([i]) * 5000)
                f.seek(0)
                os.posix_fadvise(f.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
                assert f.read() == bytes([i]) * 5000, i
        return True

    repeat_until(g, 3, cut_and_write)


@resent_or_kept
def test_a_long_listing_is_whole(mounted, tmp_path, mask):
    """Its replies are longer than what is kept, and come once more from the tree."""
    folder = tmp_path / "lower/many"
    folder.mkdir(parents=True)
    for i in range(12_000):  # enough of them that three workers die, however late each does
        (folder / f"a rather long name, number {i}").touch()
    make_lower(tmp_path / "lower")
    g = mounted("sent:2", mask)
    names = sorted(os.listdir(folder))
    assert g.together(lambda: sorted(os.listdir(g.at / "many"))) == [names]
    assert restarts(g, 3) >= 3


def content_files(g):
    return [p for p in (g.upper / "files").rglob("*") if p.is_file()]


@resent_or_kept
@pytest.mark.parametrize("kind", ["FORGET", "BATCH_FORGET"])
def test_what_was_forgotten_as_a_worker_died_goes(mounted, kind, mask):
    """The kernel sends a FORGET once: the successor finds it in the buffer, or never.

    Many at once come in one message, so a worker is stopped while files are closed.
    """
    g = mounted(f"received:1:{kind}", mask)

    def make_and_remove():
        fds = [os.open(g.at / f"file{i}", os.O_CREAT | os.O_RDWR) for i in range(40)]
        for i, fd in enumerate(fds):
            os.write(fd, b"x" * 5000)
            os.unlink(g.at / f"file{i}")
        if kind == "FORGET":
            os.close(fds.pop())
            restarts(g, 1)
        with stopped(g.row()["pid"]) if kind == "BATCH_FORGET" else contextlib.nullcontext():
            for fd in fds:
                os.close(fd)
        return True

    assert g.together(make_and_remove) == [True]
    wait_until(lambda: content_files(g) == [])
    assert restarts(g, 1) >= 1


@resent_or_kept
def test_waits_for_the_disk_have_others_served_meanwhile(mounted, mask):
    """A FSYNC in the buffers starts a helper, which must not receive into one of them. The eighth of six
    clients' requests means that two were answered: with less a slow disk alone has the mount given up."""
    g = mounted("received:8", mask)

    def commit(name):
        fd = os.open(g.at / name, os.O_RDWR | os.O_CREAT)
        for i in range(60):
            os.pwrite(fd, b"%6d" % i, 6 * i)
            os.fsync(fd)
        found = os.pread(fd, 1000, 0)
        os.close(fd)
        return found == b"".join(b"%6d" % i for i in range(60))

    assert g.together(*[lambda n=n: commit(f"file{n}") for n in range(6)]) == [True] * 6
    assert restarts(g, 20) >= 20
