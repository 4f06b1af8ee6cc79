"""What the OpenAPI description says beyond the types: a sentence for every field, an example for every answer.

The words stand once, by the name of the field, in ``words.tsv``; a row ``Schema.field`` is for one schema alone, a row
``Schema=value`` names a value of an enumeration. A description beside the code is kept. Examples are made from the same
values, so that they tell of one demand and one expert.
"""

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple

_METHODS = {"get", "post", "put", "patch", "delete"}
_HEADERS = {
    "ETag": "Version of the record 版本; send it back in `If-Match`.",
    "X-As-Of": "Number of the newest change that this request wrote; a match may ask for it by `min_as_of`.",
    "X-Request-ID": "Id of the request 请求编号, also in the log.",
    "Location": "Address of the new record.",
}
_DEEPEST = 6


class _Words(NamedTuple):
    text: str
    example: Any
    has_example: bool


@cache
def _words() -> Mapping[str, _Words]:
    text = (files("matching_service.api") / "words.tsv").read_text(encoding="utf-8")
    rows = csv.DictReader(text.splitlines(), delimiter="\t", quoting=csv.QUOTE_NONE)
    return {
        row["name"]: _Words(
            f"{row['zh']}: {row['en']}." if row["en"] else row["zh"],
            json.loads(row["example"]) if row["example"] else None,
            bool(row["example"]),
        )
        for row in rows
    }


def describe(document: dict[str, Any], state_names: Mapping[str, Mapping[Any, str]]) -> None:
    """Complete an OpenAPI document in place. ``state_names``: per schema of an enumeration the name of each value."""
    schemas: dict[str, Any] = document["components"]["schemas"]
    for name, schema in schemas.items():
        _describe_fields(name, schema)
        if "enum" in schema:
            schema["description"] = _values(name, schema["enum"], state_names.get(name, {}))
    for operation in _operations(document):
        for parameter in operation.get("parameters", ()):
            if "description" not in parameter and (words := _words().get(parameter["name"])) is not None:
                parameter["description"] = words.text
        for status, response in operation["responses"].items():
            if status.startswith("2"):
                _complete_answer(response, operation, schemas)


def _operations(document: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for operations in document["paths"].values():
        for method, operation in operations.items():
            if method in _METHODS:
                yield operation


def _describe_fields(name: str, schema: Mapping[str, Any]) -> None:
    for field, description in schema.get("properties", {}).items():
        words = _words().get(f"{name}.{field}") or _words().get(field)
        if "description" not in description and words is not None:
            description["description"] = words.text


def _values(schema: str, values: Sequence[str], names: Mapping[Any, str]) -> str:
    """Every value with its Chinese name, from the code that owns it or from the words."""
    return "; ".join(f"`{value}` {names.get(value) or _words()[f'{schema}={value}'].text}" for value in values)


def _complete_answer(response: dict[str, Any], operation: Mapping[str, Any], schemas: Mapping[str, Any]) -> None:
    sent = ["X-Request-ID"]
    names = {parameter["name"].lower() for parameter in operation.get("parameters", ())}
    if "if-match" in names:
        sent += ["ETag", "X-As-Of"]
    if response.get("description") == "Created" or "202" in operation["responses"]:
        sent.append("Location")
    headers = response.setdefault("headers", {})
    for header in sent:
        headers.setdefault(header, {"description": _HEADERS[header], "schema": {"type": "string"}})
    for media_type, content in response.get("content", {}).items():
        if "example" not in content and "examples" not in content:
            content["example"] = _example(content.get("schema", {}), schemas) if "json" in media_type else "…"


def _example(schema: Mapping[str, Any], schemas: Mapping[str, Any], *, owner: str = "", depth: int = 0) -> Any:
    """A value that the schema allows. ``owner``: the name of the schema that it is part of."""
    if (reference := schema.get("$ref")) is not None:
        owner = reference.rpartition("/")[2]
        return _example(schemas[owner], schemas, owner=owner, depth=depth)
    if (given := _given(schema)) is not None:
        return _with_nulls(given, schema, schemas)
    if (choices := schema.get("anyOf") or schema.get("oneOf") or schema.get("allOf")) is not None:
        return _example(choices[0], schemas, owner=owner, depth=depth)
    kind = schema.get("type")
    if kind == "object":
        parts = schema.get("properties", {}).items()
        return {field: _field_example(owner, field, part, schemas, depth + 1) for field, part in parts}
    if kind == "array":
        items = schema.get("prefixItems") or ([schema.get("items", {})] if depth <= _DEEPEST else [])
        return [_example(item, schemas, owner=owner, depth=depth + 1) for item in items]
    return _SIMPLE.get(str(kind)) if kind != "string" else _STRINGS.get(schema.get("format", ""), "…")


def _with_nulls(value: Any, schema: Mapping[str, Any], schemas: Mapping[str, Any]) -> Any:
    """An example of the code with its nulls, which FastAPI leaves out."""
    if "$ref" in schema:
        schema = schemas[schema["$ref"].rpartition("/")[2]]
    if isinstance(value, list):
        return [_with_nulls(item, schema.get("items", {}), schemas) for item in value]
    if not isinstance(value, dict):
        return value
    parts = schema.get("properties", {})
    whole = {field: _with_nulls(part, parts.get(field, {}), schemas) for field, part in value.items()}
    return whole | {field: None for field in schema.get("required", ()) if field not in value}


def _given(schema: Mapping[str, Any]) -> Any:
    """The value that the schema itself names, if it does."""
    for known in ("example", "const", "default"):
        if schema.get(known) is not None:
            return schema[known]
    several = schema.get("examples") or schema.get("enum")
    return several[0] if several else schema.get("minimum")


def _field_example(owner: str, field: str, schema: Mapping[str, Any], schemas: Mapping[str, Any], depth: int) -> Any:
    """The example of the words where the schema takes it, else one that its types allow."""
    words = _words().get(f"{owner}.{field}") or _words().get(field)
    made = _example(schema, schemas, owner=owner, depth=depth)
    if words is None or not words.has_example or "enum" in schema or "$ref" in schema or "examples" in schema:
        return made
    return words.example if _alike(words.example, made) else made


def _alike(one: Any, other: Any) -> bool:
    """Whether two values are of one type, and so are the first elements of two lists."""
    if isinstance(one, list) and isinstance(other, list):
        return bool(one) and bool(other) and _alike(one[0], other[0])
    return type(one) is type(other) or {type(one), type(other)} <= {int, float}


_SIMPLE = {"integer": 1, "number": 1, "boolean": True}
_STRINGS = {"date": "2026-12-01", "date-time": "2026-11-30T08:00:00Z", "uri": "https://portal.example/hook"}
