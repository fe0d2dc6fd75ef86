"""What lock files say, kind by kind, and how what is wrong with them is said."""

import json
import os
import pathlib
import subprocess
import sys

import pytest
from support import BINARY

DRIVER = os.environ.get("LOCK_DRIVER") or str(pathlib.Path(BINARY).parents[1] / "tests/lock/lock_driver")
ZERO = "0" * 64
COMMIT = "0123456789" * 4
PYLOCK = 'lock-version = "1.0"\ncreated-by = "hand"\n'


@pytest.fixture(scope="session")
def cache(tmp_path_factory):
    """What the interpreter says of itself is remembered in it."""
    return str(tmp_path_factory.mktemp("cache") / "venvfs")


@pytest.fixture
def read(tmp_path, cache):
    def run(text, name, *options, status=0, **env):
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True, parents=True)
        if text is not None:
            file.write_text(text)
        words = ["-r", file] if name.endswith(".in") else [file]
        done = subprocess.run([DRIVER, "lock", sys.executable, *options, *map(str, words)], capture_output=True, text=True, cwd=tmp_path,
                              env={**os.environ, "VENVFS_CACHE_DIR": cache, **env})
        assert done.returncode == status, done.stderr
        if status:
            assert done.stderr.count("\n") == 1
            return done.stderr
        answer = json.loads(done.stdout)
        return answer, {d["name"]: d for d in answer["dists"]}

    return run


def package(name, more="", wheel="{0}-1.0-py3-none-any.whl"):
    file = wheel.format(name.replace("-", "_"))
    return f'[[packages]]\nname = "{name}"\nversion = "1.0"\n{more}\nwheels = [{{ url = "https://files.example/{file}", hashes = {{ sha256 = "{ZERO}" }} }}]\n'


def test_pylock_versions_are_refused_or_warned_of(read):
    assert "its lock-version is 2.0" in read('lock-version = "2.0"\npackages = []', "pylock.toml", status=1)
    assert "no lock-version" in read("packages = []", "pylock.toml", status=1)
    assert "has no packages" in read(PYLOCK, "pylock.toml", status=1)
    answer, dists = read('lock-version = "1.7"\npackages = []', "pylock.toml")
    assert "1.7" in answer["warnings"] and dists == {}
    assert "line 1, column" in read("what?", "pylock.toml", status=1)


def test_pylock_is_for_some_pythons_and_machines(read):
    assert "it is for Python <3" in read(PYLOCK + 'requires-python = "<3"\npackages = []', "pylock.toml", status=1)
    assert "none of its environments" in read(PYLOCK + "environments = [\"sys_platform == 'win32'\"]\npackages = []", "pylock.toml", status=1)
    text = PYLOCK + package("a", 'requires-python = "<3"')
    assert "a is for Python <3" in read(text, "pylock.toml", status=1)
    # What is left out by its marker is not looked at.
    assert read(PYLOCK + package("a", "requires-python = \"<3\"\nmarker = \"os_name == 'nt'\""), "pylock.toml")[1] == {}
    assert "the marker" in read(PYLOCK + package("a", 'marker = "nonsense"'), "pylock.toml", status=1)
    assert "no wheel for Python" in read(PYLOCK + package("a", wheel="{0}-1.0-cp27-cp27m-win32.whl"), "pylock.toml", status=1)


def test_pylock_extras_and_groups(read):
    text = PYLOCK + 'extras = ["fast"]\ndependency-groups = ["dev", "docs"]\ndefault-groups = ["dev"]\n'
    text += package("a") + package("b", "marker = \"'fast' in extras\"") + package("c", "marker = \"'dev' in dependency_groups\"")
    text += package("d", "marker = \"'docs' in dependency_groups and 'fast' not in extras\"")
    for options, names in (
        ([], "ac"), (["--extra", "Fast"], "abc"), (["--no-dev"], "a"), (["--group", "docs"], "acd"),
        (["--group", "docs", "--all-extras"], "abc"), (["--no-default-groups", "--group", "docs"], "ad"),
    ):
        assert "".join(read(text, "pylock.toml", *options)[1]) == names, options
    assert "no extra 'x'" in read(text, "pylock.toml", "--extra", "x", status=1)
    assert "no group 'x'" in read(text, "pylock.toml", "--group", "x", status=1)


