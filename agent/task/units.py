"""Quantities as people read them. Pure."""

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
