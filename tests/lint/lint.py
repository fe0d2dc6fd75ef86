"""What the compiler does not check: layers, cycles, doors, sizes, modes (ARCHITECTURE.md).

Run as `lint.py ROOT`; prints one line a fault and exits 1 if there was one.
"""

import pathlib
import re
import sys

# A layer may include what stands before it.
LAYERS = [
    "cache/base", "cache/toml", "cache/version", "cache/store", "cache/wheel", "cache/folder", "cache/source",
    "cache/env/markers", "cache/env", "cache/build", "cache/env/lock",
    "fusefs/supervise", "fusefs/tree", "fusefs/upper", "fusefs/overlay", "fusefs/serve", "cli", "tests",
]
# What stands on fewer layers than its place allows.
NARROW = {
    "cache/version": {"cache/base"},
    "cache/store": {"cache/base"},
    "cache/folder": {"cache/base", "cache/store"},
    "cache/env/markers": {"cache/base", "cache/toml", "cache/version", "cache/wheel"},
    "fusefs/tree": {"cache/base", "cache/store"},
    "fusefs/upper": {"cache/base"},
}

# Headers of libraries, and the only files that may include them.
DOORS = {
    r"xxhash\.h": r"cache/base/digest\.c",
    r"openssl/.*": r"cache/base/digest\.c",
    r"jansson\.h": r"cache/base/json\.h",
    r"archive(_entry)?\.h": r"cache/wheel/archive\.c",
    r"fuse.*\.h": r"fusefs/(serve/(ops\.h|ops_\w+\.c|pending\.c|request\.c|session\.c)|supervise/notifier\.c)",
    r"cmocka\.h": r"tests/unit/testing\.h",
    r"cap-ng\.h": r"fusefs/serve/account\.c",
    r"seccomp\.h": r"fusefs/(serve/(confine|make_filter)|supervise/notifier)\.c",
    r"sqlite3\.h": r"fusefs/upper/sql\.h",
    r"toml.*": r"cache/toml/toml\.cc",
    r"curl/.*": r"cache/source/curl\.h",
    r"libxml/.*": r"cache/source/xml\.h",
    r"mpack\.h": r"cache/source/msgpack\.c",
}
# linux/fuse.h is the kernel's, where the opcodes stand; it counts as fuse.
LONGEST_FILE = 500
LONGEST_HEADER = 150
LONGEST_FUNCTION = 60
MOST_PARAMETERS = 6
MOST_NESTING = 3

INCLUDE = re.compile(r'^\s*#\s*include\s+([<"])([^>"]+)[>"]', re.M)


def layer_of(path):
    """The innermost one: "cache/env/lock" is another layer than "cache/env"."""
    layers = [layer for layer in LAYERS if path.startswith(layer + "/")]
    return max(layers, key=len, default=None)


def check_layers(path, includes):
    own = layer_of(path)
    for kind, name in includes:
        other = layer_of(name)
        if kind != '"':
            continue
        if other is None:
            yield f"{path}: \"{name}\" does not spell its layer"
        elif other != own and own is not None:
            allowed = NARROW.get(own)
            if LAYERS.index(other) > LAYERS.index(own) or (
                allowed is not None and other not in allowed
            ):
                yield f"{path}: {own} must not include {name}"


def check_doors(path, includes):
    for kind, name in includes:
        if kind != "<":
            continue
        bare = name.removeprefix("linux/")
        for header, door in DOORS.items():
            if re.fullmatch(header, bare) and not re.fullmatch(door, path):
                yield f"{path}: <{name}> may be included by {door} only"


def check_cycles(graph):
    done, stack = set(), []

    def visit(path):
        if path in stack:
            yield "include cycle: " + " -> ".join(stack[stack.index(path):] + [path])
            return
        if path in done:
            return
        stack.append(path)
        for name in graph.get(path, ()):
            yield from visit(name)
        stack.pop()
        done.add(path)

    for path in sorted(graph):
        yield from visit(path)


def strip(text):
    """The text with comments, strings and character constants blanked, lines kept."""
    pattern = r'/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\''
    return re.sub(pattern, lambda m: re.sub(r"[^\n]", " ", m.group()), text, flags=re.S)


def parameters(head):
    inner = head[head.index("(") + 1 : head.rindex(")")]
    depth, count = 0, 1
    for c in inner:
        depth += c in "(["
        depth -= c in ")]"
        count += c == "," and depth == 0
    return 0 if inner.strip() in ("", "void") else count


def check_functions(path, text):
    lines = strip(text).split("\n")
    start = None
    for number, line in enumerate(lines):
        if line == "{":
            start, stack, deepest = number, [], 0
            head = []
            for before in reversed(lines[:number]):
                if not before.strip() or before.startswith(("}", "#")) or before.endswith(";"):
                    break
                head.insert(0, before)
            head = " ".join(head)
            if "(" not in head:
                start = None
            # The parameters of a FUSE operation are libfuse's choice.
            elif parameters(head) > MOST_PARAMETERS and "fuse_req_t req" not in head:
                yield f"{path}:{number}: more than {MOST_PARAMETERS} parameters"
        elif line == "}" and start is not None:
            if number - start - 1 > LONGEST_FUNCTION:
                yield f"{path}:{start}: a function of {number - start - 1} lines"
            if deepest > MOST_NESTING:
                yield f"{path}:{start}: nested {deepest} deep"
            start = None
        elif start is not None:
            # ") {" opens a block; "){" a compound literal, as .clang-format has them.
            for m in re.finditer(r"(\) |\belse |\bdo )?\{|\}", line):
                if m.group().endswith("{"):
                    stack.append(m.group(1) is not None)
                elif stack:
                    stack.pop()
                deepest = max(deepest, sum(stack))


def check_file(path, text):
    count = text.count("\n")
    limit = LONGEST_HEADER if path.endswith(".h") else LONGEST_FILE
    if count > limit:
        yield f"{path}: {count} lines (at most {limit})"
    if path.endswith(".h") and "#pragma once" not in text:
        yield f"{path}: no #pragma once"
    for number, line in enumerate(text.split("\n"), 1):
        if re.search(r"\b(TODO|FIXME|XXX)\b", line):
            yield f"{path}:{number}: {line.strip()}"
        if re.search(r"(^|\s)//", strip(line)):
            yield f"{path}:{number}: a // comment"
        if re.search(r"\bgoto\b", strip(line)):
            yield f"{path}:{number}: goto"


def check_scripts(root):
    """What says how it is run can be run: a clone has the modes that git has."""
    for folder in ("scripts", ".ci", "tests"):
        for file in sorted(root.glob(folder + "/**/*")):
            if not file.is_file() or file.stat().st_mode & 0o111:
                continue
            with file.open("rb") as f:
                if f.read(2) == b"#!":
                    yield f"{file.relative_to(root)}: begins with #! and is not executable"


def main(root):
    root = pathlib.Path(root)
    faults, graph = [], {}
    files = [p for d in ("cache", "fusefs", "cli", "tests") for p in root.glob(d + "/**/*.[ch]*")
             if p.suffix in (".c", ".h", ".cc")]
    if not files:
        faults.append(f"{root}: no sources here")
    for file in sorted(files):
        path, text = str(file.relative_to(root)), file.read_text()
        includes = INCLUDE.findall(text)
        graph[path] = [name for kind, name in includes if kind == '"']
        faults += check_layers(path, includes)
        faults += check_doors(path, includes)
        faults += check_file(path, text)
        faults += check_functions(path, text)
    faults += check_cycles(graph)
    faults += check_scripts(root)
    for fault in faults:
        print(fault)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
