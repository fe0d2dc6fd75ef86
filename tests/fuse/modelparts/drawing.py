"""Random paths, sizes, modes and times; the odd ones are those that file systems got wrong.

No path and no target of a symlink can lead out of the tree: no prefix of it has more ".."
than names, whatever directory it is moved to.
"""

import os

PLAIN = ("a", "b", "c", "d", "e", "f", "g", "h", "l1", "d0", "x.py", "__pycache__")
ODD = ("é", ".wh.a", ".wh..wh..opq", "...", " ", "new\nline", "\udcff", "-r", "n" * 255, ".hidden")
SIZES = (0, 1, 5, 100, 511, 4095, 4096, 4097, 10_000, 65_535, 65_536, 65_537, 131_072)
OFFSETS = SIZES + (0, 0, 0, 12_288, 200_000)


class Drawing:
    def __init__(self, rng, view, odd_names):
        self.rng, self.view, self.odd_names = rng, view, odd_names

    def name(self):
        if self.odd_names and self.rng.random() < 0.08:
            return self.rng.choice(ODD)
        return self.rng.choice(PLAIN)

    def existing(self, kinds=None):
        found = [path for path, kind in self.view.names.items() if kinds is None or kind in kinds]
        if not found:
            return self.name()
        # What is held open sees more when it is also changed by its name.
        chance = self.rng.random()
        if chance < 0.2 and self.view.opened:
            return self.rng.choice(list(self.view.opened.values()))
        return self.rng.choice(found[-20:] if chance < 0.4 else found)

    def path(self, kinds=None):
        """Mostly one that exists, mostly of these kinds."""
        chance = self.rng.random()
        if chance < 0.80:
            return self.dressed(self.existing(kinds))
        if chance < 0.92:
            return self.dressed(self.existing())
        return self.new_path()

    def path_or_new(self, kinds):
        return self.path(kinds) if self.rng.random() < 0.5 else self.new_path()

    def new_path(self):
        chance = self.rng.random()
        if chance < 0.01:
            return self.rng.choice(("t" * 256, "u/" * 2100 + "u", "", self.existing(("file",)) + "/x"))
        parent = "" if chance < 0.15 else self.existing(("dir",) if chance < 0.9 else ("dir", "link"))
        return self.dressed(os.path.join(parent, self.name()) if parent.count("/") < 6 else self.name())

    def dressed(self, path):
        """Now and then another spelling of the same."""
        chance = self.rng.random()
        if chance < 0.96:
            return path
        first = path.split("/")[0]
        return self.rng.choice((f"./{path}", f"{path}/", f"{path}//", f"{first}/../{path}", f"{path}/."))

    def target(self):
        return self.rng.choice((
            self.name(), self.name(), os.path.basename(self.existing()), self.existing(),
            f"{self.name()}/../{self.name()}", "/nowhere/of/the/model", "t" * 59, "t" * 60,
            "long/" * 200 + "x", "y" * 4095 if self.rng.random() < 0.1 else "y",
        ))

    def widest(self):
        """The directory that has the most names: listing it takes several requests."""
        counts = {}
        for path in self.view.names:
            parent = os.path.dirname(path)
            if parent:
                counts[parent] = counts.get(parent, 0) + 1
        best = sorted(counts, key=lambda path: (-counts[path], path))[:3]
        return self.rng.choice(best) if best else self.name()

    def length(self):
        return self.rng.choice(SIZES)

    def offset(self):
        return self.rng.choice(OFFSETS) if self.rng.random() < 0.98 else -1

    def data(self):
        return [self.rng.randrange(251), self.length()]

    def small(self):
        return [self.rng.randrange(251), self.rng.choice((0, 1, 20, 300))]

    def mode(self):
        return self.rng.choice((0o644, 0o644, 0o755, 0o777, 0o666, 0o600, 0o700, 0o444, 0o555, 0,
                                0o4755, 0o2755, 0o6777, 0o2777, 0o1777, 0o640))

    def owner(self):
        return self.rng.choice((0, 1234, 1234, 4321, 777, -1))

    def xattr(self):
        return self.rng.choice(("user.a", "user.a", "user.b", "user.c", "user.\u00e9",
                                "user." + "n" * 60, "nonsense.a"))

    def times(self):
        return {"atime": self.time(), "mtime": self.time()}

    def time(self):
        return self.rng.choice((
            "now", "omit", 0, 1, 1_000_000_001, self.rng.randrange(2 * 10**18), -1_500_000_000,
            4_102_444_800 * 10**9 + 7,
        ))

    def lock(self):
        return self.rng.choice(("shared", "exclusive", "none"))
