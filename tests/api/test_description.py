"""The OpenAPI description tells a programmer who has nothing else all that there is to know, and its examples are true."""

from typing import Any

import pytest
from jsonschema import Draft202012Validator

from matching_service.api.description import _words
from matching_service.app import create_app
from matching_service.foundation.settings import Settings

METHODS = {"get", "post", "put", "patch", "delete"}


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return create_app(Settings()).openapi()


def operations(document: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    return [
        (f"{method} {path}", operation)
        for path, found in document["paths"].items()
        for method, operation in found.items()
        if method in METHODS
    ]


def test_every_field_and_every_parameter_says_what_it_is(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    fields = [
        (f"{name}.{field}", part.get("description"))
        for name, schema in schemas.items()
        for field, part in schema.get("properties", {}).items()
    ]
    parameters = [
        (f"{name} {parameter['name']}", parameter.get("description") or parameter["schema"].get("description"))
        for name, operation in operations(document)
        for parameter in operation.get("parameters", ())
    ]
    assert len(fields) > 1_000
    assert [name for name, description in fields + parameters if not description] == []


def test_every_value_of_an_enumeration_has_a_chinese_name(document: dict[str, Any]) -> None:
    for name, schema in document["components"]["schemas"].items():
        for value in schema.get("enum", ()):
            assert f"`{value}` " in schema["description"], name
            assert any("\u4e00" <= c <= "\u9fff" for c in schema["description"])


def test_every_operation_has_a_short_name_a_sentence_and_its_answer(document: dict[str, Any]) -> None:
    named = [operation["operationId"] for _, operation in operations(document)]
    assert len(set(named)) == len(named) > 90
    assert all(name.isidentifier() and len(name) < 40 for name in named)
    for name, operation in operations(document):
        assert operation.get("description") or operation.get("summary"), name
        assert any(status.startswith("2") for status in operation["responses"]), name
    assert document["info"]["title"].isascii()


def test_every_answer_has_an_example_that_its_schema_allows(document: dict[str, Any]) -> None:
    n_examples = 0
    for name, operation in operations(document):
        for status, response in operation["responses"].items():
            if not status.startswith("2"):
                continue
            for media_type, content in response.get("content", {}).items():
                example = content.get("example", next(iter(content.get("examples", {}).values()), None))
                assert example is not None, (name, status)
                if "json" in media_type:
                    schema = content["schema"] | {"components": document["components"]}
                    faults = [error.message for error in Draft202012Validator(schema).iter_errors(example)]
                    assert faults == [], (name, example)
                    n_examples += 1
    assert n_examples > 90


def test_examples_tell_of_the_same_records(document: dict[str, Any]) -> None:
    def values(example: Any, field: str) -> list[Any]:
        if isinstance(example, list):
            return [value for item in example for value in values(item, field)]
        if not isinstance(example, dict):
            return []
        own = [example[field]] if field in example else []
        return own + [value for part in example.values() for value in values(part, field)]

    found: set[str] = set()
    for _, operation in operations(document):
        for content in operation["responses"].get("200", {}).get("content", {}).values():
            found |= {value for value in values(content.get("example"), "demand_id") if value}
    assert len(found) == 1


def test_versions_and_places_are_declared_where_they_are_sent(document: dict[str, Any]) -> None:
    paths = document["paths"]
    assert "ETag" in paths["/v1/demands/{demand_id}"]["patch"]["responses"]["200"]["headers"]
    assert "X-As-Of" in paths["/v1/demands/{demand_id}"]["patch"]["responses"]["200"]["headers"]
    assert "Location" in paths["/v1/match-runs"]["post"]["responses"]["202"]["headers"]
    assert "Retry-After" in paths["/v1/demands"]["get"]["responses"]["503"]["headers"]


def test_no_words_are_left_over(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    fields = {field for schema in schemas.values() for field in schema.get("properties", {})}
    owned = {f"{name}.{field}" for name, schema in schemas.items() for field in schema.get("properties", {})}
    values = {f"{name}={value}" for name, schema in schemas.items() for value in schema.get("enum", ())}
    parameters = {one["name"] for _, operation in operations(document) for one in operation.get("parameters", ())}
    assert set(_words()) - fields - owned - values - parameters == set()