def test_pylock_one_of_each_name(read):
    text = PYLOCK + package("a", "marker = \"os_name == 'posix'\"")
    assert "a is wanted twice" in read(text + package("a", wheel="a-1.0-2-py3-none-any.whl"), "pylock.toml", status=1)
    assert list(read(text + package("a", "marker = \"os_name != 'posix'\""), "pylock.toml")[1]) == ["a"]
    assert "not one of a" in read(PYLOCK + package("a", wheel="b-1.0-py3-none-any.whl"), "pylock.toml", status=1)
    assert "not of a 1.0" in read(PYLOCK + package("a", wheel="a-2.0-py3-none-any.whl"), "pylock.toml", status=1)


def test_pylock_sources(read, tmp_path):
    _, dists = read(PYLOCK + f"""
[[packages]]
name = "here"
directory = {{ path = "../here", editable = true, subdirectory = "x" }}
[[packages]]
name = "git"
vcs = {{ type = "git", url = "https://git.example/r", requested-revision = "main", commit-id = "{COMMIT}" }}
[[packages]]
name = "archive"
archive = {{ url = "https://files.example/a-1.zip", size = 7, hashes = {{ sha512 = "{ZERO}{ZERO}" }} }}
[[packages]]
name = "wheel"
archive = {{ path = "w/wheel-2.0-py3-none-any.whl", hashes = {{ sha256 = "{ZERO}" }} }}
""", "sub/pylock.toml")
    assert dists["here"]["source"] | {"bytes": 0} == {
        "kind": "directory", "place": str(tmp_path / "here"), "index": None, "subdirectory": "x", "commit": None, "revision": None,
        "editable": True, "bytes": 0}
    assert (dists["git"]["source"]["commit"], dists["git"]["source"]["revision"]) == (COMMIT, "main")
    assert dists["archive"]["source"]["bytes"] == {"size": 7, "sha512": ZERO + ZERO}
    assert dists["wheel"]["wheels"][0]["path"] == str(tmp_path / "sub/w/wheel-2.0-py3-none-any.whl")
    assert all(d["direct"] for d in dists.values())
    for wrong, why in (
        ('vcs = { type = "hg", url = "https://x.example", commit-id = "1" }', "only Git"),
        ('directory = { path = "." }\nsdist = { url = "https://x.example/a-1.zip" }', "must have one of"),
        ('sdist = { url = "https://x.example/a-1.zip", hashes = { sha256 = "1" } }', "SHA-256"),
        ('sdist = { }', "neither path nor URL"), ('sdist = { url = "x.zip" }', "is no URL"),
    ):
        assert why in read(f'{PYLOCK}[[packages]]\nname = "a"\n{wrong}\n', "pylock.toml", status=1)


def test_the_best_wheel_comes_first(read):
    minor = f"3{sys.version_info[1]}"
    files = [
        "py3-none-any", f"cp{minor}-none-any", f"cp{minor}-abi3-manylinux_2_17_x86_64", f"cp{minor}-cp{minor}-manylinux1_x86_64",
        f"cp{minor}-cp{minor}-manylinux_2_17_x86_64", f"cp{minor}-cp{minor}-linux_x86_64", f"cp{minor}-cp{minor}-win_amd64",
    ]
    wheels = ", ".join(f'{{ url = "https://files.example/{n}/a-1.0-{f}.whl", hashes = {{ sha256 = "{ZERO}" }} }}' for n, f in enumerate(files))
    wheels += "".join(f', {{ url = "https://files.example/a-1.0-{n}-py3-none-any.whl", hashes = {{ sha256 = "{ZERO}" }} }}' for n in (3, 20))
    _, dists = read(f'{PYLOCK}[[packages]]\nname = "a"\nversion = "1.0"\nwheels = [{wheels}]\n', "pylock.toml")
    assert [w["file"][len("a-1.0-"):-len(".whl")] for w in dists["a"]["wheels"]] == [
        files[4], files[3], files[5], files[2], files[1], "20-py3-none-any", "3-py3-none-any", files[0]]


UV = 'version = 1\nrequires-python = ">=3.8"\n'
ROOT = '[[package]]\nname = "p"\nversion = "1"\nsource = { virtual = "." }\n'


