"""Translate our field names and codes to those of another system, and back, by a TOML file that an operator writes.

docs/exchange.md describes the file. A mapping is an allow list: fields that it does not name are not sent, so that a
field added to this program does not reach foreign systems unnoticed.
"""

import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, TypeAdapter, ValidationError

from matching_service.disclosure.representations import FIELDS
from matching_service.disclosure.schemas import FeedItem
from matching_service.foundation.errors import Bilingual, FieldError, InvalidInput

_ELSE = "*"
_Code = str | int | float | bool


def _paths(table: Any, *, of_tables: bool = False) -> Any:
    """Flatten nested tables to dotted paths, because TOML reads ``organization.name = "x"`` as a nested table.

    of_tables : the values at the ends of the paths are tables of codes, which stay tables.
    """
    if not isinstance(table, dict):
        return table
    flat: dict[str, Any] = {}
    for name, value in table.items():
        is_inner = isinstance(value, dict) and (
            not of_tables or (value and all(isinstance(inner, dict) for inner in value.values()))
        )
        inner = _paths(value, of_tables=of_tables) if is_inner else None
        flat |= {f"{name}.{path}": end for path, end in inner.items()} if inner is not None else {name: value}
    return flat


def _tables(table: Any) -> Any:
    return _paths(table, of_tables=True)


_Path = Annotated[str, StringConstraints(pattern=r"^[^.]+(\.[^.]+)*$")]


class EntityMapping(BaseModel):
    """The translation of one kind of record. Names are dotted paths: ``organization.name`` is inside an object.

    fields : our name to their name, one to one.
    values : for a field of ours, our code to their code; ``*`` stands for all other codes.
    constants : their name to a fixed value.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    fields: Annotated[dict[str, _Path], BeforeValidator(_paths)]
    values: Annotated[dict[str, dict[str, _Code]], BeforeValidator(_tables)] = Field(default_factory=dict)
    constants: Annotated[dict[_Path, Any], BeforeValidator(_paths)] = Field(default_factory=dict)

    def outward(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """Translate our record to theirs."""
        theirs: dict[str, Any] = {}
        for ours, name in self.fields.items():
            _put(theirs, name, _coded(_get(data, ours), self.values.get(ours, {})))
        for name, value in self.constants.items():
            _put(theirs, name, value)
        return theirs

    def inward(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """Translate their record to ours. Fields that the mapping does not name are dropped.

        If several of our codes map to the same code of theirs, the first one in the file is used.
        """
        ours: dict[str, Any] = {}
        for name, theirs in self.fields.items():
            if _has(data, theirs):
                codes = self.values.get(name, {})
                back = {codes[own]: own for own in reversed(codes) if own != _ELSE}
                _put(ours, name, _coded(_get(data, theirs), back))
        return ours


Mapped = Mapping[str, EntityMapping]
"""One mapping: the translation of each entity, by its name."""


class Mappings(dict[str, Mapped]):
    """All mappings of the operator's file, by name."""


_FILE: TypeAdapter[dict[str, dict[str, EntityMapping]]] = TypeAdapter(dict[str, dict[str, EntityMapping]])


def translate(mapping: Mapped, item: FeedItem) -> FeedItem | None:
    """Translate an item for the other system. Returns None if the mapping does not cover its entity."""
    entity = mapping.get(item.entity)
    if entity is None:
        return None
    return item.model_copy(update={"data": entity.outward(item.data)}) if item.data is not None else item


def find_mapping(mappings: Mapping[str, Mapped], name: str, *, pointer: str = "mapping") -> Mapped:
    """Return the mapping with this name. Raises InvalidInput, which lists the existing ones."""
    if name in mappings:
        return mappings[name]
    names = ", ".join(sorted(mappings)) or "-"
    message = Bilingual(
        f"没有名为 {name} 的字段映射；现有：{names}（见 MATCHING_FEED_MAPPING 所指文件）。",
        f"Mapping {name} does not exist. Existing: {names} (see the file that MATCHING_FEED_MAPPING names).",
    )
    raise InvalidInput("unknown_mapping", message, errors=[FieldError("unknown_mapping", message, pointer)])


def load_mappings(path: Path | None) -> Mappings:
    """Load the mappings of a file; without a file there are none. Raises InvalidInput, which names every mistake."""
    if path is None:
        return Mappings()
    try:
        with path.open("rb") as file:
            mappings = _FILE.validate_python(tomllib.load(file))
    except ValidationError as error:
        mistakes = [f"[{'.'.join(map(str, detail['loc']))}] {detail['msg']}" for detail in error.errors()]
        raise _invalid(path, mistakes) from error
    except (OSError, ValueError) as error:  # tomllib raises a ValueError, also for text that is not UTF-8
        raise _invalid(path, [str(error)]) from error
    mistakes = [
        f"[{name}.{entity}] {mistake}"
        for name, entities in mappings.items()
        for entity, mapping in entities.items()
        for mistake in _mistakes(entity, mapping)
    ]
    if mistakes:
        raise _invalid(path, mistakes)
    return Mappings(mappings)


def _mistakes(entity: str, mapping: EntityMapping) -> Iterator[str]:
    if entity not in FIELDS:
        yield f"没有这种实体 unknown entity; 可用 available: {', '.join(sorted(FIELDS))}"
        return
    for name in mapping.fields:
        if name not in FIELDS[entity]:
            yield f"fields: 没有字段 unknown field {name}; 可用 available: {', '.join(sorted(FIELDS[entity]))}"
    for name in mapping.values.keys() - mapping.fields.keys():
        yield f"values: {name} 未列在 fields 中 is not one of the fields"
    seen: list[str] = []
    for theirs in (*mapping.fields.values(), *mapping.constants):
        for other in seen:  # a name inside the object of another name is a conflict, too
            if f"{theirs}.".startswith(f"{other}.") or f"{other}.".startswith(f"{theirs}."):
                yield f"名称重复 name used twice: {theirs}, {other}"
        seen.append(theirs)


def _invalid(path: Path, mistakes: list[str]) -> InvalidInput:
    listed = "; ".join(mistakes)
    return InvalidInput(
        "invalid_mapping",
        Bilingual(f"字段映射文件 {path} 有误：{listed}", f"Mistakes in the mapping file {path}: {listed}"),
    )


def _coded(value: Any, codes: Mapping[Any, Any]) -> Any:
    if isinstance(value, list):
        return [_coded(item, codes) for item in value]
    return codes.get(value, codes.get(_ELSE, value)) if isinstance(value, _Code) else value


def _get(data: Mapping[str, Any], path: str) -> Any:
    value: Any = data
    for part in path.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def _has(data: Mapping[str, Any], path: str) -> bool:
    parent, _, name = path.rpartition(".")
    inner = _get(data, parent) if parent else data
    return isinstance(inner, Mapping) and name in inner


def _put(data: dict[str, Any], path: str, value: Any) -> None:
    *parents, name = path.split(".")
    for parent in parents:
        data = data.setdefault(parent, {})
    data[name] = value
