"""Images that no venvfs would write: an image of the cache with other metadata, and every sum right again."""

import ctypes
import os
import struct


class Hash128(ctypes.Structure):
    _fields_ = [("low", ctypes.c_uint64), ("high", ctypes.c_uint64)]


LIBRARY = ctypes.CDLL("libxxhash.so.0")
LIBRARY.XXH3_64bits.restype = ctypes.c_uint64
LIBRARY.XXH3_64bits.argtypes = [ctypes.c_char_p, ctypes.c_size_t]
LIBRARY.XXH3_128bits.restype = Hash128
LIBRARY.XXH3_128bits.argtypes = [ctypes.c_char_p, ctypes.c_size_t]

ENTRY = 64
FIELDS = {  # of an entry: offset and format (cache/store/FORMAT.md)
    "name_at": (0, "<I"), "name_size": (4, "<H"), "type": (6, "<B"), "flags": (7, "<B"), "mode": (8, "<H"),
    "zeros": (10, "<H"), "mtime_ns": (12, "<I"), "mtime": (16, "<q"), "length": (24, "<Q"), "digest": (32, "<Q"),
    "data": (48, "<Q"), "parent": (56, "<I"), "sum": (60, "<I"),
}


def sum64(data):
    return LIBRARY.XXH3_64bits(bytes(data), len(data))


def sum128(data):
    found = LIBRARY.XXH3_128bits(bytes(data), len(data))
    return struct.pack(">QQ", found.high, found.low)


class Image:
    def __init__(self, path):
        self.bytes = bytearray(path.read_bytes())
        self.meta_size, self.body = struct.unpack_from("<QQ", self.bytes, 24)
        self.count, sections = struct.unpack_from("<II", self.bytes, 64)
        rows = [struct.unpack_from("<IIQQ", self.bytes, 80 + 24 * i) for i in range(sections)]
        self.sections = {kind: (offset, size) for kind, _, offset, size in rows}
        self.sums_at = 80 + 24 * sections

    def at(self, number, field):
        offset, form = FIELDS[field]
        return form, self.sections[1][0] + ENTRY * number + offset

    def get(self, number, field):
        form, at = self.at(number, field)
        return struct.unpack_from(form, self.bytes, at)[0]

    def set(self, number, field, value):
        form, at = self.at(number, field)
        struct.pack_into(form, self.bytes, at, value)

    def text_at(self, offset):
        return self.sections[2][0] + offset

    def name(self, number):
        at = self.text_at(self.get(number, "name_at"))
        return bytes(self.bytes[at:at + self.get(number, "name_size")])

    def find(self, name):
        return next(i for i in range(self.count) if self.name(i) == name)

    def rename(self, number, name):
        assert len(name) <= self.get(number, "name_size")
        at = self.text_at(self.get(number, "name_at"))
        self.bytes[at:at + len(name)] = name
        self.set(number, "name_size", len(name))

    def publish(self, cache, note):
        """Puts it into the cache under its own id, and has a folder's note name it."""
        for i in range((self.meta_size - self.body + 4095) // 4096):
            begin = self.body + 4096 * i
            struct.pack_into("<Q", self.bytes, self.sums_at + 8 * i,
                             sum64(self.bytes[begin:min(begin + 4096, self.meta_size)]))
        self.bytes[40:64] = bytes(24)
        identity = sum128(self.bytes[:self.meta_size])
        self.bytes[48:64] = identity
        struct.pack_into("<Q", self.bytes, 40, sum64(self.bytes[:self.body]))
        text = identity.hex()
        path = cache / "images" / text[:2] / text[2:]
        path.parent.mkdir(exist_ok=True)
        if not path.exists():
            path.write_bytes(self.bytes)
            path.chmod(0o444)
        lines = note.read_text().splitlines()
        note.write_text("".join(f"image {text}\n" if line.startswith("image ") else line + "\n" for line in lines))
        os.chmod(note, 0o600)
