"""Uploads: a multipart body goes to a file as it comes, never into memory."""

import asyncio
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO
from urllib.parse import unquote_to_bytes

from anyio import to_thread
from fastapi import Request
from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import ClientDisconnect

from matching_service.api.middleware import file_too_large
from matching_service.files.records import MAX_FILE_BYTES
from matching_service.foundation.errors import Bilingual, InvalidInput, RequestTooSlow

MAX_UPLOAD_BYTES = MAX_FILE_BYTES + 500_000
"""Of the whole body: the file, its boundaries, and the fields beside it."""
_MAX_FIELD_BYTES = 100_000
_MAX_FIELDS = 20
_UPLOAD_S = 600.0
_TOO_SLOW = Bilingual(
    f"文件未在 {_UPLOAD_S / 60:g} 分钟内传完。", f"The file did not arrive within {_UPLOAD_S / 60:g} minutes."
)
_PIECE_BYTES = 1 << 20
_LONGEST_NAME = 60
_UNSAFE = re.compile(r'[\x00-\x1f\x7f<>:"|?*\\/]+')
_ENCODED_NAME = re.compile(r"filename\*\s*=\s*(?:UTF-8|utf-8)''([^;\s]+)")


@dataclass(slots=True)
class Upload:
    """A received file, and the fields beside it."""

    path: Path
    fields: Mapping[str, str]


@dataclass(slots=True)
class _Form:
    """Callbacks of the parser. What of the file is not written yet waits in ``pending``."""

    pending: bytearray = field(default_factory=bytearray)
    file_name: str | None = None
    n_file_bytes: int = 0
    fields: dict[str, bytearray] = field(default_factory=dict)
    is_ended: bool = False
    _header: tuple[bytearray, bytearray] = field(default_factory=lambda: (bytearray(), bytearray()))
    _disposition: str = ""
    _field: bytearray | None = None

    def on_part_begin(self) -> None:
        self._disposition, self._field = "", None

    def on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._header[0].extend(data[start:end])

    def on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._header[1].extend(data[start:end])

    def on_header_end(self) -> None:
        name, value = self._header
        if bytes(name).lower() == b"content-disposition":
            self._disposition = value.decode("latin-1")
        self._header = bytearray(), bytearray()

    def on_headers_finished(self) -> None:
        options = parse_options_header(self._disposition)[1]
        name = _text(options.get(b"name", b""))
        encoded = _ENCODED_NAME.search(self._disposition)
        given = unquote_to_bytes(encoded[1]) if encoded else options.get(b"filename")
        if given is not None or name == "file":
            if self.file_name is not None:
                raise _refused("several_files", "一次只能上传一个文件。", "Send one file at a time.")
            self.file_name = _text(given or b"")
            return
        if len(self.fields) >= _MAX_FIELDS:
            raise _refused("too_many_fields", "表单字段过多。", "Too many fields in the form.")
        self._field = self.fields.setdefault(name, bytearray())

    def on_part_data(self, data: bytes, start: int, end: int) -> None:
        if self._field is not None:
            self._field += data[start:end]
            if len(self._field) > _MAX_FIELD_BYTES:
                raise _refused("field_too_long", "表单字段过长。", "A field of the form is too long.")
            return
        self.n_file_bytes += end - start
        if self.n_file_bytes > MAX_FILE_BYTES:
            raise file_too_large(MAX_FILE_BYTES)
        self.pending += data[start:end]

    def on_end(self) -> None:
        self.is_ended = True


async def receive_upload(request: Request, folder: Path) -> Upload:
    """Write the file of the form into the folder, under its own name, and return it with the fields beside it.

    Raises PayloadTooLarge as soon as the file is too large, InvalidInput for another body than a form with one file.
    Nothing is left behind then.
    """
    media_type, options = parse_options_header(request.headers.get("content-type"))
    boundary = options.get(b"boundary")
    if media_type != b"multipart/form-data" or not boundary:
        raise _refused(
            "not_a_form",
            "请以 multipart/form-data 上传，文件放在 file 字段中。",
            "Send multipart/form-data with the file in the field file.",
        )
    await to_thread.run_sync(_make, folder)
    try:
        async with asyncio.timeout(_UPLOAD_S):
            return await _receive(request, folder, boundary)
    except TimeoutError as error:
        await to_thread.run_sync(remove, folder)
        raise RequestTooSlow("upload_too_slow", _TOO_SLOW) from error
    except BaseException:
        await to_thread.run_sync(remove, folder)
        raise


def remove(path: Path) -> None:
    """Delete a file or a folder; one that does not exist is no error."""
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


async def _receive(request: Request, folder: Path, boundary: bytes) -> Upload:
    form = _Form()
    names = ("part_begin", "header_field", "header_value", "header_end", "headers_finished", "part_data", "end")
    part = folder / "part"
    with await to_thread.run_sync(part.open, "wb") as file:
        try:
            parser = MultipartParser(boundary, {f"on_{name}": getattr(form, f"on_{name}") for name in names})  # type: ignore[arg-type]  # a TypedDict of these names
            async for piece in request.stream():
                parser.write(piece)
                if len(form.pending) >= _PIECE_BYTES:
                    await to_thread.run_sync(_write, file, form)
        except MultipartParseError as error:
            raise _damaged() from error
        except ClientDisconnect as error:
            raise _damaged() from error
        await to_thread.run_sync(_write, file, form)
    if not form.is_ended:
        raise _damaged()
    if form.file_name is None:
        raise InvalidInput.at(
            "/file", "file_missing", Bilingual("缺少文件：请放在 file 字段中。", "The form has no field file.")
        )
    if not form.n_file_bytes:
        raise InvalidInput.at("/file", "file_empty", Bilingual("文件是空的。", "The file is empty."))
    path = folder / _safe_name(form.file_name)
    await to_thread.run_sync(part.rename, path)
    return Upload(path, {name: _text(bytes(value)) for name, value in form.fields.items()})


def _make(folder: Path) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.mkdir(mode=0o700)  # files hold personal data


def _write(file: IO[bytes], form: _Form) -> None:
    file.write(form.pending)
    form.pending.clear()


def _safe_name(name: str) -> str:
    """The name that the sender gave, without a path and without what a file system may refuse."""
    last = _UNSAFE.sub(" ", name.replace("\\", "/").rsplit("/", 1)[-1]).strip(" .")
    stem, dot, suffix = last.rpartition(".")
    if not dot:
        stem, suffix = last, ""
    return f"{stem[:_LONGEST_NAME] or 'file'}{dot}{suffix[:10]}"


def _text(value: bytes) -> str:
    for encoding in ("utf-8", "gb18030"):
        try:
            return value.decode(encoding)
        except UnicodeDecodeError:
            continue
    return value.decode("latin-1")


def _refused(code: str, zh: str, en: str) -> InvalidInput:
    return InvalidInput(code, Bilingual(zh, en))


def _damaged() -> InvalidInput:
    return _refused(
        "form_damaged", "上传不完整或格式有误，请重试。", "The upload is incomplete or malformed; try again."
    )
