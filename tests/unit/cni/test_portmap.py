"""What is refused before anything is asked of the kernel."""

import pytest

from cni.errors import CNIError, Code, PortTaken, reported
from cni.portmap import PortMapping


@pytest.mark.parametrize(
    ("container_port", "host_port", "count"),
    [(0, 80, 1), (70000, 80, 1), (80, -1, 1), (80, 65535, 2), (65535, 0, 2), (80, 80, 0)],
)
def test_a_mapping_outside_the_port_numbers_is_refused(
    container_port: int, host_port: int, count: int
) -> None:
    with pytest.raises(CNIError) as caught:
        PortMapping(container_port, host_port, count=count)
    assert caught.value.code == Code.INVALID_CONFIG


def test_a_taken_port_is_named_with_its_holder() -> None:
    error = PortTaken("udp", 53, "a program on the host")

    assert str(error) == "host port 53/udp is already in use: held by a program on the host"
    assert error.code == Code.PORT_TAKEN


def test_an_operating_system_error_gets_a_number_and_a_numbered_one_keeps_its_own() -> None:
    with (
        pytest.raises(CNIError, match=r"cannot attach: \[Errno 13\]") as caught,
        reported("cannot attach"),
    ):
        raise PermissionError(13, "no")
    assert caught.value.code == Code.IO_FAILURE

    with pytest.raises(PortTaken), reported("cannot attach"):
        raise PortTaken("tcp", 80, "a container")