def test_uv_lock_sources(read, tmp_path):
    _, dists = read(UV + ROOT + 'dependencies = [{ name = "g" }, { name = "f" }, { name = "u" }, { name = "l" }, { name = "e" }]\n' + f"""
[[package]]
name = "g"
version = "1"
source = {{ git = "https://git.example/r?subdirectory=a%20b&tag=v1#{COMMIT}" }}
[[package]]
name = "f"
version = "1"
source = {{ registry = "../flat" }}
wheels = [{{ path = "f-1-py3-none-any.whl" }}]
[[package]]
name = "u"
version = "1"
source = {{ url = "https://files.example/u-1-py3-none-any.whl" }}
wheels = [{{ url = "https://files.example/u-1-py3-none-any.whl", hash = "sha256:{ZERO}" }}]
[[package]]
name = "l"
version = "1"
source = {{ path = "l-1.tar.gz" }}
sdist = {{ hash = "sha256:{ZERO}" }}
[[package]]
name = "e"
source = {{ editable = "packages/e" }}
""", "project/uv.lock")
    assert sorted(dists) == ["e", "f", "g", "l", "u"]
    g = dists["g"]["source"]
    assert (g["place"], g["subdirectory"], g["revision"], g["commit"]) == ("https://git.example/r", "a b", "v1", COMMIT)
    assert dists["f"]["wheels"][0]["path"] == str(tmp_path / "flat/f-1-py3-none-any.whl") and not dists["f"]["direct"]
    assert dists["u"]["wheels"][0]["bytes"] == {"sha256": ZERO} and dists["u"]["direct"]
    assert dists["l"]["source"]["place"] == str(tmp_path / "project/l-1.tar.gz")
    assert dists["l"]["source"]["bytes"] == {"sha256": ZERO}
    assert dists["e"]["source"]["editable"] and dists["e"]["source"]["place"] == str(tmp_path / "project/packages/e")


def test_uv_lock_no_binary(read, tmp_path):
    def package(name, sdist):
        wheels = f'wheels = [{{ url = "https://f.example/{name}-1-py3-none-any.whl", hash = "sha256:{ZERO}" }}]\n'
        more = f'sdist = {{ url = "https://f.example/{name}-1.tar.gz", hash = "sha256:{ZERO}" }}\n' if sdist else ""
        return f'[[package]]\nname = "{name}"\nversion = "1"\nsource = {{ registry = "https://i.example/simple" }}\n' + wheels + more

    text = UV + ROOT + 'dependencies = [{ name = "a" }, { name = "b-c" }]\n' + package("a", True) + package("b-c", True)
    text = text.replace("b-c-1", "b_c-1")

    def built():
        return [name for name, d in read(text, "uv.lock")[1].items() if d["source"]]

    assert built() == []
    for settings, names in (('no-binary-package = ["B.C"]', ["b-c"]), ("no-binary = true", ["a", "b-c"]), ("no-binary = false", [])):
        (tmp_path / "pyproject.toml").write_text("[tool.uv]\n" + settings)
        assert built() == names
    # Where there is a uv.toml, [tool.uv] does not count.
    (tmp_path / "pyproject.toml").write_text("[tool.uv]\nno-binary = true")
    (tmp_path / "uv.toml").write_text('no-binary-package = ["a"]')
    assert built() == ["a"]
    assert {"uv.toml", "pyproject.toml"} <= {pathlib.Path(p).name for p in read(text, "uv.lock")[0]["inputs"]}
    text = UV + ROOT + 'dependencies = [{ name = "a" }]\n' + package("a", False)
    assert "a is to be built, by no-binary" in read(text, "uv.lock", status=1)


def test_uv_lock_refusals(read):
    assert "uv export" in read("version = 2", "uv.lock", status=1)
    assert "no version" in read("", "uv.lock", status=1)
    assert "for Python <3" in read('version = 1\nrequires-python = "<3"', "uv.lock", status=1)
    assert "none of its environments" in read(UV + "supported-markers = [\"os_name == 'nt'\"]\n", "uv.lock", status=1)
    assert "lacks the package x" in read(UV + ROOT + 'dependencies = [{ name = "x" }]\n', "uv.lock", status=1)
    twice = UV + ROOT + 'dependencies = [{ name = "x" }]\n'
    twice += "".join(f'[[package]]\nname = "x"\nversion = "{v}"\nsource = {{ registry = "https://i.example" }}\n' for v in "12")
    assert "two packages in it are x" in read(twice, "uv.lock", status=1)
    text = UV + 'conflicts = [[{ package = "p", extra = "a" }, { package = "p", extra = "b" }]]\n' + ROOT
    text += "[package.optional-dependencies]\na = []\nb = []\n"
    read(text, "uv.lock", "--extra", "a")
    assert "'a' and 'b' exclude each other" in read(text, "uv.lock", "--all-extras", status=1)


