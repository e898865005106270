"""A script that talks to several consumers over one socket."""

from websockets.exceptions import ConnectionClosed

from channels_demultiplexer.client import StreamError, connect


async def talk(uri: str, origin: str) -> None:
    async with connect(uri, origin=origin) as socket:
        async with socket.stream("room/5/", query="token=secret") as room:
            await room.send_json({"message": "hi"})
            async for value in room:
                print(value)
                if value == {"message": "hi"}:
                    break
        async with socket.stream("articles") as articles:
            answer = await articles.request("getArticle", {"id": 1}, timeout=30)
            print(answer.status, answer.payload)


async def listen(uri: str, origin: str) -> None:
    async for socket in connect(uri, origin=origin):
        try:
            async with socket.stream("room/5/") as room:
                async for value in room:
                    print(value)
            print("the room has closed")
        except StreamError as error:
            print(error)  # it was refused, or has closed with another code than 1000
        except ConnectionClosed:
            continue  # connect again
        return
