"""The limits that ECS sets for one container definition, looked at on its own.

Paths are relative to the container. What needs its neighbours (ports already taken, dependsOn,
volumes) is in ``task_rules``; kernel matters (ulimits, capabilities, devices) in ``linux_rules``,
variables in ``variable_rules``.
Each function yields every problem it finds and never raises.
"""

import re
from collections.abc import Iterator
from ipaddress import ip_address

from agent.task.definition.container import ContainerDefinition, HealthCheck, PortMapping
from agent.task.definition.linux_rules import linux_problems
from agent.task.definition.log_rules import log_problems
from agent.task.definition.problems import Problem
from agent.task.definition.variable_rules import variable_problems

NAME = re.compile(r"[A-Za-z0-9_-]{1,255}")
NAME_CURE = "must be 1 to 255 letters, digits, hyphens or underscores"
MAX_RANGE_PORTS = 100

_HOSTNAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,62}[A-Za-z0-9])?")
_PORT_NAME = re.compile(r"[a-z0-9_][a-z0-9_-]{0,63}")
_PORT_RANGE = re.compile(r"(\d{1,5})-(\d{1,5})", re.ASCII)
_COUNT = re.compile(r"[1-9][0-9]{0,2}", re.ASCII)
_MIN_MEMORY_MIB = 6
_LONGEST_SECRET_ID = 2048


def container_problems(container: ContainerDefinition) -> Iterator[Problem]:
    """Everything wrong with one container by itself."""
    yield from _identity(container)
    yield from _sizes(container)
    yield from _times(container)
    yield from variable_problems(container)
    for index, mapping in enumerate(container.port_mappings):
        yield from _port_mapping(mapping, f"portMappings[{index}]")
    yield from _port_ranges(container)
    yield from _names_of_others(container)
    if container.health_check:
        yield from _health_check(container.health_check)
    yield from _resources(container)
    if container.log_configuration:
        for problem in log_problems(container.log_configuration):
            yield problem.under("logConfiguration")
    yield from linux_problems(container)


def port_range(mapping: PortMapping) -> tuple[int, int] | None:
    """First and last container port of a mapping, or None if it doesn't name valid ones."""
    if mapping.container_port_range is None:
        first = last = mapping.container_port or 0
    else:
        match = _PORT_RANGE.fullmatch(mapping.container_port_range)
        if not match or int(match[1]) >= int(match[2]):
            return None
        first, last = int(match[1]), int(match[2])
    return (first, last) if first >= 1 and last <= 65535 else None


def _identity(container: ContainerDefinition) -> Iterator[Problem]:
    if not NAME.fullmatch(container.name):
        yield Problem("name", NAME_CURE)
    if not 1 <= len(container.image) <= 255 or re.search(r"\s", container.image):
        yield Problem("image", "must be an image name of 1 to 255 characters without blanks")
    login = container.repository_credentials
    if login and not 1 <= len(login.credentials_parameter) <= _LONGEST_SECRET_ID:
        yield Problem(
            "repositoryCredentials.credentialsParameter",
            f"must be the ARN or name of a secret, of 1 to {_LONGEST_SECRET_ID} characters",
        )
    if container.hostname and not _HOSTNAME.fullmatch(container.hostname):
        yield Problem("hostname", "must be at most 64 letters, digits, hyphens and dots")
    if container.working_directory and not container.working_directory.startswith("/"):
        yield Problem("workingDirectory", "must be an absolute path: begin it with /")
    if container.user and not re.fullmatch(r"[^:\s]+(:[^:\s]+)?", container.user):
        yield Problem("user", "must be user, uid, user:group, uid:gid, user:gid or uid:group")


def _sizes(container: ContainerDefinition) -> Iterator[Problem]:
    memory, reservation = container.memory, container.memory_reservation
    if container.cpu < 0:
        yield Problem("cpu", "must be 0 or more CPU units (1024 units are one core)")
    for field, value in (("memory", memory), ("memoryReservation", reservation)):
        if value is not None and value < _MIN_MEMORY_MIB:
            yield Problem(field, f"must be at least {_MIN_MEMORY_MIB} MiB")
    if memory is not None and reservation is not None and memory < reservation:
        yield Problem(
            "memoryReservation",
            f"is {reservation} MiB, above the hard limit memory of {memory}: lower it",
        )
    if container.linux_parameters.max_swap is not None and memory is None:
        yield Problem("linuxParameters.maxSwap", "needs memory: swap is counted on top of it")


