"""What uv and pip have cached is taken from them, checked, without a request."""

import fcntl
import hashlib
import json
import os
import pathlib
import shutil
import subprocess
import sys

import pytest
from support import TOOLS, missing
from wheelmaker import Wheel

UV = TOOLS / "uv"


def rich_wheel(name="rich_demo", version="1.0"):
    """With all that makes an unpacked wheel differ from its file."""
    w = Wheel(name, version)
    w.add(f"{name}/sub/data.txt", b"text\n" * 100)
    w.add(f"{name}/tool.sh", b"#!/bin/sh\n", 0o100755)
    w.add(f"{name}/large.bin", os.urandom(100_000))
    w.add(f"{name}/grüße.py", b"")
    w.add(f"{name}-{version}.data/scripts/{name}-run", b"#!python\nprint(1)\n", 0o100755)
    w.add(f"{name}-{version}.data/scripts/{name}-sh", b"#!/bin/sh\n", 0o100644)
    w.add(f"{name}-{version}.data/data/share/{name}/x", b"x")
    w.add(f"{name}-{version}.data/headers/{name}.h", b"")
    return w.scripts(f"[console_scripts]\n{name} = {name}:main\n")


def image(venvfs):
    return {row["name"]: row["image"] for row in json.loads(venvfs.run("cache", "list", "--json").stdout)}


def other(venvfs, tmp_path, *wheels):
    """The images of the same wheels, added from their files."""
    (tmp_path / "other-wheels").mkdir()
    program = type(venvfs)(tmp_path / "other")
    program.add(*[w.write(tmp_path / "other-wheels") for w in wheels])
    return image(program)


class Uv:
    """uv with a venv, and its cache where venvfs looks for it."""

    def __init__(self, venvfs):
        if not UV.exists():
            missing("uv")
        self.venvfs, self.cache = venvfs, venvfs.root / "cache/uv"
        self.run("venv", "-q", venvfs.root / "uv-venv", "-p", sys.executable)

    def run(self, *args):
        env = {**self.venvfs.env, "VIRTUAL_ENV": str(self.venvfs.root / "uv-venv"), "UV_PYTHON_DOWNLOADS": "never"}
        subprocess.run([UV, *map(str, args)], env=env, check=True, cwd=self.venvfs.root)

    def install(self, *args):
        self.run("pip", "install", "-q", "--no-deps", *args)

    def archives(self):
        return sorted((self.cache / "archive-v0").iterdir())


@pytest.fixture
def uv(venvfs):
    return Uv(venvfs)


def test_what_uv_fetched_from_an_index_is_taken(venvfs, server, uv, tmp_path):
    wheels = [rich_wheel(f"rich{i}") for i in range(5)]
    urls = [server.add(w) for w in wheels]
    uv.install("--default-index", server.index(), *[f"{w.name}==1.0" for w in wheels])
    before = len(server.asked())
    said = venvfs.run("cache", "add", "-v", *urls).stderr
    assert said.count("taken from uv's cache") == 5
    assert len(server.asked()) == before
    assert image(venvfs) == other(venvfs, tmp_path, *wheels)
    venvfs.run("cache", "verify")
    rows = json.loads(venvfs.run("cache", "list", "--json").stdout)
    assert [row["size"] for row in rows] == [len(w.bytes()) for w in wheels]


def test_what_uv_fetched_from_a_url_is_taken(venvfs, server, uv):
    url = server.add(rich_wheel())
    uv.install(f"rich-demo @ {url.split('#')[0]}")
    before = len(server.asked())
    assert "uv's cache" in venvfs.run("cache", "add", "-v", url).stderr
    # Another URL of the same file is the same file.
    shutil.rmtree(venvfs.cache)
    assert "uv's cache" in venvfs.run("cache", "add", "-v", url.replace("/files/", "/mirror/")).stderr
    assert len(server.asked()) == before


def test_what_uv_took_from_a_file_is_taken_when_it_knows_the_hash(venvfs, server, uv, tmp_path):
    w = rich_wheel()
    url = server.add(w)
    file = w.write(tmp_path)
    lines = tmp_path / "requirements.txt"
    lines.write_text(f"rich-demo @ {file.as_uri()} --hash=sha256:{hashlib.sha256(w.bytes()).hexdigest()}\n")
    uv.install("--require-hashes", "-r", lines)
    assert "uv's cache" in venvfs.run("cache", "add", "-v", url).stderr
    assert not server.asked()


