"""Bulk upserts. Each item is validated and stored separately, so that an invalid item does not stop the others."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Generic, Literal, TypeVar

from anyio import to_thread
from fastapi import Response
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from matching_service.api.fields import Body
from matching_service.api.problems import ProblemError, field_errors, problem_errors
from matching_service.foundation.errors import Conflict, FieldError, InvalidInput, Language, MatchingError
from matching_service.store.base import Identified
from matching_service.store.batch import Batch, Upsertable

MAX_ITEMS = 1_000

Model = TypeVar("Model", bound=BaseModel)
Item = TypeVar("Item", bound=Upsertable)
Row = TypeVar("Row", bound=Identified)
Status = Literal["created", "updated", "unchanged", "invalid"]


class BulkBody(Body):
    """Items as in the POST of a single record. They are stored by (``source``, ``external_id``)."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "items": [
                        {"external_id": "A-1", "source": "portal", "title": "一条需求（demands）"},
                        {"external_id": "B-1", "source": "portal", "kind": "expert", "name": "一个画像（profiles）"},
                    ]
                }
            ]
        }
    )

    items: Annotated[list[Any], Field(min_length=1, max_length=MAX_ITEMS)]


class BulkItem(BaseModel):
    index: int
    id: str | None
    status: Status
    errors: list[ProblemError] = Field(default_factory=list)


class BulkAnswer(BaseModel):
    items: list[BulkItem]


@dataclass(frozen=True, slots=True)
class Stored:
    """The outcome of one item of a batch: its status and id, or its errors."""

    status: Status
    id: str | None = None
    errors: tuple[FieldError, ...] = ()


@dataclass(frozen=True, slots=True)
class Parsed(Generic[Model]):
    """A batch after validation: the valid items with their indices in the batch, and the errors of the others."""

    items: Sequence[Model]
    indices: Sequence[int]
    invalid: dict[int, Stored]

    def merge(self, stored: Sequence[Stored]) -> list[Stored]:
        """Combine the outcomes of the valid items with the errors of the others, in the order of the batch."""
        results = dict(self.invalid) | dict(zip(self.indices, stored, strict=True))
        return [results[index] for index in sorted(results)]


def parse_items(items: Sequence[Any], model: type[Model]) -> Parsed[Model]:
    """Validate each item. This is CPU work: callers on the event loop run it in a thread."""
    valid: list[Model] = []
    indices: list[int] = []
    invalid: dict[int, Stored] = {}
    for index, item in enumerate(items):
        try:
            valid.append(model.model_validate(item))
            indices.append(index)
        except ValidationError as error:
            invalid[index] = Stored(
                "invalid", errors=tuple(field_errors(error.errors(include_url=False, include_input=False)))
            )
    return Parsed(valid, indices, invalid)


async def upsert_each(
    items: Sequence[Item], batch: Batch[Row], *, create: Callable[[Item], Row], update: Callable[[Row, Item], bool]
) -> list[Stored]:
    """Create or update the row of each item, in order. An item that breaks a rule is rejected alone.

    create : returns the new row.
    update : changes the row and returns whether anything changed.
    Both raise InvalidInput or Conflict before they change anything. They run in a worker thread, because a batch is
    CPU work.
    """

    def store(item: Item) -> Stored:
        row = batch.find(item)
        try:
            if row is None:
                row = create(item)
                stored = Stored("created", row.id)
            else:
                stored = Stored("updated" if update(row, item) else "unchanged", row.id)
        except (InvalidInput, Conflict) as error:
            return _rejected(error)
        batch.add(row)
        return stored

    return await to_thread.run_sync(lambda: [store(item) for item in items])


def _rejected(error: MatchingError) -> Stored:
    """Return the outcome of an item that is valid by its schema but breaks a rule."""
    return Stored("invalid", errors=error.errors or (FieldError(error.code, error.detail, ""),))


def bulk_answer(results: Sequence[Stored], language: Language) -> Response:
    """Return a BulkAnswer as JSON. It may contain 70,000 errors, so callers on the event loop run it in a thread."""
    answer = BulkAnswer(
        items=[
            BulkItem(
                index=index,
                id=result.id,
                status=result.status,
                errors=problem_errors(result.errors, language),
            )
            for index, result in enumerate(results)
        ]
    )
    return Response(answer.model_dump_json(), media_type="application/json")
