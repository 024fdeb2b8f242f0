"""Quantities as people read them. Pure."""

_SPANS = ((86400, "days"), (3600, "hours"), (60, "minutes"))

SHOWN_DIGEST = 12
"""Hexadecimal digits of a digest that people are shown."""


def short(digest: str) -> str:
    """A digest without its algorithm, cut."""
    return digest.partition(":")[2][:SHOWN_DIGEST]


def size(count: int) -> str:
    """Bytes in a unit of powers of 1000, as ``docker images`` shows them."""
    amount = float(count)
    for unit in ("B", "kB", "MB"):
        if amount < 1000:
            return f"{amount:.3g} {unit}"
        amount /= 1000
    return f"{amount:.3g} GB"


def span(seconds: float) -> str:
    """A time in the largest unit of which there are two at least."""
    for size, unit in _SPANS:
        if seconds >= 2 * size:
            return f"{seconds // size:.0f} {unit}"
    return f"{max(0.0, seconds) // 1:.0f} seconds"
