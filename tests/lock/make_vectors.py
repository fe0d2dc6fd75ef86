"""Questions about versions, markers, requirements and tags, and what `packaging` answers.

Run as `make_vectors.py > tests/golden/packaging-vectors.txt` with build/tools/bin/python;
test_vectors.py asks others at each run. A line is a question (tests/lock/vectors.c), "=",
and the answer, with tabs between.
"""

import functools
import random
import sys
from unittest import mock

from packaging import _manylinux, _musllinux, tags
from packaging.markers import InvalidMarker, Marker, UndefinedComparison, UndefinedEnvironmentName
from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

VARIABLES = [
    "implementation_name", "implementation_version", "os_name", "platform_machine",
    "platform_python_implementation", "platform_release", "platform_system",
    "platform_version", "python_full_version", "python_version", "sys_platform",
]
ENVIRONMENTS = [
    ["cpython", "3.11.7", "posix", "x86_64", "CPython", "6.1.0-18-amd64", "Linux",
     "#1 SMP Debian 6.1.76-1", "3.11.7", "3.11", "linux"],
    ["cpython", "3.14.0rc1", "posix", "aarch64", "CPython", "6.8.0", "Linux",
     "#1", "3.14.0rc1", "3.14", "linux"],
    ["pypy", "7.3.15", "posix", "x86_64", "PyPy", "5.15.0", "Linux", "", "3.10.13", "3.10", "linux"],
    ["cpython", "3.9.18", "nt", "AMD64", "CPython", "10", "Windows", "10.0.19045", "3.9.18", "3.9", "win32"],
]
LITERALS = [
    "3.8", "3.11", "3.9.*", "3.11.7", "3.14.0rc1", "3.10", "3", "linux", "win32", "darwin", "posix", "nt",
    "x86_64", "aarch64", "x86_64 aarch64", "CPython", "PyPy", "cpython", "Linux", "3.8 3.11", "6.1", "7.3",
    "a", "b", "Foo_Bar", "foo-bar", "", "dev", "not a version", ">3", "3.11.7+local", "=3.11", "é",
]
OPERATORS = ["==", "!=", "<", "<=", ">", ">=", "~=", "===", "in", "not in"]

# What people write, and what is just beyond it.
VERSIONS = """1.0 1.0.0 1 0 1.0a1 1.0.a.1 1.0-alpha-1 1.0b2 1.0beta 1.0rc1 1.0c1 1.0-preview_3 1.0pre
1.0.post1 1.0-1 1.0post 1.0r4 1.0-rev.3 1.0.dev1 1.0dev 1.0a1.dev2 1.0a1.post2.dev3 1.0.post1.dev2
1!1.0 1!0 0!1.0 v1.0 V1.0 1.0+local 1.0+ubuntu.1 1.0+1.2.3 1.0+abc-def_9 1.0+001 1.0+A 1.0a- 1.0a. 1.0.dev-
1.0.post- 2024.1.1 2024.01.01 20240101 01.02 1.2.3.4.5.6 1.10 1.9 1.0a1+x 1.0.0.0.0 1.0-
1.0+ 1.0+a..b x 1.x 1..0 1.0a1a2 1.0rc 1.0 1.0.*  1,0 1.0--1 1.0a--1 1.0.post.post 1_0 1.0_1 ==1.0 1!  !1 1.0dev1post1
3.11 3.11.7 3.14.0rc1 3.11.7+local 3.9.18""".split() + ["", " 1.0 ", "1.0 1", "\u0661.0", "1.0\u00e9"]

