"""name==version from an index: which file is taken, what is refused, what is asked."""

import base64
import os
import pathlib
import sys

import pytest
from server import Fault, unused_port
from wheelmaker import Wheel

PYTHON = f"cp{sys.version_info.major}{sys.version_info.minor}"
OTHER_TAG = "cp27-cp27m-win32"


def names(venvfs):
    return [line.split("\t")[0] for line in venvfs.run("cache", "list").stdout.splitlines()]


@pytest.fixture(params=["json", "html", "gzip"])
def form(request, server):
    server.json = request.param != "html"
    server.gzips = request.param == "gzip"
    return server


def test_a_pin_is_fetched_from_the_index(venvfs, form):
    form.add(Wheel())
    form.add(Wheel(version="2.0"))
    said = venvfs.run("cache", "add", "-v", "-i", form.index(), "Demo==1.0").stderr
    assert "fetched" in said and "demo-1.0-py3-none-any.whl" in said
    assert names(venvfs) == ["demo-1.0-py3-none-any.whl"]
    assert form.asked() == [("GET", "/simple/demo/"), ("GET", "/files/demo-1.0-py3-none-any.whl")]
    assert "cached" in venvfs.run("cache", "add", "-v", "-i", form.index(), "demo==1.0").stderr
    assert len(form.asked()) == 3


def test_many_pins_are_asked_for_at_once(venvfs, form):
    for i in range(20):
        form.add(Wheel(f"p{i}"))
        form.fail(f"/simple/p{i}/", Fault(delay=0.1))
    venvfs.run("cache", "add", "-i", form.index(), *[f"p{i}==1.0" for i in range(20)])
    assert len(names(venvfs)) == 20 and len(form.asked()) == 40 and form.most_running >= 4


def test_the_wheel_that_fits_is_taken(venvfs, form):
    form.add(Wheel(tag=OTHER_TAG))
    form.add(Wheel(tag=f"{PYTHON}-none-any"))
    venvfs.run("cache", "add", "-i", form.index(), "-p", sys.executable, "demo==1.0")
    assert names(venvfs) == [f"demo-1.0-{PYTHON}-none-any.whl"]


@pytest.mark.parametrize("pin, said", [
    ("other==1.0", "no index that was asked has the project"),
    ("demo==3.0", "not this version"),
    ("demo==2.0", "fits the interpreter"),
    ("demo==1.5", "only sources"),
])
def test_what_is_not_there_is_said(venvfs, form, pin, said):
    form.add(Wheel())
    form.add(Wheel(version="2.0", tag=OTHER_TAG))
    form.files["demo-1.5.tar.gz"] = b"sources"
    form.list("demo-1.5.tar.gz", "demo")
    line = venvfs.refused("cache", "add", "-i", form.index(), pin)
    assert said in line and pin.replace("==", " ") in line, line


def test_without_an_index_it_is_said_what_to_set(venvfs):
    assert "--index-url" in venvfs.refused("cache", "add", "demo==1.0")


@pytest.mark.parametrize("env", [
    {"UV_DEFAULT_INDEX": "index.example/simple"}, {"PIP_INDEX_URL": "me:hush@index.example/simple"}, {"UV_INDEX": "name=index.example/simple"},
    {"PIP_EXTRA_INDEX_URL": "https:/index.example/simple"},
])
def test_an_index_without_a_scheme_is_said(venvfs, env):
    said = venvfs.refused("cache", "add", "demo==1.0", **env)
    assert "example/simple' is neither a URL nor a folder" in said and "hush" not in said
    assert "is neither a URL nor a folder" in venvfs.refused("cache", "add", "demo==1.0", "-i", "index.example/simple")


@pytest.mark.parametrize("pin, taken", [
    ("demo==2.1.0", "2.1.0+cu121"), ("demo==2.1", "2.1.0+cu121"), ("demo==2.1.0+cpu", "2.1.0+cpu"), ("demo===2.1.0", "2.1.0"),
])
def test_a_pin_takes_what_equals_means_and_the_highest_of_it(venvfs, form, pin, taken):
    """As uv and pip: a local version is higher than the one without."""
    for version in ("2.1.0", "2.1.0+cu121", "2.1.0+cpu", "2.1.1"):
        form.add(Wheel(version=version))
    venvfs.run("cache", "add", "-i", form.index(), pin)
    assert names(venvfs) == [f"demo-{taken}-py3-none-any.whl"]


