"""Is every operation of the API described: what it takes, what it answers, in which shape?

A route says what it answers by `response_model` (`web/shapes.py` shows how); what it refuses follows from what it is.
"""

from __future__ import annotations

from typing import Any, cast

import jsonschema_rs
import pytest

from interlock.api import build_api
from interlock.settings import Settings


@pytest.fixture(scope="module")
def document(tmp_path_factory: Any) -> dict[str, Any]:
    settings = Settings(data=tmp_path_factory.mktemp("described"))
    return build_api(cast("Any", None), settings).openapi()


def operations(document: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    return [
        (f"{method.upper()} {path}", operation)
        for path, item in document["paths"].items()
        for method, operation in item.items()
    ]


def test_every_operation_says_in_which_shape_it_answers(document: dict[str, Any]) -> None:
    shapeless = [
        (name, status)
        for name, operation in operations(document)
        for status, said in operation["responses"].items()
        if status.startswith("2")
        and status != "204"
        and not all(content.get("schema") for content in said.get("content", {"": {}}).values())
    ]
    assert shapeless == [], "give the route a response_model"


def test_every_operation_has_a_sentence_and_its_refusals(document: dict[str, Any]) -> None:
    for name, operation in operations(document):
        assert operation["description"].strip().rstrip("`").endswith("."), name
        assert "500" in operation["responses"] and "default" not in operation["responses"], name
        if "/v1/" in name:
            assert {"401", "403", "429"} <= set(operation["responses"]), name


def test_every_shape_and_body_has_one_name_and_a_sentence(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    assert [name for name in schemas if "__" in name] == [], "two classes of one name"
    unsaid = [
        name
        for name, schema in schemas.items()
        if schema.get("type") == "object" and not schema.get("description") and not name.endswith("Page")
    ]
    assert unsaid == []


def test_every_example_is_what_its_schema_says(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    shown = {name: schema["examples"] for name, schema in schemas.items() if "examples" in schema}
    assert {"PolicyBody", "VersionBody", "FreezeBody", "Refusal"} <= shown.keys()
    for name, examples in shown.items():
        whole = {"$ref": f"#/components/schemas/{name}", "components": {"schemas": schemas}}
        for example in examples:
            jsonschema_rs.Draft202012Validator(whole, validate_formats=True).validate(example)


def test_the_rules_of_a_policy_are_described_field_by_field(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    kinds = schemas["PolicyRule"]["properties"]
    assert {"anyApproval", "gradualRollout", "environmentProgression", "deploymentWindow"} <= kinds.keys()
    assert "minApprovals" in kinds["anyApproval"]["properties"]
    assert "#/components/schemas/PolicyRule" in str(schemas["PolicyBody"]["properties"]["rules"])
