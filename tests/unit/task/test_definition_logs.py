"""What the options of a log driver may be, and that its driver is of the same mind."""

from __future__ import annotations

import pytest

from agent.logs.jsonfile import max_file, max_size
from agent.logs.protocol import ProtocolError
from agent.task.definition import DefinitionError, read_task_definition, unsupported
from agent.task.definition.container import LogConfiguration
from agent.task.definition.log_rules import log_problems
from tests.unit.task.test_definition import task, web

AT = "containerDefinitions[0].logConfiguration"
SIZES = (
    *("10m", "-1", "1", "0.5k", "1.5 GB", " 7k ", "3T"),
    *("0", "0.1", "0.0001k", "ten", "", "-2", "10x", "m", "1e3", "1.", "\u0661"),
)
NUMBERS = ("1", "9999", "07", "0", "10000", "-1", "", "1.5", "x")


def log(driver: str = "json-file", **options: str) -> LogConfiguration:
    named = {name.replace("_", "-"): value for name, value in options.items()}
    return LogConfiguration.model_validate({"logDriver": driver, "options": named})


@pytest.mark.parametrize("size", SIZES)
def test_no_size_passes_that_the_driver_can_not_use(size: str) -> None:
    if list(log_problems(log(max_size=size))):
        return
    max_size({"max-size": size})


@pytest.mark.parametrize("size", [each for each in SIZES if each.isascii()])
def test_every_size_passes_that_the_driver_can_use(size: str) -> None:
    paths = [each.path for each in log_problems(log(max_size=size))]
    try:
        max_size({"max-size": size})
    except ProtocolError:
        assert paths == ["options.max-size"]
    else:
        assert paths == []


@pytest.mark.parametrize("number", NUMBERS)
def test_the_number_of_files_is_what_the_driver_can_use(number: str) -> None:
    paths = [each.path for each in log_problems(log(max_file=number))]
    try:
        max_file({"max-file": number})
    except ProtocolError:
        assert paths == ["options.max-file"]
    else:
        assert paths == []


def test_a_wrong_value_is_refused_at_registration() -> None:
    options = {"max-size": "ten"}
    data = task(web(logConfiguration={"logDriver": "json-file", "options": options}))
    with pytest.raises(DefinitionError, match=r"options\.max-size: must be a size such as 10m"):
        read_task_definition(data)


@pytest.mark.parametrize(
    ("driver", "options", "refused"),
    [
        ("json-file", {"max-size": "1m", "max-file": "2", "mode": "blocking"}, []),
        ("json-file", {"labels": "a", "tag": "b"}, ["labels", "tag"]),
        (
            "json-file",
            {"mode": "non-blocking", "max-buffer-size": "1m"},
            ["max-buffer-size", "mode"],
        ),
        ("none", {"max-size": "ten", "tag": "b"}, []),
    ],
)
def test_options_that_would_have_no_effect_are_refused(
    driver: str, options: dict[str, str], refused: list[str]
) -> None:
    data = task(web(logConfiguration={"logDriver": driver, "options": options}))
    found = [each.path for each in unsupported(read_task_definition(data).definition)]
    assert found == [f"{AT}.options.{each}" for each in refused]