def test_requirements_pins(read, tmp_path):
    (tmp_path / "more").mkdir()
    (tmp_path / "more/inner.txt").write_text("b == 2.0 ; os_name == 'posix'\nskipped==1 ; os_name == 'nt'\n-c limits.txt\n")
    (tmp_path / "more/limits.txt").write_text(f"c==3.0 --hash=sha256:{ZERO}\na<9\n")
    answer, dists = read(f"""\ufeff# comment
--index-url https://i.example/simple
--extra-index-url=https://j.example --find-links links
-r more/inner.txt
A.b[x, y]==1.0 \\
    --hash=sha256:{ZERO} \\
    --hash sha512:{ZERO}{ZERO}
    # via something
c    # pinned elsewhere
{'$'}{{NAME}}==4.0
b==2
--only-binary a-b,c
""", "top.in", NAME="d")
    assert {n: d["version"] for n, d in dists.items()} == {"a-b": "1.0", "b": "2.0", "c": "3.0", "d": "4.0"}
    assert dists["a-b"]["hashes"] == [{"sha256": ZERO}, {"sha512": ZERO + ZERO}] and dists["a-b"]["no_sdist"]
    assert dists["c"]["hashes"] == [{"sha256": ZERO}] and dists["c"]["no_sdist"] and not dists["d"]["no_sdist"]
    assert (answer["index_url"], answer["extra"], answer["links"]) == ("https://i.example/simple", ["https://j.example"], [str(tmp_path / "links")])
    assert [pathlib.Path(p).name for p in answer["inputs"]] == ["top.in", "inner.txt", "limits.txt"]


def test_of_two_pins_the_one_with_a_local_version_is_meant(read, tmp_path):
    (tmp_path / "limits").write_text("a==1.0+cpu")
    for text in ("a==1.0+cpu\na==1", "a==1\na==1.0+cpu", "a==1\n-c limits", "a\n-c limits"):
        assert read(text, "top.in")[1]["a"]["version"] == "1.0+cpu", text
    assert "wanted twice" in read("a==1+x\na==1+y", "top.in", status=1)
    assert "wanted twice" in read("a===1\na==1+y", "top.in", status=1)


def test_requirements_places(read, tmp_path):
    (tmp_path / "own").mkdir()
    (tmp_path / "own/pyproject.toml").write_text('[project]\nname = "Own.Name"\n')
    _, dists = read(f"""-e ./own
n @ https://files.example/n-1.0-py3-none-any.whl#sha256={ZERO}
./w/w-1.0-py3-none-any.whl ; os_name == 'posix'
https://files.example/s-p-2.0.tar.gz
g @ git+https://user@git.example/r.git@{COMMIT}#subdirectory=x
git+ssh://git@git.example/h.git@{COMMIT}#egg=h
file://{tmp_path}/a%20b/f-1-py3-none-any.whl
""", "top.in")
    assert sorted(dists) == ["f", "g", "h", "n", "own-name", "s-p", "w"]
    assert dists["own-name"]["source"]["editable"] and dists["own-name"]["source"]["place"] == str(tmp_path / "own")
    assert dists["n"]["wheels"][0]["bytes"] == {"sha256": ZERO}
    assert dists["s-p"]["version"] == "2.0"
    assert dists["g"]["source"]["place"] == "https://user@git.example/r.git" and dists["g"]["source"]["subdirectory"] == "x"
    assert dists["h"]["source"]["place"] == "ssh://git@git.example/h.git"
    assert dists["f"]["wheels"][0]["path"] == str(tmp_path / "a b/f-1-py3-none-any.whl")


