"""Words of strangers in texts of ours, which come to terminals, journals and the state: names of
files in images, members of JSON.
"""

MOST = 2000
"""Characters of one text."""


def printable(text: str) -> str:
    """The text with nothing in it that a terminal would obey, on one line, cut if it is long."""
    shown = "".join(each if each.isprintable() else _shown(each) for each in text[: MOST + 1])
    return shown if len(shown) <= MOST else f"{shown[: MOST - 3]}..."


def _shown(character: str) -> str:
    return " " if character.isspace() else ascii(character)[1:-1]
