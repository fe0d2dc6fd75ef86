"""A project's lock file becomes a mounted environment; the index is a server of the test's."""

import hashlib
import json
import os
import pathlib
import signal
import subprocess
import sys
import threading

import pytest
from support import BINARY, TOOLS, missing
from waiting import wait_until
from wheelmaker import Wheel

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "source"))

from server import Fault, Server  # noqa: E402

UV = str(TOOLS / "uv")
PROJECT = """[project]
name = "project"
version = "0.1"
requires-python = ">=3.9"
dependencies = {dependencies}
[project.optional-dependencies]
more = ["extra-one"]
[dependency-groups]
dev = ["dev-one"]
docs = ["doc-one"]
"""


@pytest.fixture
def server():
    s = Server()
    for name in ("one", "two", "extra_one", "dev_one", "doc_one"):
        s.add(Wheel(name))
    s.add(Wheel("one", "2.0"))
    yield s
    s.stop()


class Project:
    """A project that uv locks, and venvfs mounts."""

    def __init__(self, venvfs, server):
        if not os.path.exists(UV):
            missing("uv")
        self.venvfs, self.server = venvfs, server
        self.root = venvfs.root / "project"
        self.root.mkdir()
        self.env = {"UV_CACHE_DIR": str(venvfs.root / "uv"), "UV_PYTHON_DOWNLOADS": "never"}
        self.lock(["one==1.0", "two"])

    def uv(self, *args):
        done = subprocess.run([UV, *map(str, args)], cwd=self.root, env={**self.venvfs.env, **self.env}, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stderr

    def lock(self, dependencies):
        (self.root / "pyproject.toml").write_text(PROJECT.format(dependencies=dependencies))
        self.uv("lock", "--python", sys.executable, "--default-index", self.server.index())
        self.server.requests.clear()

    def mount(self, *args, ok=True):
        options = ("--fresh", "--python", sys.executable)
        return self.venvfs.run("mount", *options, *args, ok=ok, cwd=self.root)

    def unmount(self):
        self.venvfs.run("unmount", cwd=self.root)

    def packages(self):
        found = self.root.glob(".venv/lib/*/site-packages/*.dist-info")
        return sorted(p.name.removesuffix(".dist-info") for p in found)

    def remounted(self, *args):
        self.mount(*args)
        found = self.packages()
        self.unmount()
        return found

    def fetched(self):
        return sorted(path.rsplit("/", 1)[1] for _, path in self.server.asked("/files/"))


@pytest.fixture
def project(venvfs, server):
    return Project(venvfs, server)


def test_a_project_is_mounted_as_it_is_locked(project):
    project.mount()
    assert project.packages() == ["dev_one-1.0", "one-1.0", "two-1.0"]
    python = project.root / ".venv/bin/python"
    done = subprocess.run([python, "-c", "import one, two, dev_one; print(one.value)"], capture_output=True, text=True)
    assert done.stdout == "1.0\n", done.stderr
    for how in ("--frozen", "--locked"):
        assert "Would make no changes" in project.uv("sync", how, "--dry-run", "--default-index", project.server.index())
    project.uv("run", "--frozen", "--no-sync", "python", "-c", "import one")


def test_only_what_the_lock_names_is_fetched_and_once(project):
    project.mount()
    assert project.fetched() == ["dev_one-1.0-py3-none-any.whl", "one-1.0-py3-none-any.whl", "two-1.0-py3-none-any.whl"]
    assert not project.server.asked("/simple/")
    project.unmount()
    project.server.requests.clear()
    project.mount("--offline")
    assert not project.server.asked()


def test_an_unchanged_lock_is_not_read_again(project):
    lock = project.root / "uv.lock"
    assert f"{lock}: read" in project.mount("-v").stderr
    project.unmount()
    lock.touch()
    assert f"{lock}: known" in project.mount("-v").stderr
    project.unmount()
    lock.write_text("# Says nothing new.\n" + lock.read_text())
    said = project.mount("-v", "--offline").stderr
    assert f"{lock}: read" in said
    assert project.packages() == ["dev_one-1.0", "one-1.0", "two-1.0"]
    project.unmount()
    # What pyproject.toml says of groups counts, too.
    pyproject = project.root / "pyproject.toml"
    pyproject.write_text(pyproject.read_text() + "[tool.uv]\ndefault-groups = []\n")
    assert project.remounted("--offline") == ["one-1.0", "two-1.0"]


def one_wheel_lock(project, version):
    """A pylock.toml of one wheel, as the server has it."""
    file = f"one-{version}-py3-none-any.whl"
    sha256 = hashlib.sha256(project.server.files[file]).hexdigest()
    (project.root / "pylock.toml").write_text(
        f'lock-version = "1.0"\ncreated-by = "test"\n[[packages]]\nname = "one"\nversion = "{version}"\n'
        f'wheels = [{{name = "{file}", url = "{project.server.url(file, hash=False)}", hashes = {{sha256 = "{sha256}"}}}}]\n')


def test_a_lock_that_changes_meanwhile_is_not_taken_for_what_was_read(project):
    one_wheel_lock(project, "1.0")
    changed = threading.Event()
    project.server.fail("/files/one-1.0-py3-none-any.whl", Fault(until=changed))

    def change():
        """Once it was read, and before what it names has come."""
        wait_until(lambda: project.server.asked("/files/one-1.0"))
        one_wheel_lock(project, "2.0")
        changed.set()

    thread = threading.Thread(target=change)
    thread.start()
    assert project.remounted() == ["one-1.0"]
    thread.join()
    assert project.remounted() == ["one-2.0"]


def test_what_comes_by_a_pipe_is_read_each_time(project):
    for name in ("one", "two", "one"):
        done = subprocess.run(
            [BINARY, "mount", "--fresh", "--python", sys.executable, "-i", project.server.index(), "-r", "/dev/stdin"],
            input=f"{name}==1.0\n", text=True, cwd=project.root, env=project.venvfs.env, capture_output=True)
        assert done.returncode == 0, done.stderr
        assert project.packages() == [f"{name}-1.0"]
        project.unmount()


def test_an_address_without_a_hash_is_asked_each_time(project):
    lines = project.root / "lines.txt"
    file = "one-1.0-py3-none-any.whl"
    lines.write_text(f"one @ {project.server.url(file, hash=False)}\n")
    assert project.remounted("-r", lines) == ["one-1.0"]
    project.server.files[file] = Wheel("one", "1.0").add("one/more.py", b"").bytes()
    project.mount("-r", lines)
    assert list(project.root.glob(".venv/lib/*/site-packages/one/more.py"))


def test_no_password_is_kept(project):
    project.server.logins["/files/"] = "me:secret"
    lines = project.root / "lines.txt"
    url = project.server.url("one-1.0-py3-none-any.whl", hash=False)
    lines.write_text(f"one @ {url.replace('http://', 'http://me:secret@')}\n")
    project.mount("-r", lines)
    text = next(project.root.glob(".venv/lib/*/site-packages/*/direct_url.json")).read_text()
    assert url in text and "secret" not in text
    found = subprocess.run(["grep", "-rlaF", "secret", project.venvfs.root / "cache", project.venvfs.root / "state"], capture_output=True)
    assert not found.stdout


def test_options_of_uv_sync_choose(project):
    assert project.remounted("--no-dev") == ["one-1.0", "two-1.0"]
    assert project.remounted("--extra", "more") == ["dev_one-1.0", "extra_one-1.0", "one-1.0", "two-1.0"]
    assert project.remounted("--group", "docs", "--no-dev") == ["doc_one-1.0", "one-1.0", "two-1.0"]
    assert project.remounted("--only-group", "docs") == ["doc_one-1.0"]
    assert "it has no extra 'nothing'" in project.mount("--extra", "nothing", ok=False).stderr
    assert "it has no group 'nothing'" in project.mount("--group", "nothing", ok=False).stderr


def test_a_new_lock_brings_its_wheels(project):
    assert "one-1.0" in project.remounted()
    project.lock(["one==2.0", "two"])
    assert project.remounted() == ["dev_one-1.0", "one-2.0", "two-1.0"]
    assert project.fetched() == ["one-2.0-py3-none-any.whl"]


def test_a_plan_whose_wheel_is_gone_is_made_again(project):
    project.mount()
    project.unmount()
    for note in (project.venvfs.cache / "wheels").rglob("*"):
        if note.is_file():
            note.unlink()
    project.server.requests.clear()
    assert "one-1.0" in project.remounted()
    assert len(project.fetched()) == 3


def test_a_wrong_hash_mounts_nothing(project):
    project.server.files["two-1.0-py3-none-any.whl"] += b"x"
    done = project.mount(ok=False)
    assert done.returncode == 1 and "two-1.0" in done.stderr and done.stderr.count("\n") == 1
    assert project.venvfs.list() == [] and not (project.root / ".venv").exists()


def test_pylock_comes_before_uv_lock(project):
    project.uv("export", "-q", "--frozen", "--no-dev", "--no-emit-project", "--format", "pylock.toml", "-o", "pylock.toml")
    assert project.remounted() == ["one-1.0", "two-1.0"]
    assert project.remounted("--lock", "uv.lock") == ["dev_one-1.0", "one-1.0", "two-1.0"]
    (project.root / "pylock.toml").rename(project.root / "pylock.other.toml")
    assert project.remounted("--lock", "pylock.other.toml") == ["one-1.0", "two-1.0"]


def test_requirements_are_pinned_and_checked(project):
    lines = project.root / "lines.txt"
    project.uv("export", "-q", "--frozen", "--no-dev", "--no-emit-project", "-o", lines)
    index = ("-i", project.server.index())
    assert project.remounted("-r", lines, *index) == ["one-1.0", "two-1.0"]
    more = project.root / "more.txt"
    more.write_text(f"--index-url {project.server.index()}\n-r lines.txt\ndoc-one==1.0\n")
    assert project.remounted("-r", more) == ["doc_one-1.0", "one-1.0", "two-1.0"]
    more.write_text("one>=1\n")
    said = project.mount("-r", more, ok=False).stderr
    assert "'one>=1' is not pinned to one version" in said and "uv pip compile" in said and said.count("\n") == 1
    more.write_text("one==1.0 --hash=sha256:" + "0" * 64 + "\n")
    assert "one" in project.mount("-r", more, *index, ok=False).stderr


def test_wheels_that_are_named_come_over_the_lock(project):
    over = Wheel("over", "3.0").write(project.root)
    assert project.remounted(over) == ["over-3.0"]
    assert project.remounted(over, "--no-dev") == ["one-1.0", "over-3.0", "two-1.0"]


def test_a_file_that_the_lock_names_says_where_it_is_from(project):
    here = Wheel("here", "1.0").write(project.root)
    (project.root / "lines.txt").write_text(f"here @ {here.as_uri()}\n{project.server.url('two-1.0-py3-none-any.whl')}\n")
    project.mount("-r", "lines.txt")
    texts = {p.parent.name: p.read_text() for p in project.root.glob(".venv/lib/*/site-packages/*/direct_url.json")}
    assert here.as_uri() in texts["here-1.0.dist-info"]
    assert project.server.url("two-1.0-py3-none-any.whl", hash=False) in texts["two-1.0.dist-info"]


def test_what_is_to_be_built_is_left_out_when_that_is_said(project):
    (project.root / "pyproject.toml").write_text(
        PROJECT.format(dependencies=["one==1.0"]) + "[build-system]\nrequires = ['hatchling']\nbuild-backend = 'hatchling.build'\n")
    project.uv("lock", "--python", sys.executable, "--default-index", project.server.index())
    said = project.mount("--no-dev", "--no-build")
    assert "project is left out" in said.stderr
    assert project.packages() == ["one-1.0"]
    project.unmount()
    # Nor is it forgotten where the lock is not read.
    assert "project is left out" in project.mount("--no-dev", "--no-build").stderr
    project.unmount()
    assert project.remounted("--no-dev", "--no-install-project") == ["one-1.0"]


def test_variables_of_uv_sync_choose_too(project):
    def mounted(**env):
        project.venvfs.run("mount", "--fresh", "--python", sys.executable, cwd=project.root, **env)
        found = project.packages()
        project.unmount()
        return found

    assert mounted(UV_NO_DEV="1") == mounted(UV_NO_DEFAULT_GROUPS="true") == ["one-1.0", "two-1.0"]
    assert mounted(UV_NO_DEV="0") == ["dev_one-1.0", "one-1.0", "two-1.0"]


def test_what_lies_deeper_is_not_the_projects_lock(project):
    docs = project.root / "docs"
    docs.mkdir()
    (docs / "requirements.txt").write_text("doc-one==1.0\n")
    project.venvfs.run("mount", "--fresh", "--python", sys.executable, cwd=docs)
    assert project.packages() == ["dev_one-1.0", "one-1.0", "two-1.0"]


def test_one_lock_is_named(project):
    (project.root / "lines.txt").write_text("one==1.0\n")
    done = project.mount("--lock", "uv.lock", "-r", "lines.txt", ok=False)
    assert done.returncode == 2 and "--lock and -r" in done.stderr and done.stderr.count("\n") == 1


def test_other_members_stay_where_the_project_is_left_out(project):
    """Of a workspace: as uv sync has it."""
    member = project.root / "m"
    member.mkdir()
    (member / "pyproject.toml").write_text('[project]\nname = "m"\nversion = "1"\nrequires-python = ">=3.9"\ndependencies = ["one"]\n[tool.uv]\npackage = false\n')
    pyproject = project.root / "pyproject.toml"
    pyproject.write_text(PROJECT.format(dependencies=["two"]) + '[tool.uv.workspace]\nmembers = ["m"]\n')
    project.uv("lock", "--python", sys.executable, "--default-index", project.server.index())
    # As a package of its own, which uv has not looked at.
    lock = project.root / "uv.lock"
    assert 'source = { virtual = "m" }' in lock.read_text()
    lock.write_text(lock.read_text().replace('source = { virtual = "m" }', 'source = { directory = "m" }'))
    said = project.mount("--all-packages", "--no-install-project", "--no-build").stderr
    assert "m is left out" in said


def test_without_a_lock_it_says_how_to_make_one(venvfs):
    folder = venvfs.root / "empty"
    folder.mkdir()
    assert "there is no pylock.toml, uv.lock or requirements.txt" in venvfs.run("mount", ok=False, cwd=folder).stderr
    (folder / "pyproject.toml").write_text("[project]\nname = 'x'\n")
    assert "uv lock" in venvfs.run("mount", ok=False, cwd=folder).stderr


def test_exec_and_export_read_locks_too(project):
    done = project.venvfs.run("exec", "--python", sys.executable, "--no-dev", "--", "python", "-c", "import one; print(one.value)",
                              cwd=project.root)
    assert done.stdout == "1.0\n"
    project.venvfs.run("export", "out", "--python", sys.executable, cwd=project.root)
    assert sorted(p.name for p in project.root.glob("out/lib/*/site-packages/*.dist-info")) == [
        "dev_one-1.0.dist-info", "one-1.0.dist-info", "two-1.0.dist-info"]


def test_urls_and_pins_are_operands(project):
    url = project.server.url("two-1.0-py3-none-any.whl")
    index = ("-i", project.server.index(), "--python", sys.executable)
    project.venvfs.run("mount", "one==1.0", url, *index, cwd=project.root)
    assert project.packages() == ["one-1.0", "two-1.0"]
    texts = {p.parent.name: p.read_text() for p in project.root.glob(".venv/lib/*/site-packages/*/direct_url.json")}
    assert list(texts) == ["two-1.0.dist-info"] and url.split("#")[0] in texts["two-1.0.dist-info"]
    project.unmount()
    project.venvfs.run("export", "out", url, Wheel("over").write(project.root), *index, cwd=project.root)
    assert sorted(p.name for p in project.root.glob("out/lib/*/site-packages/*.dist-info")) == ["over-1.0.dist-info", "two-1.0.dist-info"]
    done = project.venvfs.run("exec", "one==2.0", *index, "--", "python", "-c", "import one; print(one.__file__)", cwd=project.root)
    assert "one" in done.stdout
    done = project.venvfs.run("mount", project.server.host + "/files/nothing", *index, ok=False, cwd=project.root)
    assert done.returncode == 1 and done.stderr.count("\n") == 1 and "no URL of a wheel" in done.stderr
    assert not list(project.root.glob("http:*"))


def test_another_kernel_is_another_answer_of_the_interpreter(project):
    lines = project.root / "lines.txt"
    lines.write_text('two==1.0\none==1.0; "2.6." in platform_release\n')
    options = ("-r", "lines.txt", "-i", project.server.index(), "--python", sys.executable)
    assert project.remounted("-r", "lines.txt", "-i", project.server.index()) == ["two-1.0"]
    subprocess.run(["setarch", "--uname-2.6", BINARY, "mount", "--fresh", *options], cwd=project.root, env=project.venvfs.env, check=True)
    assert project.packages() == ["one-1.0", "two-1.0"]


def test_an_interrupted_export_says_one_line(project):
    wheels = [Wheel(f"big{k}") for k in range(3)]
    for k, wheel in enumerate(wheels):
        for i in range(4000):
            wheel.add(f"big{k}/m{i}.py", b"%d" % i)
        project.server.add(wheel)
    (project.root / "lines.txt").write_text("".join(f"big{k}==1.0\n" for k in range(3)))
    command = [BINARY, "export", "out", "-r", "lines.txt", "-i", project.server.index(), "--python", sys.executable]
    process = subprocess.Popen(command, cwd=project.root, env=project.venvfs.env, stderr=subprocess.PIPE, text=True)
    wait_until(lambda: process.poll() is not None or list(project.root.glob(".out.venvfs-*")), pause=0.002)
    process.send_signal(signal.SIGINT)
    said = process.communicate()[1]
    assert process.returncode == -signal.SIGINT and said.count("\n") == 1 and "is as it was" in said
    assert not (project.root / "out").exists() and not list(project.root.glob(".out.venvfs-*"))


def status(project, *args):
    return json.loads(project.venvfs.run("status", "--json", *args, cwd=project.root).stdout)


def test_status_tells_what_a_mount_is_made_of(project):
    project.mount("--extra", "more", "--no-dev")
    lock = project.root / "uv.lock"
    told = status(project)
    assert told["locks"] == [{"path": str(lock), "kind": "uv.lock", "state": "unchanged"}]
    assert told["chosen"] == ["--extra more", "--no-dev"] and told["also_changed"] == []
    found = {p["name"]: p for p in told["packages"]}
    assert sorted(found) == ["extra_one", "one", "two"] and found["one"]["version"] == "1.0"
    assert found["one"]["source"] == "url" and found["one"]["file"] == "one-1.0-py3-none-any.whl"
    assert found["one"]["origin"] == project.server.url("one-1.0-py3-none-any.whl", hash=False)
    assert len(found["one"]["sha256"]) == 64
    lines = dict(line.split("\t") for line in project.venvfs.run("status", cwd=project.root).stdout.splitlines())
    assert lines["lock"] == f"{lock}, unchanged" and lines["packages"] == "3: 3 from URLs"
    assert lines["chosen"] == "--extra more --no-dev"
    rows = [line.split("\t") for line in project.venvfs.run("status", "-v", cwd=project.root).stdout.splitlines()]
    assert [row[:3] for row in rows if len(row) == 4] == [
        ["extra_one", "1.0", "url"], ["one", "1.0", "url"], ["two", "1.0", "url"]]
    row, = project.venvfs.list()
    assert row["lock"] == str(lock) and row["lock_state"] == "unchanged"


def test_status_tells_whether_the_lock_has_changed_since(project):
    project.mount()
    lock = project.root / "uv.lock"
    text = lock.read_text()
    lock.touch()
    assert status(project)["locks"][0]["state"] == "unchanged"
    lock.write_text(text.replace("version = 1", "version = 9"))
    assert status(project)["locks"][0]["state"] == "changed"
    assert f"lock\t{lock}, changed since it was mounted" in project.venvfs.run("status", cwd=project.root).stdout
    assert project.venvfs.list()[0]["lock_state"] == "changed"
    lock.unlink()
    assert status(project)["locks"][0]["state"] == "missing"
    lock.write_text(text)
    pyproject = project.root / "pyproject.toml"
    pyproject.write_text(pyproject.read_text() + "# More.\n")
    told = status(project)
    assert told["locks"][0]["state"] == "unchanged" and told["also_changed"] == [str(pyproject)]
    project.unmount()
    # The same environment by a lock that says more: that one counts from then on.
    lock.write_text(text + "# More.\n")
    project.mount("--offline")
    told = status(project)
    assert told["locks"][0]["state"] == "unchanged" and told["also_changed"] == []
    assert {p["source"] for p in told["packages"]} == {"url"}


def test_status_tells_of_each_kind_of_source_and_of_no_secret(venvfs, server):
    folder = venvfs.root / "links"
    folder.mkdir()
    Wheel("dev_one").write(folder)
    (venvfs.root / "requirements.txt").write_text("one==1.0\ndev_one==1.0\n-r more.txt\n")
    (venvfs.root / "more.txt").write_text("two==1.0\n")
    index = server.index().replace("://", "://me:topsecret@")
    venvfs.run("mount", "m", "-r", "requirements.txt", "--find-links", folder, "--python", sys.executable,
               "--index-url", index)
    done = venvfs.run("status", "--json", "m")
    told = json.loads(done.stdout)
    assert {p["name"]: p["source"] for p in told["packages"]} == {"one": "index", "two": "index", "dev_one": "find-links"}
    assert told["locks"][0]["kind"] == "requirements.txt" and told["chosen"] == []
    assert "topsecret" not in done.stdout + venvfs.run("status", "-v", "m").stdout
    assert not [p for p in venvfs.root.rglob("*") if p.is_file() and "home" not in p.parts and "m" not in p.parts
                and b"topsecret" in p.read_bytes() and "plans" not in p.parts]
    (venvfs.root / "more.txt").write_text("two==1.0 # the same\n")
    assert json.loads(venvfs.run("status", "--json", "m").stdout)["also_changed"] == [str(venvfs.root / "more.txt")]


def test_status_of_wheels_that_were_named_and_of_what_nobody_wrote(venvfs):
    wheel = Wheel("one").write(venvfs.root)
    venvfs.run("mount", "m", wheel, "--python", sys.executable)
    told = json.loads(venvfs.run("status", "--json", "m").stdout)
    assert told["locks"] == [] and told["chosen"] == []
    package, = told["packages"]
    assert package["source"] == "file" and package["origin"] == wheel.as_uri()
    assert "lock" not in venvfs.list()[0]
    made, = pathlib.Path(told["state_directory"], "made").iterdir()
    text = json.loads(made.read_text())
    image, = text["wheels"]
    fifo = venvfs.root / "fifo"
    os.mkfifo(fifo)
    for wrong in (b"", b"[]", b"{}", b'{"version": 1}', b'{"version": 1, "locks": 3, "wheels": [1], "inputs": "x"}',
                  json.dumps({**text, "wheels": {image: {"origin": "https://me:topsecret@host/x?token=topsecret", "source": 3}},
                              "locks": [3, {"path": 4}, {"path": "/no\nwhere\x1b[1m", "kind": "odd"}], "chosen": [1, "\x1b"],
                              "inputs": [3, ["relative", 1, 2, "x"], [str(fifo), 1, 2, "0" * 32], ["/", 1, 2, "0" * 32],
                                         [f"{venvfs.root}/m/pyvenv.cfg", 1, 2, "0" * 32]]}).encode()):
        made.write_bytes(wrong)
        done = venvfs.run("status", "--json", "m")
        package, = json.loads(done.stdout)["packages"]
        assert (package["name"], package["version"]) == ("one", "1.0")
        shown = venvfs.run("status", "-v", "m").stdout
        assert "topsecret" not in done.stdout + shown and "\x1b" not in shown
        assert "one\t1.0\t-" in shown
        venvfs.list()
    made.unlink()
    assert len(json.loads(venvfs.run("status", "--json", "m").stdout)["packages"]) == 1
