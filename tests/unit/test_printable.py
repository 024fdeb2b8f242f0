"""What strangers say, in texts of ours."""

import pytest

from agent.host.images.fetching import PullFailed
from agent.host.images.loading import LoadError
from agent.oci.errors import SpecError
from agent.oci.image import parse_image_config
from agent.printable import MOST, printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain words, 'quoted' \\ and ümläute", "plain words, 'quoted' \\ and ümläute"),
        ("two\nlines\tand\r\nmore", "two lines and  more"),
        ("\x1b[2J\x07\x00\x9b", "\\x1b[2J\\x07\\x00\\x9b"),
        ("a\u202eb\u200b\udc80", "a\\u202eb\\u200b\\udc80"),
        ("x" * MOST, "x" * MOST),
        ("x" * (MOST + 1), "x" * (MOST - 3) + "..."),
        ("\x1b" * MOST, ("\\x1b" * MOST)[: MOST - 3] + "..."),
        ("", ""),
    ],
)
def test_nothing_is_left_that_a_terminal_obeys(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_errors_that_quote_images_are_printable() -> None:
    with pytest.raises(SpecError) as raised:
        parse_image_config(b'{"config": {"Labels": {"\\u001b[31m": 1}}}')
    assert "Labels: Value error, \\x1b[31m is no text" in str(raised.value)
    assert str(LoadError("blobs/\x1b[31m: no file")) == "blobs/\\x1b[31m: no file"
    assert str(PullFailed("X", "secret \x1b[31m")) == "secret \\x1b[31m"
