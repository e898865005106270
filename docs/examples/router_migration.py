"""The forms in which routes may be declared, and handlers that took one object."""

from channels_demultiplexer.router import SocketRouterConsumer


class Setter(SocketRouterConsumer):
    @SocketRouterConsumer.routes.setter
    def routes(self, _):
        self._routes = [{"route": "sayHello"}]

    def on_say_hello(self, payload, headers):
        return {"payload": "hello", "status": 200}


class Private(SocketRouterConsumer):
    _routes = ({"route": "sayHello"},)

    def on_say_hello(self, payload, headers):
        return {"payload": "hello", "status": 200}


class ClassMethod(SocketRouterConsumer):
    @classmethod
    def routes(cls):
        return [{"route": "sayHello"}]

    def on_say_hello(self, payload, headers):
        return {"payload": "hello", "status": 200}


def can_write(scope, headers, payload):
    return "token" in headers


class Converted(SocketRouterConsumer):
    routes = [{"route": "addArticle", "check_access": can_write}]

    def on_add_article(self, payload, headers):
        return {"payload": [self.scope["path"], headers, payload], "status": 201}
