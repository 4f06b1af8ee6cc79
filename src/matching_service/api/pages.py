"""The shape of a list in an answer."""

from collections.abc import Iterable
from typing import Generic, TypeVar

from pydantic import BaseModel, Field

from matching_service.foundation.paging import Page

Item = TypeVar("Item", bound=BaseModel)


class ListAnswer(BaseModel, Generic[Item]):
    items: list[Item]
    next_cursor: str | None = Field(description="Pass as `cursor` to read on; null at the end.")


def answer_page(page: Page[object], model: type[Item]) -> ListAnswer[Item]:
    """A page of rows as the model shows them."""
    items = [model.model_validate(row) for row in page.items]
    return ListAnswer(items=items, next_cursor=page.next_cursor)


def answer_all(rows: Iterable[object], model: type[Item]) -> ListAnswer[Item]:
    """A list that has no further pages."""
    return ListAnswer(items=[model.model_validate(row) for row in rows], next_cursor=None)
