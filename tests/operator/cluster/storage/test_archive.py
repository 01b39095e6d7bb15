"""Frozen files in a ConfigMap: what we wrote is read again, and what anybody else put there is bounded."""

from __future__ import annotations

import gzip
import io
import tarfile

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.hang import no_hang

from rloop_operator.cluster.storage.archive import MAX_FILES, Cache, NotOurs, pack, unpack
from rloop_operator.ports import File

names = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=300)
files = st.dictionaries(
    names.filter(lambda one: one == one.strip("/")), st.builds(File, st.binary(max_size=1500), st.booleans())
)


@given(files)
def test_what_was_packed_is_unpacked(made: dict[str, File]) -> None:
    assert unpack(pack(made)) == made


def tar(*members: tarfile.TarInfo) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for one in members:
            archive.addfile(one, io.BytesIO(bytes(one.size)))
    return gzip.compress(buffer.getvalue())


def member(name: str, **fields: object) -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    for field, value in fields.items():
        setattr(made, field, value)
    return made


def negative_size() -> bytes:
    header = bytearray(member("a").tobuf())
    header[124:136] = b"\xff" * 10 + b"\xfe\x00"  # -512 in base 256
    header[148:156] = b"%06o\0 " % tarfile.calc_chksums(bytes(header))[0]  # type: ignore[attr-defined]
    return gzip.compress(bytes(header) + bytes(1024))


@pytest.mark.parametrize(
    ("archive", "why"),
    [
        pytest.param(gzip.compress(bytes(900 * 2**20), 1), "into more than 4 MiB", id="a bomb"),
        pytest.param(pack({f"{i}": File(b"") for i in range(MAX_FILES + 1)}), "more than 2000 files", id="many files"),
        pytest.param(
            tar(*(member(f"{i}", pax_headers={f"k{j}": "v" for j in range(50)}) for i in range(2000))),
            "not a regular file",
            id="many headers",
        ),
        pytest.param(tar(member("a", type=tarfile.SYMTYPE, linkname="/etc/passwd")), "not a regular file", id="a link"),
        pytest.param(pack({"a": File(b"b")})[:-20], "not a valid archive", id="cut off"),
        pytest.param(
            gzip.compress(gzip.decompress(pack({"a": File(b"x" * 600)}))[:700]), "too early", id="a short tar"
        ),
        pytest.param(b"", "too early", id="nothing"),
        pytest.param(negative_size(), "too early", id="a size below zero, which would go back"),
        pytest.param(b"text", "not a valid archive", id="text"),
        pytest.param(gzip.compress(b"x" * 512), "not a valid archive", id="no tar"),
    ],
)
def test_what_is_not_ours_is_refused_in_a_moment(archive: bytes, why: str) -> None:
    with no_hang(), pytest.raises(NotOurs, match=why):
        unpack(archive)


def test_of_what_was_read_the_oldest_goes() -> None:
    cache = Cache(most_bytes=3000)
    for name in ("one", "two"):
        cache.put(name, {"a": File(b"x" * 600)})
    assert cache.get("one") is not None
    cache.put("three", {"a": File(b"x" * 600)})
    assert [cache.get(name) is not None for name in ("one", "two", "three")] == [True, False, True]
    cache.put("huge", {"a": File(b"x" * 6000)})
    assert [cache.get(name) is not None for name in ("one", "three", "huge")] == [True, True, False]
