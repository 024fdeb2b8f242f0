"""A client of the API that is botocore at both ends: its serialiser, its parser, its shapes.

boto3 itself can't call a unix socket; this writes the bytes that it would write, and holds every
answer against the output shape of ECS's service model before it is parsed.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any

import aiohttp
import botocore.session
from botocore.model import OperationModel, ServiceModel, Shape
from botocore.parsers import create_parser
from botocore.serialize import create_serializer

OURS = {"warnings", "restartCount"}
"""Keys of answers that ECS does not have."""


class Refused(Exception):
    """The API answered with an error."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(f"{status} {code}: {message}")
        self.status = status
        self.code = code
        self.message = message


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> dict[str, Any]:
        decoded = json.loads(self.body)
        assert isinstance(decoded, dict)
        return decoded


class Client:
    """Calls the API on one socket. A connection per call, like the command line's."""

    def __init__(self, socket: Path) -> None:
        self._socket = socket

    async def call(self, operation: str, **params: Any) -> dict[str, Any]:
        """What boto3 would give for this call. Raises Refused."""
        model = service().operation_model(operation)
        request = create_serializer("json").serialize_to_request(params, model)
        answer = await self.post(request["body"], request["headers"])
        if answer.status != 200:
            raise Refused(answer.status, answer.json["__type"], answer.json["message"])
        check_shape(answer.json, model)
        parsed = create_parser("json").parse(
            {"body": answer.body, "headers": answer.headers, "status_code": 200},
            model.output_shape,
        )
        assert isinstance(parsed, dict)
        return parsed

    async def ours(self, operation: str, **body: Any) -> dict[str, Any]:
        """What one of Hostler's own calls answers. Raises Refused."""
        target = {"X-Amz-Target": f"Hostler.{operation}"}
        answer = await self.post(json.dumps(body).encode(), target)
        if answer.status != 200:
            raise Refused(answer.status, answer.json["__type"], answer.json["message"])
        return answer.json

    async def post(
        self, body: bytes, headers: dict[str, str] | None = None, *, path: str = "/"
    ) -> Answer:
        """The answer to any bytes at all."""
        connector = aiohttp.UnixConnector(str(self._socket))
        async with (
            aiohttp.ClientSession(connector=connector) as session,
            session.post(f"http://hostler{path}", data=BytesIO(body), headers=headers) as answer,
        ):
            return Answer(answer.status, dict(answer.headers), await answer.read())


@cache
def service() -> ServiceModel:
    return botocore.session.get_session().get_service_model("ecs")


def check_shape(answer: dict[str, Any], model: OperationModel) -> None:
    """Raises AssertionError where the JSON of an answer is not what the service model says."""
    _check(answer, model.output_shape, model.name)


def _check(value: Any, shape: Shape, path: str) -> None:
    match shape.type_name:
        case "structure":
            assert isinstance(value, dict), path
            for key, each in value.items():
                if key in OURS:
                    continue
                assert key in shape.members, f"{path}.{key} is not in ECS"
                _check(each, shape.members[key], f"{path}.{key}")
        case "list":
            assert isinstance(value, list), path
            for each in value:
                _check(each, shape.member, f"{path}[]")
        case "map":
            assert isinstance(value, dict), path
            for each in value.values():
                _check(each, shape.value, f"{path}[]")
        case kind:
            kinds: dict[str, tuple[type, ...]] = {
                "string": (str,),
                "boolean": (bool,),
                "integer": (int,),
                "long": (int,),
                "double": (int, float),
                "timestamp": (int, float),
            }
            exact = kind == "boolean" or not isinstance(value, bool)
            assert isinstance(value, kinds[kind]), f"{path} is {value!r}, not a {kind}"
            assert exact, f"{path} is {value!r}, not a {kind}"
            if getattr(shape, "enum", None):
                assert value in shape.enum, f"{path} is {value!r}, not one of {shape.enum}"
