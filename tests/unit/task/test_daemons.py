"""Which tasks are daemon tasks."""

import pytest

from agent.task.daemons import is_daemon


@pytest.mark.parametrize(
    ("group", "tags", "daemon"),
    [
        ("family:web", {}, False),
        ("daemon:log", {}, True),
        ("my-daemon:log", {}, False),
        ("family:web", {"hostler:daemon": "true"}, True),
        ("family:web", {"hostler:daemon": "True"}, True),
        ("family:web", {"hostler:daemon": "false"}, False),
        ("family:web", {"daemon": "true"}, False),
    ],
)
def test_a_group_or_a_tag_marks_them(group: str, tags: dict[str, str], daemon: bool) -> None:
    listed = [{"key": key, "value": value} for key, value in tags.items()]
    assert is_daemon(group, listed) is daemon
