"""Tasks and definitions as JSON without what users write into them: only what is known as harmless
is kept of texts, so a field that comes later is hidden until somebody has thought about it.
"""

from __future__ import annotations

from typing import Any

from agent.cli.support.masks import HIDDEN

_SHOWN = """
accessPointId action add appProtocol attachmentId attribute availabilityZone bindIP
capacityProviderName cgroup cluster clusterArn condition connectivity container containerArn
containerInstanceArn containerName containerPath containerPortRange containers cpu
cpuArchitecture createdBy credentialSpecs credentialsParameter desiredStatus detail details device
devices digest dnsServers dockerSecurityOptions domain driver drop executionRoleArn failures family
fileSystemId group health healthStatus host hostPath hostPortRange hostname iam image imageDigest
interface ip ipAddress ipcMode ipv4 ipv6 ipv6Address key kind lastStatus launchType links logDriver
macAddress memory mode mountOptions name namespace networkInterfaces networkMode
operatingSystemFamily permissions pidMode platformFamily platformVersion pod privateIpv4Address
protocol readOnly reason registeredBy requiresCompatibilities compatibilities rootDirectory
runtimeId scope sourceContainer sourcePath sourceVolume startedBy state status stopCode
stoppedReason taskArn taskDefinitionArn taskRoleArn task transitEncryption type user valueFrom
version waitsFor what why workingDirectory
"""
SHOWN = frozenset(_SHOWN.split())
"""Fields whose texts are shown."""

SHOWN_VALUES = frozenset(
    {
        *("details", "attributes", "requiresAttributes", "environmentFiles"),
        *("resourceRequirements", "systemControls"),
    }
)
"""Lists whose members' ``value`` is shown; of others, such as environment and tags, it is not."""

FREE = frozenset({"dockerLabels", "labels", "options", "driverOpts"})
"""Mappings with names of the users' own."""

NAMED_BY_US = frozenset({"runtimes"})
"""Mappings whose values are ours, whatever they are called."""

_LOG_OPTIONS = frozenset(
    {
        *("max-size", "max-file", "mode", "max-buffer-size", "awslogs-group", "awslogs-region"),
        *("awslogs-stream-prefix", "awslogs-create-group"),
    }
)
SHOWN_OPTIONS = {"options": _LOG_OPTIONS, "dockerLabels": frozenset({"hostler.runtime"})}
"""Names whose values are shown, of such mappings: those that mean something to the agent."""


def masked(value: Any, hidden: list[str], key: str = "", above: str = "") -> Any:
    """The JSON without users' texts; they are added to ``hidden``.

    ``key`` is the field that the value is of, ``above`` the one that holds the object of that.
    """
    match value:
        case dict() if key in FREE:
            return {name: _option(key, name, each, hidden) for name, each in value.items()}
        case dict() if key in NAMED_BY_US:
            return value
        case dict():
            return {name: masked(each, hidden, name, key) for name, each in value.items()}
        case list():
            return [masked(each, hidden, key, above) for each in value]
        case str() if value and not _is_shown(key, above):
            hidden.append(value)
            return HIDDEN
        case _:
            return value


def _is_shown(key: str, above: str) -> bool:
    return key in SHOWN or (key == "value" and above in SHOWN_VALUES)


def _option(of: str, name: str, value: Any, hidden: list[str]) -> Any:
    if name in SHOWN_OPTIONS.get(of, ()):
        return value
    hidden.append(str(value))
    return HIDDEN