def test_a_pinned_local_version_is_no_other(venvfs, form, tmp_path):
    form.add(Wheel(version="2.1.0"))
    assert "not this version" in venvfs.refused("cache", "add", "-i", form.index(), "demo==2.1.0+cpu")
    venvfs.add(Wheel(version="2.1.0").write(tmp_path))
    assert "offline" in venvfs.refused("cache", "add", "--offline", "demo==2.1.0+cpu")
    assert "no index" in venvfs.refused("cache", "add", "--find-links", tmp_path, "demo==2.1.0+cpu")


@pytest.mark.parametrize("builds", [("1023", "2024", "99999"), ("1", "1a", "1b"), ("20240101", "20240101a", "20240102")])
def test_of_equal_wheels_the_highest_build_is_taken(venvfs, server, builds):
    for build in (builds[0], builds[2], builds[1]):
        name = f"demo-1.0-{build}-py3-none-any.whl"
        server.files[name] = Wheel().add("demo/build.py", build.encode()).bytes()
        server.list(name, "demo")
    venvfs.run("cache", "add", "-i", server.index(), "demo==1.0")
    assert names(venvfs) == [f"demo-1.0-{builds[2]}-py3-none-any.whl"]


def test_what_was_yanked_is_the_last_choice(venvfs, form):
    yanked = Wheel(tag=f"{PYTHON}-none-any")
    form.add(yanked, yanked="broken <b>build</b>")
    form.add(Wheel())
    venvfs.run("cache", "add", "-i", form.index(), "-p", sys.executable, "demo==1.0")
    assert names(venvfs) == ["demo-1.0-py3-none-any.whl"]
    form.add(Wheel("gone"), yanked=True)
    venvfs.run("cache", "add", "-i", form.index(), "gone==1.0")


def test_the_hash_of_the_index_is_checked(venvfs, form):
    form.add(Wheel(), hashes={"sha256": "0" * 64})
    assert "its sha256 is" in venvfs.refused("cache", "add", "-i", form.index(), "demo==1.0")
    form.add(Wheel("other"), hashes={"sha512": "0" * 128})
    assert "its sha512 is" in venvfs.refused("cache", "add", "-i", form.index(), "other==1.0")
    form.add(Wheel("third"), hashes={"md5": "0" * 32})
    assert "md5" in venvfs.refused("cache", "add", "-i", form.index(), "third==1.0")
    assert names(venvfs) == []


def test_a_file_without_a_hash_is_taken(venvfs, form):
    form.add(Wheel(), hashes={})
    venvfs.run("cache", "add", "-i", form.index(), "demo==1.0")
    assert names(venvfs) == ["demo-1.0-py3-none-any.whl"]


def test_the_size_of_the_index_is_checked(venvfs, server):
    server.add(Wheel(), size=17)
    assert "expected were 17" in venvfs.refused("cache", "add", "-i", server.index(), "demo==1.0")


def test_urls_are_relative_to_the_page(venvfs, form):
    form.add(Wheel(), url="../../files/demo-1.0-py3-none-any.whl")
    venvfs.run("cache", "add", "-i", form.index(), "demo==1.0")


def test_urls_are_relative_to_where_the_page_was_moved(venvfs, form):
    form.add(Wheel(), index="elsewhere", url="../../files/demo-1.0-py3-none-any.whl")
    form.fail("/simple/demo/", Fault(redirect="/elsewhere/demo/"))
    venvfs.run("cache", "add", "-i", form.index(), "demo==1.0")


def test_a_base_and_escapes_are_heeded(venvfs, server):
    server.add(Wheel("demo", "1.0+local.1"))
    page = ("<html><head><base href='/files/'></head><body>"
            "<A HREF='demo-1.0%2Blocal.1-py3-none-any.whl?a=1&amp;b=2'>x</A></body></html>")
    server.fail("/simple/demo/", Fault(body=page.encode()))
    server.json = False
    venvfs.run("cache", "add", "-i", server.index(), "demo==1.0+local.1")
    assert names(venvfs) == ["demo-1.0+local.1-py3-none-any.whl"]


