"""What all users of the soak count, and wait for."""

from __future__ import annotations

from dataclasses import dataclass, field

#: Seconds that an answer may take before it counts as missing.
PATIENCE = 60


class Unexpected(Exception):
    """Something else came than was to come."""


@dataclass
class Counts:
    """What all users have done so far."""

    sent: int = 0
    heard: int = 0
    #: Frames that came back from a child complete and in order.
    echoes: int = 0
    actions: int = 0
    stalls: int = 0
    sockets: int = 0
    connects: int = 0
    #: Seconds that the server last took to answer.
    lag: float = 0
    errors: list[str] = field(default_factory=list)
