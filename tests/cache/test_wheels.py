"""One wheel for each rule: refused in one line that names the wheel and the rule."""

import hashlib
import json
import os
import shutil
import struct
import urllib.parse
import zlib

import pytest
from wheelmaker import DEFLATED, STORED, Member, Wheel, record_hash, zip_bytes

RULES = {}


def rule(said):
    """Registers a maker of a wheel that must be refused with a text that holds `said`."""

    def register(maker):
        assert maker.__name__ not in RULES
        RULES[maker.__name__] = (maker, said)
        return maker

    return register


def spoilt(**wrong):
    """A right wheel whose first member is wrong in the given fields."""
    w = Wheel()
    members = w.members()
    first = members[0]
    wrong.setdefault("method", first.method)
    members[0] = Member(first.name, first.data, first.mode, **wrong)
    return w, zip_bytes(members)


def listed(w, *names_and_data):
    """Adds members that RECORD lists, too."""
    for name, data in names_and_data:
        w.add(name, data)
    return w


# -- the structure of the zip file ------------------------------------------------------


@rule("no zip file")
def empty_file():
    return Wheel(), b""


@rule("no zip file")
def no_zip_at_all():
    return Wheel(), b"#!/bin/sh\necho hello\n" * 50


@rule("cut short")
def cut_short():
    return Wheel(), Wheel().bytes()[:-10]


@rule("bytes behind its end")
def bytes_behind_the_end():
    return Wheel(), Wheel().bytes() + b"x"


@rule("no local header")
def local_header_without_its_signature():
    return Wheel(), b"PK\3\5" + Wheel().bytes()[4:]


@rule("several end records")
def end_record_in_the_comment():
    return Wheel(), zip_bytes(Wheel().members(), comment=zip_bytes([]))


@rule("not where its end record says")
def end_record_behind_the_end_record():
    whole = Wheel().bytes()
    return Wheel(), whole + whole[-22:]


@rule("central directory")
def end_record_before_the_end_record():
    return Wheel(), zip_bytes(Wheel().members(), before_end=zip_bytes([]))


@rule("central directory")
def bytes_before_the_start():
    return Wheel(), b"MZ" + Wheel().bytes()


@rule("bytes before the first member")
def counted_bytes_before_the_start():
    return Wheel(), zip_bytes(Wheel().members(), before=b"MZ")


@rule("leaves a gap")
def gap_between_members():
    return Wheel(), zip_bytes(Wheel().members(), gap=b"xx")


@rule("another zip file")
def comment_with_a_zip_file():
    return Wheel(), zip_bytes(Wheel().members(), comment=b"PK\1\2....")


@rule("several disks")
def several_disks():
    return Wheel(), zip_bytes(Wheel().members(), disk=1)


@rule("several disks")
def members_on_another_disk():
    return Wheel(), zip_bytes(Wheel().members(), count_here=1)


@rule("fewer members")
def too_high_a_count():
    return Wheel(), zip_bytes(Wheel().members(), count=9, count_here=9)


@rule("more than its members")
def too_low_a_count():
    return Wheel(), zip_bytes(Wheel().members(), count=2, count_here=2)


@rule("central directory")
def directory_elsewhere():
    return Wheel(), zip_bytes(Wheel().members(), directory_offset=5)


@rule("central directory")
def directory_of_another_size():
    return Wheel(), zip_bytes(Wheel().members(), directory_size=46)


@rule("outside of the file")
def member_outside_of_the_file():
    return spoilt(offset=1 << 30)


@rule("overlaps")
def overlapping_members():
    w = Wheel()
    members = w.members()
    data = members[0].data
    twin = Member("demo/twin.py", data, offset=0, local_name=members[0].name.encode())
    return w, zip_bytes([members[0], twin, *members[1:]])


@rule("overlaps")
def offset_into_content():
    w = Wheel()
    members = w.members()
    members[1] = Member(members[1].name, members[1].data, offset=5)
    return w, zip_bytes(members)


@rule("differ in name")
def local_name_differs():
    return spoilt(local_name=b"demo/__init__.pY")


