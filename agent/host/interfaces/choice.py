"""The provider that the settings name."""

from __future__ import annotations

import asyncio

from agent.config import ConfigError
from agent.host.interfaces import poolfile
from agent.host.interfaces.claims import Claims
from agent.host.interfaces.macvlan import Macvlan
from agent.host.interfaces.pool import Pool
from agent.host.interfaces.provider import InterfaceError, NoInterfaces, Provider
from agent.settings import Settings


async def open_provider(settings: Settings) -> Provider:
    """The provider of this host's interfaces.

    Raises ConfigError for what the settings say and nothing will mend, and OSError. With EC2 it
    also raises InterfacesExhausted while that can't be reached.
    """
    if not settings.awsvpc:
        return NoInterfaces("ECS_ENABLE_TASK_ENI=false keeps awsvpc mode off on this host")
    if settings.eni_provider == "pool" and settings.enis is not None:
        interfaces = await asyncio.to_thread(poolfile.read, settings.enis)
        return Pool(interfaces, await _claims(settings), settings.eni_limit)
    if settings.eni_provider == "macvlan":
        return Macvlan(settings, await _claims(settings))
    if settings.eni_provider == "ec2":
        return await _ec2(settings)
    return NoInterfaces()


async def _claims(settings: Settings) -> Claims:
    return await asyncio.to_thread(Claims, settings.run_dir / "interfaces")


async def _ec2(settings: Settings) -> Provider:
    try:
        # The AWS libraries are large, and an extra that few hosts have.
        from agent.host.interfaces import ec2
    except ImportError as error:
        raise ConfigError(
            "HOSTLER_ENI_PROVIDER=ec2 needs boto3: install Hostler with its extra 'aws'"
        ) from error
    try:
        return await ec2.open_ec2(settings)
    except InterfaceError as error:
        raise ConfigError(f"HOSTLER_ENI_PROVIDER=ec2: {error}") from error
