"""Task definitions: the one module other packages import for them.

``reading`` turns ECS JSON into frozen values and back. The structures themselves are in
``container`` and ``task`` (over ``shape``), the limits in ``container_rules``, ``linux_rules``,
``task_rules``, ``volume_rules`` and ``order_rules`` (over ``dependencies``); what containers mount
in the end is in ``mounting``, what this agent can't do yet in ``support``, what makes no difference
in ``effects``, RunTask overrides in ``overrides``.
"""

from agent.task.definition.container import (
    Capabilities,
    Condition,
    ContainerDefinition,
    Dependency,
    Device,
    EnvironmentFile,
    FirelensConfiguration,
    HealthCheck,
    HostEntry,
    KeyValuePair,
    LinuxParameters,
    LogConfiguration,
    MountPoint,
    PortMapping,
    Protocol,
    RepositoryCredentials,
    ResourceRequirement,
    RestartPolicy,
    Secret,
    SystemControl,
    Tmpfs,
    Ulimit,
    VolumeFrom,
)
from agent.task.definition.container_rules import port_range
from agent.task.definition.dependencies import Need, needs
from agent.task.definition.effects import without_effect
from agent.task.definition.mounting import mount_points
from agent.task.definition.overrides import apply_overrides
from agent.task.definition.problems import DefinitionError, Problem
from agent.task.definition.reading import Reading, read_task_definition, to_api
from agent.task.definition.support import unsupported
from agent.task.definition.task import (
    DockerVolume,
    EfsVolume,
    HostVolume,
    NetworkMode,
    Tag,
    TaskDefinition,
    Volume,
)
from agent.task.definition.volume_rules import local_option_problems, normal_path

__all__ = [
    "Capabilities",
    "Condition",
    "ContainerDefinition",
    "DefinitionError",
    "Dependency",
    "Device",
    "DockerVolume",
    "EfsVolume",
    "EnvironmentFile",
    "FirelensConfiguration",
    "HealthCheck",
    "HostEntry",
    "HostVolume",
    "KeyValuePair",
    "LinuxParameters",
    "LogConfiguration",
    "MountPoint",
    "Need",
    "NetworkMode",
    "PortMapping",
    "Problem",
    "Protocol",
    "Reading",
    "RepositoryCredentials",
    "ResourceRequirement",
    "RestartPolicy",
    "Secret",
    "SystemControl",
    "Tag",
    "TaskDefinition",
    "Tmpfs",
    "Ulimit",
    "Volume",
    "VolumeFrom",
    "apply_overrides",
    "local_option_problems",
    "mount_points",
    "needs",
    "normal_path",
    "port_range",
    "read_task_definition",
    "to_api",
    "unsupported",
    "without_effect",
]
