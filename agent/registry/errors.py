"""How fetching images fails. The texts hold no secret: they are shown as reasons of tasks."""


class RegistryError(Exception):
    """It can't be had until somebody mends what the text names: image, login, configuration."""


class RegistryUnavailable(RegistryError):
    """It can't be had now; another time it may: no answer, a broken connection, 429, 5xx."""
