"""Answers that are files of an office."""

from typing import Any
from urllib.parse import quote

from fastapi import Response

from matching_service.api.problems import problem_responses

_MEDIA_TYPES = {
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
}


def file_answer(suffix: str, *other: int) -> dict[str, Any]:
    """The arguments of a route that answers with a file of this kind. ``other``: statuses of its problems."""
    content = {_MEDIA_TYPES[suffix]: {"schema": {"type": "string", "format": "binary"}}}
    return {"response_class": Response, "responses": {200: {"content": content}, **problem_responses(*other)}}


def download(content: bytes, suffix: str, name: str, *, plain: str, is_secret: bool = False) -> Response:
    """Return a file to save under its Chinese ``name``, or ``plain`` where a program knows ASCII alone; both without
    suffix. is_secret : it must not be kept by a cache.
    """
    named = f"filename=\"{plain}.{suffix}\"; filename*=UTF-8''{quote(f'{name}.{suffix}')}"
    headers = {"Content-Disposition": f"attachment; {named}"} | ({"Cache-Control": "no-store"} if is_secret else {})
    return Response(content, media_type=_MEDIA_TYPES[suffix], headers=headers)
