"""What mount(8) is told."""

from __future__ import annotations

import re
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from agent.host.volumes.mounting import table_line
from agent.host.volumes.requests import MountRequest

TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1)


@given(TEXT, TEXT, TEXT, TEXT)
def test_a_line_of_the_table_has_six_fields_and_says_what_was_asked(
    kind: str, device: str, options: str, target: str
) -> None:
    line = table_line(MountRequest(kind, device, options), Path(f"/{target}"))
    assert line.count("\n") == 1
    assert "#" not in line
    fields = [
        re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), each)
        for each in re.split(r"[ \t]", line.removesuffix("\n"))
    ]
    assert fields == [device, str(Path(f"/{target}")), kind, options, "0", "0"]


def test_no_options_are_the_defaults() -> None:
    line = table_line(MountRequest("tmpfs", "tmpfs"), Path("/a b"))
    assert line == "tmpfs /a\\040b tmpfs defaults 0 0\n"


def test_options_are_not_shown() -> None:
    request = MountRequest("cifs", "//nas/share", "username=u,password=hunter2")
    assert "hunter2" not in repr(request)
