"""The built-in directory of national societies, with scope texts written for this service."""

import csv
from collections.abc import Iterator
from importlib.resources import files

from matching_service.profiles.schemas import ProfileCreate

SOURCE = "national-societies"


def builtin_societies() -> Iterator[ProfileCreate]:
    """Yield one profile per society. Its summary is the scope text, which matching uses."""
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
