import json

from websockets.sync.client import connect

with connect("ws://localhost:8000/ws/", origin="http://localhost:8000") as socket:
    socket.send(json.dumps({"stream": "sum", "payload": [1, 2, 3]}))
    print(socket.recv())
    socket.send(json.dumps({"stream": "room/5/", "event": "open"}))
    socket.send(json.dumps({"stream": "room/5/", "payload": "hello"}))
    print(socket.recv())
    print(socket.recv())
