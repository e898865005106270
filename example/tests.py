"""
Tests of the consumers: each is tested on its own URL and as a stream, with one line of difference.

Run by `python manage.py test`.
"""

from __future__ import annotations

from typing import Any

from articles.models import Article
from channels.testing import WebsocketCommunicator
from django.test import TransactionTestCase
from mysite.asgi import application
from notes.models import Note

from channels_demultiplexer.testing import DemultiplexerCommunicator

HEADERS = [(b"origin", b"http://localhost")]


def own_url(name: str, **options: Any) -> WebsocketCommunicator:
    """Return a communicator for a consumer's own URL."""
    return WebsocketCommunicator(application, f"/ws/{name}", HEADERS, **options)


def stream(name: str, **options: Any) -> WebsocketCommunicator:
    """Return a communicator for the stream of the demultiplexer."""
    name = name if name.startswith("chat/") else name.rstrip("/")
    return DemultiplexerCommunicator(application, "/ws/streams/", HEADERS).stream(name, **options)


def mounted(name: str, **options: Any) -> WebsocketCommunicator:
    """Return a communicator for the URL as a stream of the mounted routing."""
    return DemultiplexerCommunicator(application, "/ws/", HEADERS).stream(f"ws/{name}", **options)


class ConsumerTests(TransactionTestCase):
    """What each consumer does, whichever way it is reached."""

    async def opened(self, communicator: WebsocketCommunicator) -> WebsocketCommunicator:
        """Connect a communicator."""
        connected, _ = await communicator.connect(timeout=30)
        assert connected
        return communicator

    async def ask(self, communicator: WebsocketCommunicator, question: Any) -> Any:
        """Send a message, and return the answer."""
        await communicator.send_json_to(question)
        return await communicator.receive_json_from(timeout=30)

    async def expect_close(self, communicator: WebsocketCommunicator, code: int) -> None:
        """Wait for the consumer to close."""
        message = await communicator.receive_output(timeout=30)
        assert (message["type"], message["code"]) == ("websocket.close", code)
        await communicator.disconnect()

    async def test_echo(self) -> None:
        """The echo says what was said."""
        for face in own_url, stream, mounted:
            with self.subTest(face.__name__):
                echo = await self.opened(face("echo/"))
                assert (await self.ask(echo, {"a": 1}))["echo"] == {"a": 1}
                await echo.disconnect()

    async def test_bytes(self) -> None:
        """Bytes come back in reverse, under the subprotocol."""
        for face in own_url, stream, mounted:
            with self.subTest(face.__name__):
                # A name with a label is a stream of its own, which the client opens.
                name = "bytes/" if face is not stream else "bytes#1"
                communicator = face(name, subprotocols=["reverse.v1"])
                assert await communicator.connect() == (True, "reverse.v1")
                await communicator.send_to(bytes_data=b"\x00\x01")
                assert await communicator.receive_from() == b"\x01\x00"
                await communicator.send_to(text_data="text")
                await self.expect_close(communicator, 1003)

    async def test_notes(self) -> None:
        """Notes are kept in the database."""
        for count, face in enumerate((own_url, stream, mounted), start=1):
            with self.subTest(face.__name__):
                notes = await self.opened(face("notes/"))
                assert await self.ask(notes, {"add": face.__name__}) == {
                    "added": face.__name__,
                    "count": count,
                }
                assert await Note.objects.acount() == count
                assert await self.ask(notes, {"last": 1}) == {"notes": [face.__name__]}
                await notes.send_json_to({})
                await self.expect_close(notes, 4400)

    async def test_chat(self) -> None:
        """What is said in a room is heard by all in it, whichever way they are in."""
        faces = [await self.opened(face("chat/lobby/")) for face in (own_url, stream, mounted)]
        elsewhere = await self.opened(mounted("chat/kitchen/"))
        for speaker in faces:
            await speaker.send_json_to({"message": "hello"})
            for listener in faces:
                assert await listener.receive_json_from(timeout=30) == {"message": "hello"}
        assert await elsewhere.receive_nothing()
        for communicator in *faces, elsewhere:
            await communicator.disconnect()

    async def test_articles(self) -> None:
        """An article is created, read, changed and deleted."""
        for face in own_url, stream, mounted:
            with self.subTest(face.__name__):
                communicator = await self.opened(face("articles/"))

                async def request(
                    route: str, payload: Any, communicator: WebsocketCommunicator = communicator
                ) -> tuple[int, Any]:
                    answer = await self.ask(
                        communicator,
                        {"route": f"articles.{route}", "uuid": "1", "payload": payload},
                    )
                    return answer["status"], answer["payload"]

                status, article = await request("create", {"title": "New", "text": "One."})
                assert (status, article["text"]) == (201, "One.")
                key = {"id": article["id"]}
                assert (await request("create", {"title": "New"}))[0] == 400
                assert await request("get", key) == (200, article)
                status, article = await request("update", {**key, "text": "Two."})
                assert (status, article["text"]) == (200, "Two.")
                assert await request("list", None) == (200, [article])
                assert await request("delete", key) == (204, None)
                assert (await request("get", key))[0] == 404
                assert await Article.objects.acount() == 0
                await communicator.disconnect()

    async def test_members_only(self) -> None:
        """A stranger is refused."""
        communicator = WebsocketCommunicator(application, "/ws/members/", HEADERS)
        connected, _ = await communicator.connect()
        assert not connected
        await communicator.wait()
