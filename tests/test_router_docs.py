"""The examples on the pages about routers run."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser, User

from docs.examples import router_migration
from docs.examples.router import Notes
from docs.examples.router_serializers import Users

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
    got = {each["route"]: each for each in [await client.receive(), await client.receive()]}
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
