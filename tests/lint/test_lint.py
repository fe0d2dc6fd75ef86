"""lint.py finds each fault that it is for, when one is planted."""

import pathlib
import subprocess
import sys
import tempfile

LINT = pathlib.Path(__file__).with_name("lint.py")
CLEAN = '#pragma once\n\n#include "cache/base/error.h"\n'
PLANTED = {
    "must not include": ("cache/base/x.c", '#include "cache/store/store.h"\n'),
    "must not include fusefs/serve": ("fusefs/tree/x.c", '#include "fusefs/serve/log.h"\n'),
    "does not spell its layer": ("cli/x.c", '#include "store.h"\n'),
    "may be included by": ("cache/store/x.c", "#include <xxhash.h>\n"),
    "session": ("cli/x.c", "#include <fuse_lowlevel.h>\n"),
    "lines (at most 500)": ("cli/x.c", "\n" * 501),
    "lines (at most 150)": ("cli/x.h", "#pragma once\n" + "\n" * 150),
    "no #pragma once": ("cli/x.h", "int x;\n"),
    "a function of": ("cli/x.c", "int f(void)\n{\n" + "\tg();\n" * 61 + "}\n"),
    "more than 6 parameters": ("cli/x.c", "int f(int a, int b, int c, int d, int e,\n      int g, int h)\n{\n}\n"),
    "nested 4 deep": (
        "cli/x.c",
        "int f(void)\n{\n" + "".join("\t" * i + "if (x) {\n" for i in range(1, 5))
        + "".join("\t" * i + "}\n" for i in range(4, 0, -1)) + "}\n",
    ),
    "goto": ("cli/x.c", "int f(void)\n{\n\tgoto out;\n}\n"),
    "TODO": ("cli/x.c", "/* TODO: later */\n"),
    "not executable": ("scripts/x", "#!/bin/sh\n"),
    "a // comment": ("cli/x.c", "int x; // y\n"),
}


def lint(files):
    with tempfile.TemporaryDirectory() as root:
        for name, text in files.items():
            file = pathlib.Path(root, name)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        done = subprocess.run([sys.executable, LINT, root], capture_output=True, text=True)
        return done.returncode, done.stdout


status, said = lint({"cli/ok.h": CLEAN})
assert status == 0, said
for fault, (name, text) in PLANTED.items():
    status, said = lint({"cli/ok.h": CLEAN, name: text})
    assert status == 1 and fault in said, (fault, said)
status, said = lint({
    "cli/a.h": '#pragma once\n#include "cli/b.h"\n',
    "cli/b.h": '#pragma once\n#include "cli/a.h"\n',
})
assert status == 1 and "include cycle" in said, said
