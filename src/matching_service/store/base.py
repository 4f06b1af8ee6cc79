"""Base classes of all tables: constraint names, UTC times, ids, row versions."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, ClassVar

from sqlalchemy import JSON, DateTime, Dialect, MetaData, String, TypeDecorator
from sqlalchemy.orm import DeclarativeBase, Mapped, declared_attr, mapped_column

from matching_service.foundation.clock import new_id, now


class UtcDateTime(TypeDecorator[datetime]):
    """Timezone-aware times in UTC. SQLite stores them without a zone, so reading adds it again."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a naive time cannot be stored; use foundation.clock.now()")
        value = value.astimezone(UTC)
        return value.replace(tzinfo=None) if dialect.name == "sqlite" else value

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if dialect.name == "sqlite" else value.astimezone(UTC)


class Table(DeclarativeBase):
    """Base of all tables. Constraint names are fixed, so that migrations can name them on both databases."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map: ClassVar[dict[Any, Any]] = {
        datetime: UtcDateTime,
        list[str]: JSON,
        dict[str, Any]: JSON,
    }


def changed_fields(row: Table, values: Mapping[str, Any]) -> list[str]:
    """Return the sorted names of the fields whose values differ from those in the row."""
    return sorted(name for name, value in values.items() if getattr(row, name) != value)


def assign(row: Table, values: Mapping[str, Any]) -> list[str]:
    """Assign the values to the row. Returns the sorted names of the fields that changed."""
    changed = changed_fields(row, values)
    for name in changed:
        setattr(row, name, values[name])
    return changed


class Identified:
    """A primary key that sorts by creation time."""

    id: Mapped[str] = mapped_column(String(36), primary_key=True, default=new_id)


class Versioned:
    """Optimistic locking: an update based on an outdated row fails instead of overwriting the newer one."""

    row_version: Mapped[int] = mapped_column(default=1)
    created_at: Mapped[datetime] = mapped_column(default=now)
    updated_at: Mapped[datetime] = mapped_column(default=now, onupdate=now)

    @declared_attr.directive
    @classmethod
    def __mapper_args__(cls) -> dict[str, Any]:
        return {"version_id_col": cls.row_version}