@rule("differ in")
def local_crc_differs():
    return spoilt(local_crc=1)


@rule("differ in")
def local_size_differs():
    return spoilt(local_size=1)


@rule("differ in")
def local_packed_size_differs():
    return spoilt(local_packed_size=1)


@rule("differ in")
def local_method_differs():
    return spoilt(local_method=STORED)


@rule("differ in")
def local_flags_differ():
    return spoilt(local_flags=2)


@rule("encrypted")
def encrypted():
    return spoilt(flags=1)


@rule("encrypted")
def strongly_encrypted():
    return spoilt(flags=0x41)


@rule("zip feature")
def compressed_patched():
    return spoilt(flags=0x20)


@rule("compress")
def bzip2_member():
    return spoilt(method=12, local_method=12)


@rule("compress")
def lzma_member():
    return spoilt(method=14, local_method=14)


@rule("data descriptor is missing")
def no_descriptor_where_one_is_promised():
    w = Wheel()
    members = w.members()
    members[0] = Member(members[0].name, members[0].data, flags=8, descriptor=b"")
    return w, zip_bytes(members)


@rule("descriptor")
def wrong_descriptor():
    w = Wheel()
    members = w.members()
    m = members[0]
    packed = m.packed()
    text = struct.pack("<4s3L", b"PK\7\x08", zlib.crc32(m.data) ^ 1, len(packed), len(m.data))
    members[0] = Member(m.name, m.data, flags=8, descriptor=text)
    return w, zip_bytes(members)


@rule("twice")
def same_name_twice():
    w = Wheel()
    members = w.members()
    return w, zip_bytes(members + [Member(members[0].name, members[0].data)])


@rule("a file and a directory")
def file_and_directory():
    w = listed(Wheel(), ("demo/__init__.py/x", b"x"))
    return w, w.bytes()


@rule("the same extra field twice")
def extra_field_twice():
    field = struct.pack("<2H", 1, 0)
    return spoilt(extra=field + field)


@rule("ZIP64 field")
def zip64_field_of_odd_length():
    return spoilt(extra=struct.pack("<2H", 1, 5) + b"12345")


@rule("malformed extra field")
def extra_field_cut_short():
    return spoilt(extra=b"\1\0\xff")


@rule("Unicode path")
def unicode_path_with_another_name():
    name = b"demo/other.py"
    body = struct.pack("<BL", 1, zlib.crc32(b"demo/__init__.py")) + name
    return spoilt(extra=struct.pack("<2H", 0x7075, len(body)) + body)


def with_zip64_end(locator_at=0, locator_disks=1, end_at=0, count=None, **wrong):
    """A right wheel with a ZIP64 end record and its locator, or wrong in the given fields."""
    w = Wheel()
    members = w.members()
    start = struct.unpack("<L", zip_bytes(members)[-6:-2])[0]
    size = len(zip_bytes(members)) - 22 - start
    count = len(members) if count is None else count
    end = struct.pack(
        "<4sQ2H2L4Q", b"PK\6\6", wrong.pop("end_size", 44), 45, 45, wrong.pop("disk", 0), 0,
        wrong.pop("count_here", count), count, size, start,
    ) + wrong.pop("extensible", b"")
    locator = struct.pack("<4sLQL", b"PK\6\7", 0, start + size + locator_at, locator_disks)
    assert not set(wrong) - {"end_count", "end_directory_offset"}, wrong
    if "end_count" in wrong:
        wrong["count"] = wrong["count_here"] = wrong.pop("end_count")
    if "end_directory_offset" in wrong:
        wrong["directory_offset"] = wrong.pop("end_directory_offset")
    return w, zip_bytes(members, before_end=end + locator, **wrong)


@rule("ZIP64 locator")
def zip64_locator_that_points_elsewhere():
    return with_zip64_end(locator_at=-1)


@rule("ZIP64 locator")
def zip64_locator_of_several_disks():
    return with_zip64_end(locator_disks=2)


