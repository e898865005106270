"""
When Channels' look at the database connections is due.

Before every message, `AsyncConsumer.dispatch` has `close_old_connections` run on the thread of sync
code. That hop is most of what a message costs, and while that thread is busy, nobody gets one.
`is_due` says whether the hop could do anything. Why nothing is lost where it says no:

*What the hop does.* In Django 5.2 to 6.1 `close_old_connections` calls
`close_if_unusable_or_obsolete` for each connection wrapper of its thread. That does nothing for a
wrapper without a connection to the database. For others it arms the next health check, and closes
the connection, or tries it, where autocommit is not as the settings have it (so it is in an atomic
block), after an error, and when its age has passed. `_is_due` reads the same attributes, so
`CONN_MAX_AGE`, `CONN_HEALTH_CHECKS` and pools need no rules of their own. A wrapper with other code
than Django's is always due; so is the hop where somebody has replaced a function it goes through.

*Which wrappers there are.* Django sends `connection_created` for whatever opens a connection: sync
consumers, `sync_to_async`, the async ORM, any thread. Wrappers live as long as their thread and are
remembered weakly. A connection that is open but whose setup failed has sent no signal: after a
database error that a handler lets pass, and where sync code ran before this module was imported,
the thread itself is asked for its wrappers (`_doubtful`).

*Which thread.* The wrappers of all threads count, unless the hop surely goes to another: without
`ThreadSensitiveContext` and `async_to_sync` it goes to the single thread of asgiref's executor.

*When.* The attributes are read when the message is taken, as if the hop began in that moment. What
sync code of another consumer does to its connection after that, the hop would come before or after
by chance; and a connection that it has open while it is due makes the hop wait for it, as ever.
"""

from __future__ import annotations

import asyncio
import sys
import time
import weakref
from contextvars import ContextVar
from typing import Any, Final

import channels.consumer
import channels.db
from asgiref.sync import AsyncToSync, SyncToAsync, sync_to_async
from django.db import Error, close_old_connections, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created

from .conf import read

__all__ = [
    "aclose_due_connections",
    "are_pristine",
    "doubt_after",
    "is_due",
    "is_spared",
    "resolve_doubt",
    "spare",
]

# What the stream that this context belongs to has as DATABASE_CHECKS. None outside of streams.
_checks: Final[ContextVar[str | None]] = ContextVar("channels_demultiplexer.checks", default=None)

_ACLOSE: Final = channels.consumer.aclose_old_connections
_CLOSE_IF_OBSOLETE: Final = BaseDatabaseWrapper.close_if_unusable_or_obsolete
_GET_AUTOCOMMIT: Final = BaseDatabaseWrapper.get_autocommit


def are_pristine(*functions: tuple[Any, str]) -> bool:
    """Say whether functions are those of modules, and not what somebody has put in their place."""
    return all(
        getattr(function, "__globals__", None) is vars(sys.modules[module])
        for function, module in functions
    )


_PRISTINE: Final = are_pristine(
    (_ACLOSE, "channels.db"),
    (close_old_connections, "django.db"),
    (_CLOSE_IF_OBSOLETE, "django.db.backends.base.base"),
    (_GET_AUTOCOMMIT, "django.db.backends.base.base"),
)

# What channels.testing puts in the place of close_old_connections. It is not imported for its own
# sake, because it imports daphne.
_TESTING: Final = "channels.testing.application"


# Copied and changed in one step each, so that threads need no lock.
_known: set[weakref.ref[BaseDatabaseWrapper]] = set()


def _note(connection: BaseDatabaseWrapper, **kwargs: Any) -> None:
    _known.add(weakref.ref(connection, _known.discard))


connection_created.connect(_note, dispatch_uid="channels_demultiplexer")

# Whether there may be open connections that are not known. Before its first job the thread of sync
# code does not exist.
_doubtful = bool(SyncToAsync.single_thread_executor._threads)


def _note_all() -> None:
    for connection in connections.all(initialized_only=True):
        _note(connection)


def doubt_after(error: BaseException) -> None:
    """Have the thread asked for its connections, where `error` may come from setting one up."""
    global _doubtful
    if isinstance(error, Error):
        _doubtful = True


async def resolve_doubt() -> None:
    """Ask the thread that the hop goes to for its connections, where there may be unknown ones."""
    global _doubtful
    if _doubtful:
        _doubtful = False
        await sync_to_async(_note_all)()


def is_due() -> bool:
    """
    Say whether Channels' hop, done now from the current task, could do anything.

    To be called in the thread of the event loop. It waits for nothing.
    """
    if _doubtful:
        return True
    close = channels.db.close_old_connections
    if not _PRISTINE or channels.consumer.aclose_old_connections is not _ACLOSE:
        return True
    if close is not close_old_connections:
        return getattr(close, "__module__", None) != _TESTING
    if not _known:
        return False
    for reference in _known.copy():
        connection = reference()
        if connection is not None and _is_due(connection) and not _is_elsewhere(connection):
            return True
    return False


def _is_due(connection: Any) -> bool:
    """Say whether `close_if_unusable_or_obsolete` could do anything to a connection."""
    if (
        getattr(connection.close_if_unusable_or_obsolete, "__func__", None)
        is not _CLOSE_IF_OBSOLETE
        or getattr(connection.get_autocommit, "__func__", None) is not _GET_AUTOCOMMIT
    ):
        return True
    return connection.connection is not None and bool(
        (connection.health_check_enabled and connection.health_check_done)
        or connection.autocommit != connection.settings_dict["AUTOCOMMIT"]
        or connection.errors_occurred
        or (connection.close_at is not None and time.monotonic() >= connection.close_at)
    )


def _is_elsewhere(connection: Any) -> bool:
    """Say whether the hop surely does not go to the thread of a connection."""
    if connection.allow_thread_sharing:
        return False
    if (
        getattr(AsyncToSync.executors, "current", None) is not None
        or SyncToAsync.thread_sensitive_context.get(None) is not None
        or asyncio.get_running_loop() in AsyncToSync.loop_thread_executors
    ):
        return False
    threads = tuple(SyncToAsync.single_thread_executor._threads)
    return all(connection._thread_ident != thread.ident for thread in threads)


def spare(checks: str) -> None:
    """Let what runs in this context be spared the hop as the setting DATABASE_CHECKS says."""
    _checks.set(checks)


def is_spared() -> bool:
    """Say whether DATABASE_CHECKS is "due" for the stream of this context, or else for all."""
    return (_checks.get() or read()["DATABASE_CHECKS"]) == "due"


async def aclose_due_connections() -> None:
    """Do what Channels does before each message, where it could do anything."""
    if is_due():
        await resolve_doubt()
        await channels.consumer.aclose_old_connections()
