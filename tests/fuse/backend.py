"""Projects with a build backend of their own, in their tree: built without any download.

The backend notes each call in a file `calls` beside the project, and can be told to go wrong
by a file `wrong`, which is run.
"""

import pathlib
import tarfile

BACKEND = r'''
import base64, hashlib, os, pathlib, tarfile, zipfile

HERE = pathlib.Path.cwd()
NAME, VERSION = "@NAME@", "@VERSION@"


def note(what):
    with open("@CALLS@", "a") as f:
        f.write(what + "\n")
    wrong = pathlib.Path("@CALLS@").with_name("wrong")
    if wrong.exists():
        exec(wrong.read_text(), {})


def wheel(folder, files, tag="py3-none-any"):
    info = f"{NAME}-{VERSION}.dist-info"
    files = {
        **files,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {NAME}\nVersion: {VERSION}\n",
        f"{info}/WHEEL": f"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: {tag}\n",
        f"{info}/entry_points.txt": f"[console_scripts]\n{NAME}-hello = {NAME}:main\n",
        f"{NAME}-{VERSION}.data/scripts/{NAME}-script": "#!python\nimport sys\nprint(sys.prefix)\n",
        f"{NAME}-{VERSION}.data/data/share/{NAME}.txt": "data\n",
        f"{NAME}-{VERSION}.data/headers/{NAME}.h": "/* header */\n",
    }
    name = f"{NAME}-{VERSION}-{tag}.whl"
    rows = ""
    with zipfile.ZipFile(os.path.join(folder, name), "w") as z:
        for path, text in files.items():
            z.writestr(path, text)
            digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
            rows += f"{path},sha256={digest},{len(text.encode())}\n"
        z.writestr(f"{info}/RECORD", rows + f"{info}/RECORD,,\n")
    return name


def build_wheel(folder, config=None, metadata=None):
    note("wheel")
    return wheel(folder, {f"{NAME}/__init__.py": (HERE / "src" / NAME / "__init__.py").read_text()})


def build_editable(folder, config=None, metadata=None):
    note("editable")
    return wheel(folder, {f"_{NAME}.pth": str(HERE / "src") + "\n"})
'''

PYPROJECT = """[project]
name = "{name}"
version = "{version}"
requires-python = ">=3.9"
dependencies = {dependencies}
[project.scripts]
{name}-hello = "{name}:main"
[build-system]
requires = []
build-backend = "backend"
backend-path = ["back"]
"""


class Source:
    """A project's folder."""

    def __init__(self, root, name="proj", version="1.0", dependencies=(), more=""):
        self.root, self.name, self.version = pathlib.Path(root), name, version
        self.calls_file = self.root.parent / f"{name}-calls" / "calls"
        self.calls_file.parent.mkdir(parents=True, exist_ok=True)
        (self.root / "src" / name).mkdir(parents=True)
        (self.root / "back").mkdir()
        (self.root / "pyproject.toml").write_text(
            PYPROJECT.format(name=name, version=version, dependencies=list(dependencies)) + more)
        (self.root / "src" / name / "__init__.py").write_text(f'value = "{version}"\n\n\ndef main():\n    print("hello", value)\n')
        backend = BACKEND
        for mark, value in (("NAME", name), ("VERSION", version), ("CALLS", str(self.calls_file))):
            backend = backend.replace(f"@{mark}@", value)
        (self.root / "back" / "backend.py").write_text(backend)

    def calls(self):
        """What the backend was asked since the last time."""
        if not self.calls_file.exists():
            return []
        found = self.calls_file.read_text().split()
        self.calls_file.unlink()
        return found

    def go_wrong(self, code):
        (self.calls_file.parent / "wrong").write_text(code)

    def go_right(self):
        (self.calls_file.parent / "wrong").unlink()

    def sdist(self, folder):
        path = pathlib.Path(folder, f"{self.name}-{self.version}.tar.gz")
        with tarfile.open(path, "w:gz") as t:
            for part in ("pyproject.toml", "src", "back"):
                t.add(self.root / part, arcname=f"{self.name}-{self.version}/{part}")
            info = self.root.parent / "PKG-INFO"
            info.write_text(f"Metadata-Version: 2.1\nName: {self.name}\nVersion: {self.version}\n")
            t.add(info, arcname=f"{self.name}-{self.version}/PKG-INFO")
        return path
