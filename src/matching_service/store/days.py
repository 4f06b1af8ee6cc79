"""The day in China of a stored time, as SQL, so that dates of records can be compared with times of histories."""

from datetime import date
from typing import Any

from sqlalchemy import ColumnElement, Date
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement


class _DayOf(FunctionElement[date]):
    type = Date()
    inherit_cache = True
    name = "day_of"


def sql_day_of(moment: Any) -> ColumnElement[date]:
    """Return the SQL form of ``foundation.clock.day_of``. ``moment``: a column of times."""
    return _DayOf(moment)


@compiles(_DayOf, "sqlite")
def _on_sqlite(element: Any, compiler: Any, **more: Any) -> str:
    moment = compiler.process(element.clauses, **more)
    return f"date(substr({moment}, 1, 19), '+8 hours')"  # without substr SQLite rounds the last microsecond of a day up


@compiles(_DayOf, "postgresql")
def _on_postgresql(element: Any, compiler: Any, **more: Any) -> str:
    return f"CAST(({compiler.process(element.clauses, **more)}) AT TIME ZONE INTERVAL '+08:00' AS DATE)"
