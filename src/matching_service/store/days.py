"""The day in China at a stored moment, as SQL, so that days of records and moments of histories can be compared."""

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
    """What ``foundation.clock.day_of`` gives, in a query. ``moment``: a column of times."""
    return _DayOf(moment)


@compiles(_DayOf, "sqlite")
def _on_sqlite(element: Any, compiler: Any, **more: Any) -> str:
    moment = compiler.process(element.clauses, **more)
    return f"date(substr({moment}, 1, 19), '+8 hours')"  # SQLite would round the last microsecond of a day up


@compiles(_DayOf, "postgresql")
def _on_postgresql(element: Any, compiler: Any, **more: Any) -> str:
    return f"CAST(({compiler.process(element.clauses, **more)}) AT TIME ZONE INTERVAL '+08:00' AS DATE)"
