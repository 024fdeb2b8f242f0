"""The cloud that tests of EC2 are in."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.unit.host.interfaces.cloud import Cloud, cloud, mocked


@pytest.fixture(scope="module")
def vpc() -> Iterator[Cloud]:
    """What the tests of a module have in common and do not change."""
    with mocked():
        yield cloud()


@pytest.fixture
def aws(vpc: Cloud) -> Cloud:
    """A cloud with an instance of the test's own."""
    return vpc.another()
