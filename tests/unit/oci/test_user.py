"""Names and numbers of users, by the files of an image."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.oci.errors import SpecError
from agent.oci.user import User, resolve_user

PASSWD = """\
root:x:0:0:root:/root:/bin/sh
# comment:x:7:7::/:/bin/sh
web:x:1000:1001:Web,,,:/home/web:/bin/sh
42:x:4200:4201::/number:
nobody:x:4294967294:1::/:
short:x:5
"""
GROUP = "root:x:0:\nweb:x:1001:\nlogs:x:2000:root,web\nempty:x:\naudio:x:29:web\n"


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ("", User(0, 0, (0, 2000), "/root")),
        ("root", User(0, 0, (0, 2000), "/root")),
        ("web", User(1000, 1001, (1001, 2000, 29), "/home/web")),
        ("1000", User(1000, 1001, (1001, 2000, 29), "/home/web")),
        ("web:logs", User(1000, 2000, (2000,), "/home/web")),
        ("web:77", User(1000, 77, (77,), "/home/web")),
        ("1000:web", User(1000, 1001, (1001,), "/home/web")),
        ("7:8", User(7, 8, (8,), "/")),
        ("7", User(7, 0, (0,), "/")),
        ("42", User(4200, 4201, (4201,), "/number")),
        (":logs", User(0, 2000, (2000,), "/root")),
    ],
)
def test_every_form_is_resolved(wanted: str, expected: User) -> None:
    assert resolve_user(wanted, PASSWD, GROUP) == expected


def test_an_image_without_files_has_root_and_numbers() -> None:
    assert resolve_user("", "", "") == User(0, 0, (0,), "/root")
    assert resolve_user("5:6", "", "") == User(5, 6, (6,), "/")


@pytest.mark.parametrize(
    ("wanted", "text"),
    [
        ("nemo", "unable to find user nemo: no matching entries in passwd file"),
        ("web:nemo", "unable to find group nemo: no matching entries in group file"),
        ("-1", "unable to find user -1"),
        ("4294967294", "range"),
        ("0:2147483648", "range"),
        ("9" * 5000, "range"),
    ],
)
def test_what_is_unknown_or_out_of_range_is_an_error(wanted: str, text: str) -> None:
    with pytest.raises(SpecError, match=text):
        resolve_user(wanted, PASSWD, GROUP)


@given(st.text(), st.text(), st.text())
def test_no_file_raises_anything_but_a_spec_error(wanted: str, passwd: str, group: str) -> None:
    try:
        user = resolve_user(wanted, passwd, group)
    except SpecError:
        return
    assert user.gid == user.additional_gids[0]
