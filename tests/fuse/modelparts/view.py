"""What the generator knows of the plain side: names, open slots and mappings."""

import os
import stat


class View:
    """Looked up again every few steps, sorted: the same seed gives the same script."""

    def __init__(self):
        self.names = {}  # path: kind
        self.slots = {}  # slot: kind
        self.opened = {}  # slot: the path it was opened by
        self.maps = set()

    def refresh(self, plain):
        plain.enter()
        self.names = {}
        pending = ["."]
        while pending:
            folder = pending.pop()
            with os.scandir(folder) as entries:
                listed = sorted((entry.name, kind_of(entry)) for entry in entries)
            for name, kind in listed:
                path = os.path.normpath(os.path.join(folder, name))
                self.names[path] = kind
                if kind == "dir":
                    pending.append(path)

    def note(self, operation, result):
        """What a step changed, as far as it need be known before the next refresh."""
        if operation["do"] == "remount":
            self.slots, self.opened, self.maps = {}, {}, set()
        if result[0] != "ok":
            return
        self.note_slots(operation, result[1])
        made = {"mkdir": "dir", "fill": "dir", "write_file": "file", "symlink": "link", "script": "file"}
        if operation["do"] in made and "base" not in operation:
            self.names[os.path.normpath(operation["path"])] = made[operation["do"]]

    def note_slots(self, operation, result):
        if operation["do"] == "open":
            self.slots[operation["slot"]] = "dir" if stat.S_ISDIR(int(result[0], 8)) else "file"
            self.opened[operation["slot"]] = operation["path"]
        elif operation["do"] == "close":
            self.slots.pop(operation["slot"], None)
            self.opened.pop(operation["slot"], None)
        elif operation["do"] == "map" and result == "mapped":
            self.maps.add(operation["number"])
        elif operation["do"] == "unmap":
            self.maps.discard(operation["number"])


def kind_of(entry):
    if entry.is_symlink():
        return "link"
    if entry.is_dir():
        return "dir"
    return "file" if entry.is_file() else "other"