@pytest.mark.parametrize("page", [
    b"", b"\x00\xff garbage", b"{}", b'{"files": 3}', b'{"meta": {"api-version": "2.0"}, "files": []}', b"[" * 100_000,
])
def test_a_page_that_is_none_is_said(venvfs, server, page):
    server.add(Wheel())
    for json in (True, False):
        server.json = json
        server.fail("/simple/demo/", Fault(body=page))
        line = venvfs.refused("cache", "add", "-i", server.index(), "demo==1.0")
        assert "/simple/demo/" in line or "not this version" in line, line


def test_a_page_of_another_type_is_said(venvfs, server):
    server.fail("/simple/demo/", Fault(status=200, headers={"Content-Type": "image/png"}))
    assert "image/png" in venvfs.refused("cache", "add", "-i", server.index(), "demo==1.0")


@pytest.mark.parametrize("fault, said", [
    ({"status": 403}, "403"), ({"status": 401}, "401"), ({"status": 500}, "500"), ({"status": 429}, "429"),
    ({"raw": b""}, "without an answer"), ({"raw": b"garbage\n\n"}, "HTTP"),
])
def test_an_index_that_fails_is_said_and_no_other_asked(venvfs, server, fault, said):
    """A public index must not answer for a private one that is down."""
    server.add(Wheel(), index="public")
    server.fail("/private/demo/", Fault(stays=True, **fault))
    env = {"UV_INDEX": f"mine={server.index('private')}", "UV_DEFAULT_INDEX": server.index("public"), "UV_HTTP_RETRIES": "0"}
    assert said in venvfs.refused("cache", "add", "demo==1.0", **env)
    assert not server.asked("/public/")
    venvfs.run("cache", "add", "demo==1.0", **env, UV_INDEX_STRATEGY="unsafe-first-match")


def test_an_index_that_has_not_the_project_leads_to_the_next(venvfs, server):
    server.add(Wheel(), index="public")
    env = {"UV_INDEX": server.index("private"), "UV_DEFAULT_INDEX": server.index("public")}
    venvfs.run("cache", "add", "demo==1.0", **env)


def test_the_first_index_that_has_the_project_decides(venvfs, server):
    server.add(Wheel(version="2.0"), index="private")
    server.add(Wheel(), index="public")
    env = {"UV_EXTRA_INDEX_URL": server.index("private"), "UV_INDEX_URL": server.index("public")}
    assert "not this version" in venvfs.refused("cache", "add", "demo==1.0", **env)
    assert not server.asked("/public/")


def test_pip_looks_into_all_indexes(venvfs, server):
    server.add(Wheel(version="2.0"), index="first")
    server.add(Wheel(), index="second")
    env = {"PIP_INDEX_URL": server.index("first"), "PIP_EXTRA_INDEX_URL": f"{server.index('none')} {server.index('second')}"}
    venvfs.run("cache", "add", "demo==1.0", **env)
    assert [path for _, path in server.asked()][:3] == ["/first/demo/", "/none/demo/", "/second/demo/"]


def test_of_all_of_pips_indexes_the_best_file_is_taken(venvfs, server):
    server.add(Wheel(), index="one")
    server.add(Wheel(tag=f"{PYTHON}-none-any"), index="two")
    server.add(Wheel(), index="three")
    pip = {"PIP_INDEX_URL": server.index("one"), "PIP_EXTRA_INDEX_URL": f"{server.index('two')} {server.index('three')}"}
    venvfs.run("cache", "add", "-p", sys.executable, "demo==1.0", **pip)
    assert names(venvfs) == [f"demo-1.0-{PYTHON}-none-any.whl"] and len(server.asked("/files/")) == 1


def test_an_index_of_pips_that_fails_leaves_the_others(venvfs, server):
    server.add(Wheel(), index="one")
    for name in ("two", "three"):
        server.fail(f"/{name}/demo/", Fault(stays=True, status=403))
    for first, second in (("one", "two"), ("three", "one")):
        venvfs.run("cache", "add", "demo==1.0", PIP_INDEX_URL=server.index(first), PIP_EXTRA_INDEX_URL=server.index(second))
        assert names(venvfs) == ["demo-1.0-py3-none-any.whl"]


