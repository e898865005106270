"""The router consumers: Channels' JSON consumers with routes in the place of `receive_json`."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar

from asgiref.sync import async_to_sync
from channels.consumer import AsyncConsumer
from channels.exceptions import StopConsumer
from channels.generic.websocket import AsyncJsonWebsocketConsumer, JsonWebsocketConsumer
from channels.layers import get_channel_layer

from ..receivers import dispatch_from, open_channel
from ..routing import Message, Receive, Scope, Send
from .legacy import routes_property
from .messages import encode, push
from .routes import DeclarationError, Endpoint, Route, compile_routes
from .runners import AsyncRunner, Runner, SyncRunner

__all__ = ["AsyncSocketRouterConsumer", "RouterConsumer", "SocketRouterConsumer"]


#: What Channels calls with what a client sends, in consumers that have no routes.
UNCALLED = ("websocket_receive", "receive", "receive_json", "decode_json")


class _RouteTable:
    """The attribute `route_table`, of classes as of instances."""

    def __get__(self, instance: object, owner: type[RouterConsumer]) -> Mapping[str, Route]:
        endpoints = _endpoints(owner)
        return MappingProxyType({name: each.route for name, each in endpoints.items()})


class _User:
    """
    The attributes `user` and `_user`; no properties, since many a `connect()` assigns one of them.

    What is assigned to `_user`, None included, or a property of that name, is the `user` too: so
    consumers for django-channels-router authenticate.
    """

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, instance: Any, owner: type) -> Any:
        if instance is None:
            return self
        assigned = "_user" in vars(instance) or owner._user is not None  # type: ignore[attr-defined]
        if self.name == "user" and assigned:
            return instance._user
        return instance.scope.get("user")


class RouterConsumer(AsyncConsumer):  # type: ignore[misc]  # Channels publishes no types
    """What the two router consumers have in common."""

    #: How many requests may wait for a handler; while so many do, nothing is read.
    max_pending: ClassVar[int] = 100
    #: How many requests of a connection are handled at once; more than 1 in async consumers only.
    max_concurrency: ClassVar[int] = 1

    #: The routes by name, in order of declaration. Read-only, of classes as of instances.
    #: Raises ImproperlyConfigured where a declaration can't work.
    route_table = _RouteTable()
    #: The user of the connection's scope, or None.
    user = _User()
    _user = _User()

    if TYPE_CHECKING:
        # What it is in a subclass is a matter of the form in which that declares its routes.
        routes: Any
    else:
        routes = routes_property

    _runner_class: ClassVar[type[Runner]]

    @classmethod
    def as_asgi(cls, **initkwargs: Any) -> Any:
        """
        Return the ASGI application.

        Args:
            initkwargs: passed on to `__init__`, for each connection.

        Raises:
            ImproperlyConfigured: if the class declares a route that can't work.
        """
        _endpoints(cls)
        return super().as_asgi(**initkwargs)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection, as Channels does, but leave no receiver of it behind."""
        self._runner = self._runner_class(self, _endpoints(type(self)), receive, send)
        conversation = self._runner.conversation
        self.scope = scope
        self.base_send = async_to_sync(conversation.send) if self._sync else conversation.send
        self.channel_layer = get_channel_layer(self.channel_layer_alias)
        receivers: list[Receive] = [conversation.receive]
        if self.channel_layer is not None:
            receivers.append(await open_channel(self))
        try:
            await dispatch_from(receivers, self.dispatch)
        except StopConsumer:
            pass
        finally:
            await conversation.end()

    async def dispatch(self, message: Message) -> None:
        """Pass a message on to its handler; requests do not come this way."""
        await self._runner.dispatch(message, super().dispatch)


def _endpoints(cls: type[RouterConsumer]) -> Mapping[str, Endpoint]:
    """Return the compiled routes of exactly this class, which are made once."""
    if "_router_endpoints" not in vars(cls):
        for name in ("max_pending", "max_concurrency"):
            limit = getattr(cls, name)
            if type(limit) is not int or limit < 1:
                hint = "make it a positive integer"
                raise DeclarationError(cls, None, f"has {name} = {limit!r}", hint)
        if cls._sync and cls.max_concurrency > 1:
            problem = f"has max_concurrency = {cls.max_concurrency}, but is sync"
            hint = "make it 1, or derive the class from AsyncSocketRouterConsumer"
            raise DeclarationError(cls, None, problem, hint)
        for name in UNCALLED:
            owner = next(each for each in cls.__mro__ if name in vars(each))
            if owner.__module__ != "channels.generic.websocket":
                problem = f"has a {name} of its own, which is never called"
                raise DeclarationError(cls, None, problem, "declare steps, such as check_access")
        cls._router_endpoints = compile_routes(cls)
    endpoints: Mapping[str, Endpoint] = cls._router_endpoints
    return endpoints


class SocketRouterConsumer(RouterConsumer, JsonWebsocketConsumer):  # type: ignore[misc]
    """
    Answers requests with its handlers, in the thread of sync code; see :doc:`/router`.

    Requests and channel-layer handlers take turns. Coroutine functions run with ``async_to_sync``.
    """

    _runner_class = SyncRunner

    def push(self, route: str, payload: Any, headers: Mapping[str, Any] | None = None) -> None:
        """
        Send a message that answers no request: exactly ``route``, ``headers`` and ``payload``.

        Raises:
            TypeError: if it can't be encoded as JSON.
        """
        self.send_json(push(route, payload, headers))

    @classmethod
    def encode_json(cls, content: Any) -> str:
        """Return content as JSON text; raises TypeError if that can't be done."""
        return encode(content)


class AsyncSocketRouterConsumer(RouterConsumer, AsyncJsonWebsocketConsumer):  # type: ignore[misc]
    """
    Answers requests with its handlers, in the event loop; see :doc:`/router`.

    Plain functions run through ``database_sync_to_async``. Channel-layer handlers run beside a
    running request.
    """

    _runner_class = AsyncRunner

    async def push(
        self, route: str, payload: Any, headers: Mapping[str, Any] | None = None
    ) -> None:
        """
        Send a message that answers no request: exactly ``route``, ``headers`` and ``payload``.

        Raises:
            TypeError: if it can't be encoded as JSON.
        """
        await self.send_json(push(route, payload, headers))

    @classmethod
    async def encode_json(cls, content: Any) -> str:
        """Return content as JSON text; raises TypeError if that can't be done."""
        return encode(content)