@rule("ZIP64 locator")
def zip64_end_record_with_bytes_behind_it():
    return with_zip64_end(extensible=b"hidden", end_size=50)


@rule("extensible data")
def zip64_end_record_of_another_size():
    return with_zip64_end(end_size=50)


@rule("several disks")
def zip64_end_record_on_another_disk():
    return with_zip64_end(disk=1)


@rule("several disks")
def zip64_end_record_with_members_elsewhere():
    return with_zip64_end(count_here=1)


@rule("fewer members")
def zip64_end_record_with_too_high_a_count():
    return with_zip64_end(count=9, end_count=0xFFFF)


@rule("fewer members")
def zip64_end_record_with_an_absurd_count():
    return with_zip64_end(count=999_999, end_count=0xFFFF)


@rule("more than 1000000 members")
def zip64_end_record_with_more_members_than_any_wheel():
    return with_zip64_end(count=1 << 60, end_count=0xFFFF)


@rule("differ")
def end_records_of_two_counts():
    return with_zip64_end(end_count=3)


@rule("differ")
def end_records_of_two_offsets():
    return with_zip64_end(end_directory_offset=1)


@rule("several end records")
def two_end_records_that_both_reach_the_end():
    inner = zip_bytes([])
    return Wheel(), zip_bytes(Wheel().members(), comment=b"text" + inner)


@rule("newer zip version")
def member_that_needs_a_newer_zip():
    return spoilt(needed=63, local_needed=63)


@rule("has a comment")
def member_with_a_comment():
    return spoilt(comment=b"hello")


@rule("on another disk")
def member_on_another_disk():
    return spoilt(disk=1)


@rule("two sizes differ")
def stored_member_of_two_sizes():
    return spoilt(method=STORED, size=9, local_size=9)


@rule("with its size behind it")
def stored_member_with_a_descriptor():
    data = Wheel().files["demo/__init__.py"]
    text = struct.pack("<4s3L", b"PK\7\x08", zlib.crc32(data), len(data), len(data))
    return spoilt(method=STORED, flags=8, descriptor=text)


@rule("compressed by a method other")
def zstd_member():
    return spoilt(method=93, local_method=93)


@rule("disagree")
def file_type_with_a_slash():
    w = Wheel()
    return w, zip_bytes([*w.members(), Member("demo/folder/", b"", mode=0o100644, method=STORED)])


@rule("demo/__init__.py")
def bytes_behind_the_deflate_stream():
    w = Wheel()
    m = Member("demo/__init__.py", w.files["demo/__init__.py"])
    return spoilt(packed=m.packed() + b"hidden")


@rule("demo/__init__.py")
def bytes_behind_the_deflate_stream_before_a_descriptor():
    data = Wheel().files["demo/__init__.py"]
    packed = Member("x", data).packed() + b"hidden"
    text = struct.pack("<4s3L", b"PK\7\x08", zlib.crc32(data), len(packed), len(data))
    return spoilt(packed=packed, flags=8, descriptor=text)


@rule("demo/__init__.py")
def deflate_stream_cut_short():
    data = Wheel().files["demo/__init__.py"]
    return spoilt(packed=Member("x", data).packed()[:-1])


@rule("zip bombs")
def compression_bomb():
    w = Wheel()
    w.add("demo/zeros", bytes(80 << 20))
    return w, w.bytes()


@rule("larger than")
def impossible_total():
    extra = struct.pack("<2HQ", 1, 8, 1 << 50)
    return spoilt(size=0xFFFFFFFF, local_size=0xFFFFFFFF, extra=extra)


@rule("wrong size")
def more_content_than_declared():
    w = Wheel()
    data = w.files["demo/__init__.py"]
    w.rows["demo/__init__.py"] = f"demo/__init__.py,{record_hash(data[:3])},3"
    members = w.members()
    members[0] = Member(members[0].name, data, size=3, local_size=3)
    return w, zip_bytes(members)


@rule("demo/__init__.py")
def wrong_crc():
    return spoilt(crc=1, local_crc=1)


