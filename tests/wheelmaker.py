"""Wheels made by hand, with full control over every field of the zip file."""

import base64
import hashlib
import pathlib
import struct
import zlib

STORED, DEFLATED = 0, 8


def record_hash(data):
    return "sha256=" + base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()


def quoted(field):
    return '"%s"' % field.replace('"', '""') if set(field) & set(',"') else field


class Member:
    """One member; any keyword overrides what would be right.

    Fields of the central directory: name, flags, method, crc, packed_size, size, mode, extra,
    comment, needed, disk, offset; those of the local header: the same with `local_` before.
    """

    def __init__(self, name, data=b"", mode=0o100644, method=DEFLATED, **wrong):
        self.name, self.data, self.mode, self.method = name, data, mode, method
        self.wrong = wrong

    def packed(self):
        if "packed" in self.wrong:
            return self.wrong["packed"]
        if self.method != DEFLATED:
            return self.data
        deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
        return deflate.compress(self.data) + deflate.flush()

    def field(self, name, default, local=False):
        if local and "local_" + name in self.wrong:
            return self.wrong["local_" + name]
        return self.wrong.get(name, default)


def zip_bytes(members, before=b"", behind=b"", comment=b"", gap=b"", **end):
    """The file; `end` overrides fields of the end record."""
    out, directory = bytearray(before), bytearray()
    for m in members:
        packed = m.packed()
        name = m.name if isinstance(m.name, bytes) else m.name.encode()
        offset = len(out)
        values = {}
        for local in (True, False):
            crc = m.field("crc", zlib.crc32(m.data), local)
            packed_size = m.field("packed_size", len(packed), local)
            size = m.field("size", len(m.data), local)
            flags = m.field("flags", 0x800 if any(b > 127 for b in name) else 0, local)
            if local and flags & 8 and "local_crc" not in m.wrong:
                crc = packed_size = size = 0
            values[local] = (
                m.field("needed", 20, local), flags, m.field("method", m.method, local),
                0, 0x21, crc, packed_size, size,
            )
        local_name = m.field("name", name, True)
        extra = m.field("extra", b"", True)
        out += struct.pack("<4s5H3L2H", b"PK\3\4", *values[True], len(local_name), len(extra))
        out += local_name + extra + packed + m.wrong.get("descriptor", b"") + gap
        extra, note = m.field("extra", b""), m.field("comment", b"")
        directory += struct.pack(
            "<4s6H3L5H2L", b"PK\1\2", 0x31E, *values[False], len(name), len(extra), len(note),
            m.field("disk", 0), 0, m.field("attributes", m.mode << 16), m.field("offset", offset),
        ) + name + extra + note
    start = len(out)
    out += directory + end.pop("before_end", b"")
    out += struct.pack(
        "<4s4H2LH", b"PK\5\6", end.get("disk", 0), end.get("directory_disk", 0),
        end.get("count_here", len(members)), end.get("count", len(members)),
        end.get("directory_size", len(directory)), end.get("directory_offset", start), len(comment),
    ) + comment + behind
    return bytes(out)


class Wheel:
    """A wheel that is right, to be made wrong in one respect."""

    def __init__(self, name="demo", version="1.0", tag="py3-none-any"):
        self.name, self.version, self.tag = name, version, tag
        self.info = f"{name}-{version}.dist-info"
        self.files = {
            f"{name}/__init__.py": f'value = "{version}"\n\n\ndef main():\n    print(value)\n'.encode(),
            f"{self.info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n".encode(),
            f"{self.info}/WHEEL": b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\n"
            + f"Tag: {tag}\n".encode(),
        }
        self.modes, self.extra, self.rows, self.zip = {}, [], {}, {}
        self.record = None
        self.file_name = f"{name}-{version}-{tag}.whl"

    def add(self, name, data=b"", mode=0o100644):
        self.files[name] = data
        self.modes[name] = mode
        return self

    def scripts(self, text):
        return self.add(f"{self.info}/entry_points.txt", text.encode())

    def record_text(self):
        if self.record is not None:
            return self.record
        rows = {n: f"{quoted(n)},{record_hash(d)},{len(d)}" for n, d in self.files.items() if not n.endswith("/")}
        rows.update(self.rows)
        rows[self.info + "/RECORD"] = self.info + "/RECORD,,"
        return "".join(row + "\n" for row in rows.values() if row).encode()

    def members(self):
        members = [Member(n, d, self.modes.get(n, 0o100644)) for n, d in self.files.items()]
        if self.record != b"none":
            members.append(Member(self.info + "/RECORD", self.record_text()))
        return members + self.extra

    def bytes(self):
        return zip_bytes(self.members(), **self.zip)

    def write(self, folder):
        path = pathlib.Path(folder, self.file_name)
        path.write_bytes(self.bytes())
        return path
