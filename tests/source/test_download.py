"""Wheels from URLs: what comes is right or is refused, and what broke off goes on."""

import contextlib
import hashlib
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import threading
import time

import pytest
from server import Fault, unused_port
from support import BINARY, missing
from waiting import PATIENCE, wait_until
from wheelmaker import Wheel

QUICK = {"UV_HTTP_RETRIES": "1"}


def large_wheel(name="large", size=3_000_000):
    w = Wheel(name)
    return w.add(f"{name}/data.bin", os.urandom(size))


def path_of(url):
    return "/" + url.split("#")[0].split("/", 3)[3]


def partials(venvfs):
    return [p for p in (venvfs.cache / "tmp").rglob("*") if p.is_file()]


def partial_stats(venvfs):
    """Of files that come and go meanwhile."""
    for path in partials(venvfs):
        with contextlib.suppress(FileNotFoundError):
            yield path.stat()


def image(venvfs):
    return json.loads(venvfs.run("cache", "list", "--json").stdout)[0]["image"]


def test_a_wheel_is_fetched_checked_and_fetched_once(venvfs, server):
    url = server.add(Wheel())
    assert "fetched" in venvfs.run("cache", "add", "-v", url).stderr
    assert venvfs.run("cache", "list").stdout.startswith("demo-1.0-py3-none-any.whl")
    assert "cached" in venvfs.run("cache", "add", "-v", url).stderr
    assert len(server.asked()) == 1
    assert not partials(venvfs)
    venvfs.run("cache", "verify")


def test_a_fetched_wheel_is_the_image_that_its_file_is(venvfs, server, tmp_path):
    venvfs.run("cache", "add", server.add(Wheel()))
    other = type(venvfs)(tmp_path / "other")
    other.add(Wheel().write(tmp_path))
    assert image(venvfs) == image(other)


def test_many_wheels_are_fetched_in_parallel_and_each_once(venvfs, server):
    urls = [server.add(Wheel(f"p{i}")) for i in range(40)]
    for url in urls:
        server.fail(path_of(url), Fault(delay=0.1, among=4))
    venvfs.run("cache", "add", *urls)
    assert sorted(path for _, path in server.asked()) == sorted(map(path_of, urls))
    assert 4 <= server.most_running <= 16
    assert len(venvfs.run("cache", "list").stdout.splitlines()) == 40


def test_the_same_url_twice_is_fetched_once(venvfs, server):
    url = server.add(large_wheel())
    venvfs.run("cache", "add", url, url)
    assert len(server.asked()) == 1


WAITING = "venvfs: waiting for large-1.0-py3-none-any.whl, which another venvfs fetches\n"


