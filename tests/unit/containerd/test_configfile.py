from __future__ import annotations

import tomllib
from pathlib import Path

from agent.containerd.configfile import configuration


def test_the_configuration_keeps_to_its_own_folders_and_opens_nothing_else() -> None:
    text = configuration(Path('/var/a "b"'), Path("/run/c"), Path("/run/c/s.sock"))
    config = tomllib.loads(text)
    assert config["version"] == 2
    assert (config["root"], config["state"]) == ('/var/a "b"', "/run/c")
    assert config["grpc"] == {"address": "/run/c/s.sock"}
    assert "metrics" not in config
    assert "io.containerd.grpc.v1.cri" in config["disabled_plugins"]
    assert not set(config["required_plugins"]) & set(config["disabled_plugins"])
