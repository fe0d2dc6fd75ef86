"""What has no wheel is built by the user's uv or pip: real mounts, real tools, no download."""

import json
import os
import pathlib
import shutil
import subprocess
import sys

import pytest
from backend import Source
from support import TOOLS, missing
from waiting import PATIENCE, has_ended, wait_until
from wheelmaker import Wheel

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "source"))

from server import Server  # noqa: E402
from test_privileges import PYTHON, person  # noqa: E402, F401

UV = str(TOOLS / "uv")


@pytest.fixture
def server():
    s = Server()
    for name in ("one", "two"):
        s.add(Wheel(name))
    yield s
    s.stop()


class Builder:
    """A project of its own kind, with tools as a test wants them."""

    def __init__(self, venvfs, server, dependencies=(), **options):
        if not os.path.exists(UV):
            missing("uv")
        self.venvfs, self.server = venvfs, server
        self.source = Source(venvfs.root / "project", dependencies=dependencies, **options)
        self.root = self.source.root
        self.tools = venvfs.root / "tools"
        self.tools.mkdir()
        (self.tools / "uv").symlink_to(UV)
        self.env = {
            "UV_CACHE_DIR": str(venvfs.root / "uv"), "UV_PYTHON_DOWNLOADS": "never", "UV_DEFAULT_INDEX": server.index(),
            "PIP_NO_INDEX": "1", "PATH": f"{self.tools}:/usr/bin:/bin", "PIP_CONFIG_FILE": "/dev/null",
        }
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"):
            self.env[name] = ""

    def uv(self, *args, ok=True):
        done = subprocess.run([UV, *map(str, args)], cwd=self.root, env={**self.venvfs.env, **self.env}, capture_output=True, text=True)
        assert not ok or done.returncode == 0, done.stderr
        return done.stdout + done.stderr

    def lock(self):
        self.uv("lock", "--python", sys.executable)
        self.source.calls()

    def run(self, verb, *args, ok=True, **env):
        return self.venvfs.run(verb, "--python", sys.executable, *args, ok=ok, cwd=self.root, **{**self.env, **env})

    def mount(self, *args, **kwargs):
        return self.run("mount", *args, **kwargs)

    def unmount(self):
        self.venvfs.run("unmount", cwd=self.root)

    def remounted(self, *args, **kwargs):
        """What is said; and it is unmounted again."""
        said = self.mount(*args, **kwargs).stderr
        self.unmount()
        return said

    def site(self, venv=".venv"):
        return next((self.root / venv).glob("lib/python*/site-packages"))

    def info(self, name="proj", venv=".venv"):
        return next(self.site(venv).glob(f"{name}-*.dist-info"))

    def output(self, program, venv=".venv"):
        done = subprocess.run([self.root / venv / "bin" / program], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def is_clean(self):
        """uv and pip find nothing to do."""
        for how in ("--locked", "--frozen"):
            assert "Would make no changes" in self.uv("sync", how, "--dry-run")
        self.uv("pip", "check", "--python", ".venv")


@pytest.fixture
def project(venvfs, server):
    p = Builder(venvfs, server, ["one", "two"])
    p.lock()
    return p


def test_a_project_is_mounted_with_itself_as_an_editable(project):
    said = project.mount().stderr
    assert said == f"venvfs: proj is built by uv: uv pip install --no-deps --editable {project.root}\n"
    assert project.source.calls() == ["editable"]
    assert project.output("proj-hello") == "hello 1.0"
    assert project.output("proj-script") == str(project.root / ".venv")
    assert (project.root / ".venv/share/proj.txt").read_text() == "data\n"
    init = project.root / "src/proj/__init__.py"
    init.write_text(init.read_text().replace("1.0", "of now"))
    assert project.output("proj-hello") == "hello of now"
    project.is_clean()
    assert project.source.calls() == []
    assert f"proj    1.0     {project.root}" in project.uv("pip", "list", "--editable", "--python", ".venv")
    project.uv("run", "--frozen", "--no-sync", "python", "-c", "import proj, one")
    assert project.uv("sync", "--locked").count("\n") == 2  # resolved, checked
    assert project.source.calls() == []


def test_what_is_there_is_what_uv_sync_makes(project):
    project.uv("sync", "--locked")
    theirs = {p.name: p.read_bytes() for p in project.info().iterdir()}
    pth = (project.site() / "_proj.pth").read_bytes()
    shutil.rmtree(project.root / ".venv")
    project.mount()
    ours = {p.name: p.read_bytes() for p in project.info().iterdir()}
    assert ours == theirs and ours["INSTALLER"] == b"uv"
    assert (project.site() / "_proj.pth").read_bytes() == pth


def test_an_unchanged_project_starts_no_tool(project):
    project.remounted()
    project.source.calls()
    (project.tools / "uv").unlink()
    said = project.remounted("-v")
    assert f"{project.root}/uv.lock: known" in said and "built" not in said
    # The lock is read, and what was built is still known.
    lock = project.root / "uv.lock"
    lock.write_text("# Says nothing new.\n" + lock.read_text())
    said = project.remounted("-v")
    assert "uv.lock: read" in said and "built before" in said
    assert project.source.calls() == []


@pytest.mark.parametrize("name", ["pyproject.toml", "setup.py", "setup.cfg"])
def test_it_is_built_again_when_what_decides_its_build_changed(project, name):
    project.remounted()
    project.source.calls()
    (project.root / name).touch()
    said = project.mount().stderr
    assert "proj is built by uv" in said
    assert project.source.calls() == ["editable"]
    project.is_clean()


def test_cache_keys_of_uv_decide(venvfs, server):
    keys = '[tool.uv]\ncache-keys = [{ file = "pyproject.toml" }, { file = "src/**/*.txt" }, { env = "SPECIAL" }, { git = { commit = true, tags = true } }]\n'
    p = Builder(venvfs, server, more=keys)
    git = ["git", "-C", p.root, "-c", "user.name=x", "-c", "user.email=x@example.org", "-c", "init.defaultBranch=main"]
    subprocess.run([*git, "init", "-q"], check=True)
    p.lock()

    def calls(**env):
        p.remounted(**env)
        return p.source.calls()

    assert calls() == ["editable"] and calls() == []
    (p.root / "setup.cfg").touch()  # no key here
    assert calls() == []
    (p.root / "src/proj/words.txt").write_text("x")
    assert calls() == ["editable"] and calls() == []
    (p.root / "src/proj/words.txt").write_text("xy")
    assert calls() == ["editable"] and calls() == []
    assert calls(SPECIAL="1") == ["editable"]
    assert calls(SPECIAL="1") == []
    subprocess.run([*git, "add", "pyproject.toml"], check=True)
    subprocess.run([*git, "commit", "-qm", "x"], check=True)
    assert calls(SPECIAL="1") == ["editable"] and calls(SPECIAL="1") == []
    subprocess.run([*git, "tag", "v1"], check=True)
    assert calls(SPECIAL="1") == ["editable"] and calls(SPECIAL="1") == []
    p.mount(SPECIAL="1")
    p.env["SPECIAL"] = "1"
    p.is_clean()


def test_keys_that_are_not_known_ask_the_tool_each_time(venvfs, server):
    p = Builder(venvfs, server, more='[tool.uv]\ncache-keys = [{ file = "pyproject.toml" }, { file = "{a,b}.txt" }]\n')
    p.lock()
    for _ in range(2):
        assert "proj is built by uv" in p.remounted()


def test_exec_export_and_read_only_have_it_too(project):
    assert project.run("exec", "--", "proj-hello").stdout == "hello 1.0\n"
    assert project.source.calls() == ["editable"]
    project.run("export", "out")
    assert project.output("proj-hello", "out") == "hello 1.0"
    assert project.output("proj-script", "out") == str(project.root / "out")
    assert (project.info(venv="out") / "uv_cache.json").exists()
    project.mount("--read-only", "--seed")
    assert project.output("proj-hello") == "hello 1.0" and (project.root / ".venv/bin/pip").exists()
    project.unmount()
    assert project.source.calls() == []


def test_it_is_left_out_when_that_is_said(project):
    said = project.mount("--no-build")
    assert "proj is left out: it is to be built from" in said.stderr
    assert not list(project.site().glob("proj-*"))
    project.unmount()
    assert "proj" not in project.remounted("--no-install-project")
    assert project.source.calls() == []


def test_a_pin_without_a_wheel_is_left_out_when_that_is_said(venvfs, server, archive):
    p = Builder(venvfs, server)
    (p.root / "requirements.txt").write_text("sd==1.0\none==1.0\n")
    for _ in range(2):
        said = p.mount("--no-build").stderr
        assert said == f"venvfs: lock: sd is left out: it is to be built from '{archive.url}'\n"
        assert [d.name for d in p.site().glob("*.dist-info")] == ["one-1.0.dist-info"]
        p.unmount()
    assert archive.source.calls() == [] and len(server.asked("/files/")) == 1
    assert "sd is built by uv" in p.remounted()


@pytest.mark.parametrize("tool", ["uv", "pip"])
def test_an_archive_of_another_version_is_refused(venvfs, server, archive, tool):
    p = Builder(venvfs, server)
    renamed = archive.path.rename(archive.path.with_name("sd-2.0.tar.gz"))
    (p.root / "requirements.txt").write_text(f"{renamed}\n")
    if tool == "pip":
        (p.tools / "uv").unlink()
    said = p.mount(ok=False).stderr
    assert f"sd is built by {tool}" in said and "2.0" in said and not (p.root / ".venv").exists()


def test_a_workspace_has_its_members(venvfs, server):
    p = Builder(venvfs, server, ["member"], more='[tool.uv.sources]\nmember = { workspace = true }\n[tool.uv.workspace]\nmembers = ["member"]\n')
    member = Source(p.root / "member", "member", "2.0", ["one"])
    member.calls_file.parent.rename(venvfs.root / "member-calls")
    member.calls_file = venvfs.root / "member-calls/calls"
    backend = member.root / "back/backend.py"
    backend.write_text(backend.read_text().replace(str(p.root / "member-calls"), str(venvfs.root / "member-calls")))
    p.lock()
    member.calls()
    said = p.mount().stderr.splitlines()
    assert [line.split()[1] for line in said] == ["member", "proj"]
    assert (p.source.calls(), member.calls()) == (["editable"], ["editable"])
    assert p.output("member-hello") == "hello 2.0"
    p.is_clean()
    p.unmount()
    (p.root / "pyproject.toml").touch()
    assert p.remounted().count("\n") == 1
    assert (p.source.calls(), member.calls()) == (["editable"], [])


def test_a_directory_that_is_no_editable(venvfs, server):
    p = Builder(venvfs, server, ["other"], more='[tool.uv.sources]\nother = { path = "../other" }\n')
    other = Source(venvfs.root / "other", "other")
    p.lock()
    other.calls()
    p.mount()
    assert other.calls() == ["wheel"]
    assert (p.site() / "other/__init__.py").exists()
    assert '"editable":false' in (p.info("other") / "direct_url.json").read_text().replace(" ", "")
    p.is_clean()
    assert other.calls() == []


def test_pylock_has_directories(venvfs, server):
    p = Builder(venvfs, server)
    other = Source(venvfs.root / "other", "other")
    for editable in ("true", "false", None):
        said = f", editable = {editable}" if editable else ""
        (p.root / "pylock.toml").write_text(f"""lock-version = "1.0"
created-by = "test"
[[packages]]
name = "other"
directory = {{ path = "../other"{said} }}
""")
        p.mount()
        assert other.calls() == {"true": ["editable"], "false": ["wheel"], None: []}[editable]
        # uv installs it again when it finds another word there.
        assert json.loads((p.info("other") / "direct_url.json").read_text())["dir_info"] == ({"editable": editable == "true"} if editable else {})
        assert "Would make no changes" in p.uv("pip", "sync", "--dry-run", "--preview", "--python", ".venv", "pylock.toml")
        assert p.output("other-hello") == "hello 1.0"
        assert (p.site() / "_other.pth").exists() == (editable == "true")
        p.unmount()


@pytest.mark.parametrize("line", ["-e ./other", "./other", "other @ file://{root}/other", "-e file://{root}/other", "{root}/other"])
def test_requirements_name_directories(venvfs, server, line):
    p = Builder(venvfs, server)
    other = Source(p.root / "other", "other")
    other.calls_file.parent.mkdir(exist_ok=True)
    (p.root / "lines.txt").write_text(line.format(root=p.root) + "\none==1.0\n")
    p.mount("-r", "lines.txt", "--index-url", server.index())
    assert other.calls() == ["editable" if line.startswith("-e") else "wheel"]
    assert p.output("other-hello") == "hello 1.0"
    p.uv("pip", "check", "--python", ".venv")
    if not line.startswith("-e"):
        assert "Would make no changes" in p.uv("pip", "sync", "--dry-run", "--python", ".venv", "lines.txt")


# -- source archives ---------------------------------------------------------------------


class Archive:
    """A source archive that the index has, too."""

    def __init__(self, venvfs, server, name="sd", version="1.0"):
        self.source = Source(venvfs.root / f"{name}-source", name, version)
        self.path = self.source.sdist(venvfs.root)
        server.files[self.path.name] = self.path.read_bytes()
        server.list(self.path.name, name)
        self.url = server.url(self.path.name, hash=False)
        self.hashed = server.url(self.path.name)
        self.hash = self.hashed.rpartition("=")[2]


@pytest.fixture
def archive(venvfs, server):
    return Archive(venvfs, server)


def test_an_archive_of_the_index_is_built_once(venvfs, server, archive):
    p = Builder(venvfs, server, ["sd"], more="")
    p.lock()
    archive.source.calls()
    server.requests.clear()
    said = p.mount("--no-install-project").stderr
    assert "sd is built by uv: uv pip install --no-deps sd @ file://" in said
    assert archive.source.calls() == ["wheel"]
    assert [path for _, path in server.asked("/files/")] == [f"/files/{archive.path.name}"]
    assert not server.asked("/simple/")
    assert p.output("sd-hello") == "hello 1.0" and p.output("sd-script") == str(p.root / ".venv")
    assert not (p.info("sd") / "direct_url.json").exists()
    p.unmount()
    # Neither it nor a tool is needed again, by another project neither.
    (p.tools / "uv").unlink()
    server.requests.clear()
    lines = p.root / "lines.txt"
    lines.write_text(f"sd==1.0 --hash=sha256:{archive.hash}\n")
    assert p.remounted("-r", lines) == ""
    lock = p.root / "uv.lock"
    lock.write_text("# Says nothing new.\n" + lock.read_text())
    assert "sd: built before" in p.remounted("--no-install-project", "-v", "--offline")
    assert archive.source.calls() == [] and not server.asked()
    # Not even a leftover of the archive.
    assert not list((venvfs.cache / "tmp").iterdir())
    (p.tools / "uv").symlink_to(UV)
    p.mount()
    p.is_clean()


@pytest.mark.parametrize("line", [
    "sd==1.0", "sd==1.0 --hash=sha256:{hash}", "{url}", "{hashed}", "sd @ {hashed}", "sd @ {url} --hash=sha256:{hash}", "{path}",
    "./{path.name}", "sd @ file://{path}", "file://{path}#sha256={hash}", "--only-binary one\nsd==1.0", "--no-binary :all:\nsd==1.0",
    "--find-links {path.parent}\n--no-index\nsd==1.0 --hash=sha256:{hash}",
])
def test_requirements_name_archives(venvfs, server, archive, line):
    p = Builder(venvfs, server)
    lines = venvfs.root / "lines.txt"
    lines.write_text(line.format(**vars(archive)) + "\n")
    done = venvfs.run("mount", p.root / ".venv", "--python", sys.executable, "-r", "lines.txt", **p.env)
    assert "sd is built by uv" in done.stderr
    assert archive.source.calls() == ["wheel"]
    assert p.output("sd-hello") == "hello 1.0"
    direct = p.info("sd") / "direct_url.json"
    assert direct.exists() == ("==" not in line)
    if direct.exists():
        assert json.loads(direct.read_text())["url"] == (archive.url if "{path" not in line else archive.path.as_uri())
    p.uv("pip", "check", "--python", ".venv")
    p.unmount()
    venvfs.run("mount", p.root / ".venv", "--python", sys.executable, "-r", "lines.txt", **p.env)
    assert archive.source.calls() == []


def test_a_wheel_comes_before_an_archive(venvfs, server, archive):
    p = Builder(venvfs, server)
    (p.root / "lines.txt").write_text(f"--find-links {archive.path.parent}\nsd==1.0\n")
    server.add(Wheel("sd"))
    p.mount("-r", "lines.txt")
    assert archive.source.calls() == []
    p.unmount()
    (p.root / "lines.txt").write_text("--no-binary sd\nsd==1.0\n")
    p.mount("-r", "lines.txt")
    assert archive.source.calls() == ["wheel"]
    p.unmount()
    (p.root / "lines.txt").write_text("--only-binary :all:\nold==1.0\n")
    old = Archive(venvfs, server, "old")
    said = p.mount("-r", "lines.txt", ok=False).stderr
    assert "the index has only sources of this version" in said and said.count("\n") == 1
    assert old.source.calls() == []


def test_pylock_has_archives(venvfs, server, archive):
    p = Builder(venvfs, server)
    head = 'lock-version = "1.0"\ncreated-by = "test"\n[[packages]]\nname = "sd"\nversion = "1.0"\n'
    hashes = f'hashes = {{ sha256 = "{archive.hash}" }}'
    for text in (f'sdist = {{ url = "{archive.url}", {hashes} }}\n', f'sdist = {{ path = "../{archive.path.name}", {hashes} }}\n',
                 f'archive = {{ url = "{archive.url}", {hashes} }}\n'):
        (p.root / "pylock.toml").write_text(head + text)
        p.mount()
        assert p.output("sd-hello") == "hello 1.0"
        assert (p.info("sd") / "direct_url.json").exists() == text.startswith("archive")
        p.unmount()
    # It is one archive.
    assert archive.source.calls() == ["wheel"]


def test_an_archive_of_another_hash_is_not_built(venvfs, server, archive):
    p = Builder(venvfs, server)
    wrong = "0" * 64
    for line in (f"sd @ {archive.url}#sha256={wrong}", f"sd @ file://{archive.path}#sha256={wrong}"):
        (p.root / "lines.txt").write_text(line + "\n")
        said = p.mount("-r", "lines.txt", ok=False).stderr
        assert said.count("\n") == 1 and "sha256" in said and "expected" in said
    (p.root / "lines.txt").write_text(f"sd==1.0 --hash=sha256:{wrong}\n")
    said = p.mount("-r", "lines.txt", ok=False).stderr
    assert said.count("\n") == 1 and "sd 1.0" in said
    (p.root / "lines.txt").write_text(f"sd @ {archive.url.replace('sd-', 'none-')}\n")
    said = p.mount("-r", "lines.txt", ok=False).stderr
    assert said.count("\n") == 1 and "404" in said
    assert archive.source.calls() == [] and not list((p.root).glob(".venv"))


def test_an_archive_is_refused_offline(venvfs, server, archive):
    p = Builder(venvfs, server)
    (p.root / "lines.txt").write_text(f"sd @ {archive.hashed}\n")
    said = p.mount("-r", "lines.txt", "--offline", ok=False).stderr
    assert said.count("\n") == 1 and "sd" in said and "offline" in said
    assert not server.asked()


def test_files_of_the_project_are_as_uv_leaves_them(venvfs, server, archive):
    wheel = Wheel("here").write(venvfs.root)
    more = f'[tool.uv.sources]\nsd = {{ path = "../{archive.path.name}" }}\nhere = {{ path = "../{wheel.name}" }}\n'
    p = Builder(venvfs, server, ["sd", "here"], more=more)
    p.lock()
    archive.source.calls()
    p.mount()
    assert archive.source.calls() == ["wheel"]
    p.is_clean()
    p.unmount()
    for path in (archive.path, wheel):
        path.touch()
        p.mount()
        p.is_clean()
        p.unmount()
    assert archive.source.calls() == []
    # Our cache is enough.
    archive.path.unlink()
    wheel.unlink()
    p.mount()
    assert p.output("sd-hello") == "hello 1.0"


# -- Git ---------------------------------------------------------------------------------


@pytest.fixture
def repository(venvfs):
    source = Source(venvfs.root / "repository/below", "gp")
    source.calls_file.parent.rename(venvfs.root / "gp-calls")
    backend = source.root / "back/backend.py"
    backend.write_text(backend.read_text().replace(str(source.calls_file), str(venvfs.root / "gp-calls/calls")))
    source.calls_file = venvfs.root / "gp-calls/calls"
    root = source.root.parent
    git = ["git", "-C", root, "-c", "user.name=x", "-c", "user.email=x@example.org", "-c", "init.defaultBranch=main"]
    for args in (["init", "-q"], ["add", "."], ["commit", "-qm", "x"], ["tag", "v1"]):
        subprocess.run([*git, *args], check=True)
    source.commit = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()
    source.url = root.as_uri()
    return source


def test_a_repository_is_built_at_its_commit(venvfs, server, repository):
    more = f'[tool.uv.sources]\ngp = {{ git = "{repository.url}", tag = "v1", subdirectory = "below" }}\n'
    p = Builder(venvfs, server, ["gp"], more=more)
    p.lock()
    repository.calls()
    shutil.rmtree(venvfs.root / "uv")
    said = p.mount("--no-install-project").stderr
    assert f"gp is built by uv: uv pip install --no-deps gp @ git+{repository.url}@{repository.commit}#subdirectory=below" in said
    assert repository.calls() == ["wheel"] and p.output("gp-hello") == "hello 1.0"
    p.unmount()
    (p.tools / "uv").unlink()
    lock = p.root / "uv.lock"
    lock.write_text("# Says nothing new.\n" + lock.read_text())
    assert p.remounted("--no-install-project", "--offline") == ""
    (p.tools / "uv").symlink_to(UV)
    p.mount()
    p.is_clean()
    assert repository.calls() == []


@pytest.mark.parametrize("kind", ["requirements", "pylock"])
def test_other_locks_name_repositories(venvfs, server, repository, kind):
    p = Builder(venvfs, server)
    if kind == "requirements":
        (p.root / "requirements.txt").write_text(f"gp @ git+{repository.url}@{repository.commit}#subdirectory=below\n")
    else:
        (p.root / "pylock.toml").write_text(f"""lock-version = "1.0"
created-by = "test"
[[packages]]
name = "gp"
vcs = {{ type = "git", url = "{repository.url}", commit-id = "{repository.commit}", requested-revision = "v1", subdirectory = "below" }}
""")
    p.mount()
    assert repository.calls() == ["wheel"] and p.output("gp-hello") == "hello 1.0"
    direct = json.loads((p.info("gp") / "direct_url.json").read_text())
    assert direct["vcs_info"]["commit_id"] == repository.commit and direct["subdirectory"] == "below"
    assert direct["vcs_info"]["requested_revision"] == (repository.commit if kind == "requirements" else "v1")
    p.uv("pip", "check", "--python", ".venv")


def test_a_repository_that_cannot_be_fetched_is_said(venvfs, server, repository):
    p = Builder(venvfs, server)
    (p.root / "requirements.txt").write_text(f"gp @ git+{repository.url}@{'0' * 40}\n")
    said = p.mount(ok=False).stderr.splitlines()
    assert "gp is built by uv" in said[0] and "ended with status" in said[1] and ".log" in said[1]
    (p.tools / "uv").unlink()
    said = p.mount("--offline", ok=False).stderr
    assert said.count("\n") == 1 and "nothing is fetched offline" in said


# -- tools and what goes wrong -----------------------------------------------------------


def test_pip_of_the_interpreter_builds_where_there_is_no_uv(project):
    (project.tools / "uv").unlink()
    said = project.mount().stderr
    assert "proj is built by pip: " in said and "-m pip install --no-deps --editable" in said
    assert project.source.calls() == ["editable"]
    assert project.output("proj-hello") == "hello 1.0" and project.output("proj-script") == str(project.root / ".venv")
    assert f"proj    1.0     {project.root}" in project.uv("pip", "list", "--editable", "--python", ".venv")
    project.uv("pip", "check", "--python", ".venv")
    project.unmount()
    assert project.remounted() == ""


@pytest.mark.parametrize("python", [PYTHON, sys.executable])
def test_pip_builds_for_each_python_and_setting(project, python):
    if subprocess.run([python, "-m", "pip", "--version"], capture_output=True).returncode:
        missing(f"pip of {python}")
    (project.tools / "uv").unlink()
    env = {**project.env, "PIP_REQUIRE_VIRTUALENV": "1", "PIP_USER": "1", "UV_SYSTEM_PYTHON": "1"}
    done = project.venvfs.run("mount", "--python", python, cwd=project.root, **env)
    assert "is built by pip" in done.stderr
    assert project.output("proj-hello") == "hello 1.0" and project.output("proj-script") == str(project.root / ".venv")
    assert (project.root / ".venv/share/proj.txt").exists() and list(project.root.glob(".venv/include/site/*/proj/proj.h"))


def test_uv_builds_whatever_the_environment_says(project):
    (project.root / ".venv").mkdir()
    project.mount(UV_SYSTEM_PYTHON="1", UV_REQUIRE_HASHES="1", VIRTUAL_ENV="/nowhere", UV_COMPILE_BYTECODE="1")
    assert project.output("proj-hello") == "hello 1.0"


def test_pip_builds_archives_and_repositories(venvfs, server, archive, repository):
    p = Builder(venvfs, server)
    (p.tools / "uv").unlink()
    (p.root / "requirements.txt").write_text(f"sd @ {archive.hashed}\ngp @ git+{repository.url}@{repository.commit}#subdirectory=below\n")
    p.mount()
    assert (archive.source.calls(), repository.calls()) == (["wheel"], ["wheel"])
    assert p.output("sd-hello") == p.output("gp-hello") == "hello 1.0"


def without_pip(folder, bundled):
    """A Python that has no pip, and `bundled` or not one in its ensurepip."""
    real = os.path.realpath(sys.executable)
    bare, fake = folder / "bare-python", folder / "python"
    bare.write_text(f'#!/bin/sh\ncase "$*" in *find_spec*) exit 1;; esac\nexec {real} "$@"\n')
    empty = "" if bundled else """; s#"pip_wheels": "[^"]*"#"pip_wheels": ""#"""
    fake.write_text(f"""#!/bin/sh\n{real} "$@" | sed 's#"executable": "[^"]*"#"executable": "{bare}"#{empty}'\n""")
    for path in (bare, fake):
        path.chmod(0o755)
    return fake


def test_the_pip_of_ensurepip_builds_where_there_is_no_other(project):
    (project.tools / "uv").unlink()
    python = without_pip(project.venvfs.root, bundled=True)
    done = project.venvfs.run("export", "out", "--python", python, cwd=project.root, **project.env)
    assert "-m pip install --no-deps --editable" in done.stderr
    assert project.source.calls() == ["editable"] and (project.root / "out/bin/proj-hello").exists()


def test_without_a_tool_one_line_says_so(project):
    (project.tools / "uv").unlink()
    python = without_pip(project.venvfs.root, bundled=False)
    done = project.venvfs.run("mount", "--python", python, cwd=project.root, ok=False, **project.env)
    assert done.returncode == 1 and done.stderr.count("\n") == 1
    assert "there is no uv in PATH" in done.stderr and "has no pip" in done.stderr and "--no-build" in done.stderr


def test_a_build_that_fails_says_what_was_run_and_where_the_log_is(project):
    project.source.go_wrong("print('first line'); print('\\x1b[31mbad\\x1b[0m'); raise SystemExit('it does not work here')")
    done = project.mount(ok=False)
    lines = done.stderr.splitlines()
    assert done.returncode == 1
    assert lines[0].startswith("venvfs: proj is built by uv: uv pip install")
    command = f"uv pip install --no-deps --editable {project.root}"
    assert lines[1].startswith(f"venvfs: proj: '{command}' ended with status 1; all that it said is in ")
    log = pathlib.Path(lines[1].rpartition(" in ")[2])
    assert "it does not work here" in log.read_text() and log.stat().st_mode & 0o777 == 0o600
    assert all(line.startswith("uv: ") for line in lines[2:]) and len(lines) < 25
    assert any("it does not work here" in line for line in lines) and "\x1b" not in done.stderr
    assert project.venvfs.list() == [] and not (project.root / ".venv").exists()
    assert not list((project.venvfs.cache / "tmp").iterdir())
    # It can be left out, and the next run carries on.
    project.remounted("--no-build")
    project.source.go_right()
    project.mount()
    assert project.output("proj-hello") == "hello 1.0"


def test_what_is_said_is_told_when_asked_for(project):
    project.source.go_wrong("print('this is said')")
    said = project.remounted("-v")
    assert "uv: Using CPython" in said and "uv: Installed 1 package" in said


def test_another_project_than_the_one_wanted_is_refused(venvfs, server):
    p = Builder(venvfs, server)
    Source(p.root / "other", "other")
    (p.root / "requirements.txt").write_text(f"-e wrong @ file://{p.root}/other\n")
    said = p.mount(ok=False).stderr
    assert "wrong: what was built of" in said and "is another project: other-1.0" in said


def test_a_wheel_that_was_built_is_checked(project):
    backend = project.root / "back/backend.py"
    backend.write_text(backend.read_text().replace('"[console_scripts]\\n', '"[console_scripts]\\npython = os:abort\\n').replace(
        'f"[console_scripts]\\n', 'f"[console_scripts]\\npython3 = os:abort\\n'))
    said = project.mount(ok=False).stderr
    assert "proj" in said.splitlines()[-1] or "uv: " in said
    assert not (project.root / ".venv").exists()


@pytest.mark.parametrize("number", ["INT", "TERM"])
def test_a_signal_ends_the_tool_and_leaves_nothing(project, number):
    import signal

    project.source.go_wrong(f"import os, time; open({str(project.root.parent / 'building')!r}, 'w').write(str(os.getpid())); time.sleep(600)")
    env = {**project.venvfs.env, **project.env}
    child = subprocess.Popen([os.environ.get("VENVFS", "build/dev/cli/venvfs"), "mount", "--python", sys.executable], cwd=project.root, env=env,
                             stderr=subprocess.PIPE, text=True)
    building = project.root.parent / "building"
    wait_until(lambda: building.exists() and building.read_text())
    backend = int(building.read_text())
    child.send_signal(getattr(signal, "SIG" + number))
    said = child.communicate(timeout=PATIENCE)[1]
    assert child.returncode == -getattr(signal, "SIG" + number)
    assert said.splitlines()[1:] == ["venvfs: interrupted; the next run carries on with what has come so far"]
    wait_until(lambda: has_ended(backend))
    assert not list((project.venvfs.cache / "tmp").iterdir()) and project.venvfs.list() == []
    project.source.go_right()
    project.mount()
    assert project.output("proj-hello") == "hello 1.0"


def test_two_at_once_build_once(project):
    project.source.go_wrong("import time; time.sleep(1)")
    env = {**project.venvfs.env, **project.env}
    program = os.environ.get("VENVFS", "build/dev/cli/venvfs")
    children = [subprocess.Popen([program, "exec", "--python", sys.executable, "--", "proj-hello"], cwd=project.root, env=env,
                                 stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(3)]
    for child in children:
        out, err = child.communicate(timeout=300)
        assert child.returncode == 0 and out == "hello 1.0\n", err
    assert project.source.calls() == ["editable"]


def test_uv_s_own_backend_needs_no_download(venvfs, server):
    version = subprocess.run([UV, "--version"], capture_output=True, text=True).stdout.split()[1]
    p = Builder(venvfs, server)
    pyproject = p.root / "pyproject.toml"
    text = pyproject.read_text().partition("[build-system]")[0]
    pyproject.write_text(text + f'[build-system]\nrequires = ["uv_build=={version}"]\nbuild-backend = "uv_build"\n')
    p.uv("lock", "--offline", "--python", sys.executable)
    p.mount("--offline")
    assert p.output("proj-hello") == "hello 1.0"
    p.env["UV_OFFLINE"] = "1"
    p.is_clean()


def test_what_a_directory_had_is_not_taken_for_a_version(venvfs, server):
    p = Builder(venvfs, server)
    p.lock()
    p.remounted()
    (p.root / "lines.txt").write_text("proj==1.0\n")
    said = p.mount("-r", "lines.txt", "--offline", ok=False).stderr
    assert "proj 1.0 is in no cache here" in said


def test_a_name_in_setup_cfg_is_enough(venvfs, server):
    p = Builder(venvfs, server)
    other = Source(p.root / "other", "other")
    pyproject = other.root / "pyproject.toml"
    pyproject.write_text("[build-system]" + pyproject.read_text().partition("[build-system]")[2])
    (p.root / "requirements.txt").write_text("-e ./other\n")
    assert "other is built by uv" in p.remounted()
    (other.root / "setup.cfg").write_text("[metadata]\nname = other\n")
    p.mount()
    assert p.output("other-hello") == "hello 1.0"


@pytest.mark.parametrize("tool", ["uv", "pip"])
def test_a_name_that_only_a_build_tells(venvfs, server, archive, repository, tool):
    p = Builder(venvfs, server)
    if tool == "pip":
        (p.tools / "uv").unlink()
    other = Source(p.root / "Some_folder", "other")
    pyproject = other.root / "pyproject.toml"
    pyproject.write_text("[build-system]" + pyproject.read_text().partition("[build-system]")[2])
    main = archive.path.rename(archive.path.with_name("main.tar.gz"))
    lines = [f"-e {other.root}" if tool == "uv" else other.root, main, f"git+{repository.url}@{repository.commit}#subdirectory=below"]
    (p.root / "requirements.txt").write_text("\n".join(map(str, lines)) + "\none==1.0\n")
    said = p.mount().stderr
    assert f"some-folder is built by {tool}" in said and f"main is built by {tool}" in said and f"repository is built by {tool}" in said
    assert p.output("other-hello") == p.output("sd-hello") == p.output("gp-hello") == "hello 1.0"
    p.uv("pip", "check", "--python", ".venv")
    assert p.info("sd") and p.info("gp") and p.info("other")
    p.unmount()
    assert p.remounted() == ""
    # Two of one name are found when they were built.
    (p.root / "requirements.txt").write_text(f"{main}\nsd==1.0\n")
    server.add(Wheel("sd"))
    assert "two wheels of sd" in p.mount(ok=False).stderr


def test_any_of_an_archives_hashes_will_do(venvfs, server, archive):
    p = Builder(venvfs, server)
    wrong = "0" * 64
    for place in (f"sd @ {archive.url}", str(archive.path)):
        (p.root / "lines.txt").write_text(f"{place} --hash=sha256:{wrong} --hash=sha256:{archive.hash}\n")
        p.mount("-r", "lines.txt")
        assert p.output("sd-hello") == "hello 1.0"
        p.unmount()
    # What was built by one of them needs neither file nor tool.
    (p.tools / "uv").unlink()
    server.requests.clear()
    assert p.remounted("-r", "lines.txt") == "" and archive.source.calls() == ["wheel"] and not server.asked()
    (p.root / "lines.txt").write_text(f"sd @ {archive.url} --hash=sha256:{wrong} --hash=sha256:{'1' * 64}\n")
    said = p.mount("-r", "lines.txt", ok=False).stderr
    assert said.count("\n") == 1 and "sd" in said and archive.hash in said


def test_what_uv_is_told_to_build_is_built(venvfs, server, archive):
    server.add(Wheel("sd"))
    p = Builder(venvfs, server, ["sd"])
    p.lock()
    archive.source.calls()
    assert "sd is built" not in p.remounted("--no-install-project") + p.remounted("--no-install-project", UV_NO_BINARY_PACKAGE="other")
    assert "sd is built by uv" in p.remounted("--no-install-project", UV_NO_BINARY_PACKAGE="other SD")
    assert archive.source.calls() == ["wheel"]
    pyproject = p.root / "pyproject.toml"
    pyproject.write_text(pyproject.read_text() + '[tool.uv]\nno-binary-package = ["sd"]\n')
    p.mount()
    assert p.output("sd-hello") == "hello 1.0"
    p.is_clean()


@pytest.mark.parametrize("how", ["option", "variable"])
def test_nothing_is_editable_when_that_is_said(venvfs, server, how):
    p = Builder(venvfs, server, ["member"], more='[tool.uv.sources]\nmember = { workspace = true }\n[tool.uv.workspace]\nmembers = ["member"]\n')
    member = Source(p.root / "member", "member", "2.0", ["one"])
    p.lock()
    member.calls()
    options, env = (["--no-editable"], {}) if how == "option" else ([], {"UV_NO_EDITABLE": "1"})
    said = p.mount(*options, **env).stderr
    assert "--editable" not in said and p.source.calls() == member.calls() == ["wheel"]
    assert (p.site() / "proj/__init__.py").exists() and (p.site() / "member/__init__.py").exists()
    assert "Would make no changes" in p.uv("sync", "--locked", "--dry-run", "--no-editable")
    assert ("--no-editable" in venvfs.run("status", p.root / ".venv").stdout) == (how == "option")
    p.unmount()
    p.mount()
    assert p.source.calls() == member.calls() == ["editable"]


def serve_setuptools(server, source):
    """A setuptools whose backend for what has a setup.py alone is that of `source`."""
    code = (source.root / "back/backend.py").read_text() + '''


class __legacy__:
    build_wheel, build_editable = build_wheel, build_editable
'''
    setuptools = Wheel("setuptools", "99.0")
    setuptools.add("setuptools/build_meta.py", code.encode())
    server.add(setuptools)
    server.add(Wheel("wheel"))  # older pips want it beside


@pytest.mark.parametrize("tool, python", [("uv", sys.executable), ("pip", sys.executable), ("pip", PYTHON)])
def test_a_setup_py_is_enough(venvfs, server, tool, python):
    if tool == "pip" and subprocess.run([python, "-m", "pip", "--version"], capture_output=True).returncode:
        missing(f"pip of {python}")
    p = Builder(venvfs, server)
    if tool == "pip":
        (p.tools / "uv").unlink()
    old = Source(p.root / "an-old_one", "old")
    serve_setuptools(server, old)
    (old.root / "pyproject.toml").unlink()
    (old.root / "setup.py").write_text("from setuptools import setup\n\nsetup(**{'name': 'o' + 'ld', 'version': '1.0'})\n")
    env = {**p.env, "PIP_NO_INDEX": "0", "PIP_INDEX_URL": server.index()}
    for line, call in (("-e ./an-old_one", "editable"), ("./an-old_one", "wheel")):
        (p.root / "requirements.txt").write_text(line + "\n")
        said = venvfs.run("mount", "--python", python, cwd=p.root, **env).stderr
        assert f"an-old-one is built by {tool}" in said and old.calls() == [call]
        assert p.output("old-hello") == "hello 1.0" and p.info("old").joinpath("METADATA").exists()
        p.unmount()
        assert venvfs.run("mount", "--python", python, cwd=p.root, **env).stderr == ""
        p.unmount()


def test_secrets_of_a_repository_are_not_shown(venvfs, server):
    p = Builder(venvfs, server)
    url = f"git+http://me:hunter2@127.0.0.1:{server.port}/gp"
    (p.root / "requirements.txt").write_text(f"gp @ {url}@{'1' * 40}\n")
    lines = p.mount(ok=False).stderr.splitlines()
    assert "hunter2" not in lines[0] + lines[1] and f"git+http://127.0.0.1:{server.port}/gp@111" in lines[0]


def test_a_disk_that_is_full_is_said(project):
    disk = project.venvfs.root / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m,mode=700", "tmpfs", disk]).returncode:
        missing("a mount")
    try:
        env = {"VENVFS_CACHE_DIR": str(disk / "cache")}
        project.run("exec", "--no-build", "--", "true", **env)
        with open(disk / "ballast", "wb", buffering=0) as f:
            with pytest.raises(OSError):
                while True:
                    f.write(b"x" * 4096)
        done = project.mount(ok=False, **env)
        assert done.returncode == 1 and "No space left" in done.stderr and "Traceback" not in done.stderr.splitlines()[0]
        (disk / "ballast").unlink()
        project.mount(**env)
        assert project.output("proj-hello") == "hello 1.0"
        project.unmount()
    finally:
        subprocess.run(["umount", disk], check=True)


def test_under_sudo_the_caller_builds(person):
    uv = person.home / ".local/bin/uv"
    person.path(".local/bin")
    shutil.copy(UV, uv)
    source = Source(person.home / "project")
    (person.home / "project/requirements.txt").write_text("-e .\n")
    subprocess.run(["chown", "-R", f"{person.uid}:{person.gid}", person.home / "project", source.calls_file.parent], check=True)
    venv = person.home / "project/.venv"
    done = person.sudo("mount", venv, "-r", "project/requirements.txt", "--python", PYTHON, ok=None)
    # Paths of requirements start from where the command is given.
    assert "neither a pyproject.toml nor a setup.py" in done.stderr
    (person.home / "project/requirements.txt").write_text(f"-e {person.home}/project\n")
    done = person.sudo("mount", venv, "-r", "project/requirements.txt", "--python", PYTHON)
    assert "proj is built by uv" in done.stderr
    assert person.run(venv / "bin/proj-hello").stdout == "hello 1.0\n"
    owned = [p for p in person.home.rglob("*") if ".venv" not in p.parts and not p.is_symlink() and p.stat().st_uid != person.uid]
    assert owned == [uv]
    person.sudo("unmount", venv)


def test_what_uv_sync_built_anew_in_the_mount_is_no_conflict(project):
    project.mount()
    (project.root / "pyproject.toml").touch()
    project.uv("sync", "--locked")
    project.unmount()
    project.mount()
    project.is_clean()
    assert project.source.calls() == ["editable"] * 3  # by mount, by uv sync, and by mount once more
