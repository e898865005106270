"""
Children that are Channels' consumers, run with less in the way than Channels puts there.

A consumer that Channels' own `as_asgi` made goes to the thread of sync code where that is due
(`database`), and costs no task for a message of its stream. All that is Channels' code of every
consumer, `dispatch` and `__call__`, and is replaced for one instance, only where its class has
Channels' own. Nothing is patched or subclassed: the consumer's class is what its author wrote, and
what instrumentation has put in the place of Channels' functions goes on being called.
"""

from __future__ import annotations

import asyncio
import contextlib
import copy
import functools
import operator
import types
from typing import Any, Final

import channels.consumer
import channels.generic.websocket
from channels.consumer import AsyncConsumer, get_handler_name
from channels.exceptions import StopConsumer
from channels.generic.websocket import AsyncWebsocketConsumer
from channels.routing import URLRouter
from django.db import Error

from .asgi import ASGIApplication, Message, Receive, Scope, Send
from .child import Child
from .database import (
    aclose_due_connections,
    are_pristine,
    doubt_after,
    is_due,
    is_spared,
    resolve_doubt,
)
from .inbox import Inbox
from .receivers import dispatch_from, open_channel

__all__ = ["spared", "spared_route"]

_CALL: Final = AsyncConsumer.__call__
_DISPATCH: Final = AsyncConsumer.dispatch
_PUMP: Final = channels.consumer.await_many_dispatch
_DISCONNECT: Final = AsyncWebsocketConsumer.websocket_disconnect
_ACLOSE: Final = channels.generic.websocket.aclose_old_connections

# What Channels' own as_asgi() makes. A wrapper may copy the attributes of such an application, as
# functools.wraps does, but has other code.
_MADE: Final = AsyncConsumer.as_asgi()

_PRISTINE: Final = are_pristine(
    (_CALL, "channels.consumer"),
    (_DISPATCH, "channels.consumer"),
    (_MADE, "channels.consumer"),
    (_PUMP, "channels.utils"),
    (_DISCONNECT, "channels.generic.websocket"),
    (_ACLOSE, "channels.db"),
)

# The modules whose middleware keeps nothing but the application behind it.
_MIDDLEWARE: Final = ("channels.auth", "channels.middleware", "channels.sessions")


def spared(application: Any) -> Any:
    """
    Return an application that does what `application` does, and spares its consumers the hop.

    It does so only where `is_spared` when a connection begins, for applications that Channels'
    `as_asgi` made of a consumer whose `dispatch` is Channels' own. They are found behind `child`,
    Channels' routers and Channels' middleware, copies of which are returned. What else there is,
    middleware of others included, is returned as it is.
    """
    if _PRISTINE and getattr(application, "__code__", None) is _MADE.__code__:
        return _spared_consumer(application)
    if type(application) is URLRouter:
        routes = [spared_route(route) for route in application.routes]
        if any(map(operator.is_not, routes, application.routes)):
            application = copy.copy(application)
            application.routes = routes
    elif isinstance(application, Child):
        application = copy.copy(application)
        application.application = spared(application.application)
    elif type(application).__module__ in _MIDDLEWARE and "inner" in vars(application):
        inner = spared(application.inner)
        if inner is not application.inner:
            application = copy.copy(application)
            application.inner = inner
    return application


def spared_route(route: Any) -> Any:
    """Return a URL pattern to what `spared` returns for its application."""
    callback = spared(route.callback)
    if callback is not route.callback:
        route = copy.copy(route)
        route.callback = callback
    return route


def _spared_consumer(made: Any) -> ASGIApplication:
    @functools.wraps(made)
    async def application(scope: Scope, receive: Receive, send: Send) -> Any:
        consumer = made.consumer_class(**made.consumer_initkwargs)
        own = vars(consumer)
        if not is_spared() or "dispatch" in own or type(consumer).dispatch is not _DISPATCH:
            return await consumer(scope, receive, send)
        # On the instance: the class is its author's, and is what it always was.
        own["dispatch"] = types.MethodType(_dispatch, consumer)
        if getattr(type(consumer), "websocket_disconnect", None) is _DISCONNECT:
            own["websocket_disconnect"] = types.MethodType(_websocket_disconnect, consumer)
        try:
            if type(consumer).__call__ is _CALL and channels.consumer.await_many_dispatch is _PUMP:
                return await _call(consumer, scope, receive, send)
            return await consumer(scope, receive, send)
        finally:
            # Lest the consumer refer to itself, and have to wait for the garbage collector.
            own.pop("dispatch", None)
            own.pop("websocket_disconnect", None)

    return application


async def _call(consumer: Any, scope: Scope, receive: Receive, send: Send) -> None:
    """Do what Channels' `__call__` does, with a pump that makes no task for a stream's messages."""
    consumer.scope = scope
    consumer.channel_layer = channels.consumer.get_channel_layer(consumer.channel_layer_alias)
    receivers = [receive]
    first: Any = None
    # Middleware may have put its own in the place of the stream's.
    if getattr(receive, "__func__", None) is Inbox.receive:
        receivers, first = [], receive.__self__.receive_future  # type: ignore[attr-defined]
    if consumer.channel_layer is not None:
        receivers.append(await open_channel(consumer))
    consumer.base_send = send
    with contextlib.suppress(StopConsumer):
        if receivers:
            await dispatch_from(receivers, consumer.dispatch, first)
        while True:
            # What dispatch_from() does, in less memory.
            future = first()
            if future.done():
                await asyncio.sleep(0)
            await consumer.dispatch(await future)


async def _dispatch(consumer: Any, message: Message) -> None:
    """Do what Channels' `dispatch` does, with the hop where it is due."""
    try:
        handler = None
        if is_due():
            await resolve_doubt()
        else:
            handler = getattr(consumer, get_handler_name(message), None)
        if handler:
            await handler(message)
        else:
            await _DISPATCH(consumer, message)
    except Error as error:
        doubt_after(error)
        raise


async def _websocket_disconnect(consumer: Any, message: Message) -> None:
    """Do what Channels' generic consumers do, with the hop at their end where it is due."""
    if consumer.groups or channels.generic.websocket.aclose_old_connections is not _ACLOSE:
        await _DISCONNECT(consumer, message)
    await consumer.disconnect(message["code"])
    await aclose_due_connections()
    raise StopConsumer
