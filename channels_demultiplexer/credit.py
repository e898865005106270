"""The credit of one stream: how many data frames its client may send."""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["Credit"]


class Credit:
    """
    Counts the places of an inbox that are not taken by frames that wait.

    Each is either the client's to fill (`unused`) or has been emptied by the child, and is not
    granted yet (`ungranted`). With the frames that wait they are always the inbox's capacity. A
    client that sends more than it may fills places that are not granted yet.

    Args:
        free: the places that the client may fill; below zero where more waits than has a place.
        capacity: all places.
        grant: called with a number of places that the client may fill from then on.
    """

    __slots__ = ("_due", "_grant", "ungranted", "unused")

    def __init__(self, free: int, capacity: int, grant: Callable[[int], None]) -> None:
        self.unused = max(0, free)
        #: Below zero where a child gave back a frame that it had taken, or somebody else than the
        #: client has put one.
        self.ungranted = min(0, free)
        self._grant = grant
        # How many places are granted at once, at least.
        self._due = (capacity + 1) // 2

    def put(self, own: bool) -> None:
        """Count a frame for the inbox, which the client has sent for it (`own`) or has not."""
        if own and self.unused:
            self.unused -= 1
        else:
            self.ungranted -= 1

    def taken(self) -> None:
        """Count a frame that has left the inbox."""
        self.ungranted += 1

    def grant(self) -> None:
        """Grant what has been taken, if that is enough."""
        if self.ungranted >= self._due:
            granted, self.ungranted = self.ungranted, 0
            self.unused += granted
            self._grant(granted)

    def given_back(self) -> None:
        """Count a frame that is in the inbox again."""
        self.ungranted -= 1

    def missed(self) -> None:
        """Count a frame that the client has sent, and that does not reach the inbox."""
        self.put(own=True)
        self.taken()
