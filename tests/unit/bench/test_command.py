from pathlib import Path

import pytest

from bench.command import Options, parse


def test_each_benchmark_has_its_own_number_of_rounds() -> None:
    assert parse(["launch"]).rounds == 21
    assert parse(["burst"]).rounds == 3


def test_everything_but_the_file_goes_to_the_program_inside() -> None:
    given = parse(["launch", "--rounds", "5", "--idle", "2.5", "--json", "out.json"])
    assert given == Options("launch", 5, 2.5, Path("out.json"))
    assert parse(given.arguments) == Options("launch", 5, 2.5, None)
    assert parse(parse(["pull", "--disk"]).arguments) == Options("pull", 5, 20.0, None, disk=True)
    assert parse(parse(["soak", "--minutes", "0.5"]).arguments).minutes == 0.5


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["nothing"], "invalid choice"),
        (["launch", "--rounds", "0"], "must be a number from 1 up"),
        (["launch", "--rounds", "x"], "must be a number from 1 up"),
        (["launch", "--idle", "-1"], "must be a number, more than 0"),
        (["launch", "--idle", "nan"], "must be a number, more than 0"),
    ],
)
def test_wrong_arguments_are_refused_in_words(
    arguments: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as refused:
        parse(arguments)
    assert refused.value.code == 2
    assert complaint in capsys.readouterr().err
