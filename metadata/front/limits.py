"""How often a client may ask: a token bucket for each client and path.

Each door has its own buckets, so that one task's haste costs no other task anything. Nothing of a
path is kept: it may be long, and is the client's to choose.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

_KEPT = 1024  # clients times paths behind one socket; beyond that, who rested starts afresh


@dataclass(frozen=True, slots=True)
class Rate:
    """Requests per second, and how many may come at once (ECS_TASK_METADATA_RPS_LIMIT)."""

    per_second: float = 40.0
    burst: int = 60


ECS_RATE = Rate()


@dataclass(slots=True)
class Buckets:
    """The buckets of one door. `now` is in seconds and never goes back."""

    rate: Rate
    now: Callable[[], float] = time.monotonic
    _kept: dict[int, tuple[float, float]] = field(default_factory=dict)

    def admit(self, client: str, path: str) -> bool:
        """Whether this request may pass; it counts if so."""
        now, key = self.now(), hash((client, path))
        tokens, since = self._kept.get(key, (self.rate.burst, now))
        tokens = min(self.rate.burst, tokens + (now - since) * self.rate.per_second)
        admitted = tokens >= 1
        if len(self._kept) >= _KEPT and key not in self._kept:
            self._forget_rested(now)
        self._kept[key] = (tokens - 1 if admitted else tokens, now)
        return admitted

    def _forget_rested(self, now: float) -> None:
        """Full buckets are as good as none; when all are in use, the oldest goes."""
        full_after = self.rate.burst / self.rate.per_second
        self._kept = {key: each for key, each in self._kept.items() if now - each[1] < full_after}
        while len(self._kept) >= _KEPT:
            del self._kept[next(iter(self._kept))]
