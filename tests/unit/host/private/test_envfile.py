"""Environment files are read as the ECS agent reads them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.host.private.envfile import LONGEST_LINE, EnvFileError, parse


@pytest.mark.parametrize(
    ("content", "variables"),
    [
        (b"", {}),
        (b"A=1", {"A": "1"}),
        (b"A=1\nB=2\n", {"A": "1", "B": "2"}),
        (b"A=1\r\nB=2\r\n", {"A": "1", "B": "2"}),
        (b"A=1\r\r\n", {"A": "1\r"}),
        (b"A=1\rB=2", {"A": "1\rB=2"}),
        (b"A=1\nA=2\n", {"A": "2"}),
        (b"# A=1\n#A=1\n", {}),
        (b" # A=1\n", {" # A": "1"}),
        (b"A\n\n \n", {}),
        (b"=1\n", {}),
        (b"A=\n", {"A": ""}),
        (b"A=b=c\n", {"A": "b=c"}),
        (b" A = 1 \n", {" A ": " 1 "}),
        (b"export A=1\n", {"export A": "1"}),
        (b"A=\"1\"\nB='2'\nC=$A\nD=a\\\n", {"A": '"1"', "B": "'2'", "C": "$A", "D": "a\\"}),
        (b"A=a # b\n", {"A": "a # b"}),
        ("É=ü\n".encode(), {"É": "ü"}),
        (b"#\xff\0\nA=1", {"A": "1"}),
        (b"A=" + b"x" * (LONGEST_LINE - 2) + b"\n", {"A": "x" * (LONGEST_LINE - 2)}),
    ],
)
def test_a_line_is_a_variable_and_nothing_is_taken_off(
    content: bytes, variables: dict[str, str]
) -> None:
    assert parse(content) == variables


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"A=1\nB=\xff", "line 2 is not UTF-8 text"),
        (b"A=\0", "line 1 holds a NUL character, which no variable can"),
        (b"\n" + b"#" * (LONGEST_LINE + 1), f"line 2 has more than {LONGEST_LINE} bytes"),
        (b"A=" + b"x" * (LONGEST_LINE - 2) + b"\r\n", f"line 1 has more than {LONGEST_LINE} bytes"),
    ],
)
def test_what_cant_be_read_is_told_without_being_quoted(content: bytes, told: str) -> None:
    with pytest.raises(EnvFileError) as failed:
        parse(content)
    assert str(failed.value) == told


lines = st.text(st.characters(exclude_characters="\n\0", codec="utf-8"), max_size=20)


@given(st.lists(lines), st.sampled_from(["\n", "\r\n"]))
def test_each_line_counts_for_itself(every: list[str], end: str) -> None:
    found = parse(end.join([*every, ""]).encode())
    expected: dict[str, str] = {}
    for line in every:
        expected.update(parse(f"{line}{end}".encode()))
    assert found == expected
    assert all(f"{name}={value}" in every for name, value in found.items() if end != "\n")
