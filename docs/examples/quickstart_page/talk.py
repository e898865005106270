import asyncio

from channels_demultiplexer.client import connect


async def main():
    async with connect("ws://localhost:8000/ws/", origin="http://localhost:8000") as socket:
        async with socket.stream("sum") as numbers:
            await numbers.send_json([1, 2, 3])
            print(await numbers.recv_json())
        async with socket.stream("room/5/") as room:
            await room.send_json("hello")
            print(await room.recv_json())


asyncio.run(main())