def test_without_a_hash_the_index_says_which_file_is_meant(venvfs, server, uv):
    server.add(rich_wheel())
    uv.install("--default-index", server.index(), "rich-demo==1.0")
    before = len(server.asked())
    assert "uv's cache" in venvfs.run("cache", "add", "-v", "-i", server.index(), "rich-demo==1.0").stderr
    assert server.asked()[before:] == [("GET", "/simple/rich-demo/")]
    shutil.rmtree(venvfs.cache)
    assert "uv's cache" in venvfs.run("cache", "add", "-v", "--offline", "rich-demo==1.0").stderr


@pytest.mark.parametrize("damage", ["changed", "longer", "gone", "more", "no record", "symlink"])
def test_what_was_changed_in_uvs_cache_is_fetched_instead(venvfs, server, uv, damage):
    url = server.add(rich_wheel())
    uv.install("--default-index", server.index(), "rich-demo==1.0")
    folder = uv.archives()[0]
    file = folder / "rich_demo/sub/data.txt"
    if damage == "changed":
        file.write_bytes(b"TEXT\n" * 100)
    elif damage == "longer":
        file.write_bytes(b"text\n" * 101)
    elif damage == "gone":
        file.unlink()
    elif damage == "more":
        (folder / "evil.pth").write_text("import os\n")
    elif damage == "no record":
        next(folder.glob("*.dist-info/RECORD")).unlink()
    else:
        file.unlink()
        file.symlink_to("/etc/hostname")
    before = len(server.asked())
    assert "fetched" in venvfs.run("cache", "add", "-v", url).stderr
    assert len(server.asked()) == before + 1
    assert not [p for p in (venvfs.cache / "tmp").rglob("*") if p.is_file()]


def test_a_pointer_that_is_none_is_passed_over(venvfs, server, uv):
    url = server.add(rich_wheel())
    uv.install("--default-index", server.index(), "rich-demo==1.0")
    pointer = next((venvfs.root / "cache/uv").glob("wheels-v*/index/*/rich-demo/*.http"))
    whole = pointer.read_bytes()
    for bytes_ in (b"", whole[:20], b"\xdd\xff\xff\xff\xff" * 40, b"\xc1" + whole, os.urandom(300)):
        pointer.write_bytes(bytes_)
        shutil.rmtree(venvfs.cache, ignore_errors=True)
        assert "fetched" in venvfs.run("cache", "add", "-v", url).stderr


def test_a_uv_cache_that_others_can_write_is_not_believed(venvfs, server, uv):
    url = server.add(rich_wheel())
    uv.install("--default-index", server.index(), "rich-demo==1.0")
    uv.cache.chmod(0o777)
    assert "fetched" in venvfs.run("cache", "add", "-v", url).stderr


def test_while_uv_cleans_its_cache_is_not_read(venvfs, server, uv):
    url = server.add(rich_wheel())
    uv.install("--default-index", server.index(), "rich-demo==1.0")
    with open(uv.cache / ".lock") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert "fetched" in venvfs.run("cache", "add", "-v", url).stderr


def test_where_uvs_cache_is_uv_says(venvfs, server, uv, tmp_path):
    url = server.add(rich_wheel())
    uv.install("--default-index", server.index(), "rich-demo==1.0")
    uv.cache.rename(tmp_path / "moved")
    assert "fetched" in venvfs.run("cache", "add", "-v", url, UV_CACHE_DIR=str(tmp_path / "moved"), UV_NO_CACHE="1").stderr
    shutil.rmtree(venvfs.cache)
    assert "uv's cache" in venvfs.run("cache", "add", "-v", url, UV_CACHE_DIR=str(tmp_path / "moved")).stderr


def test_uvs_cache_is_left_as_it_was(venvfs, server, uv):
    url = server.add(rich_wheel())
    uv.install("--default-index", server.index(), "rich-demo==1.0")

    def state():
        return [(p, p.lstat().st_mtime_ns, p.lstat().st_ctime_ns, p.lstat().st_ino) for p in sorted(uv.cache.rglob("*"))]

    before = state()
    venvfs.run("cache", "add", url)
    assert state() == before


# -- pip ---------------------------------------------------------------------------------


