"""
Signals for metrics and audit. They cost nothing while nobody listens.

Receivers get the demultiplexer class as `sender`, and `scope` (the scope of the stream's child,
or the socket's). Plain receivers run in a thread, as under Django's `Signal.asend`; what a
receiver raises is logged by Django and harms nobody.
"""

from __future__ import annotations

from typing import Any

from django.dispatch import Signal

__all__ = ["announce", "frame_rejected", "stream_closed", "stream_opened"]

#: A child has accepted its stream. Arguments: `stream` (its name), `scope`.
stream_opened = Signal()

#: A stream has ended, and its child has finished. Arguments: `stream`, `scope`, `code` (int),
#: `opened` (bool): whether a `stream_opened` came before; it did not where the child refused.
stream_closed = Signal()

#: A frame was answered with an error. Arguments: `stream` (None where the frame had no valid
#: name), `scope`, `status` (a `StatusCodes`).
frame_rejected = Signal()


async def announce(signal: Signal, sender: type, **arguments: Any) -> None:
    """Send `signal` where somebody listens."""
    if signal.receivers:
        await signal.asend_robust(sender, **arguments)
