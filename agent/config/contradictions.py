"""What no setting alone shows: settings that don't go together."""

from __future__ import annotations

from agent.config.given import ConfigError
from agent.config.network import Address, Network
from agent.registry.logins import engine_auth
from agent.settings import Settings


def eni_provider(given: Settings) -> str:
    """The provider that the other settings speak of, when none is named. Raises ConfigError."""
    if given.enis and given.eni_parent:
        raise ConfigError(
            "HOSTLER_ENIS and HOSTLER_ENI_PARENT are both set: "
            "say with HOSTLER_ENI_PROVIDER=pool or =macvlan which of them it shall be"
        )
    if given.eni_parent:
        return "macvlan"
    return "pool" if given.enis else "none"


def refuse_contradictions(given: Settings) -> None:
    """Raises ConfigError, which names both."""
    if given.eni_provider == "pool" and not given.enis:
        raise ConfigError("HOSTLER_ENI_PROVIDER=pool needs HOSTLER_ENIS, the file of interfaces")
    if given.eni_provider == "macvlan" and not (given.eni_parent and given.eni_subnets):
        raise ConfigError(
            "macvlan interfaces need both HOSTLER_ENI_PARENT, the interface they are children of, "
            "and HOSTLER_ENI_SUBNET, the network whose addresses they get"
        )
    if given.eni_provider == "none" and given.eni_subnets:
        raise ConfigError("HOSTLER_ENI_SUBNET is of no use without HOSTLER_ENI_PARENT")
    if given.api_listen is not None and given.api_listen == given.introspection_listen:
        raise ConfigError(
            "HOSTLER_API_LISTEN and HOSTLER_INTROSPECTION_LISTEN are the same address and port"
        )
    _refuse_wrong_parent(given)
    if given.image_disk_low > given.image_disk_high:
        raise ConfigError("HOSTLER_IMAGE_DISK_LOW is more than HOSTLER_IMAGE_DISK_HIGH")
    try:
        engine_auth.read(given.engine_auth_type, given.engine_auth_data)
    except ValueError as error:
        raise ConfigError(f"ECS_ENGINE_AUTH_DATA: {error}") from None
    for gateway in given.eni_gateways:
        _refuse_outside("HOSTLER_ENI_GATEWAY", gateway, given.eni_subnets)
    for ends in given.eni_ranges:
        for end in ends:
            _refuse_outside("HOSTLER_ENI_RANGE", end, given.eni_subnets)


def _refuse_wrong_parent(given: Settings) -> None:
    """The form of HOSTLER_CGROUP_PARENT is the driver's."""
    forms = {"systemd": "a slice such as hostler.slice", "cgroupfs": "a path such as /hostler"}
    driver = "cgroupfs" if given.cgroup_parent.startswith("/") else "systemd"
    if given.cgroup_parent and given.cgroup_driver not in ("auto", driver):
        raise ConfigError(
            f"HOSTLER_CGROUP_PARENT={given.cgroup_parent} must be {forms[given.cgroup_driver]} "
            f"with HOSTLER_CGROUP_DRIVER={given.cgroup_driver}"
        )


def _refuse_outside(name: str, address: Address, subnets: tuple[Network, ...]) -> None:
    if not any(address in each for each in subnets):
        listed = ",".join(map(str, subnets)) or "unset"
        raise ConfigError(f"{name}: {address} is not in HOSTLER_ENI_SUBNET, which is {listed}")
