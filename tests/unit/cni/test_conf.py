"""Keys of a configuration, as plugins read them."""

import pytest

from cni.conf import Fields
from cni.errors import CNIError, Code


def test_a_key_that_differs_in_case_only_is_meant_too() -> None:
    fields = Fields({"HostPort": 8080, "isgateway": True})

    assert fields.number("hostPort") == 8080
    assert fields.flag("isGateway") is True
    assert fields.text("hostIP") == ""


def test_the_key_as_it_should_be_comes_first() -> None:
    assert Fields({"Name": "b", "name": "a"}).text("name") == "a"
    assert Fields({"Name": "b", "name": None}).text("name") == ""


def test_a_wrong_value_is_named_by_its_place_and_told() -> None:
    with pytest.raises(CNIError) as refused:
        Fields({"Port": "x"}, "a[0]").number("port", high=9)

    error = refused.value
    assert (error.code, error.msg) == (
        Code.INVALID_CONFIG,
        "a[0].port must be a whole number from 0 to 9",
    )
    assert error.details == "it is 'x'"