@rule("demo/__init__.py")
def broken_deflate_stream():
    w = Wheel()
    m = w.members()[0]
    return spoilt(packed=b"\xff" * 50, packed_size=50)


# -- names and types --------------------------------------------------------------------


@rule("plain relative path")
def climbing_out():
    w = listed(Wheel(), ("demo/../../../evil.py", b"x"))
    return w, w.bytes()


@rule("plain relative path")
def absolute_path():
    w = listed(Wheel(), ("/etc/evil", b"x"))
    return w, w.bytes()


@rule("plain relative path")
def dot_component():
    w = listed(Wheel(), ("demo/./x.py", b"x"))
    return w, w.bytes()


@rule("plain relative path")
def empty_component():
    w = listed(Wheel(), ("demo//x.py", b"x"))
    return w, w.bytes()


@rule("plain relative path")
def component_of_256_bytes():
    w = listed(Wheel(), ("demo/" + "x" * 256, b"x"))
    return w, w.bytes()


@rule("plain relative path")
def hundreds_of_directories():
    w = listed(Wheel(), ("d/" * 300 + "x", b"x"))
    return w, w.bytes()


@rule("plain relative path")
def drive_letter():
    w = listed(Wheel(), ("C:/evil.py", b"x"))
    return w, w.bytes()


@rule("backslash")
def backslash():
    w = listed(Wheel(), ("demo\\evil.py", b"x"))
    return w, w.bytes()


@rule("control character")
def control_character():
    w = listed(Wheel(), ("demo/a\nb.py", b"x"))
    return w, w.bytes()


@rule("empty or has a NUL byte")
def nul_in_a_name():
    w = Wheel()
    return w, zip_bytes(w.members() + [Member("demo/a\0b.py", b"x")])


@rule("empty or has a NUL byte")
def empty_name():
    w = Wheel()
    return w, zip_bytes(w.members() + [Member("", b"x")])


@rule("not UTF-8")
def name_not_utf8():
    w = Wheel()
    return w, zip_bytes(w.members() + [Member(b"demo/\xff.py", b"x")])


@rule("not marked as UTF-8")
def utf8_without_the_flag():
    w = Wheel()
    return w, zip_bytes(w.members() + [Member("demo/\xe9.py", b"x", flags=0)])


@rule("symlink or special file")
def symlink():
    w = Wheel().add("demo/link", b"/etc/passwd", 0o120777)
    return w, w.bytes()


@rule("symlink or special file")
def fifo():
    w = Wheel().add("demo/fifo", b"", 0o010644)
    return w, w.bytes()


@rule("has content")
def directory_with_content():
    w = Wheel()
    return w, zip_bytes(w.members() + [Member("demo/sub/", b"x", 0o040755)])


@rule("disagree")
def directory_type_without_slash():
    w = Wheel().add("demo/sub", b"", 0o040755)
    return w, w.bytes()


# -- the wheel ----------------------------------------------------------------------------


@rule("not end with .whl")
def another_suffix():
    w = Wheel()
    w.file_name = "demo-1.0-py3-none-any.zip"
    return w, w.bytes()


@rule("name-version")
def too_few_parts_in_the_name():
    w = Wheel()
    w.file_name = "demo-1.0.whl"
    return w, w.bytes()


@rule("no .dist-info")
def no_dist_info():
    w = Wheel()
    return w, zip_bytes([Member("demo/__init__.py", b"x")])


@rule("several .dist-info")
def two_dist_infos():
    w = listed(Wheel(), ("other-1.0.dist-info/METADATA", b"Name: other\nVersion: 1.0\n"))
    return w, w.bytes()


@rule("different releases")
def dist_info_of_another_name():
    w = Wheel("other")
    w.file_name = "demo-1.0-py3-none-any.whl"
    return w, w.bytes()


@rule("METADATA names")
def metadata_of_another_name():
    w = Wheel()
    w.add(w.info + "/METADATA", b"Metadata-Version: 2.1\nName: other\nVersion: 1.0\n")
    return w, w.bytes()


