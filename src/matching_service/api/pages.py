"""Answers made from rows: one row, a page of a list, a whole list."""

from collections.abc import Iterable
from typing import Generic, TypeVar

from fastapi import Response
from pydantic import BaseModel, Field

from matching_service.api.deps import set_etag
from matching_service.foundation.paging import Page
from matching_service.store.base import Versioned

Item = TypeVar("Item", bound=BaseModel)


class ListAnswer(BaseModel, Generic[Item]):
    items: list[Item]
    next_cursor: str | None = Field(description="Pass it as `cursor` to read the next page; null at the end.")


def answer_row(response: Response, row: Versioned, model: type[Item]) -> Item:
    """Return the row as a model, and set its version as the entity tag."""
    set_etag(response, row.row_version)
    return model.model_validate(row)


def answer_page(page: Page[object], model: type[Item]) -> ListAnswer[Item]:
    """Return a page of rows as models."""
    items = [model.model_validate(row) for row in page.items]
    return ListAnswer(items=items, next_cursor=page.next_cursor)


def answer_all(rows: Iterable[object], model: type[Item]) -> ListAnswer[Item]:
    """Return a complete list, without further pages."""
    return ListAnswer(items=[model.model_validate(row) for row in rows], next_cursor=None)
