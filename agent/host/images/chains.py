"""Names of the snapshots that layers become. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from itertools import accumulate


def chain_ids(diff_ids: Iterable[str]) -> tuple[str, ...]:
    """The name of each layer on top of those before it (OCI image-spec, config: ChainID)."""
    return tuple(accumulate(diff_ids, _on_top))


def chain_id(diff_ids: Iterable[str]) -> str:
    """The name of the topmost; empty for no layers."""
    return (chain_ids(diff_ids) or ("",))[-1]


def _on_top(chain: str, diff_id: str) -> str:
    return f"sha256:{hashlib.sha256(f'{chain} {diff_id}'.encode()).hexdigest()}"
