# What a tool installed below a folder, as a wheel again: repack.py FOLDER OUT BUILD-TAG. The
# wheel depends on the installed bytes alone. Says JSON: its path, and what the installer noted.
import base64
import csv
import hashlib
import json
import os
import re
import sys
import zipfile

NOTES = {"INSTALLER": "installer", "uv_cache.json": "uv_cache", "uv_build.json": "uv_build"}
DROPPED = {"RECORD", "REQUESTED", "direct_url.json"}


def read(path):
    with open(path, "rb") as f:
        return f.read()


def find_dist_info(folder):
    found = [os.path.join(root, d) for root, folders, _ in os.walk(folder) for d in folders if d.endswith(".dist-info")]
    if len(found) != 1:
        sys.exit("%d distributions were installed, and not one" % len(found))
    return found[0]


def is_interpreter(path):
    return os.path.realpath(path) == os.path.realpath(sys.executable)


def restore(data):
    """A script with the first line that it had in the wheel: the tool wrote the interpreter's path there."""
    first, _, rest = data.partition(b"\n")
    if first.startswith(b"#!") and is_interpreter(os.fsdecode(first[2:].strip().strip(b'"'))):
        return b"#!python\n" + rest
    long = re.match(rb"#!/bin/sh\n'''exec' [^\n]*\n' '''\n", data)
    return b"#!python\n" + data[long.end() :] if long else data


class Installed:
    def __init__(self, folder):
        self.folder = folder
        self.info = find_dist_info(folder)
        self.site = os.path.dirname(self.info)
        self.base = os.path.dirname(os.path.dirname(os.path.dirname(self.site)))
        self.name = os.path.basename(self.info)[: -len(".dist-info")]
        self.notes = dict.fromkeys(NOTES.values())
        self.members = {}

    def place(self, path):
        """Its name in a wheel."""
        relative = os.path.relpath(path, self.site)
        if not relative.startswith(".."):
            return relative
        relative = os.path.relpath(path, self.base)
        if relative.startswith(".."):  # Debian's pip has local/ for all but headers
            relative = os.path.relpath(path, self.folder)
        header = re.match(r"include/(?:site/)?[^/]+/[^/]+/(.+)$", relative)
        if relative.startswith(".."):
            sys.exit("'%s' was installed outside of its environment" % path)
        if relative.startswith("bin/"):
            return "%s.data/scripts/%s" % (self.name, relative[4:])
        if header:
            return "%s.data/headers/%s" % (self.name, header.group(1))
        return "%s.data/data/%s" % (self.name, relative)

    def add(self, row):
        path = os.path.normpath(os.path.join(self.site, row))
        name = os.path.basename(path)
        if os.path.dirname(path) == self.info and name in NOTES:
            self.notes[NOTES[name]] = read(path).decode()
        elif not (os.path.dirname(path) == self.info and name in DROPPED) and not row.endswith(".pyc"):
            self.members[self.place(path)] = path

    def tag(self):
        tags = re.findall(r"(?mi)^Tag:\s*(\S+)-(\S+)-(\S+)\s*$", read(os.path.join(self.info, "WHEEL")).decode())
        if not tags:
            sys.exit("its WHEEL names no tag")
        parts = [list(dict.fromkeys(t[i] for t in tags)) for i in range(3)]
        return "-".join(".".join(p) for p in parts)

    def content(self, name):
        data = read(self.members[name])
        return restore(data) if name.startswith(self.name + ".data/scripts/") else data

    def write(self, z):
        rows = []
        for name in sorted(self.members):
            data = self.content(name)
            put(z, name, data, os.stat(self.members[name]).st_mode & 0o111)
            digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
            rows.append('"%s",sha256=%s,%d\n' % (name.replace('"', '""'), digest, len(data)))
        record = "%s.dist-info/RECORD" % self.name
        put(z, record, "".join(rows + [record + ",,\n"]).encode(), False)


def put(z, name, data, executable):
    member = zipfile.ZipInfo(name)
    member.external_attr = (0o100755 if executable else 0o100644) << 16
    z.writestr(member, data)


def main(folder, out, build):
    installed = Installed(folder)
    with open(os.path.join(installed.info, "RECORD"), newline="", encoding="utf-8") as f:
        for row in csv.reader(f):
            if row:
                installed.add(row[0])
    name = "-".join([installed.name] + [build] * bool(build) + [installed.tag()]) + ".whl"
    path = os.path.join(out, name)
    with zipfile.ZipFile(path, "w") as z:
        installed.write(z)
    print(json.dumps(dict(installed.notes, path=path)))


main(*sys.argv[1:4])
