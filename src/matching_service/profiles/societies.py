"""The built-in directory of national societies, each with a scope text of our own."""

import csv
from collections.abc import Iterator
from importlib.resources import files

from matching_service.profiles.schemas import ProfileCreate

SOURCE = "national-societies"


def builtin_societies() -> Iterator[ProfileCreate]:
    """One profile per society; the scope text is what matching reads."""
    path = files("matching_service.profiles") / "data" / "societies.csv"
    with path.open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            yield ProfileCreate(
                external_id=row["code"],
                source=SOURCE,
                kind="society",
                name=row["name"],
                summary=row["scope"],
                keywords=row["keywords"].split("；"),
                fields=[row["category"]],
                region="110000",
            )
