"""How fetching images fails. The texts hold no secret: they are shown as reasons of tasks."""


class RegistryError(Exception):
    """It can't be had until somebody mends what the text names: image, login, configuration."""


class RegistryUnavailable(RegistryError):
    """It can't be had now; another time it may: no answer, a broken connection, 429, 5xx.

    ``retry_after_s``: in how many seconds the registry wants to be asked again, if it said so.
    """

    def __init__(self, text: str = "", retry_after_s: float | None = None) -> None:
        super().__init__(text)
        self.retry_after_s = retry_after_s
