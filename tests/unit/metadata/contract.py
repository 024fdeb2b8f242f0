"""The OpenAPI description of the endpoint as a judge: of answers, and of which members they had.

Schemas are checked by jsonschema-rs; the description's own validity by schemathesis.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from jsonschema_rs import Draft202012Validator

Json = Any
Member = tuple[str, str]
"""Name of a schema, or the place of one without a name, and of a property in it."""

_METHODS = ("get", "put", "post")

DESCRIPTION = Path(__file__).parents[3] / "docs" / "metadata-openapi.yaml"


@cache
def description() -> dict[str, Json]:
    """The whole document. Not to be changed."""
    read: dict[str, Json] = yaml.safe_load(DESCRIPTION.read_text())
    return read


def resolved(node: dict[str, Json]) -> dict[str, Json]:
    """What a reference refers to; anything else as it is."""
    while "$ref" in node:
        found: Json = description()
        for part in node["$ref"].removeprefix("#/").split("/"):
            found = found[part.replace("~1", "/")]
        node = found
    return node


def template_of(path: str) -> str:
    """The description's path for a path asked for. Raises LookupError without one."""
    if path in description()["paths"]:
        return path
    found = [each for each in description()["paths"] if re.fullmatch(_pattern(each), path)]
    if not found:
        raise LookupError(f"{path} is not described")
    return str(max(found, key=lambda each: len(each.split("{")[0]) - each.count("{")))


def methods(template: str) -> list[str]:
    """Those that are described for a path."""
    return [each for each in description()["paths"][template] if each in _METHODS]


def tag(template: str) -> str:
    """Of its first method."""
    return str(description()["paths"][template][methods(template)[0]]["tags"][0])


def _pattern(template: str) -> str:
    parts = re.split(r"(\{.*?\})", template)
    wild = {"{associationName}": ".+"}
    return "".join(
        wild.get(each, "[^/]+") if each.startswith("{") else re.escape(each) for each in parts
    )


@dataclass(frozen=True, slots=True)
class Received:
    """One answer. ``content`` is the parsed body: JSON, or the text of other types."""

    path: str
    status: int
    content_type: str
    headers: Mapping[str, str]
    content: Json
    method: str = "get"

    def response(self) -> dict[str, Json]:
        """How the description has it. Raises LookupError when it doesn't have it."""
        operation = description()["paths"][template_of(self.path)][self.method]
        if str(self.status) not in operation["responses"]:
            raise LookupError(f"{self.path}: status {self.status} is not described")
        return resolved(operation["responses"][str(self.status)])

    def schema(self) -> dict[str, Json]:
        """The schema of its body. Raises LookupError."""
        content = self.response().get("content", {})
        if self.content_type not in content:
            raise LookupError(f"{self.path}: {self.status} with {self.content_type}")
        schema: dict[str, Json] = content[self.content_type]["schema"]
        return schema

    def breaches(self) -> list[str]:
        """What of it is not as described. Raises LookupError."""
        found = []
        for name, header in self.response().get("headers", {}).items():
            if name in self.headers:
                found += errors(header["schema"], self.headers[name])
            elif header.get("required"):
                found.append(f"there is no header {name}")
        if self.content or self.content_type == "application/json":
            found += errors(self.schema(), self.content)
        return found


def errors(schema: dict[str, Json], value: Json) -> list[str]:
    """Why the value is not of the schema."""
    return [
        f"{'/'.join(map(str, each.instance_path))}: {each.message}"
        for each in _validator(json.dumps(schema)).iter_errors(value)
    ]


@cache
def _validator(schema: str) -> Draft202012Validator:
    whole = {**json.loads(schema), "components": description()["components"]}
    return Draft202012Validator(whole, validate_formats=True)


def optional_members(schema: dict[str, Json], place: str = "") -> set[Member]:
    """All members that a value may have or lack, at any depth."""
    place = place or _name(schema)
    schema = resolved(schema)
    found = {(place, each) for each in _optional(schema)}
    for name, each in schema.get("properties", {}).items():
        found |= optional_members(each, _name(each) or f"{place}.{name}")
    for each in schema.get("allOf", ()):
        found |= optional_members(each, place)
    for each in (*schema.get("anyOf", ()), *_elements(schema)):
        found |= optional_members(each, _name(each) or place)
    return found


def members(schema: dict[str, Json], value: Json, place: str = "") -> Iterator[tuple[Member, bool]]:
    """Of a value of the schema: each member that may be there, with whether it is."""
    place = place or _name(schema)
    schema = resolved(schema)
    for each in schema.get("allOf", ()):
        yield from members(each, value, place)
    for each in schema.get("anyOf", ()):
        if not errors(each, value):
            yield from members(each, value, _name(each) or place)
    if isinstance(value, dict):
        yield from (((place, each), each in value) for each in _optional(schema))
        for name, each in schema.get("properties", {}).items():
            if name in value:
                yield from members(each, value[name], _name(each) or f"{place}.{name}")
    for element in _elements(schema):
        for each in value.values() if isinstance(value, dict) else value or ():
            yield from members(element, each, _name(element) or place)


def _name(schema: dict[str, Json]) -> str:
    return str(schema.get("$ref", "")).rpartition("/")[2]


def _optional(schema: dict[str, Json]) -> set[str]:
    return set(schema.get("properties", {})) - set(schema.get("required", ()))


def _elements(schema: dict[str, Json]) -> list[dict[str, Json]]:
    """Of a list, or of an object whose members have any names."""
    found = [schema.get("items"), schema.get("additionalProperties")]
    return [each for each in found if isinstance(each, dict)]