REQUIREMENTS = [
    "requests", "Requests", "requests==2.31.0", "requests [security,socks] >= 2.8.1, == 2.8.* ; python_version < '2.7'",
    "a.b-c_d", "name@https://h.example/a.whl", "name @ https://h.example/a.whl",
    "name @ https://h.example/a.whl ; os_name == 'nt'", "name @ https://h.example/a.whl; os_name == 'nt'",
    "name @ file:///a/b", "name[extra]@https://h.example/a.whl", "name (>=1.0)", "name (>=1.0,<2)", "name(==1)", "name (>=1.0",
    "name >=1.0,", "name ,>=1.0", "name >=1.0 <2", "name ==1.*", "name >=1.*", "name ==1.0+local", "name >=1.0+local",
    "name ===whatever", "name ===", "name === ,==1.0", "name ===1.0;os_name=='nt'", "name ~=1.0", "name ~=1", "name []", "name [ ]", "name [a,]", "name [a b]",
    "name [A_b , c.D]", "name;os_name=='nt'", "name ;", "name; ", "-name", "name-", "name_", "_name", "name.", "",
    " name", "name ", "name ==", "name == 1.0 ; python_version", "name 1.0", "name=1.0", "name @", "name @ ", "näme",
    "name>=1,!=1.5.*,<2;python_version>='3.8' and extra=='x'", "name<1.0.dev0", "name==1.0a1.*", "name;'a' in extras",
    "name;('3'<python_version)", "name;(python_version<'3'", "name;python_version<'3')", "x"*255,
]
MARKERS = [
    "python_version >= '3.8'", "'3.8' <= python_version", "python_version in '3.8 3.11'", "python_version not in '3.8, 3.9'",
    "os_name == 'posix' and python_version < '3.10' or sys_platform == 'linux'",
    "os_name == 'posix' and (python_version < '3.10' or sys_platform == 'linux')", "os.name == 'posix'", "sys.platform=='linux'",
    "platform.machine == 'x86_64'", "platform.version == ''", "platform.python_implementation == 'CPython'",
    "python_implementation == 'CPython'", "python_full_version == '3.11.*'", "python_full_version ~= '3.11.0'",
    "implementation_version >= '7'", "platform_release >= '6'", "platform_version > '5'", "extra == 'foo'", "extra == 'Foo_Bar'",
    "'foo-bar' == extra", "'a' in extras", "'A' in extras", "'a' not in dependency_groups", "extras == 'a'", "'a' == extras",
    "'a' < dependency_groups", "'a' === extras", "'a' != extras", "'a' ~= dependency_groups", "os_name", "os_name ==", "== 'x'", "'a' == 'b'",
    "os_name == sys_platform", "os_name == 'posix' xor os_name == 'nt'", "os_name == 'posix' and", "(os_name == 'posix'",
    "os_name == 'posix')", "not os_name == 'posix'", "os_name not  in 'posix'", "os_name notin 'posix'", "os_name == \"po'six\"",
    "os_name=='posix'and os_name=='posix'", "((((os_name == 'posix'))))", "unknown == 'x'", "os_name = 'x'", "os_name == posix",
    "os_name == 'posix' or extra == 'x'", "extra != 'x'", "extra in 'x y'", "'x' in extra", "python_version === '3.11'",
    "os_name === 'posix'", "os_name ~= 'posix'", "python_version < '3.11.8'", "python_version>'3.11,<3'", "platform_release == '10'",
    "python_full_version < '3.14'", "python_full_version >= '3.14.0rc1'", "os_name<'z'", "\tos_name == 'posix'\t", "os_name == 'a\nb'",
]


def answer_version(text):
    try:
        return str(Version(text))
    except InvalidVersion:
        return "-"


def answer_compare(a, b):
    try:
        a, b = Version(a), Version(b)
    except InvalidVersion:
        return "-"
    return str((a > b) - (a < b))


def answer_match(text, version):
    try:
        specifiers = SpecifierSet(text)
    except InvalidSpecifier:
        return "-"
    return str(int(specifiers.contains(version, prereleases=True)))