def pips(tmp_path):
    """A pip that keeps bodies apart (since 23.3), and, where this Python brings one, one that does not."""
    yield [sys.executable, "-m", "pip"]
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "pip-venv"], check=True)
    yield [tmp_path / "pip-venv/bin/python", "-m", "pip"]


def fill_pip(venvfs, server, pip, *pins):
    """Over plain HTTP pip caches only what is of a trusted host."""
    shutil.rmtree(venvfs.root / "downloads", ignore_errors=True)
    subprocess.run(
        [*pip, "download", "-q", "--no-deps", "--disable-pip-version-check", "-d", venvfs.root / "downloads",
         "--trusted-host", "127.0.0.1", "-i", server.index(), "--cache-dir", venvfs.root / "cache/pip", *pins],
        env=venvfs.env, check=True, cwd=venvfs.root,
    )


def test_what_pip_fetched_is_taken(venvfs, server, tmp_path):
    w = rich_wheel()
    url = server.add(w)
    images = other(venvfs, tmp_path, w)
    forms = set()
    for pip in pips(tmp_path):
        shutil.rmtree(venvfs.root / "cache", ignore_errors=True)
        fill_pip(venvfs, server, pip, "rich-demo==1.0")
        forms |= {p.name for p in (venvfs.root / "cache/pip").iterdir() if p.name.startswith("http")}
        before = len(server.asked())
        assert "pip's cache" in venvfs.run("cache", "add", "-v", url).stderr
        assert len(server.asked()) == before
        assert image(venvfs) == images
        assert not [p for p in (venvfs.cache / "tmp").rglob("*") if p.is_file()]
    assert "http-v2" in forms


@pytest.mark.parametrize("bytes_", [b"", b"cc=4,", b"cc=4,\x81\xa8response\x81\xa4body\xc6\xff\xff\xff\xff", b"cc=3,x"])
def test_what_is_damaged_in_pips_cache_is_fetched_instead(venvfs, server, tmp_path, bytes_):
    url = server.add(rich_wheel())
    for pip in pips(tmp_path):
        shutil.rmtree(venvfs.root / "cache", ignore_errors=True)
        fill_pip(venvfs, server, pip, "rich-demo==1.0")
        for file in (venvfs.root / "cache/pip").rglob("*"):
            if file.is_file():
                file.chmod(0o600)
                file.write_bytes(bytes_)
        assert "fetched" in venvfs.run("cache", "add", "-v", url).stderr


def test_without_a_hash_pips_cache_is_not_asked(venvfs, server):
    url = server.add(rich_wheel())
    fill_pip(venvfs, server, [sys.executable, "-m", "pip"], "rich-demo==1.0")
    assert "fetched" in venvfs.run("cache", "add", "-v", url.split("#")[0]).stderr


# -- together ------------------------------------------------------------------------------


def test_our_caches_are_asked_first_then_folders_uv_and_pip(venvfs, server, uv, tmp_path):
    w = rich_wheel()
    url = server.add(w)
    folder = tmp_path / "links"
    folder.mkdir()
    w.write(folder)
    uv.install("--default-index", server.index(), "rich-demo==1.0")
    fill_pip(venvfs, server, [sys.executable, "-m", "pip"], "rich-demo==1.0")
    before = len(server.asked())

    def source(*more):
        return venvfs.run("cache", "add", "-v", *more, url).stderr

    assert "added" in source("--find-links", folder)
    assert "cached" in source("--find-links", folder)
    shutil.rmtree(venvfs.cache)
    assert "uv's cache" in source()
    shutil.rmtree(venvfs.cache)
    shutil.rmtree(uv.cache)
    assert "pip's cache" in source()
    assert len(server.asked()) == before
    shutil.rmtree(venvfs.root / "cache/pip")
    shutil.rmtree(venvfs.cache)
    assert "fetched" in source()
    assert len(server.asked()) == before + 1


def test_a_further_cache_of_ours_is_asked_before_all_else(venvfs, server, tmp_path):
    w = rich_wheel()
    url = server.add(w)
    program = type(venvfs)(tmp_path / "shared")
    program.add(w.write(tmp_path))
    assert "cached" in venvfs.run("cache", "add", "-v", url, VENVFS_CACHE_PATH=str(program.cache)).stderr
    assert not server.asked() and image(venvfs) == {}