def test_any_of_an_archives_hashes_will_do(read):
    for line in ("a @ https://files.example/a-1.0.tar.gz", "https://files.example/a-1.0.tar.gz", "./a-1.0.zip"):
        _, dists = read(f"{line} --hash=sha256:{ZERO} --hash=sha512:{ZERO}{ZERO}", "top.in")
        assert dists["a"]["hashes"] == [{"sha256": ZERO}, {"sha512": ZERO + ZERO}] and dists["a"]["source"]["bytes"] == {}
    assert read(f"--require-hashes\n{line} --hash=sha256:{ZERO} --hash=sha256:{'1' * 64}", "top.in")[1]


@pytest.mark.parametrize("line, name", [
    (f"git+https://git.example/Some_Repo.git@{COMMIT}", "some-repo"), (f"git+https://git.example/r@{COMMIT}#subdirectory=x", "r"),
    ("https://files.example/archive/main.zip", "main"), ("https://files.example/tags/v1.0.tar.gz", "v1-0"),
    ("https://files.example/a-main.zip", "a-main"), ("./nothing!/___.tar.gz", "unnamed"),
])
def test_what_does_not_say_its_name_is_called_by_its_place(read, line, name):
    _, dists = read(f"{line}\n{name}==1.0", "top.in")
    assert list(dists) == [name]
    answer, _ = read(f"{line}\n{name}==1.0", "top.in")
    # Another one of that name is no contradiction, before a build tells.
    assert len(answer["dists"]) == 2 and sum(d["pinned"] for d in answer["dists"]) == 1
    assert len(read(f"{line}\n{line}", "top.in")[0]["dists"]) == 1


def two(a, b):
    return f"a @ https://files.example/{a}\na @ https://files.example/{b}"


@pytest.mark.parametrize("text", [
    two("x/a-1.0-py3-none-any.whl", "y/a-1.0-py3-none-any.whl"), two("x/a-1.0.zip", "y/a-1.0.zip"),
    two("a-1.0-py3-none-any.whl#sha256={0}", "a-1.0-py3-none-any.whl#sha256={1}").format(ZERO, "1" * 64),
    f"a @ git+https://git.example/r@{COMMIT}\na @ git+https://git.example/r@{COMMIT[::-1]}",
    f"a @ git+https://git.example/r@{COMMIT}\na @ git+https://git.example/r@{COMMIT}#subdirectory=x",
])
def test_two_files_of_one_name_are_refused(read, text):
    said = read(text, "top.in", status=1)
    assert "a is wanted twice" in said and "example/" in said


def test_one_file_twice_is_one_and_must_have_the_hash_of_either(read):
    for ending in ("-py3-none-any.whl", ".zip"):
        plain = f"a @ https://files.example/a-1.0{ending}"
        for text in (f"{plain}\n{plain} --hash=sha256:{ZERO}", f"{plain}#sha256={ZERO}\n{plain}", f"{plain}#sha256={ZERO}\n{plain}#sha256={ZERO}"):
            (dist,) = read(text, "top.in")[0]["dists"]
            assert (dist["wheels"] or [dist["source"]])[0]["bytes"] == {"sha256": ZERO}, text
        (dist,) = read(f"{plain}\n{plain} --hash=sha256:{ZERO} --hash=sha256:{'1' * 64}", "top.in")[0]["dists"]
        assert len(dist["hashes"]) == 2
    # A mirror of one index has the same file.
    text = PYLOCK + package("a") + package("a").replace("files.example", "mirror.example")
    assert list(read(text, "pylock.toml")[1]) == ["a"]
    other = package("a").replace(ZERO, "1" * 64)
    assert "a is wanted twice, as two different files of '1.0'" in read(PYLOCK + package("a") + other, "pylock.toml", status=1)


def test_of_a_directory_twice_the_editable_is_meant(read, tmp_path):
    (tmp_path / "own").mkdir()
    (tmp_path / "own/pyproject.toml").write_text('[project]\nname = "own"\n')
    for text in ("./own\n-e ./own", "-e ./own\n./own"):
        assert read(text, "top.in")[1]["own"]["source"]["editable"]