def test_two_processes_fetch_a_wheel_once(venvfs, server):
    url = server.add(large_wheel())
    server.fail(path_of(url), Fault(piece=100_000, pause=0.02))
    both = [
        subprocess.Popen([BINARY, "cache", "add", url], env=venvfs.env, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    # On a slow machine the one waits for more than a second, and says so.
    assert {p.communicate()[1] for p in both} <= {"", WAITING}
    assert [p.returncode for p in both] == [0, 0]
    assert len(server.asked()) == 1


def slow_to_refuse(server, wheel):
    url = server.add(wheel)
    server.fail(path_of(url), Fault(stays=True, status=403, delay=0.3))
    return url


def test_the_same_url_twice_is_refused_twice(venvfs, server):
    url = slow_to_refuse(server, Wheel())
    done = venvfs.run("cache", "add", url, url, ok=False)
    assert done.returncode == 1 and len(re.findall("403", done.stderr)) == 2, done.stderr


def test_processes_that_are_refused_do_not_wait_for_each_other(venvfs, server):
    urls = [slow_to_refuse(server, Wheel(f"p{i}")) for i in range(6)]
    env = {**venvfs.env, "UV_CONCURRENT_DOWNLOADS": "1"}
    both = [
        subprocess.Popen([BINARY, "cache", "add", *some], env=env, stderr=subprocess.PIPE, text=True)
        for some in (urls, urls[::-1])
    ]
    said = [p.communicate(timeout=PATIENCE)[1] for p in both]
    assert [text.count("HTTP status 403") for text in said] == [6, 6]


def test_many_refusals_do_not_use_up_the_descriptors(venvfs, server):
    urls = [server.add(Wheel(f"p{i}")) for i in range(80)]
    for url in urls:
        server.fail(path_of(url), Fault(stays=True, status=403))
    done = subprocess.run(["prlimit", "--nofile=128", BINARY, "cache", "add", *urls], env=venvfs.env, capture_output=True, text=True)
    assert done.stderr.count("HTTP status 403") == 80


def test_a_wait_for_another_process_is_said(venvfs, server):
    url = server.add(large_wheel())
    said = threading.Event()
    server.fail(path_of(url), Fault(until=said))
    first = subprocess.Popen([BINARY, "cache", "add", url], env={**venvfs.env, "UV_HTTP_TIMEOUT": str(PATIENCE)})
    wait_until(server.asked)
    second = subprocess.Popen([BINARY, "cache", "add", url], env=venvfs.env, stderr=subprocess.PIPE, text=True)
    assert second.stderr.readline() == WAITING
    said.set()
    assert second.communicate()[1] == "" and second.returncode == 0
    assert first.wait() == 0 and len(server.asked()) == 1


def test_offline_opens_no_socket(venvfs, server, tmp_path):
    url = server.add(Wheel())
    log = tmp_path / "strace"
    done = subprocess.run(
        ["strace", "-f", "-e", "trace=socket,connect", "-o", log, BINARY, "cache", "add", "--offline", url],
        env={**venvfs.env, "ASAN_OPTIONS": "detect_leaks=0"}, capture_output=True, text=True,
    )
    assert done.returncode == 1 and "offline" in done.stderr and len(done.stderr.splitlines()) == 1
    assert "socket(" not in log.read_text() and not server.asked()
    venvfs.run("cache", "add", url)
    assert "cached" in venvfs.run("cache", "add", "-v", "--offline", url).stderr


# -- what is refused ---------------------------------------------------------------------


def refused(venvfs, url, *said, **env):
    line = venvfs.refused("cache", "add", url, **env)
    for text in (url.split("#")[0], *said):
        assert text in line, line
    assert venvfs.run("cache", "list").stdout == ""
    return line


def test_a_wrong_hash_is_refused_and_leaves_nothing(venvfs, server):
    url = server.add(Wheel()).split("#")[0] + "#sha256=" + "0" * 64
    right = hashlib.sha256(Wheel().bytes()).hexdigest()
    refused(venvfs, url, f"its sha256 is {right}, expected was {'0' * 64}")
    assert not partials(venvfs) and len(server.asked()) == 1


def test_what_is_no_wheel_is_refused(venvfs, server):
    url = server.add(Wheel()).split("#")[0]
    server.fail(path_of(url), Fault(body=b"<html>please log in</html>"))
    refused(venvfs, url, "no zip file")
    assert not partials(venvfs)


@pytest.mark.parametrize("status, said, asked", [
    (401, "wants a user and a password", 1), (403, "the server refuses it", 1), (404, "is not there", 1),
    (410, "is not there", 1), (429, "asked too often", 2), (500, "has a problem", 2), (503, "has a problem", 2),
    (302, "redirect", 1),
])
def test_a_status_is_said(venvfs, server, status, said, asked):
    url = server.add(Wheel())
    how = {"redirect": path_of(url)} if status == 302 else {"status": status}
    server.fail(path_of(url), Fault(stays=True, **how))
    refused(venvfs, url, said, **QUICK)
    if status != 302:
        assert len(server.asked()) == asked


def test_a_server_that_answers_garbage_is_said(venvfs, server):
    url = server.add(Wheel())
    server.fail(path_of(url), Fault(stays=True, raw=b"\x00\x01garbage\r\n\r\n" * 20))
    refused(venvfs, url, "HTTP", **QUICK)


def test_a_server_that_answers_nothing_is_said(venvfs, server):
    url = server.add(Wheel())
    server.fail(path_of(url), Fault(stays=True, raw=b""))
    refused(venvfs, url, "closed the connection without an answer", **QUICK)
    assert len(server.asked()) == 2


def test_a_server_that_hangs_is_said(venvfs, server):
    url = server.add(Wheel())
    server.fail(path_of(url), Fault(stays=True, delay=60))
    refused(venvfs, url, "too long", UV_HTTP_RETRIES="0", UV_HTTP_TIMEOUT="1")


def test_no_server_is_said(venvfs):
    url = f"http://127.0.0.1:{unused_port()}/demo-1.0-py3-none-any.whl"
    refused(venvfs, url, "connect", **QUICK)


def test_more_bytes_than_were_said_are_not_taken(venvfs, server):
    url = server.add(Wheel())
    server.fail(path_of(url), Fault(stays=True, body=Wheel().bytes() + b"x" * 50_000_000, chunked=True))
    line = venvfs.refused("cache", "add", url.split("#")[0], **QUICK)
    assert "no zip file" in line or "behind" in line or "more than" in line, line


def test_what_is_no_url_of_a_wheel_is_said(venvfs, server):
    for url, said in [
        (server.host + "/files/demo.tar.gz", "no URL of a wheel"),
        (server.host + "/files/", "no URL of a wheel"),
        (server.host + "/files/demo-1.0-py3-none-any.whl#sha256=abc", "no sha256"),
    ]:
        assert said in venvfs.refused("cache", "add", url)
    assert not server.asked()


def test_one_that_fails_does_not_keep_the_others(venvfs, server):
    good, bad = server.add(Wheel("good")), server.add(Wheel("bad"))
    server.fail(path_of(bad), Fault(stays=True, status=404))
    assert "bad-1.0" in venvfs.refused("cache", "add", bad, good)
    assert venvfs.run("cache", "list").stdout.startswith("good-1.0")


# -- what goes on ------------------------------------------------------------------------


@pytest.mark.parametrize("fault", [
    {"status": 500}, {"status": 429}, {"status": 503, "headers": {"Retry-After": "1"}}, {"raw": b""},
    {"cut": 1000}, {"cut": 0}, {"cut": 100, "chunked": True},
])
def test_what_passes_by_itself_is_tried_again(venvfs, server, fault):
    url = server.add(large_wheel(size=50_000))
    server.fail(path_of(url), Fault(**fault))
    venvfs.run("cache", "add", url)
    assert len(server.asked()) == 2
    venvfs.run("cache", "verify")


def test_retry_after_is_heeded(venvfs, server):
    url = server.add(Wheel())
    server.fail(path_of(url), Fault(status=429, headers={"Retry-After": "2"}))
    start = time.monotonic()
    venvfs.run("cache", "add", url)
    assert time.monotonic() - start >= 2


def test_a_pause_that_is_too_long_is_said(venvfs, server):
    url = server.add(Wheel())
    server.fail(path_of(url), Fault(status=503, headers={"Retry-After": "3600"}))
    refused(venvfs, url, "3600 seconds")


def ranges(server):
    return [h.get("Range") for h in server.heads()]


def test_a_cut_download_goes_on_where_it_broke_off(venvfs, server):
    url = server.add(large_wheel())
    server.fail(path_of(url), Fault(cut=1_000_000), Fault(cut=1_000_000))
    venvfs.run("cache", "add", url)
    assert ranges(server) == [None, "bytes=1000000-", "bytes=2000000-"]
    assert all(h.get("If-Range") for h in server.heads()[1:])
    venvfs.run("cache", "verify")


def test_an_attempt_that_brought_much_does_not_count_as_failed(venvfs, server):
    url = server.add(large_wheel())
    server.fail(path_of(url), *[Fault(cut=400_000)] * 6)
    venvfs.run("cache", "add", url, **QUICK)
    assert len(server.asked()) == 7


@pytest.mark.parametrize("fault", [
    {"shift": 7}, {"shift": -100_000}, {"no_ranges": True}, {"tag": '"other"'}, {"status": 416},
])
def test_a_server_that_sends_another_part_is_asked_for_all(venvfs, server, fault):
    url = server.add(large_wheel())
    server.fail(path_of(url), Fault(cut=1_000_000), Fault(**fault))
    venvfs.run("cache", "add", url)
    venvfs.run("cache", "verify")


def test_parts_of_two_files_are_noticed_and_begun_anew(venvfs, server):
    url = server.add(large_wheel())
    server.validators = False
    server.fail(path_of(url), Fault(body=os.urandom(len(server.files["large-1.0-py3-none-any.whl"])), cut=1_000_000))
    venvfs.run("cache", "add", url)
    assert ranges(server) == [None, "bytes=1000000-", None]


def test_without_hash_and_validator_nothing_is_pieced_together(venvfs, server):
    url = server.add(large_wheel()).split("#")[0]
    server.validators = False
    server.fail(path_of(url), Fault(cut=1_000_000))
    venvfs.run("cache", "add", url)
    assert ranges(server) == [None, None]


def test_what_a_failed_run_left_is_gone_on_with(venvfs, server):
    url = server.add(large_wheel())
    server.fail(path_of(url), Fault(cut=1_000_000), Fault(status=403))
    refused(venvfs, url, "403")
    assert partials(venvfs)
    venvfs.add(Wheel().write(venvfs.root))  # staging something else does not clean it up
    venvfs.run("cache", "add", url)
    assert ranges(server) == [None, "bytes=1000000-", "bytes=1000000-"]
    assert not partials(venvfs)


def start_slow(venvfs, server, url, path):
    """A run whose download is under way, and does not get beyond 500,000 bytes."""
    server.fail(path, Fault(piece=100_000, upto=500_000, until=threading.Event()))
    p = subprocess.Popen([BINARY, "cache", "add", url], env=venvfs.env, stderr=subprocess.PIPE, text=True)
    wait_until(lambda: p.poll() is not None or any(st.st_size > 300_000 for st in partial_stats(venvfs)))
    assert p.poll() is None
    return p


@pytest.mark.parametrize("signal_", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_what_a_killed_run_left_is_gone_on_with(venvfs, server, signal_):
    url = server.add(large_wheel())
    p = start_slow(venvfs, server, url, path_of(url))
    p.send_signal(signal_)
    said = p.communicate()[1]
    assert p.returncode == -signal_
    if signal_ != signal.SIGKILL:
        assert len(said.splitlines()) == 1 and "next" in said, said
    assert venvfs.run("cache", "list").stdout == ""
    venvfs.run("cache", "add", url)
    start = int(ranges(server)[1].removeprefix("bytes=").rstrip("-"))
    assert start >= 300_000
    assert not partials(venvfs)
    venvfs.run("cache", "verify")


def test_a_whole_file_that_was_not_added_yet_is_not_fetched_again(venvfs, server):
    w = large_wheel()
    url = server.add(w)
    server.fail(path_of(url), Fault(cut=1_000_000), Fault(status=403))
    refused(venvfs, url, "403")
    part = max(partials(venvfs), key=lambda p: p.stat().st_size)
    part.write_bytes(w.bytes())
    venvfs.run("cache", "add", url)
    assert len(server.asked()) == 2


def test_old_partials_are_cleaned_up(venvfs, server):
    url = server.add(large_wheel())
    server.fail(path_of(url), Fault(cut=1_000_000), Fault(status=403))
    refused(venvfs, url, "403")
    folder = next((venvfs.cache / "tmp").glob("*.part"))
    os.utime(folder, (0, 0))
    venvfs.add(Wheel().write(venvfs.root))
    assert not folder.exists()


def test_a_full_disk_is_said_and_given_back(venvfs, server):
    disk = pathlib.Path(venvfs.root, "disk")
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=6m,mode=700", "none", disk], check=True)
    try:
        url = server.add(large_wheel(size=20_000_000))
        line = venvfs.refused("cache", "add", url, VENVFS_CACHE_DIR=str(disk / "cache"))
        assert "No space left" in line and "cannot write to the cache" in line
        used = sum(f.stat().st_blocks * 512 for f in disk.rglob("*"))
        assert used < 200_000, used
        venvfs.run("cache", "add", server.add(Wheel()), VENVFS_CACHE_DIR=str(disk / "cache"))
    finally:
        subprocess.run(["umount", disk], check=True)


# -- who may see what ----------------------------------------------------------------------


def with_login(url, login):
    return url.replace("://", f"://{login}@")


def blocks(venvfs):
    return sum(st.st_blocks * 512 for st in partial_stats(venvfs))


def test_a_size_that_no_wheel_has_is_refused(venvfs, server):
    url = server.add(Wheel()).split("#")[0]
    server.fail(path_of(url), Fault(stays=True, length=50 << 30, hang=1))
    assert "are not taken" in venvfs.refused("cache", "add", url, **QUICK)
    assert blocks(venvfs) < 1 << 20


def test_what_a_server_says_it_has_is_not_kept_free_for_it(venvfs, server):
    url = server.add(Wheel()).split("#")[0]
    server.fail(path_of(url), Fault(stays=True, length=300 << 20, cut=100))
    venvfs.refused("cache", "add", url, UV_HTTP_RETRIES="0")
    assert blocks(venvfs) < 1 << 20
    size = 3 << 30
    if shutil.disk_usage(venvfs.root).free < 2 * size:
        missing("room for 6 GiB")
    url = server.add(Wheel("other")).split("#")[0]
    server.fail(path_of(url), Fault(stays=True, length=size, hang=PATIENCE))
    at_it = subprocess.Popen([BINARY, "cache", "add", url], env=venvfs.env)
    wait_until(lambda: blocks(venvfs) > 1 << 20 or at_it.poll() is not None)
    assert 1 << 20 < blocks(venvfs) <= (1 << 30) + (1 << 20)
    at_it.kill()
    at_it.wait()


def test_user_and_password_of_the_url_are_sent_and_never_shown(venvfs, server):
    url = server.add(Wheel())
    server.logins["/files/"] = "me:se cret"
    done = venvfs.run("cache", "add", "-v", with_login(url, "me:se%20cret"))
    everything = done.stderr + done.stdout + venvfs.run("cache", "list", "--json").stdout
    assert "cret" not in everything and "me:" not in everything
    other = server.add(Wheel("other"))
    line = venvfs.refused("cache", "add", with_login(other, "me:secret2"))
    assert "401" in line and "secret2" not in line
    for file in venvfs.cache.rglob("*"):
        assert not file.is_file() or b"cret" not in file.read_bytes()


def test_a_query_is_sent_and_never_shown(venvfs, server):
    url = server.add(Wheel()).split("#")[0] + "?token=hush"
    assert "hush" not in venvfs.run("cache", "add", "-v", url).stderr
    server.fail("/files/gone-1.0-py3-none-any.whl", Fault(status=404))
    assert "hush" not in venvfs.refused("cache", "add", f"{server.host}/files/gone-1.0-py3-none-any.whl?token=hush")


def test_netrc_is_heeded(venvfs, server, tmp_path):
    url = server.add(Wheel())
    server.logins["/files/"] = "me:secret"
    netrc = pathlib.Path(venvfs.env["HOME"], ".netrc")
    netrc.write_text("machine 127.0.0.1 login me password secret\n")
    netrc.chmod(0o600)
    venvfs.run("cache", "add", url)
    netrc.rename(tmp_path / "elsewhere")
    other = server.add(Wheel("other"))
    venvfs.refused("cache", "add", other)
    venvfs.run("cache", "add", other, NETRC=str(tmp_path / "elsewhere"))


def test_a_redirection_is_followed_and_takes_no_password_to_another_host(venvfs, server):
    url = server.add(Wheel())
    server.logins["/files/"] = "me:secret"
    path = path_of(url)
    server.fail("/moved/demo-1.0-py3-none-any.whl", Fault(stays=True, redirect=path))
    venvfs.run("cache", "add", with_login(f"{server.host}/moved/demo-1.0-py3-none-any.whl", "me:secret"))
    server.logins.clear()
    other = server.add(Wheel("other"))
    server.fail("/moved/other-1.0-py3-none-any.whl",
                Fault(stays=True, redirect=f"http://localhost:{server.port}{path_of(other)}"))
    venvfs.run("cache", "add", with_login(f"{server.host}/moved/other-1.0-py3-none-any.whl", "me:secret"))
    assert "Authorization" in server.heads("/moved/other")[0]
    assert "Authorization" not in server.heads("/files/other")[0]


def test_redirections_end(venvfs, server):
    path = path_of(server.add(Wheel()))
    server.fail(path, Fault(stays=True, redirect=path))
    assert "redirects again and again" in venvfs.refused("cache", "add", server.host + path)
    assert len(server.asked()) == 11
    server.faults.clear()
    server.fail(path, Fault(redirect="ftp://127.0.0.1/x"))
    assert "no URL of http" in venvfs.refused("cache", "add", server.host + path)


def test_a_proxy_is_used(venvfs, server):
    url = server.add(Wheel()).replace("127.0.0.1", "files.example")
    venvfs.run("cache", "add", url, http_proxy=server.host)
    assert server.asked("") == [("GET", url.split("#")[0])]