def test_what_is_missing_at_its_url_is_taken_from_an_index(venvfs, server):
    url = server.add(Wheel()).replace("/files/", "/gone/")
    line = venvfs.refused("cache", "add", url)
    assert "/gone/" in line and "404" in line
    venvfs.run("cache", "add", "-i", server.index(), url)
    other = server.add(Wheel("other"), hashes={"sha256": "0" * 64}).replace("/files/", "/gone/")
    assert "404" in venvfs.refused("cache", "add", "-i", server.index(), other)


# -- settings ------------------------------------------------------------------------------


def pip_conf(venvfs, text, path=".config/pip/pip.conf"):
    file = pathlib.Path(venvfs.env["HOME"], path)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file


def test_pip_conf_is_heeded(venvfs, server):
    server.add(Wheel(), index="private")
    server.logins["/private/"] = server.logins["/files/"] = "me:" + "x" * 900
    login = "me:" + "x" * 900
    pip_conf(venvfs, "# mine\n[global]\nindex-url = http://127.0.0.1:%d/none\nextra_index_url =\n"
             "    http://127.0.0.1:%d/none\n    http://%s@127.0.0.1:%d/private\n"
             "timeout: 7.5\n[freeze]\nno-index = true\n" % (server.port, server.port, login, server.port))
    done = venvfs.run("cache", "add", "-v", "demo==1.0")
    assert "xxx" not in done.stderr + done.stdout
    assert [h.get("Authorization", "") != "" for h in server.heads("/private")] == [True]


def test_install_stands_over_global_and_the_environment_over_both(venvfs, server):
    server.add(Wheel(), index="right")
    pip_conf(venvfs, f"[install]\nindex-url = {server.index('right')}\n[global]\nindex-url = {server.index('wrong')}\n")
    venvfs.run("cache", "add", "demo==1.0")
    server.add(Wheel("other"), index="other")
    venvfs.run("cache", "add", "other==1.0", PIP_INDEX_URL=server.index("other"))
    assert not server.asked("/wrong/")


def test_pip_config_file_stands_for_the_users(venvfs, server, tmp_path):
    server.add(Wheel(), index="right")
    pip_conf(venvfs, f"[global]\nindex-url = {server.index('wrong')}\n")
    named = tmp_path / "named.conf"
    named.write_text(f"[global]\nindex-url = {server.index('right')}\n")
    venvfs.run("cache", "add", "demo==1.0", PIP_CONFIG_FILE=str(named))
    assert "no index is set" in venvfs.refused("cache", "add", "other==1.0", PIP_CONFIG_FILE=os.devnull)


def test_a_pip_conf_that_is_none_is_said(venvfs):
    file = pip_conf(venvfs, "[global]\nwhat is this\n")
    line = venvfs.refused("cache", "add", "demo==1.0")
    assert str(file) in line and "line 2" in line


def test_what_uv_is_told_stands_before_what_pip_is_told(venvfs, server):
    server.add(Wheel(), index="uv")
    pip_conf(venvfs, f"[global]\nindex-url = {server.index('pip')}\n")
    venvfs.run("cache", "add", "demo==1.0", UV_DEFAULT_INDEX=server.index("uv"))
    assert not server.asked("/pip/")


def test_credentials_of_a_named_index_are_sent_to_it_and_to_its_files(venvfs, server):
    server.add(Wheel(), index="private")
    server.logins["/private/"] = server.logins["/files/"] = "me:secret"
    env = {"UV_INDEX": f"my-own={server.index('private')}", "UV_INDEX_MY_OWN_USERNAME": "me"}
    assert "secret" not in venvfs.refused("cache", "add", "demo==1.0", **env, UV_INDEX_MY_OWN_PASSWORD="wrong")
    done = venvfs.run("cache", "add", "-v", "demo==1.0", **env, UV_INDEX_MY_OWN_PASSWORD="secret")
    assert "secret" not in done.stderr


