"""Files in folders, tars and zips: what is listed and read, and what is refused, in one line."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import random
import stat
import struct
import tarfile
import zipfile

import pytest

from lossbench.readers import members as packed
from lossbench.readers.archives import list_files, read_files

FILES = {
    "b/2.png": b"two",
    "b/10.jpg": b"ten" * 3000,
    "a/x/ü 1.webp": b"",
    "a/readme.txt": b"text",
    "z.txt": b"z",
}
ORDER = ("a/readme.txt", "a/x/ü 1.webp", "b/10.jpg", "b/2.png", "z.txt")
COMPRESSED = {"tar": bytes, "tar.gz": gzip.compress, "tar.bz2": bz2.compress, "tar.xz": lzma.compress}


def tar_bytes(files, **options):
    """A tar of (name, contents) or TarInfo."""
    held = io.BytesIO()
    with tarfile.open(fileobj=held, mode="w", **options) as archive:
        for entry in files.items() if isinstance(files, dict) else files:
            if isinstance(entry, tarfile.TarInfo):
                archive.addfile(entry)
            else:
                info = tarfile.TarInfo(entry[0])
                info.size = len(entry[1])
                archive.addfile(info, io.BytesIO(entry[1]))
    return held.getvalue()


def special(name, kind, link=""):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info


def zip_bytes(files, method=zipfile.ZIP_DEFLATED):
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", method) as archive:
        for name, data in files.items() if isinstance(files, dict) else files:
            archive.writestr(name, data)
    return held.getvalue()


def written(tmp_path, data, name="archive"):
    (tmp_path / name).write_bytes(data)
    return tmp_path / name


def refusal(path, names=None):
    with pytest.raises(ValueError, match=r"\S") as raised:
        dict(read_files(path, list_files(path).names if names is None else names))
    assert "\n" not in str(raised.value)
    assert str(raised.value).startswith(str(path))
    return str(raised.value)


def archives():
    for name, compress in COMPRESSED.items():
        yield pytest.param(compress(tar_bytes(FILES)), id=name)
    yield pytest.param(zip_bytes(FILES), id="zip")
    yield pytest.param(zip_bytes(FILES, zipfile.ZIP_STORED), id="stored zip")


@pytest.mark.parametrize("data", list(archives()))
def test_every_kind_of_archive_gives_its_files_whatever_its_name(tmp_path, data):
    path = written(tmp_path, data, "no suffix")
    assert list_files(path) == (ORDER, 0)
    assert dict(read_files(path, ORDER)) == FILES
    assert dict(read_files(path, ["b/2.png"])) == {"b/2.png": b"two"}
    assert list(read_files(path, [])) == []


@pytest.mark.parametrize(
    "options",
    [
        {"format": tarfile.USTAR_FORMAT},
        {"format": tarfile.GNU_FORMAT},
        {"format": tarfile.PAX_FORMAT},
        {"format": tarfile.PAX_FORMAT, "pax_headers": {"comment": "of all files"}},
    ],
    ids=["ustar", "gnu", "pax", "pax with a header of its own"],
)
def test_every_format_of_tar_is_read_as_tarfile_reads_it(tmp_path, options):
    names = ["a/1", "ü/é" * 9, "n" * 100, "f" * 60 + "/" + "n" * 90, "./dot//2"]
    names += ["deep/" * 50 + "1"] if options["format"] != tarfile.USTAR_FORMAT else []
    entries = [special("folder", tarfile.DIRTYPE), special("slash/", tarfile.DIRTYPE)]
    entries += [(name, name.encode() * (i + 1) * 40) for i, name in enumerate(names)]
    path = written(tmp_path, tar_bytes(entries, **options))
    with tarfile.open(path) as archive:
        files = [info for info in archive if info.isreg()]
        expected = {info.name.replace("./dot//", "dot/"): archive.extractfile(info).read() for info in files}
    assert len(expected) == len(names)
    assert dict(read_files(path, list_files(path).names)) == expected


def test_a_folder_gives_its_files(tmp_path):
    for name, data in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(data)
    assert list_files(tmp_path) == (ORDER, 0)
    assert list(read_files(tmp_path, ORDER)) == [(name, FILES[name]) for name in ORDER]
    (tmp_path / "z.txt").unlink()
    with pytest.raises(ValueError, match=r"z\.txt: cannot be read \(No such file"):
        list(read_files(tmp_path, ORDER))


def test_a_compressed_tar_is_never_read_backwards(tmp_path, monkeypatch):
    path = written(tmp_path, gzip.compress(tar_bytes({f"a/{i}": bytes(512 * (i % 40)) for i in range(300)})))
    monkeypatch.setattr(gzip._GzipReader, "_rewind", lambda _: pytest.fail("read again from the start"))
    names = list_files(path).names
    assert [len(data) for _, data in read_files(path, names)] == [512 * (i % 40) for i in range(300)]


def test_a_changed_archive_is_listed_anew(tmp_path):
    path = written(tmp_path, tar_bytes({"a": b"1"}))
    assert list_files(path).names == ("a",)
    written(tmp_path, tar_bytes({"b": b"1", "c": bytes(20000)}))
    assert list_files(path).names == ("b", "c")
    assert "a is not there" in refusal(path, ["a"])


def test_links_and_devices_are_passed_over_and_folders_are_nothing(tmp_path):
    kinds = (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE)
    entries = [special(f"../{number}", kind, "/etc/passwd") for number, kind in enumerate(kinds)]
    path = written(tmp_path, tar_bytes([special("d", tarfile.DIRTYPE), ("d/a", b"1"), *entries]))
    assert list_files(path) == (("d/a",), 5)
    link, folder = zipfile.ZipInfo("link"), zipfile.ZipInfo("d/")
    link.external_attr, folder.external_attr = (stat.S_IFLNK | 0o777) << 16, (stat.S_IFDIR | 0o755) << 16
    path = written(tmp_path, zip_bytes([(link, b"/etc/passwd"), (folder, b""), ("d/a", b"1")]))
    assert list_files(path) == (("d/a",), 1)


@pytest.mark.parametrize("name", ["/etc/passwd", "../a", "a/../../b", "a/..", "C:/a"])
def test_names_that_leave_the_folder_are_refused(tmp_path, name):
    for data in (tar_bytes({"good": b"1", name: b"1"}), zip_bytes({"good": b"1", name: b"1"})):
        assert f"holds {name!r}, which is no name inside a folder" in refusal(written(tmp_path, data))


def test_backslashes_of_a_zip_stand_between_folders(tmp_path):
    path = written(tmp_path, zip_bytes({"a\\b\\1.png": b"1", "a\\b\\": b""}))
    assert list_files(path) == (("a/b/1.png",), 0)
    assert dict(read_files(path, ["a/b/1.png"])) == {"a/b/1.png": b"1"}
    assert "no name inside" in refusal(written(tmp_path, zip_bytes({"..\\a": b"1"})))


def test_a_name_that_stands_there_twice_is_refused(tmp_path):
    assert "holds a/1 twice" in refusal(written(tmp_path, tar_bytes([("a/1", b"1"), ("./a//1", b"2")])))
    with pytest.warns(UserWarning, match="Duplicate name"):
        data = zip_bytes([("a/1", b"1"), ("a/1", b"2")])
    assert "holds a/1 twice" in refusal(written(tmp_path, data))


@pytest.mark.parametrize("compress", COMPRESSED.values(), ids=COMPRESSED)
def test_a_tar_cut_anywhere_is_refused(tmp_path, compress):
    whole = compress(tar_bytes({f"a/{i}": random.Random(i).randbytes(700) for i in range(4)}))
    # An uncompressed tar is whole from its end mark on; what follows pads it.
    last = len(whole) - 1 if compress is not bytes else whole.rindex(b"ustar")
    for end in {0, 1, 5, 300, 512, 1024, last // 2, last // 512 * 512, last}:
        assert "damaged, or no tar or zip" in refusal(written(tmp_path, whole[:end]))


def test_a_damaged_header_is_not_taken_for_the_end(tmp_path):
    data = bytearray(tar_bytes({"a": b"1", "b": b"2"}))
    data[1024 + 30] ^= 1
    assert "byte 1024: bad checksum" in refusal(written(tmp_path, data))


def test_checksums_of_compressed_archives_are_checked(tmp_path):
    data = bytearray(gzip.compress(tar_bytes({"a": bytes(range(256)) * 9})))
    data[-6] ^= 1
    assert "CRC check failed" in refusal(written(tmp_path, data))
    data = bytearray(zip_bytes({"a/1": b"hello there"}, zipfile.ZIP_STORED))
    data[data.index(b"hello")] ^= 1
    assert "a/1 is damaged (Bad CRC-32" in refusal(written(tmp_path, data))


def test_bytes_after_the_end_are_refused(tmp_path):
    one, other = tar_bytes({"a": b"1"}), tar_bytes({"b": b"1"})
    for data in (one + other, gzip.compress(one) + gzip.compress(other)):
        assert "goes on after its end" in refusal(written(tmp_path, data))


def test_other_files_are_refused(tmp_path):
    for data in (b"", b"hello", b"\x1f\x8b", b"PK\3\4", random.Random(0).randbytes(5000)):
        assert "damaged, or no tar or zip" in refusal(written(tmp_path, data))
    assert "cannot be read (No such file" in refusal(tmp_path / "missing")


def test_files_over_the_limit_are_listed_but_not_read(tmp_path, monkeypatch):
    files = {"a": bytes(1000), "b": b"1"}
    for data in (tar_bytes(files), gzip.compress(tar_bytes(files)), zip_bytes(files)):
        path = written(tmp_path, data)
        assert list_files(path).names == ("a", "b")
        assert dict(read_files(path, ["b"], largest=999)) == {"b": b"1"}
        with pytest.raises(ValueError, match="a has over 999 bytes"):
            next(read_files(path, ["a"], largest=999))
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder/a").write_bytes(bytes(1000))
    with pytest.raises(ValueError, match="a has over 999 bytes"):
        next(read_files(tmp_path / "folder", ["a"], largest=999))


def test_archives_that_would_grow_without_measure_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(packed, "_MOST_ANYWAY", 1 << 16)
    files = {"bomb": bytes(1 << 22)}
    for data in (
        zip_bytes(files),
        gzip.compress(tar_bytes(files)),
        gzip.compress(tar_bytes({}) + bytes(1 << 22)),
    ):
        assert "would unpack to over" in refusal(written(tmp_path, data))


def test_headers_that_promise_gigabytes_cost_nothing(tmp_path):
    for kind in (tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.REGTYPE):
        info = special("a", kind)
        info.size = 1 << 33
        data = info.tobuf(tarfile.GNU_FORMAT) + bytes(1024)
        told = refusal(written(tmp_path, data))
        assert "a header of" in told or "would unpack" in told
    # A zip whose directory understates what is packed is cut off there and fails its checksum.
    data = bytearray(zip_bytes({"a": bytes(1 << 16)}))
    for signature, at in ((b"PK\1\2", 24), (b"PK\3\4", 22)):
        struct.pack_into("<I", data, data.index(signature) + at, 10)
    assert "a is damaged" in refusal(written(tmp_path, data))


@pytest.mark.parametrize("size", [-1, -512])
def test_negative_sizes_are_refused(tmp_path, size):
    whole = bytearray(tar_bytes({"a/1.png": b"one", "b/2.png": b"two"}))
    at = whole.index(b"b/2.png")
    header = whole[at : at + 512]
    header[124:136] = size.to_bytes(12, "big", signed=True)  # base 256, as GNU tar writes large ones
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    whole[at : at + 512] = header
    assert "a size of" in refusal(written(tmp_path, bytes(whole)))


def test_encrypted_and_exotic_zips_are_refused(tmp_path):
    data = bytearray(zip_bytes({"a": b"secret"}))
    for signature, at in ((b"PK\1\2", 8), (b"PK\3\4", 6)):
        data[data.index(signature) + at] |= 1
    assert "a is encrypted" in refusal(written(tmp_path, data))
    for method in (zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        assert "only deflate is read" in refusal(written(tmp_path, zip_bytes({"a": b"1"}, method)))


@pytest.mark.parametrize(
    "compress", [tar_bytes, lambda files: gzip.compress(tar_bytes(files), mtime=0), zip_bytes]
)
def test_damaged_archives_are_read_or_refused_but_never_crash(tmp_path, compress):
    whole = compress({f"a/{i}.png": random.Random(i).randbytes(60) for i in range(5)})
    generator = random.Random(0)
    refusals = []
    for number in range(200):
        data = bytearray(whole)
        for _ in range(generator.randrange(1, 4)):
            data[generator.randrange(len(data))] = generator.choice([0, 1, 255, generator.randrange(256)])
        path = written(tmp_path, data, str(number))
        try:
            assert all(len(data) <= 1 << 26 for _, data in read_files(path, list_files(path).names))
        except ValueError as error:
            refusals.append(str(error))
    assert refusals
    assert not any("\n" in refusal for refusal in refusals)