@pytest.mark.parametrize("text, why", [
    ("a==1\n\nb>=1\n", "line 3: 'b>=1' is not pinned to one version"), ("a==1.*", "not pinned"), ("a", "uv pip compile"),
    ("a==1\na==2", "a is wanted twice"), ("a==1 --hash=md5:" + "0" * 32, "pin it by sha256"), ("a==1 --hash=blake3:" + ZERO, "pin it by sha256"), ("a==1 --hash=sha256:1", "SHA-256"),
    ("--require-hashes\na==1", "has no hash"), ("-r top.in", "included too deeply"), ("-r", "lacks its value"), ("--what 1", "is not known"),
    ("a==1 ; nonsense", "the marker"), ("==1", "lacks a name"), ("g @ git+https://git.example/r@main", "not pinned to a commit"),
    ("./nothing", "neither a wheel"), ("-r missing.txt", "cannot read"), ("-r https://x.example/r.txt", "download it first"),
    ("a>=2\n-c limits", "exclude each other"), ("a==1\n--hash=sha256:" + ZERO, "hash without a requirement"),
])
def test_requirements_refusals(read, tmp_path, text, why):
    (tmp_path / "limits").write_text("a==1")
    assert why in read(text, "top.in", status=1)


@pytest.mark.parametrize("line", [
    "demo @ https://me:hush@h.example/x.exe", "-i https://me:hush@h.example/x foo", "demo @ git+https://me:hush@h.example/x.git@main",
    "https://me:hush@h.example/x?hush=1", "a @ https://me:hush@h.example ; nonsense", "-r https://me:hush@h.example/x",
    "--what=https://me:hush@h.example/x", "a==1 --hash=https://me:hush@x:", "a >= ${TOKEN}",
])
def test_no_secret_of_a_line_is_shown(read, line):
    said = read(line, "top.in", status=1, TOKEN="https://me:hush@x")
    assert "hush" not in said and "line 1" in said


@pytest.mark.parametrize("name", ["r.txt", "uv.lock", "pylock.toml", "r.in"])
def test_a_url_is_no_lock(cache, tmp_path, name):
    url = f"https://me:hush@h.example/{name}?hush=1"
    for words in ([url], ["-r", url]):
        done = subprocess.run([DRIVER, "lock", sys.executable, *words], capture_output=True, text=True, cwd=tmp_path,
                              env={**os.environ, "VENVFS_CACHE_DIR": cache})
        assert done.returncode == 1 and f"'https://h.example/{name}' is a URL, and locks are not fetched: download it first" in done.stderr


def test_pylock_files_have_hashes(read):
    for table in ("size = 7", "hashes = {}"):
        text = f'{PYLOCK}[[packages]]\nname = "a"\nversion = "1.0"\nwheels = [{{ url = "https://files.example/a-1.0-py3-none-any.whl", {table} }}]\n'
        assert "'a' has no hashes" in read(text, "pylock.toml", status=1)


def test_a_long_marker_is_taken(read):
    marker = " or ".join(["sys_platform == 'linux'"] * 400)
    assert "a" in read(f"a==1 ; {marker}", "top.in")[1]
    assert "a" in read(PYLOCK + package("a", f'marker = "{marker}"'), "pylock.toml")[1]
    said = read(PYLOCK + package("a", f'marker = "{marker * 10}"'), "pylock.toml", status=1)
    assert "characters is too long" in said and len(said) < 300


def test_which_lock_is_found(read, tmp_path, cache):
    def find(folder):
        done = subprocess.run([DRIVER, "lock", sys.executable, "--find", tmp_path / folder], capture_output=True, text=True,
                              env={**os.environ, "VENVFS_CACHE_DIR": cache})
        return json.loads(done.stdout) if done.returncode == 0 else done.stderr

    member = tmp_path / "top/members/m"
    (member / "src").mkdir(parents=True)
    assert "there is no pylock.toml" in find(member)
    (member / "pyproject.toml").write_text('[project]\nname = "m"\n')
    assert "uv lock" in find(member / "src")
    # What lies above a project is its lock only when uv's.
    (tmp_path / "top/requirements.txt").write_text("")
    assert "uv lock" in find(member)
    (tmp_path / "top/uv.lock").write_text(UV + ROOT + '[[package]]\nname = "m"\nsource = { virtual = "members/m" }\n')
    assert find(member / "src")["project"] == str(member)
    assert find("top")["file"] == str(tmp_path / "top/uv.lock")
    for name in ("requirements.txt", "uv.lock", "pylock.toml"):
        (member / name).write_text({"uv.lock": UV + ROOT, "pylock.toml": PYLOCK + "packages = []"}.get(name, ""))
        assert find(member / "src")["file"] == str(member / name)
    assert "named like no lock" in read("", "other.toml", status=1)