def answer_marker(environment, extra, extras, groups, text):
    values = dict(zip(VARIABLES, environment))
    context = "requirement"
    if extra != "-":
        context, values["extra"] = "metadata", extra
    elif extras != "-":
        context = "lock_file"
        values["extras"] = frozenset(filter(None, extras.split(",")))
        values["dependency_groups"] = frozenset(filter(None, groups.split(",")))
    try:
        return str(int(Marker(text).evaluate(values, context=context)))
    except (InvalidMarker, UndefinedComparison, UndefinedEnvironmentName):
        return "-"


def answer_requirement(text):
    try:
        q = Requirement(text)
    except InvalidRequirement:
        return "-"
    return q


def same_requirement(q, answer):
    """Does our line say what packaging's object does?"""
    if q == "-" or answer == "-":
        return q == answer
    name, extras, url, specifiers, marker = answer.split("|", 4)
    return (
        name == canonicalize_name(q.name)
        and set(filter(None, extras.split(","))) == {canonicalize_name(e) for e in q.extras}
        and url == (q.url or "")
        and SpecifierSet(specifiers) == q.specifier
        and (Marker(marker) if marker else None) == q.marker
    )


# name, minor, bits, flags, machine, libc, its version, SOABI
PYTHONS = [
    ("cpython", 11, 64, "-", "x86_64", "glibc", "2.36", "cpython-311-x86_64-linux-gnu"),
    ("cpython", 8, 64, "-", "x86_64", "glibc", "2.17", "cpython-38-x86_64-linux-gnu"),
    ("cpython", 7, 64, "-", "x86_64", "glibc", "2.28", "cpython-37m-x86_64-linux-gnu"),
    ("cpython", 13, 64, "t", "x86_64", "glibc", "2.39", "cpython-313t-x86_64-linux-gnu"),
    ("cpython", 13, 64, "td", "x86_64", "glibc", "2.39", "cpython-313td-x86_64-linux-gnu"),
    ("cpython", 15, 64, "t", "x86_64", "glibc", "2.39", "cpython-315t-x86_64-linux-gnu"),
    ("cpython", 12, 64, "d", "aarch64", "glibc", "2.35", "cpython-312d-aarch64-linux-gnu"),
    ("cpython", 12, 64, "-", "aarch64", "musl", "1.2", "cpython-312-aarch64-linux-musl"),
    ("cpython", 10, 64, "-", "x86_64", "musl", "1.1", "cpython-310-x86_64-linux-musl"),
    ("cpython", 9, 32, "-", "x86_64", "glibc", "2.31", "cpython-39-i386-linux-gnu"),
    ("cpython", 12, 64, "-", "riscv64", "glibc", "2.39", "cpython-312-riscv64-linux-gnu"),
    ("pypy", 10, 64, "-", "x86_64", "glibc", "2.36", "pypy310-pp73-x86_64-linux-gnu"),
]


def platforms(machine, bits, libc, version):
    """As packaging and uv have them, linux_* last: pip up to 26 and uv agree on that."""
    if bits == 32 and machine == "x86_64":
        machine = "i686"
    major, minor = map(int, version.split("."))
    glibc = (major, minor) if libc == "glibc" else (-1, -1)
    musl = _musllinux._MuslVersion(major, minor) if libc == "musl" else None
    with mock.patch.object(_manylinux, "_get_glibc_version", lambda: glibc), \
            mock.patch.object(_manylinux, "_have_compatible_abi", lambda *_: libc == "glibc"), \
            mock.patch.object(_manylinux, "_get_manylinux_module", lambda: None), \
            mock.patch.object(_musllinux, "_get_musl_version", lambda _: musl):
        found = list(_manylinux.platform_tags([machine])) + list(_musllinux.platform_tags([machine]))
    return [*found, f"linux_{machine}"]


