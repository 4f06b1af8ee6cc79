"""Answers made of rows: of one, of a page of a list, of a whole list."""

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
    next_cursor: str | None = Field(description="Pass as `cursor` to read on; null at the end.")


def answer_row(response: Response, row: Versioned, model: type[Item]) -> Item:
    """The row as the model shows it, with its version as the entity tag."""
    set_etag(response, row.row_version)
    return model.model_validate(row)


def answer_page(page: Page[object], model: type[Item]) -> ListAnswer[Item]:
    """A page of rows as the model shows them."""
    items = [model.model_validate(row) for row in page.items]
    return ListAnswer(items=items, next_cursor=page.next_cursor)


def answer_all(rows: Iterable[object], model: type[Item]) -> ListAnswer[Item]:
    """A list that has no further pages."""
    return ListAnswer(items=[model.model_validate(row) for row in rows], next_cursor=None)