@rule("METADATA has version")
def metadata_of_another_version():
    w = Wheel()
    w.add(w.info + "/METADATA", b"Metadata-Version: 2.1\nName: demo\nVersion: 2.0\n")
    return w, w.bytes()


@rule("no Name or no Version")
def metadata_without_a_version():
    w = Wheel()
    w.add(w.info + "/METADATA", b"Metadata-Version: 2.1\nName: demo\n")
    return w, w.bytes()


@rule("it has no demo-1.0.dist-info/METADATA")
def no_metadata():
    w = Wheel()
    del w.files[w.info + "/METADATA"]
    return w, w.bytes()


@rule("it has no demo-1.0.dist-info/WHEEL")
def no_wheel_file():
    w = Wheel()
    del w.files[w.info + "/WHEEL"]
    return w, w.bytes()


@rule("it has no demo-1.0.dist-info/RECORD")
def no_record():
    w = Wheel()
    w.record = b"none"
    return w, w.bytes()


@rule("Wheel-Version 2.0")
def wheel_version_of_the_future():
    w = Wheel()
    w.add(w.info + "/WHEEL", b"Wheel-Version: 2.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
    return w, w.bytes()


@rule("no Wheel-Version")
def no_wheel_version():
    w = Wheel()
    w.add(w.info + "/WHEEL", b"Root-Is-Purelib: true\nTag: py3-none-any\n")
    return w, w.bytes()


@rule("Root-Is-Purelib")
def no_root_is_purelib():
    w = Wheel()
    w.add(w.info + "/WHEEL", b"Wheel-Version: 1.0\nTag: py3-none-any\n")
    return w, w.bytes()


@rule("has no Tag")
def no_tag():
    w = Wheel()
    w.add(w.info + "/WHEEL", b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\n")
    return w, w.bytes()


@rule("no sha256 of 'demo/extra.py'")
def file_that_record_does_not_list():
    w = listed(Wheel(), ("demo/extra.py", b"x"))
    w.rows["demo/extra.py"] = ""
    return w, w.bytes()


@rule("no sha256")
def row_without_a_hash():
    w = Wheel()
    w.rows["demo/__init__.py"] = "demo/__init__.py,,"
    return w, w.bytes()


@rule("no sha256")
def row_with_md5():
    w = Wheel()
    w.rows["demo/__init__.py"] = "demo/__init__.py,md5=abc,1"
    return w, w.bytes()


@rule("another sha256")
def wrong_hash():
    w = Wheel()
    data = w.files["demo/__init__.py"]
    w.rows["demo/__init__.py"] = f"demo/__init__.py,{record_hash(b'x')},{len(data)}"
    return w, w.bytes()


@rule("another size")
def wrong_size():
    w = Wheel()
    data = w.files["demo/__init__.py"]
    w.rows["demo/__init__.py"] = f"demo/__init__.py,{record_hash(data)},{len(data) + 1}"
    return w, w.bytes()


@rule("which is not there")
def row_without_a_file():
    w = Wheel()
    w.rows["demo/gone.py"] = f"demo/gone.py,{record_hash(b'')},0"
    return w, w.bytes()


@rule("twice")
def row_twice():
    w = Wheel()
    w.rows["again"] = f"demo/__init__.py,{record_hash(b'')},0"
    return w, w.bytes()


@rule("plain relative path")
def row_that_climbs_out():
    w = Wheel()
    w.rows["evil"] = "../../evil,,"
    return w, w.bytes()


@rule("three fields")
def row_of_two_fields():
    w = Wheel()
    w.rows["short"] = "demo/x.py,"
    return w, w.bytes()


@rule("NUL byte")
def nul_in_record():
    w = Wheel()
    w.record = b"demo\0,,\n"
    return w, w.bytes()


@rule("no installation scheme")
def unknown_scheme():
    w = listed(Wheel(), ("demo-1.0.data/evil/x", b"x"))
    return w, w.bytes()


@rule("interpreter's place")
def script_called_python():
    w = listed(Wheel(), ("demo-1.0.data/scripts/python", b"#!/bin/sh\n"))
    return w, w.bytes()


@rule("interpreter's place")
def script_called_python_in_capitals():
    w = listed(Wheel(), ("demo-1.0.data/scripts/PYTHON3.11", b"#!/bin/sh\n"))
    return w, w.bytes()


@rule("venv's own files")
def data_called_bin_python():
    w = listed(Wheel(), ("demo-1.0.data/data/bin/python3", b"#!/bin/sh\n"))
    return w, w.bytes()


@rule("venv's own files")
def data_called_pyvenv_cfg():
    w = listed(Wheel(), ("demo-1.0.data/data/pyvenv.cfg", b"home = /evil\n"))
    return w, w.bytes()


@rule("venv's own files")
def data_called_lib64():
    w = listed(Wheel(), ("demo-1.0.data/data/lib64/x", b"x"))
    return w, w.bytes()


@rule("venv's own files")
def data_that_is_a_file_called_bin():
    w = listed(Wheel(), ("demo-1.0.data/data/bin", b"x"))
    return w, w.bytes()


@rule("venv's own files")
def data_that_is_a_file_called_lib():
    w = listed(Wheel(), ("demo-1.0.data/data/lib", b"x"))
    return w, w.bytes()


@rule("directory of its own")
def script_in_a_directory():
    w = listed(Wheel(), ("demo-1.0.data/scripts/sub/x", b"#!/bin/sh\n"))
    return w, w.bytes()


@rule("where another of its files is")
def two_files_at_one_place():
    w = listed(Wheel(), ("demo-1.0.data/purelib/demo/__init__.py", b"y"))
    return w, w.bytes()


@rule("no name for a script")
def entry_point_that_climbs_out():
    w = Wheel().scripts("[console_scripts]\n../evil = demo:main\n")
    return w, w.bytes()


@rule("no name for a script")
def entry_point_called_dot_dot():
    w = Wheel().scripts("[console_scripts]\n.. = demo:main\n")
    return w, w.bytes()


@rule("not UTF-8")
def entry_points_in_another_encoding():
    w = Wheel().add("demo-1.0.dist-info/entry_points.txt", "[console_scripts]\n\u00e9 = demo:main\n".encode("latin-1"))
    return w, w.bytes()


@rule("interpreter's place")
def entry_point_called_python():
    w = Wheel().scripts("[console_scripts]\nPython = demo:main\n")
    return w, w.bytes()


@rule("module:function")
def entry_point_with_code():
    w = Wheel().scripts("[console_scripts]\nx = demo:main;import os\n")
    return w, w.bytes()


@rule("module:function")
def entry_point_without_a_function():
    w = Wheel().scripts("[console_scripts]\nx = demo\n")
    return w, w.bytes()


@rule("twice")
def entry_point_twice():
    w = Wheel().scripts("[console_scripts]\nx = demo:main\nx = demo:other\n")
    return w, w.bytes()


@pytest.mark.parametrize("name", sorted(RULES))
def test_it_is_refused_in_one_line_and_leaves_no_trace(venvfs, tmp_path, name):
    maker, said = RULES[name]
    wheel, data = maker()
    path = tmp_path / wheel.file_name
    path.write_bytes(data)
    line = venvfs.refused("cache", "add", path)
    assert wheel.file_name in line and said in line, line
    assert venvfs.traces() == []


def test_the_tags_of_the_file_name_count(venvfs, tmp_path):
    """Wheels are in use whose WHEEL has others."""
    w = Wheel()
    w.add(w.info + "/WHEEL", b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: cp311-cp311-win32\n")
    venvfs.run("mount", tmp_path / "m", w.write(tmp_path))


def test_a_right_wheel_is_taken(venvfs, tmp_path):
    path = Wheel().scripts("[console_scripts]\ndemo = demo:main\n").write(tmp_path)
    venvfs.add(path)
    venvfs.run("cache", "verify")
    assert any("/wheels/" in p for p in venvfs.traces())


def test_one_bad_wheel_among_good_ones_does_not_stop_them(venvfs, tmp_path):
    good = Wheel("good").write(tmp_path)
    bad, data = wrong_hash()
    (tmp_path / bad.file_name).write_bytes(data)
    line = venvfs.refused("cache", "add", good, tmp_path / bad.file_name)
    assert bad.file_name in line
    assert "good-1.0" in venvfs.run("cache", "list").stdout


def test_data_descriptors_that_are_right_are_taken(venvfs, tmp_path):
    w = Wheel()
    members = []
    for m in w.members():
        packed = m.packed()
        text = struct.pack("<4s3L", b"PK\7\x08", zlib.crc32(m.data), len(packed), len(m.data))
        members.append(Member(m.name, m.data, flags=8, descriptor=text))
    path = tmp_path / w.file_name
    path.write_bytes(zip_bytes(members))
    venvfs.add(path)


def test_zip64_end_records_that_are_right_are_taken(venvfs, tmp_path):
    for number, fields in enumerate(({}, {"end_count": 0xFFFF, "end_directory_offset": 0xFFFFFFFF})):
        w, data = with_zip64_end(**fields)
        path = tmp_path / f"demo-1.0-{number}-py3-none-any.whl"
        path.write_bytes(data)
        venvfs.add(path)


def test_zip64_sizes_that_are_right_are_taken(venvfs, tmp_path):
    """As Python's zipfile writes a member that it streams: the sizes stand in the extra field only."""
    data = Wheel().files["demo/__init__.py"]
    packed = Member("x", data).packed()
    field = struct.pack("<2H2Q", 1, 16, len(data), len(packed))
    sentinel = 0xFFFFFFFF
    w, wheel = spoilt(local_extra=field, local_size=sentinel, local_packed_size=sentinel)
    (tmp_path / w.file_name).write_bytes(wheel)
    venvfs.add(tmp_path / w.file_name)
    w, wheel = spoilt(extra=field, size=sentinel, packed_size=sentinel, local_extra=field,
                      local_size=sentinel, local_packed_size=sentinel)
    (tmp_path / "demo-1.0-1-py3-none-any.whl").write_bytes(wheel)
    venvfs.add(tmp_path / "demo-1.0-1-py3-none-any.whl")


def test_lenient_record_takes_what_is_not_listed_but_never_a_wrong_hash(venvfs, tmp_path):
    w, data = file_that_record_does_not_list()
    path = tmp_path / w.file_name
    path.write_bytes(data)
    venvfs.run("cache", "add", "--lenient-record", path)
    w, data = wrong_hash()
    w.file_name = "demo-1.0-1-py3-none-any.whl"
    path = tmp_path / w.file_name
    path.write_bytes(data)
    venvfs.refused("cache", "add", "--lenient-record", path)


def test_what_was_taken_leniently_is_for_nobody_else(venvfs, tmp_path):
    w, data = file_that_record_does_not_list()
    path = tmp_path / w.file_name
    path.write_bytes(data)
    venvfs.run("cache", "add", "--lenient-record", path)
    hashed = tmp_path / "lines.in"
    hashed.write_text(f"demo @ {path.as_uri()} --hash=sha256:{hashlib.sha256(data).hexdigest()}\n")
    pinned = tmp_path / "pinned.in"
    pinned.write_text("demo==1.0\n")
    by_name = tmp_path / "by_name.in"
    by_name.write_text(f"--find-links {tmp_path}\ndemo==1.0 --hash=sha256:{hashlib.sha256(data).hexdigest()}\n")
    for ways in (["cache", "add", path], ["export", tmp_path / "no", path]):
        assert "RECORD has no sha256 of" in venvfs.refused(*ways)
    for lines in (hashed, pinned, by_name):
        for _ in range(2):
            said = venvfs.refused("export", tmp_path / "no", "-r", lines, "--offline")
            assert "its RECORD lists more or less than there is; --lenient-record takes it" in said
            venvfs.run("export", "--clear", tmp_path / "yes", "-r", lines, "--offline", "--lenient-record")
    venvfs.run("cache", "add", "--lenient-record", path)
    # A wheel that is right is for all, however it came.
    good = Wheel("fine").write(tmp_path)
    venvfs.run("cache", "add", "--lenient-record", good)
    venvfs.run("export", tmp_path / "fine", good)


def test_a_file_that_is_not_there_is_said(venvfs):
    assert "No such file" in venvfs.refused("cache", "add", "/nowhere/demo-1.0-py3-none-any.whl")


def test_a_directory_is_no_wheel(venvfs, tmp_path):
    folder = tmp_path / "demo-1.0-py3-none-any.whl"
    folder.mkdir()
    assert str(folder) in venvfs.refused("cache", "add", folder)


def test_a_fifo_is_refused_without_waiting(venvfs, tmp_path):
    path = tmp_path / "demo-1.0-py3-none-any.whl"
    os.mkfifo(path)
    assert str(path) in venvfs.refused("cache", "add", path)


@pytest.mark.parametrize("folder", [b"a b%41", b"new\nline", b"lat\xe9in", "\u00e9".encode()])
def test_where_a_wheel_came_from_is_a_url_whatever_its_folder_is_called(venvfs, tmp_path, folder):
    where = os.path.join(os.fsencode(tmp_path), folder)
    os.mkdir(where)
    path = Wheel().write(os.fsdecode(where))
    venvfs.run("cache", "add", os.path.relpath(path, tmp_path))
    [row] = json.loads(venvfs.run("cache", "list", "--json").stdout)
    assert row["origin"].startswith("file:///")
    assert urllib.parse.unquote_to_bytes(row["origin"][len("file://"):]) == os.fsencode(path)


def test_an_origin_that_is_too_long_is_left_out_and_not_cut(venvfs, tmp_path):
    where = tmp_path / ("\u00e9" * 100) / ("\u00e9" * 100)
    where.mkdir(parents=True)
    venvfs.add(Wheel().write(where))
    [row] = json.loads(venvfs.run("cache", "list", "--json").stdout)
    assert row["origin"] == ""


@pytest.mark.parametrize("name", ["other-1.0-py3-none-any.whl", "demo-2.0-py3-none-any.whl", "demo.whl"])
def test_a_file_name_is_checked_also_when_the_content_is_known(venvfs, tmp_path, name):
    right = Wheel().write(tmp_path)
    wrong = tmp_path / name
    shutil.copy(right, wrong)
    said = venvfs.refused("cache", "add", wrong)
    venvfs.add(right)
    assert venvfs.refused("cache", "add", wrong) == said
    assert wrong.name not in venvfs.run("cache", "list").stdout


def test_another_file_name_that_is_right_is_taken(venvfs, tmp_path):
    right = Wheel().write(tmp_path)
    venvfs.add(right)
    shutil.copy(right, tmp_path / "Demo-1.0.0-1build-py3-none-any.whl")
    venvfs.add(tmp_path / "Demo-1.0.0-1build-py3-none-any.whl")


@pytest.mark.parametrize("args, status", [
    (["no\nverb"], 2), (["mount", "two\nlines"], 1), (["unmount", "two\nlines"], 1), (["unmount", "\x1b[31m"], 1),
    (["cache", "two\nlines"], 2), (["mount", "--two\nlines"], 2), (["cache", "dir", "x"], 2),
])
def test_what_is_said_is_one_line_whatever_was_typed(venvfs, args, status):
    done = venvfs.run(*args, ok=False)
    assert done.returncode == status
    assert len(done.stderr.splitlines()) == 1 and done.stderr[:-1].isprintable(), done.stderr


def test_each_cache_that_is_passed_over_is_said_in_a_line(venvfs, tmp_path):
    done = venvfs.run("cache", "list", VENVFS_CACHE_PATH=f"{tmp_path}/a:{tmp_path}/b")
    assert len(done.stderr.splitlines()) == 2
    for line, name in zip(done.stderr.splitlines(), "ab"):
        assert line.startswith("venvfs: VENVFS_CACHE_PATH: ") and f"{tmp_path}/{name}'" in line