def test_each_of_two_indexes_on_a_host_gets_its_own_password(venvfs, server):
    server.add(Wheel("aa"), index="one", url="/one/files/aa-1.0-py3-none-any.whl")
    server.add(Wheel("bb"), index="two")
    server.logins.update({"/one/": "u1:p1", "/two/": "u2:p2", "/files/bb": "u2:p2"})
    env = {"UV_INDEX": f"one={server.index('one')} two={server.index('two')}/"}
    for i, name in enumerate(("ONE", "TWO"), 1):
        env |= {f"UV_INDEX_{name}_USERNAME": f"u{i}", f"UV_INDEX_{name}_PASSWORD": f"p{i}"}
    venvfs.run("cache", "add", "bb==1.0", **env)
    assert names(venvfs) == ["bb-1.0-py3-none-any.whl"]
    logins = {(path.split("/")[1], base64.b64decode(heads["Authorization"].split()[1]).decode())
              for _, path, heads in server.requests if "Authorization" in heads}
    assert logins == {("one", "u1:p1"), ("two", "u2:p2"), ("files", "u2:p2")}
    server.files["two-1.0-py3-none-any.whl"] = Wheel("two").bytes()
    server.fail("/two/x/two-1.0-py3-none-any.whl", Fault(redirect="/files/two-1.0-py3-none-any.whl"))
    venvfs.run("cache", "add", f"{server.host}/two/x/two-1.0-py3-none-any.whl", **env)
    assert base64.b64decode(server.heads("/two/x/")[-1]["Authorization"].split()[1]) == b"u2:p2"


def test_credentials_are_not_sent_to_another_host(venvfs, server):
    wheel = Wheel()
    server.add(wheel, index="private", url=f"http://localhost:{server.port}/files/{wheel.file_name}")
    index = server.index("private").replace("://", "://me:secret@")
    venvfs.run("cache", "add", "-i", index, "demo==1.0")
    assert "Authorization" in server.heads("/private/")[0]
    assert "Authorization" not in server.heads("/files/")[0]


def test_offline_asks_no_index(venvfs, server):
    server.add(Wheel())
    line = venvfs.refused("cache", "add", "-i", server.index(), "demo==1.0", UV_OFFLINE="1")
    assert "offline" in line and not server.asked()
    venvfs.add(Wheel().write(venvfs.root))
    venvfs.run("cache", "add", "--offline", "demo==1.0")


def test_no_index_is_no_index(venvfs, server):
    server.add(Wheel())
    for name in ("UV_NO_INDEX", "PIP_NO_INDEX"):
        env = {"UV_DEFAULT_INDEX" if name.startswith("UV") else "PIP_INDEX_URL": server.index(), name: "1"}
        assert "no index is set" in venvfs.refused("cache", "add", "demo==1.0", **env)
    assert not server.asked()


# -- places of links -------------------------------------------------------------------------


def test_a_folder_of_links_is_looked_into_first(venvfs, server, tmp_path):
    server.add(Wheel())
    folder = tmp_path / "links"
    folder.mkdir()
    Wheel(tag=OTHER_TAG).write(folder)
    Wheel().write(folder)
    (folder / "broken-1.0-py3-none-any.whl").write_bytes(b"broken")
    for place, how in [(folder, ["--find-links"]), (folder, []), (folder.as_uri(), ["--find-links"])]:
        env = {} if how else {"PIP_FIND_LINKS": str(place)}
        said = venvfs.run("cache", "add", "-v", "-i", server.index(), *how, *([str(place)] if how else []), "demo==1.0", **env).stderr
        assert "added" in said or "cached" in said
    assert not server.asked()


def test_a_url_is_not_asked_when_a_folder_has_its_file(venvfs, server, tmp_path):
    url = server.add(Wheel())
    Wheel().write(tmp_path)
    venvfs.run("cache", "add", "--find-links", tmp_path, url)
    assert not server.asked()
    other = server.add(Wheel("other"))
    (tmp_path / "other-1.0-py3-none-any.whl").write_bytes(Wheel("other", "2.0").bytes())
    venvfs.run("cache", "add", "--find-links", tmp_path, other)
    assert len(server.asked()) == 1


