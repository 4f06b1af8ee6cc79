import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_from

from matching_service.index.files import DamagedFile, map_arrays, write_arrays, write_whole

ARRAYS = st.dictionaries(
    st.text("abc.泵", min_size=1, max_size=6),
    st.one_of(
        *(
            arrays_from.arrays(dtype, arrays_from.array_shapes(min_dims=1, max_dims=2, min_side=0, max_side=9))
            for dtype in ("uint64", "int32", "uint16", "uint8", "int8", "float32", "S36", "datetime64[D]")
        )
    ),
    max_size=5,
)
SAMPLE = {"rows": np.arange(7, dtype=np.uint16), "names": np.array([b"a", b"bc"]), "nothing": np.zeros((0, 4))}


@settings(deadline=None, max_examples=60)
@given(arrays=ARRAYS)
def test_what_was_written_is_mapped_as_it_was(tmp_path_factory, arrays):
    path = tmp_path_factory.mktemp("arrays") / "file"
    mapped = map_arrays(path, write_arrays(path, arrays))
    assert list(mapped) == list(arrays)
    for name, array in arrays.items():
        np.testing.assert_array_equal(mapped[name], array)
        assert (mapped[name].dtype, mapped[name].shape) == (array.dtype, array.shape)
        assert not mapped[name].flags.writeable
        assert mapped[name].ctypes.data % array.dtype.alignment == 0


def test_equal_arrays_have_equal_files(tmp_path):
    assert write_arrays(tmp_path / "one", SAMPLE) == write_arrays(tmp_path / "other", SAMPLE)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "other").read_bytes()


def test_damage_to_any_byte_is_found(tmp_path):
    path = tmp_path / "file"
    checksum = write_arrays(path, SAMPLE)
    content = path.read_bytes()
    for place in range(len(content)):
        path.write_bytes(content[:place] + bytes([content[place] ^ 0x10]) + content[place + 1 :])
        with pytest.raises(DamagedFile, match="file"):
            map_arrays(path, checksum)
    path.write_bytes(content)
    assert list(map_arrays(path, checksum)) == list(SAMPLE)


@pytest.mark.parametrize("length", [0, 1, 8, 63, 64, -1])
def test_a_file_that_was_cut_is_found(tmp_path, length):
    path = tmp_path / "file"
    checksum = write_arrays(path, SAMPLE)
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(DamagedFile):
        map_arrays(path, checksum)


def test_a_file_that_is_not_there_is_no_damage(tmp_path):
    with pytest.raises(FileNotFoundError):
        map_arrays(tmp_path / "file", 0)


def test_a_crash_while_writing_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "file"
    write_whole(path, b"old")

    def crash(*_):
        raise OSError("disk full")

    with pytest.raises(TypeError):
        write_whole(path, b"n", "ew")  # type: ignore[arg-type]
    assert path.read_bytes() == b"old"
    for module, name in ((os, "fsync"), (Path, "replace")):
        with monkeypatch.context() as patch:
            patch.setattr(module, name, crash)
            with pytest.raises(OSError, match="disk full"):
                write_whole(path, b"new")
        assert path.read_bytes() == b"old"
    write_whole(path, b"new")
    assert path.read_bytes() == b"new"