@functools.cache
def all_tags(python):
    name, minor, bits, flags, machine, libc, version, soabi = python
    places = platforms(machine, bits, libc, version)
    config = {
        "Py_GIL_DISABLED": int("t" in flags), "Py_DEBUG": int("d" in flags), "WITH_PYMALLOC": 1,
        "EXT_SUFFIX": f".{soabi}.so", "py_version_nodot": f"3{minor}",
    }
    with mock.patch.object(tags, "_get_config_var", lambda key, warn=False: config.get(key)):
        if name == "cpython":
            found = list(tags.cpython_tags((3, minor), platforms=places))
            interpreter = f"cp3{minor}"
        else:
            found = list(tags.generic_tags(f"pp3{minor}", platforms=places))
            interpreter = "pp3"
        found += tags.compatible_tags((3, minor), interpreter, places)
    return {str(tag): i for i, tag in reversed(list(enumerate(found)))}


def answer_tags(python, line):
    ranks = all_tags(python)

    def rank(text):
        return min((ranks[str(t)] for t in tags.parse_tag(text) if str(t) in ranks), default=None)

    fitting = [(rank(t), t) for t in line.split(" ") if rank(t) is not None]
    return " ".join(t for _, t in sorted(fitting, key=lambda pair: pair[0]))


def random_version(r):
    if r.random() < 0.3:
        return r.choice(VERSIONS)
    number = lambda: str(r.choice([0, 0, 1, 1, 2, 3, 9, 10, 11, 2024]))  # noqa: E731
    text = r.choice(["", "", "", "", "v", "1!", "0!"]) + ".".join(number() for _ in range(r.randint(1, 4)))
    separator = lambda: r.choice(["", "", ".", "-", "_"])  # noqa: E731
    if r.random() < 0.4:
        text += separator() + r.choice("a b c rc alpha beta pre preview A RC".split()) + separator() + r.choice(["", number()])
    if r.random() < 0.3:
        text += separator() + r.choice(["post", "rev", "r", "POST"]) + separator() + r.choice(["", number()])
    elif r.random() < 0.1:
        text += "-" + number()
    if r.random() < 0.3:
        text += separator() + "dev" + separator() + r.choice(["", number()])
    if r.random() < 0.2:
        text += "+" + ".".join(r.choice(["1", "2", "10", "abc", "ab1", "01"]) for _ in range(r.randint(1, 3)))
    return text


def random_specifier(r):
    text = r.choice(OPERATORS[:8]) + r.choice(["", "", " "]) + random_version(r).strip()
    return text + (".*" if r.random() < 0.15 else "")


def random_marker(r, depth=0):
    if depth < 3 and r.random() < 0.4:
        parts = [random_marker(r, depth + 1) for _ in range(r.randint(2, 3))]
        text = parts[0]
        for part in parts[1:]:
            text += f" {r.choice(['and', 'or'])} {part}"
        return f"({text})" if r.random() < 0.6 else text
    variable = r.choice([*VARIABLES, "python_version", "python_full_version", "sys_platform", "extra", "extras", "dependency_groups"])
    quote = r.choice("'\"")
    literal = r.choice(LITERALS) if r.random() < 0.8 else random_version(r)
    sides = [variable, quote + literal + quote]
    if r.random() < 0.2 or variable in ("extras", "dependency_groups"):
        sides.reverse()
    return f"{sides[0]} {r.choice(OPERATORS)} {sides[1]}"


def random_tag(r):
    pythons = ".".join(r.sample(["py3", "py2", "py311", "py310", "py39", "cp311", "cp310", "cp312", "cp38", "cp313",
                                 "cp32", "cp31", "cp37", "cp39", "cp315", "pp310", "pp3", "py38", "py30"], r.choice([1, 1, 1, 2])))
    abis = ".".join(r.sample(["none", "none ", "abi3", "abi3t", "cp311", "cp310", "cp312", "cp312d", "cp313t", "cp313td", "cp38",
                              "cp37m", "cp39", "pypy310_pp73", "cp313"], r.choice([1, 1, 1, 2]))).replace(" ", "")
    machine = r.choice(["x86_64", "x86_64", "aarch64", "i686", "riscv64"])
    places = ".".join(r.sample(
        [f"manylinux_2_{n}_{machine}" for n in (4, 5, 12, 16, 17, 27, 28, 34, 36, 37, 39)]
        + [f"manylinux{n}_{machine}" for n in ("1", "2010", "2014")]
        + [f"musllinux_1_{n}_{machine}" for n in (0, 1, 2, 3)]
        + [f"linux_{machine}", "any", "any", "any", "win_amd64", "macosx_11_0_arm64"], r.choice([1, 1, 2, 3])))
    return f"{pythons}-{abis}-{places}"


