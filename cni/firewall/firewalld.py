"""firewalld: whether it runs, and its zone `trusted`, from which everything may be forwarded.

Whether it runs is asked of the system bus, a matter of a millisecond: firewall-cmd is a Python
program and takes a tenth of a second or more to say so.
"""

from collections.abc import Collection
from shutil import which
from typing import Any, Final

from jeepney import DBusErrorResponse, HeaderFields, Parser, message_bus
from jeepney.bus import find_system_bus
from jeepney.io.blocking import prep_socket
from jeepney.wrappers import unwrap_msg

from cni.errors import CNIError
from cni.firewall.commands import call

_NAME: Final = "org.fedoraproject.FirewallD1"
# What is only so at run time is lost with the next `firewall-cmd --reload`.
_LASTING: Final = ((), ("--permanent",))
_BUS_S: Final = 5.0
_CHUNK: Final = 65536


def untrusted(bridges: Collection[str]) -> list[str]:
    """Return the bridges that are in another zone, or in none; none when firewalld does not run."""
    if not runs():
        return []
    return [bridge for bridge in bridges if _zone(bridge) != "trusted"]


def trust(bridge: str) -> None:
    """Have the bridge in the zone. Raises CNIError."""
    for lasting in _LASTING:
        call("firewall-cmd", *lasting, "--zone=trusted", f"--change-interface={bridge}")


def distrust(bridges: Collection[str]) -> None:
    """Have none of the bridges in the zone, if firewalld runs. Raises CNIError."""
    if not runs():
        return
    for bridge in bridges:
        if _zone(bridge) == "trusted":
            for lasting in _LASTING:
                call("firewall-cmd", *lasting, "--zone=trusted", f"--remove-interface={bridge}")


def runs() -> bool:
    """Return whether there is a firewalld to ask."""
    if not which("firewall-cmd"):
        return False
    try:
        return _is_on_the_bus(_NAME)
    except (OSError, RuntimeError, ValueError, DBusErrorResponse):
        return False  # without a bus that answers nobody can ask it anything


def _is_on_the_bus(name: str) -> bool:
    """Return whether a program has the name. A call to the name itself would start firewalld."""
    asked = (message_bus.Hello(), message_bus.NameHasOwner(name))
    with prep_socket(find_system_bus(), timeout=_BUS_S) as bus:
        bus.settimeout(_BUS_S)
        for serial, message in enumerate(asked, start=1):
            bus.sendall(message.serialise(serial))
        parser = Parser()
        while data := bus.recv(_CHUNK):
            for message in parser.feed(data):
                if message.header.fields.get(HeaderFields.reply_serial) == len(asked):
                    owned: tuple[Any, ...] = unwrap_msg(message)
                    return bool(owned[0])
    raise ConnectionResetError("the bus ended the connection")


def _zone(bridge: str) -> str:
    try:
        return call("firewall-cmd", f"--get-zone-of-interface={bridge}").strip()
    except CNIError:  # in no zone
        return ""
