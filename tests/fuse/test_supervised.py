"""A worker that dies is not noticed: by whatever it was interrupted."""

import os
import pathlib
import signal
import subprocess
import threading
import time

import pytest
from waiting import PATIENCE, stopped, wait_until


@pytest.fixture
def mounted(venvfs, tmp_path):
    lower = tmp_path / "lower"
    (lower / "pkg").mkdir(parents=True)
    for i in range(100):
        (lower / f"pkg/m{i}.py").write_text(f"number = {i}\n" * 50)
    (lower / "big").write_bytes(bytes(range(256)) * 20000)

    def mount(**env):
        venvfs.run("mount", tmp_path / "m", "--layer", lower, **env)
        return tmp_path / "m"

    return mount


def masked(mask):
    """What is masked for all of the run stays so."""
    return {"VENVFS_MASK": mask} if mask and not os.environ.get("VENVFS_MASK") else {}


def row_of(venvfs, path):
    return venvfs.row(path)


def kill_worker(venvfs, path, number=signal.SIGKILL):
    """Kills it and waits for the next one."""
    row = row_of(venvfs, path)
    os.kill(row["pid"], number)
    wait_until(lambda: row_of(venvfs, path)["restarts"] > row["restarts"], "another worker")


def work(path, name, goes_on, failures):
    """All that changes names, for as many rounds as `goes_on`; each answer must be as if nothing had happened."""
    i = 0
    try:
        while goes_on(i):
            own = path / f"{name}{i}"
            os.mkdir(own)
            (own / "a").write_text(f"{name} {i}")
            os.link(own / "a", own / "b")
            os.symlink("a", own / "c")
            os.rename(own / "b", own / "d")
            os.setxattr(own / "a", "user.i", str(i).encode())
            assert os.stat(own / "a").st_nlink == 2
            assert (own / "c").read_text() == (own / "d").read_text() == f"{name} {i}"
            assert os.getxattr(own / "d", "user.i") == str(i).encode()
            for gone in "acd":
                os.unlink(own / gone)
            os.rmdir(own)
            i += 1
    except BaseException as e:
        failures.append(f"{e!r} at line {e.__traceback__.tb_lineno}, {i}")


resent_or_kept = pytest.mark.parametrize("mask", ["", "resend"], ids=["resent", "from-buffers"])


@resent_or_kept
def test_a_killed_worker_is_not_noticed(venvfs, mounted, mask):
    path = mounted(**masked(mask))
    failures, kills = [], []
    # However fast they are, and slow whoever kills.
    threads = [threading.Thread(target=work, args=(path, name, lambda i: i < 150 or len(kills) < 4, failures)) for name in "xyz"]
    for t in threads:
        t.start()
    while any(t.is_alive() for t in threads):
        kill_worker(venvfs, path)
        kills.append(True)
        time.sleep(0.05)
    for t in threads:
        t.join()
    assert not failures and len(kills) > 3
    assert sorted(os.listdir(path)) == ["big", "pkg"]


@resent_or_kept
def test_a_worker_killed_between_commit_and_reply_answers_once(venvfs, mounted, mask):
    """Each change of the load is one at whose end the server dies."""
    path = mounted(VENVFS_TEST_DIE="1", **masked(mask))
    failures = []
    work(path, "once", lambda i: i < 5, failures)
    assert not failures
    assert row_of(venvfs, path)["restarts"] >= 5 * 9
    assert sorted(os.listdir(path)) == ["big", "pkg"]


@resent_or_kept
def test_open_unlinked_files_stay_and_go_with_their_last_user(venvfs, mounted, mask):
    path = mounted(**masked(mask))
    with open(path / "open", "w+") as f:
        f.write("still here")
        f.flush()
        os.unlink(path / "open")
        for _ in range(3):
            kill_worker(venvfs, path)
            f.seek(0)
            assert f.read() == "still here" and os.fstat(f.fileno()).st_nlink == 0
    state = pathlib.Path(row_of(venvfs, path)["state_directory"])
    wait_until(lambda: not [p for p in (state / "upper/files").rglob("*") if p.is_file()])


@resent_or_kept
def test_reads_and_maps_go_on(venvfs, mounted, mask):
    path = mounted(**masked(mask))
    expected = bytes(range(256)) * 20000
    with open(path / "big", "rb") as f:
        for i in range(5):
            kill_worker(venvfs, path)
            os.posix_fadvise(f.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            f.seek(0)
            assert f.read() == expected


def test_a_worker_that_crashes_again_and_again_ends_the_mount(venvfs, mounted):
    path = mounted()
    assert venvfs.crash_until_it_ends(path) >= 3
    with pytest.raises(OSError):
        os.listdir(path)
    logs = list((venvfs.root / "state").rglob("log"))
    assert "crashed three times within ten seconds" in "".join(p.read_text() for p in logs)
    mounted()
    assert sorted(os.listdir(path)) == ["big", "pkg"]


def test_status_is_told_while_the_worker_hangs(venvfs, mounted):
    path = mounted()
    row = row_of(venvfs, path)
    with stopped(row["pid"]):
        hanging = subprocess.Popen(["ls", path / "pkg"], stdout=subprocess.DEVNULL)
        time.sleep(0.2)
        again = row_of(venvfs, path)
        assert again["pid"] == row["pid"]
        assert again["state"] in ("serving", "hanging")  # which it counts as after ten seconds
    assert hanging.wait(PATIENCE) == 0


def test_the_supervisor_is_small(venvfs, mounted):
    path = mounted()
    pid = row_of(venvfs, path)["supervisor"]
    libraries = {line.split()[-1] for line in open(f"/proc/{pid}/maps") if ".so" in line}
    private = sum(
        int(line.split()[1]) for line in open(f"/proc/{pid}/smaps_rollup")
        if line.startswith(("Private_Clean", "Private_Dirty"))
    )
    # What a sanitizer adds is not the program's.
    sanitized = any("san.so" in name for name in libraries)
    assert sanitized or all("libc" in name or "ld-linux" in name for name in libraries)
    assert sanitized or private < 1024, "KiB"
