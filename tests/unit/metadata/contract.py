"""OpenAPI descriptions as judges: of answers, and of which members they had.

Schemas are checked by jsonschema-rs; the descriptions' own validity by schemathesis.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml
from jsonschema_rs import Draft202012Validator

Json = Any
Schema = dict[str, Json]
Member = tuple[str, str]
"""Name of a schema, or the place of one without a name, and of a property in it."""

_METHODS = ("get", "put", "post")
_DOCS = Path(__file__).parents[3] / "docs"


@dataclass(frozen=True, slots=True)
class Received:
    """One answer. ``content`` is the parsed body: JSON, or the text of other types."""

    path: str
    status: int
    content_type: str
    headers: Mapping[str, str]
    content: Json
    method: str = "get"


class Contract:
    """One description."""

    def __init__(self, name: str) -> None:
        self.file = _DOCS / name
        self._validators: dict[str, Draft202012Validator] = {}

    @cached_property
    def document(self) -> dict[str, Json]:
        """The whole of it. Not to be changed."""
        read: dict[str, Json] = yaml.safe_load(self.file.read_text())
        return read

    @property
    def templates(self) -> dict[str, Json]:
        """What is described, by path with its parameters in braces."""
        paths: dict[str, Json] = self.document["paths"]
        return paths

    def template_of(self, path: str) -> str:
        """The description's path for a path asked for. Raises LookupError without one."""
        if path in self.templates:
            return path
        found = [each for each in self.templates if re.fullmatch(_pattern(each), path)]
        if not found:
            raise LookupError(f"{path} is not described")
        return str(max(found, key=lambda each: len(each.split("{")[0]) - each.count("{")))

    def methods(self, template: str) -> list[str]:
        """Those that are described for a path."""
        return [each for each in self.templates[template] if each in _METHODS]

    @property
    def operations(self) -> list[str]:
        """All methods with their paths, as in ``GET /v1/tasks``."""
        return [
            f"{method.upper()} {template}"
            for template in self.templates
            for method in self.methods(template)
        ]

    def tag(self, template: str) -> str:
        """Of its first method."""
        return str(self.templates[template][self.methods(template)[0]]["tags"][0])

    def schema(self, received: Received) -> Schema:
        """The schema of an answer's body. Raises LookupError if there is no such answer."""
        content = self._response(received).get("content", {})
        if received.content_type not in content:
            raise LookupError(f"{received.path}: {received.status} with {received.content_type}")
        schema: Schema = content[received.content_type]["schema"]
        return schema

    def breaches(self, received: Received) -> list[str]:
        """What of an answer is not as described. Raises LookupError if it isn't at all."""
        found = []
        for name, header in self._response(received).get("headers", {}).items():
            if name in received.headers:
                found += self.errors(header["schema"], received.headers[name])
            elif header.get("required"):
                found.append(f"there is no header {name}")
        if received.content or received.content_type == "application/json":
            found += self.errors(self.schema(received), received.content)
        return found

    def errors(self, schema: Schema, value: Json) -> list[str]:
        """Why the value is not of the schema."""
        key = json.dumps(schema)
        if key not in self._validators:
            whole = {**schema, "components": self.document["components"]}
            self._validators[key] = Draft202012Validator(whole, validate_formats=True)
        return [
            f"{'/'.join(map(str, each.instance_path))}: {each.message}"
            for each in self._validators[key].iter_errors(value)
        ]

    def optional_members(self, schema: Schema, place: str = "") -> set[Member]:
        """All members that a value may have or lack, at any depth."""
        place = place or _name(schema)
        schema = self._resolved(schema)
        found = {(place, each) for each in _optional(schema)}
        for name, each in schema.get("properties", {}).items():
            found |= self.optional_members(each, _name(each) or f"{place}.{name}")
        for each in schema.get("allOf", ()):
            found |= self.optional_members(each, place)
        for each in (*schema.get("anyOf", ()), *_elements(schema)):
            found |= self.optional_members(each, _name(each) or place)
        return found

    def members(
        self, schema: Schema, value: Json, place: str = ""
    ) -> Iterator[tuple[Member, bool]]:
        """Of a value of the schema: each member that may be there, with whether it is."""
        place = place or _name(schema)
        schema = self._resolved(schema)
        for each in schema.get("allOf", ()):
            yield from self.members(each, value, place)
        for each in schema.get("anyOf", ()):
            if not self.errors(each, value):
                yield from self.members(each, value, _name(each) or place)
        if isinstance(value, dict):
            yield from (((place, each), each in value) for each in _optional(schema))
            for name, each in schema.get("properties", {}).items():
                if name in value:
                    yield from self.members(each, value[name], _name(each) or f"{place}.{name}")
        for element in _elements(schema):
            for each in value.values() if isinstance(value, dict) else value or ():
                yield from self.members(element, each, _name(element) or place)

    def _response(self, received: Received) -> Schema:
        responses = self.templates[self.template_of(received.path)][received.method]["responses"]
        if str(received.status) not in responses:
            raise LookupError(f"{received.path}: status {received.status} is not described")
        return self._resolved(responses[str(received.status)])

    def _resolved(self, node: Schema) -> Schema:
        """What a reference refers to; anything else as it is."""
        while "$ref" in node:
            found: Json = self.document
            for part in node["$ref"].removeprefix("#/").split("/"):
                found = found[part]
            node = found
        return node


METADATA = Contract("metadata-openapi.yaml")
INTROSPECTION = Contract("introspection-openapi.yaml")


def _pattern(template: str) -> str:
    wild = {"{associationName}": ".+"}
    return "".join(
        wild.get(each, "[^/]+") if each.startswith("{") else re.escape(each)
        for each in re.split(r"(\{.*?\})", template)
    )


def _name(schema: Schema) -> str:
    return str(schema.get("$ref", "")).rpartition("/")[2]


def _optional(schema: Schema) -> set[str]:
    return set(schema.get("properties", {})) - set(schema.get("required", ()))


def _elements(schema: Schema) -> list[Schema]:
    """Of a list, or of an object whose members have any names."""
    found = [schema.get("items"), schema.get("additionalProperties")]
    return [each for each in found if isinstance(each, dict)]
