"""The examples on the pages about routers run."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser, User

from docs.examples import router_migration
from docs.examples.router import Notes
from docs.examples.router_serializers import Users

from .children import CONNECT
from .driver import Client

pytest_plugins = ["tests.router_fixtures"]


async def test_the_notes_of_the_topic_page_work(serve: Any) -> None:
    """The example greets, checks access and data, and pushes."""
    client = await serve(Notes, user=User(username="ann"))
    assert await client.ask("sayHello", {"name": "Ann"}, uuid="1") == {
        "uuid": "1",
        "route": "sayHello",
        "headers": {},
        "payload": "Hello, Ann!",
        "status": 200,
    }
    client.request("createNote", payload={"text": "buy milk"})
    got = {
        each["route"]: each for each in [await client.receive_json(), await client.receive_json()]
    }
    assert got["noteCreated"]["payload"] == "buy milk"
    assert got["createNote"]["payload"] == {"text": "buy milk", "pinned": False}
    assert (await client.ask("createNote", {"text": ""}))["status"] == 409
    assert (await client.ask("createNote", {"text": 1}))["status"] == 400
    stranger = await serve(Notes, user=AnonymousUser())
    assert (await stranger.ask("createNote", {"text": "x"}))["status"] == 403


@pytest.mark.django_db(transaction=True)
async def test_the_serializers_of_the_topic_page_work(serve: Any) -> None:
    """The example creates, finds and deletes."""
    client = await serve(Users)
    ann = await client.ask("users.create", {"username": "ann"})
    assert ann["status"] == 201
    key = {"id": ann["payload"]["id"]}
    assert (await client.ask("users.get", key))["payload"] == ann["payload"]
    assert (await client.ask("users.delete", key))["status"] == 204
    assert (await client.ask("users.get", key))["status"] == 404


@pytest.mark.parametrize("name", ["Setter", "Private", "ClassMethod"])
async def test_the_forms_of_the_migration_page_work(serve: Any, name: str) -> None:
    """Each form declares the same route."""
    client = await serve(getattr(router_migration, name))
    assert (await client.ask("sayHello"))["payload"] == "hello"


async def test_the_converted_handler_of_the_migration_page_works(serve: Any) -> None:
    """What one object had is in scope, headers and payload."""
    client = await serve(router_migration.Converted, path="/p")
    answer = await client.ask("addArticle", 1, headers={"token": "t"})
    assert (answer["status"], answer["payload"]) == (201, ["/p", {"token": "t"}, 1])
    assert (await client.ask("addArticle", 1))["status"] == 403


# What consumers for django-channels-router and django-observable-socket look like.


async def test_what_connect_assigns_to_user_authenticates(serve_bare: Any) -> None:
    """The example's `_user` is the user, whatever the scope says."""
    stranger = User(username="stranger")
    client = await serve_bare(
        router_migration.Authenticated, query_string=b"token-of-ann", user=stranger
    )
    assert (await client.ask("whoAmI"))["payload"] == "ann"
    application = router_migration.Authenticated.as_asgi()
    async with Client(application, query_string=b"x", user=stranger) as refused:
        refused.feed(CONNECT)
        await refused.expect_closed(4401)


def asks_user(base: Any, prepare: Any, **attributes: Any) -> Any:
    """Return a consumer that calls `prepare` and its base's connect(), and tells its users."""

    class App(base):
        routes = [{"route": "x"}]

        if base._sync:

            def connect(self) -> None:
                prepare(self)
                super().connect()

        else:

            async def connect(self) -> None:
                prepare(self)
                await super().connect()

        def on_x(self) -> Any:
            return {"payload": [self.user, self._user]}

    return type("App", (App,), attributes)


@pytest.mark.parametrize(
    ("assigned", "users"),
    [
        ({"_user": "me"}, ["me", "me"]),
        ({"_user": None}, [None, None]),
        ({"user": "me"}, ["me", "scope"]),
        ({}, ["scope", "scope"]),
    ],
)
async def test_the_user_is_the_assigned_one(
    base: Any, serve: Any, assigned: dict[str, Any], users: list[Any]
) -> None:
    """Nobody is let in as the user of the scope who was told to be another, or nobody."""
    client = await serve(asks_user(base, lambda app: vars(app).update(assigned)), user="scope")
    assert (await client.ask("x"))["payload"] == users


@pytest.mark.parametrize(
    ("declared", "users"),
    [(None, ["scope", None]), (property(lambda self: "me"), ["me", "me"])],
)
async def test_the_user_is_the_declared_one(
    base: Any, serve: Any, declared: Any, users: list[Any]
) -> None:
    """A class's `_user = None` says nothing, as connect() would assign it; a property does."""
    client = await serve(asks_user(base, lambda app: None, _user=declared), user="scope")
    assert (await client.ask("x"))["payload"] == users


@pytest.mark.parametrize("assigned", ["me", None])
async def test_the_user_is_the_assigned_one_where_the_class_declares_none(
    base: Any, serve: Any, assigned: Any
) -> None:
    """`_user = None` in the class and an assignment in connect() are the older libraries' own."""
    consumer = asks_user(base, lambda app: setattr(app, "_user", assigned), _user=None)
    client = await serve(consumer, user="scope")
    assert (await client.ask("x"))["payload"] == [assigned, assigned]


async def test_the_types_of_the_migration_page_have_their_equals(serve: Any) -> None:
    """RouteInfo is Route, SocketResult is Response, and a BaseMessage is pushed."""
    client = await serve(router_migration.Typed)
    client.request("double", payload=2)
    got = {
        each["route"]: each for each in [await client.receive_json(), await client.receive_json()]
    }
    assert got["doubled"] == {"route": "doubled", "headers": {}, "payload": 4}
    assert (got["double"]["status"], got["double"]["payload"]) == (201, 4)


async def test_the_store_of_the_migration_page_works(serve: Any) -> None:
    """check_access and hydrate see what check_data has found."""
    ann = await serve(router_migration.Stored, user=User(username="ann"))
    assert (await ann.ask("getArticle", 1))["payload"] == "News"
    assert (await ann.ask("getArticle", 2))["status"] == 400
    bob = await serve(router_migration.Stored, user=User(username="bob"))
    assert (await bob.ask("getArticle", 1))["status"] == 403


async def test_the_messages_of_the_npm_client_are_requests(serve: Any) -> None:
    """The client need not change with the server: its status is ignored, its PING is answered."""
    client = await serve(router_migration.Setter)
    message = {"headers": {}, "uuid": "9b7c", "route": "sayHello", "payload": None, "status": 200}
    client.send(**message)
    answer = await client.receive_json()
    assert (answer["uuid"], answer["payload"], answer["status"]) == ("9b7c", "hello", 200)
    client.send(**message | {"route": "PING", "payload": {}})
    assert (await client.receive_json())["route"] == "PONG"
