"""How large a load is."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.load.site import capped


@dataclass(frozen=True)
class Options:
    servers: int = 8
    clients: int = 200
    seconds: float = 120.0
    processes: int = 2
    rate: float = 20.0
    """Tasks a second of all clients together, without those of the kernels."""

    @property
    def warm_up(self) -> float:
        """Seconds of the same load before the measured ones."""
        return min(5.0, self.seconds / 5)

    @property
    def afterwards(self) -> float:
        """Seconds of the same load after the measured ones, for the memory of processes to which nothing happens."""
        return 0.75 * self.seconds

    @property
    def limit(self) -> int:
        """Of the capped tenant, in tasks: reached before half of the time is over."""
        share = sum(capped(number) for number in range(self.clients)) / self.clients
        return max(1, int(0.4 * share * self.rate * self.seconds))

    @property
    def longest(self) -> float:
        """After so many seconds all is ended by force."""
        return 300.0 + 60.0 * self.servers + 3 * self.seconds
