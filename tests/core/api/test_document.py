"""The OpenAPI document: what each operation does, who may, what comes back and what may go wrong, by example."""

from __future__ import annotations

from typing import Any

import pytest
from jsonschema import Draft4Validator, FormatChecker

from tests.e2e import routes
from tests.e2e.routes import METHODS, OPEN

JSON = "application/json"
PROBLEM = "application/problem+json"
pytestmark = pytest.mark.django_db


@pytest.fixture(scope="module")
def document(django_db_setup: None) -> dict[str, Any]:
    return routes.document()


@pytest.fixture(scope="module")
def operations(document: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    return operations_of(document)


def operations_of(document: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    """Method, path and what is said of it, with the shared answers put in."""
    shared = document["components"]["responses"]
    found = []
    for path, methods in document["paths"].items():
        for method in METHODS if path.startswith("/api/v1/") else ():
            if method in methods:
                told = dict(methods[method])
                told["responses"] = {
                    code: shared[answer["$ref"].rpartition("/")[2]] if "$ref" in answer else answer
                    for code, answer in told["responses"].items()
                }
                found.append((method.upper(), path, told))
    return found


def named(operation: tuple[str, str, Any]) -> str:
    return f"{operation[0]} {operation[1]}"


def test_every_operation_says_what_it_is_for(operations):
    assert len(operations) > 480
    for operation in operations:
        told = operation[2]
        assert 3 <= len(told["summary"]) <= 95, f"{named(operation)}: {told.get('summary')}"
        assert told["description"].strip(), named(operation)
        assert "TODO" not in told["description"]
    ids = [told["operationId"] for _method, _path, told in operations]
    assert len(ids) == len(set(ids))


def test_every_operation_names_its_credentials_and_refusals(operations):
    for operation in operations:
        method, path, told = operation
        codes = set(told["responses"])
        if path.startswith(OPEN):
            assert told.get("security", []) in ([], [{}])
            continue
        assert {"bearer", "apiKey", "session"} <= {name for scheme in told["security"] for name in scheme}
        wanted = {"400", "401", "429", "default"}
        wanted |= {"404"} if "{" in path else set()
        wanted |= set() if path.startswith("/api/v1/auth/") else {"403"}
        if method != "GET":
            wanted |= {"409", "422"} | ({"412"} if "{" in path else set())
        assert wanted <= codes, f"{named(operation)}: {wanted - codes}"
        for code in codes - {"200", "201", "202", "204", "207"}:
            assert PROBLEM in told["responses"][code]["content"], f"{named(operation)} {code}"


def resolved(document: dict[str, Any], entry: dict[str, Any]) -> list[Any]:
    """The examples of one media type."""
    if "example" in entry:
        return [entry["example"]]
    found = []
    for example in entry.get("examples", {}).values():
        name = example.get("$ref", "").rpartition("/")[2]
        found.append((document["components"]["examples"][name] if name else example)["value"])
    return found


def without_nullable(schema: Any) -> Any:
    """OpenAPI 3.0 says ``nullable`` where JSON Schema names two types."""
    if isinstance(schema, list):
        return [without_nullable(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    plain = {key: without_nullable(value) for key, value in schema.items() if key != "nullable"}
    return {"anyOf": [plain, {"enum": [None]}]} if schema.get("nullable") is True else plain


def test_every_json_body_and_answer_shows_a_valid_example(document, operations):
    plain = without_nullable(document)
    wrong, checked, known = [], 0, {}
    for operation in operations:
        _method, _path, told = operation
        bodies = {"body": told.get("requestBody", {}), **told["responses"]}
        for where, body in bodies.items():
            for media_type, entry in body.get("content", {}).items():
                if media_type not in (JSON, PROBLEM) or where == "204":
                    continue
                examples = resolved(document, entry)
                if not examples:
                    wrong.append(f"{named(operation)} {where}: no example")
                key = repr((entry["schema"], entry.get("examples"), entry.get("example")))
                if key not in known:
                    root = {"components": plain["components"], "allOf": [without_nullable(entry["schema"])]}
                    validator = Draft4Validator(root, format_checker=FormatChecker(("date", "email", "uuid")))
                    known[key] = [
                        f"{'/'.join(map(str, error.absolute_path))}: {error.message[:150]}"
                        for value in examples
                        for error in validator.iter_errors(value)
                    ]
                checked += 1
                wrong += [f"{named(operation)} {where} {words}" for words in known[key]]
    assert not wrong, "\n".join(wrong[:60])
    assert checked > 1500


def test_lists_page_sort_and_export(document, operations):
    """Which lists are whole tables, and which are computed (and neither sort nor export), is known."""
    lists = [(path, told) for method, path, told in operations if method == "GET" and "{" not in path]
    pages = {path: told for path, told in lists if "cursor" in {one["name"] for one in told.get("parameters", ())}}
    assert len(pages) > 60
    without = {path for path, told in pages.items() if "text/csv" not in told["responses"]["200"]["content"]}
    assert without == set(), without
    unsorted = {path for path, told in pages.items() if "ordering" not in {one["name"] for one in told["parameters"]}}
    assert unsorted <= ORDERED_BY_THE_HOUSE, unsorted


#: Lists whose order is their meaning
ORDERED_BY_THE_HOUSE = {
    "/api/v1/audit-events/",
    "/api/v1/hl7-receivers/",
    "/api/v1/reading-list/",
}


def test_the_document_and_its_pages_come_from_here_alone(client, alpha):
    """S: nothing of a page is fetched from elsewhere, so that it works where there is no internet."""
    client.defaults["HTTP_HOST"] = "alpha.test"
    for address in ("/api/docs/", "/api/redoc/"):
        page = client.get(address)
        assert page.status_code == 200
        text = page.content.decode()
        assert "//cdn" not in text and "unpkg" not in text and "fonts.googleapis" not in text
        for source in [part.split('"')[0] for part in text.split('src="')[1:]]:
            assert source.startswith(("/", "data:")), source
    answer = client.get("/api/schema/?format=json")
    assert answer.json()["info"]["title"] == "Picha"
