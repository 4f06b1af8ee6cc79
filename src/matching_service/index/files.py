"""Arrays in one file, which processes map into memory and share. A file is written completely or not at all."""

import json
import mmap
import os
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from matching_service.foundation.clock import new_id

_ALIGNMENT = 64
_NUMBER_BYTES = 8


class DamagedFile(Exception):
    """The file does not hold the bytes that were written."""


def write_whole(path: Path, *chunks: bytes | memoryview) -> None:
    """Write a file beside it and rename: readers see the old file or the new one, also after a crash."""
    part = path.with_name(f".{path.name}-{new_id()}")
    with part.open("wb") as file:
        for chunk in chunks:
            file.write(chunk)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)


def write_arrays(path: Path, arrays: Mapping[str, NDArray[Any]]) -> int:
    """Write named arrays; returns the file's checksum.

    Layout: the checksum of all that follows (8 bytes), the length of the header (8 bytes), the header (JSON: name,
    dtype, shape, offset), the arrays, each at a multiple of 64 bytes.
    """
    described, offset = [], 0
    for name, array in arrays.items():
        described.append((name, array.dtype.str, array.shape, offset))
        offset += -(-array.nbytes // _ALIGNMENT) * _ALIGNMENT
    header = json.dumps(described).encode()
    header += b" " * (-(len(header) + 2 * _NUMBER_BYTES) % _ALIGNMENT)
    chunks: list[bytes | memoryview] = [_number(len(header)), header]
    for array in arrays.values():
        chunks += [np.ascontiguousarray(array).reshape(-1).view(np.uint8).data, b"\0" * (-array.nbytes % _ALIGNMENT)]
    checksum = 0
    for chunk in chunks:
        checksum = zlib.crc32(chunk, checksum)
    write_whole(path, _number(checksum), *chunks)
    return checksum


def checksum_of(path: Path) -> int:
    """The checksum stored in the file; raises FileNotFoundError."""
    with path.open("rb") as file:
        return int.from_bytes(file.read(_NUMBER_BYTES), "little")


def map_arrays(path: Path, checksum: int) -> dict[str, NDArray[Any]]:
    """The arrays of a file, read-only, mapped from it; raises DamagedFile or OSError."""
    with path.open("rb") as file:
        try:
            pages = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except ValueError as error:  # an empty file
            raise DamagedFile(f"{path.name}: {error}") from error
    with memoryview(pages) as view:
        if checksum_of(path) != checksum or zlib.crc32(view[_NUMBER_BYTES:]) != checksum:
            raise DamagedFile(f"{path.name}: its checksum is wrong")
    header = 2 * _NUMBER_BYTES
    begin = header + int.from_bytes(pages[_NUMBER_BYTES:header], "little")
    return {
        name: np.ndarray(tuple(shape), np.dtype(dtype), buffer=pages, offset=begin + offset)
        for name, dtype, shape, offset in json.loads(pages[header:begin])
    }


def _number(value: int) -> bytes:
    return value.to_bytes(_NUMBER_BYTES, "little")
