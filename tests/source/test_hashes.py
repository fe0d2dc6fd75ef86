"""What a lock says of a file is checked, wherever the file comes from."""

import hashlib

import pytest
from wheelmaker import Wheel

PYLOCK = 'lock-version = "1.0"\ncreated-by = "hand"\n[[packages]]\nname = "demo"\nversion = "1.0"\nwheels = [{{ {0} }}]\n'
WRONG = [
    ("size = 5", "expected were 5"),
    (f'size = 5, hashes = {{ sha256 = "RIGHT256", sha512 = "{"0" * 128}" }}', "expected were 5"),
    (f'hashes = {{ sha256 = "RIGHT256", sha512 = "{"0" * 128}" }}', "its sha512 is"),
    (f'hashes = {{ sha384 = "{"0" * 96}" }}', "its sha384 is"),
    (f'hashes = {{ md5 = "{"0" * 32}" }}', "only a md5"),
    (f'hashes = {{ sha256 = "{"0" * 64}" }}', "sha256"),
]


def digest(data, name="sha256"):
    return hashlib.new(name, data).hexdigest()


def lock(venvfs, place, more, data):
    more = more.replace("RIGHT256", digest(data)).replace("RIGHT512", digest(data, "sha512"))
    if "hashes" not in more:
        more += f', hashes = {{ sha256 = "{digest(data)}" }}'
    (venvfs.root / "pylock.toml").write_text(PYLOCK.format(f"{place}, {more}"))
    return "--lock", venvfs.root / "pylock.toml"


def export(venvfs, *args, **env):
    """To a place of its own each time."""
    export.count = getattr(export, "count", 0) + 1
    return venvfs.run("export", venvfs.root / f"out{export.count}", *args, **env)


def refused(venvfs, *args, **env):
    done = export(venvfs, *args, ok=False, **env)
    assert done.returncode == 1 and done.stderr.count("\n") == 1, done.stderr
    return done.stderr


@pytest.mark.parametrize("more, why", WRONG)
def test_a_file_named_by_path_is_what_the_lock_says(venvfs, more, why):
    file = Wheel().write(venvfs.root)
    assert why in refused(venvfs, *lock(venvfs, f'path = "{file.name}"', more, file.read_bytes()))
    assert venvfs.run("cache", "list").stdout == ""
    right = f'size = {file.stat().st_size}, hashes = {{ sha256 = "RIGHT256", sha512 = "RIGHT512" }}'
    export(venvfs, *lock(venvfs, f'path = "{file.name}"', right, file.read_bytes()))


@pytest.mark.parametrize("more, why", WRONG)
def test_what_is_cached_is_held_against_the_lock_too(venvfs, server, more, why):
    url = server.add(Wheel())
    venvfs.run("cache", "add", url)
    place = f'url = "{url.split("#")[0]}"'
    assert why in refused(venvfs, *lock(venvfs, place, more, Wheel().bytes()))


def test_a_hash_that_was_checked_once_is_known(venvfs, server):
    url = server.add(Wheel())
    venvfs.run("cache", "add", url)
    place = f'url = "{url.split("#")[0]}"'
    both = 'hashes = { sha256 = "RIGHT256", sha512 = "RIGHT512" }'
    export(venvfs, *lock(venvfs, place, both, Wheel().bytes()), "--offline")
    assert len(server.asked()) == 1
    for _ in range(2):
        both += " "  # another lock, the same wheel
        export(venvfs, *lock(venvfs, place, both, Wheel().bytes()))
    assert len(server.asked()) <= 2
    wrong = f'hashes = {{ sha256 = "RIGHT256", sha512 = "{"0" * 128}" }}'
    assert "sha512 is" in refused(venvfs, *lock(venvfs, place, wrong, Wheel().bytes()))
    assert "other hashes" in refused(venvfs, *lock(venvfs, place, wrong, Wheel().bytes()), "--offline")


def pin(venvfs, *hashes, name="demo==1.0"):
    file = venvfs.root / "requirements.txt"
    file.write_text(name + "".join(f" --hash={hash}" for hash in hashes) + "\n")
    return "-r", file


@pytest.mark.parametrize("named", [{}, {"sha256": ...}, {"md5": ...}, {"sha512": ...}])
@pytest.mark.parametrize("algorithm", ["sha256", "sha384", "sha512"])
def test_a_pin_by_any_hash_is_found_and_checked(venvfs, server, algorithm, named):
    data = Wheel().bytes()
    server.add(Wheel(), hashes={name: digest(data, name) for name in named})
    right, wrong = (f"{algorithm}:{text}" for text in (digest(data, algorithm), "0" * len(digest(data, algorithm))))
    line = refused(venvfs, *pin(venvfs, wrong), "-i", server.index())
    assert f"its {algorithm} is" in line or "has one of the hashes" in line
    export(venvfs, *pin(venvfs, wrong, right), "-i", server.index())
    export(venvfs, *pin(venvfs, right), "-i", server.index())
    (venvfs.root / "requirements.txt").unlink()
    export(venvfs, *pin(venvfs, right, wrong), "--offline")
    assert len(server.asked("/files/")) <= 3


@pytest.mark.parametrize("algorithm", ["sha384", "sha512"])
def test_a_pin_by_another_hash_is_found_in_a_folder(venvfs, tmp_path, algorithm):
    data = Wheel().write(tmp_path).read_bytes()
    wrong = f"{algorithm}:{'0' * len(digest(data, algorithm))}"
    assert refused(venvfs, *pin(venvfs, wrong), "--find-links", tmp_path)
    export(venvfs, *pin(venvfs, f"{algorithm}:{digest(data, algorithm)}"), "--find-links", tmp_path)


def test_of_a_urls_hashes_any_will_do(venvfs, server):
    """As pip has it. The fragment's is another matter: it must be right."""
    url, data = server.add(Wheel()).split("#")[0], Wheel().bytes()
    zero, right = "sha256:" + "0" * 64, "sha256:" + digest(data)
    assert "none of those" in refused(venvfs, *pin(venvfs, zero, zero[:-1] + "1", name=f"demo @ {url}"))
    assert "its sha256" in refused(venvfs, *pin(venvfs, right, name=f"demo @ {url}#sha256={'0' * 64}"))
    assert "none of those" in refused(venvfs, *pin(venvfs, zero, name=f"demo @ {url}#sha256={digest(data)}"))
    export(venvfs, *pin(venvfs, zero, right, name=f"demo @ {url}"))
    export(venvfs, *pin(venvfs, right, "sha512:" + "0" * 128, name=f"demo @ {url}"), "--offline")


def test_hashes_may_be_required_by_another_file(venvfs, server):
    server.add(Wheel("aa"))
    server.add(Wheel("bb"))
    first, second = venvfs.root / "first.txt", venvfs.root / "second.txt"
    second.write_text(f"--require-hashes\naa==1.0 --hash=sha256:{digest(Wheel('aa').bytes())}\n")
    for line in ("bb==1.0", f"bb @ {server.url('bb-1.0-py3-none-any.whl', hash=False)}"):
        first.write_text(line + "\n")
        for files in ((first, second), (second, first)):
            assert "has no hash, and --require-hashes" in refused(venvfs, "-r", files[0], "-r", files[1], "-i", server.index())
    first.write_text(f"bb==1.0\nbb==1.0 --hash=sha256:{digest(Wheel('bb').bytes())}\n")
    export(venvfs, "-r", first, "-r", second, "-i", server.index())