def questions(r, count):
    """(question, how packaging's answer is compared with ours) in a random order of kinds."""
    python = environment = None
    for n in range(count):
        kind = r.choice(["version", "compare", "match", "match", "marker", "marker", "requirement", "tags"])
        if n % 50 == 0:
            environment = r.choice(ENVIRONMENTS)
            yield "\t".join(["env", *environment]), "ok"
            python = r.choice(PYTHONS)
            yield "\t".join(["python", *map(str, python)]), "ok"
        if kind == "version":
            text = random_version(r)
            yield f"version\t{text}", answer_version(text)
        elif kind == "compare":
            a, b = random_version(r), random_version(r)
            yield f"compare\t{a}\t{b}", answer_compare(a, b)
        elif kind == "match":
            text = ",".join(random_specifier(r) for _ in range(r.choice([1, 1, 1, 2])))
            version = random_version(r)
            yield f"match\t{text}\t{version}", answer_match(text, version)
        elif kind == "marker":
            yield marker_question(r, environment, random_marker(r))
        elif kind == "requirement":
            text = r.choice(REQUIREMENTS)
            if r.random() < 0.5:
                text = f"{r.choice(['a', 'B.c', 'd_e'])}{r.choice(['', '[x]', ' [x, Y_z]'])}{r.choice(['', ' '])}" \
                    f"{random_specifier(r)}{r.choice(['', '; ', ' ;']) }"
                text += random_marker(r) if ";" in text else ""
            yield f"requirement\t{text}", answer_requirement(text)
        else:
            line = " ".join(dict.fromkeys(random_tag(r) for _ in range(12)))
            yield f"tags\t{line}", answer_tags(python, line)


def marker_question(r, environment, text):
    extra, extras, groups = r.choice([("-", "-", "-"), ("", "-", "-"), ("foo-bar", "-", "-"), ("-", "a,foo-bar", "dev"), ("-", "", "")])
    return f"marker\t{extra}\t{extras}\t{groups}\t{text}", answer_marker(environment, extra, extras, groups, text)


def chosen():
    """What was thought of, rather than drawn."""
    for text in VERSIONS:
        yield f"version\t{text}", answer_version(text)
    for a in VERSIONS:
        for b in VERSIONS[::3]:
            yield f"compare\t{a}\t{b}", answer_compare(a, b)
    for text in REQUIREMENTS:
        yield f"requirement\t{text}", answer_requirement(text)
    r = random.Random(1)
    for environment in ENVIRONMENTS:
        yield "\t".join(["env", *environment]), "ok"
        for text in MARKERS:
            if "\t" not in text and "\n" not in text:
                yield marker_question(r, environment, text)
    for python in PYTHONS:
        yield "\t".join(["python", *map(str, python)]), "ok"
        every = list(all_tags(python))
        line = " ".join(r.sample(every, min(120, len(every))))
        yield f"tags\t{line}", answer_tags(python, line)


def main():
    for question, answer in [*chosen(), *questions(random.Random(440), 1500)]:
        # The order of extras and the spelling of specifiers are ours: test_vectors.py compares them.
        if question.startswith("requirement\t"):
            answer = "-" if answer == "-" else "+"
        print(question, "=", answer, sep="\t")


if __name__ == "__main__":
    sys.stdout.reconfigure(encoding="utf-8")
    main()