def test_a_page_of_links_is_asked_once_for_all(venvfs, server):
    server.json = False
    for name in ("demo", "other"):
        server.add(Wheel(name))
    rows = server.pages[("simple", "demo")] + server.pages[("simple", "other")]
    server.pages[("links", "all")] = rows
    venvfs.run("cache", "add", "--find-links", server.index("links") + "/all/", "demo==1.0", "other==1.0")
    assert [path for _, path in server.asked()][0] == "/links/all/" and len(server.asked()) == 3


def test_an_index_without_a_server_is_said(venvfs):
    line = venvfs.refused("cache", "add", "-i", f"http://127.0.0.1:{unused_port()}/simple", "demo==1.0", UV_HTTP_RETRIES="0")
    assert "connect" in line


# -- uv's files ----------------------------------------------------------------------------


def test_a_projects_settings_are_heeded(venvfs, server):
    project = venvfs.root / "project"
    (project / "sub").mkdir(parents=True)
    server.add(Wheel(), index="mine")
    (project / "pyproject.toml").write_text(
        f'[project]\nname = "p"\n[[tool.uv.index]]\nname = "mine"\nurl = "{server.index("mine")}"\ndefault = true\n'
        f'[[tool.uv.index]]\nname = "special"\nurl = "{server.index("special")}"\nexplicit = true\n')
    (project / "sub/pyproject.toml").write_text('[project]\nname = "sub"\n')
    venvfs.run("cache", "add", "demo==1.0", cwd=project / "sub")
    assert not server.asked("/special/")
    assert "no index is set" in venvfs.refused("cache", "add", "other==1.0")


def test_uv_toml_stands_over_pyproject_and_the_user_comes_after(venvfs, server):
    for name in ("one", "two"):
        server.add(Wheel(name), index=name)
    project = venvfs.root / "project"
    (project / "wheels").mkdir(parents=True)
    Wheel("linked").write(project / "wheels")
    (project / "pyproject.toml").write_text(f'[tool.uv]\nindex-url = "{server.index("wrong")}"\n')
    (project / "uv.toml").write_text(f'extra-index-url = ["{server.index("one")}"]\nfind-links = ["wheels"]\n')
    user = pathlib.Path(venvfs.env["HOME"], ".config/uv/uv.toml")
    user.parent.mkdir(parents=True)
    user.write_text(f'index-url = "{server.index("two")}"\n')
    venvfs.run("cache", "add", "one==1.0", "two==1.0", "linked==1.0", cwd=project)
    assert not server.asked("/wrong/")
    assert "offline" in venvfs.refused("cache", "add", "x==1", UV_CONFIG_FILE=str(write(venvfs, "offline = true\n")))
    assert "no index" in venvfs.refused("cache", "add", "x==1", UV_NO_CONFIG="1")


def write(venvfs, text):
    file = venvfs.root / "named.toml"
    file.write_text(text)
    return file


def test_a_uv_toml_that_is_none_is_said(venvfs):
    file = write(venvfs, "[[[\n")
    assert str(file) in venvfs.refused("cache", "add", "demo==1.0", UV_CONFIG_FILE=str(file))
    assert "UV_CONFIG_FILE" in venvfs.refused("cache", "add", "demo==1.0", UV_CONFIG_FILE="/nowhere/uv.toml")


def test_the_best_wheel_is_taken_and_requires_python_heeded(venvfs, server):
    for tag in ("py3-none-any", f"{PYTHON}-abi3-linux_x86_64", f"{PYTHON}-none-any"):
        server.add(Wheel(tag=tag))
    server.add(Wheel("demo", tag=f"{PYTHON}-{PYTHON}-linux_x86_64"), **{"requires-python": "<3"})
    venvfs.run("cache", "add", "-i", server.index(), "-p", sys.executable, "demo==1.0")
    assert names(venvfs) == [f"demo-1.0-{PYTHON}-abi3-linux_x86_64.whl"]


def test_a_link_that_leads_elsewhere_is_not_followed(venvfs, form, tmp_path):
    file = Wheel().write(tmp_path)
    form.add(Wheel(), url=file.as_uri())
    assert "no URL of http" in venvfs.refused("cache", "add", "-i", form.index(), "demo==1.0")
    assert names(venvfs) == []