def _times(container: ContainerDefinition) -> Iterator[Problem]:
    for field, seconds in (
        ("startTimeout", container.start_timeout),
        ("stopTimeout", container.stop_timeout),
    ):
        if seconds is not None and seconds < 0:
            yield Problem(field, "must be 0 or more seconds")
    policy = container.restart_policy
    if policy and not 60 <= policy.restart_attempt_period <= 1800:
        yield Problem("restartPolicy.restartAttemptPeriod", "must be 60 to 1800 seconds")
    if policy and len(policy.ignored_exit_codes) > 50:
        yield Problem("restartPolicy.ignoredExitCodes", "must hold at most 50 exit codes")


def _port_mapping(mapping: PortMapping, path: str) -> Iterator[Problem]:
    single, ports = mapping.container_port, mapping.container_port_range
    if (single is None) == (ports is None):
        yield Problem(path, "must have either containerPort or containerPortRange")
    elif port_range(mapping) is None and single is not None:
        yield Problem(f"{path}.containerPort", "must be 1 to 65535")
    elif port_range(mapping) is None:
        yield Problem(f"{path}.containerPortRange", 'must be two ports in order, such as "80-90"')
    if mapping.host_port is not None and not 0 <= mapping.host_port <= 65535:
        yield Problem(f"{path}.hostPort", "must be 0 to 65535; 0 asks for a free port")
    if mapping.host_port is not None and ports is not None:
        yield Problem(f"{path}.hostPort", "must be absent: host ports of a range are chosen freely")
    if mapping.name is not None and not _PORT_NAME.fullmatch(mapping.name):
        yield Problem(
            f"{path}.name", "must be at most 64 of a-z, 0-9, _ and -, and not begin with -"
        )


def _port_ranges(container: ContainerDefinition) -> Iterator[Problem]:
    """Ranges of one container: not too many ports, and none of them twice."""
    total = 0
    taken: list[tuple[str, int, int]] = []
    for index, mapping in enumerate(container.port_mappings):
        ports = port_range(mapping) if mapping.container_port_range else None
        if ports is None:
            continue
        first, last = ports
        total += last - first + 1
        if total > MAX_RANGE_PORTS:  # of the ports of so few ranges each can be compared
            message = f"ranges must hold at most {MAX_RANGE_PORTS} ports together"
            yield Problem("portMappings", message)
            return
        if any(
            mapping.protocol == each[0] and each[1] <= last and first <= each[2] for each in taken
        ):
            yield Problem(f"portMappings[{index}].containerPortRange", "overlaps another range")
        taken.append((mapping.protocol, first, last))


def _names_of_others(container: ContainerDefinition) -> Iterator[Problem]:
    for index, server in enumerate(container.dns_servers):
        if not _is_address(server):
            yield Problem(f"dnsServers[{index}]", "must be an IP address")
    for index, entry in enumerate(container.extra_hosts):
        if not re.fullmatch(r"[^\s#]+", entry.hostname):
            yield Problem(f"extraHosts[{index}].hostname", "must be a host name")
        if not _is_address(entry.ip_address):
            yield Problem(f"extraHosts[{index}].ipAddress", "must be an IP address")
    for index, domain in enumerate(container.dns_search_domains):
        if not re.fullmatch(r"[^\s]+", domain):
            yield Problem(f"dnsSearchDomains[{index}]", "must be a domain name")


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _resources(container: ContainerDefinition) -> Iterator[Problem]:
    seen: set[str] = set()
    for index, wanted in enumerate(container.resource_requirements):
        path = f"resourceRequirements[{index}]"
        if wanted.type == "GPU" and not _COUNT.fullmatch(wanted.value or ""):
            yield Problem(f"{path}.value", 'must be how many GPUs, as text such as "1"')
        if wanted.type in seen:
            yield Problem(f"{path}.type", f"{wanted.type} is given twice: keep one")
        seen.add(wanted.type)


def _health_check(check: HealthCheck) -> Iterator[Problem]:
    form = check.command[:1]
    if form not in (("CMD",), ("CMD-SHELL",)) or len(check.command) < 2:
        yield Problem(
            "healthCheck.command",
            'must be ["CMD-SHELL", "a shell command"] or ["CMD", "program", "argument"]',
        )
    for field, value, low, high in (
        ("interval", check.interval, 5, 300),
        ("timeout", check.timeout, 2, 60),
        ("retries", check.retries, 1, 10),
        ("startPeriod", check.start_period, 0, 300),
    ):
        if not low <= value <= high:
            yield Problem(f"healthCheck.{field}", f"must be {low} to {high}")
