"""The forms in which routes may be declared, and handlers that took one object."""

from channels_demultiplexer.router import Response, Route, SocketRouterConsumer


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


USERS = {"token-of-ann": "ann"}


class Authenticated(SocketRouterConsumer):
    routes = [{"route": "whoAmI"}]

    def connect(self):
        self._user = USERS.get(self.scope["query_string"].decode())
        if self._user is None:
            self.close(4401)
        else:
            self.accept()

    def on_who_am_i(self, payload, headers):
        return {"payload": self.user}


def double(headers, payload):
    return payload * 2


class Typed(SocketRouterConsumer):
    # before: RouteInfo(route="double", hydrate=double)
    routes = [Route(route="double", hydrate=double)]

    def on_double(self, payload, headers):
        # before: self.send_json(BaseMessage(route="doubled", uuid="", payload=payload).serialize())
        self.push("doubled", payload)
        # before: SocketResult(headers=None, payload=payload, status=StatusCodes.CREATED)
        return Response(headers=None, payload=payload, status=201)


ARTICLES = {1: {"title": "News", "owner": "ann"}}


def find_article(payload, store):
    store["article"] = ARTICLES.get(payload)
    return store["article"] is not None


def owns_article(scope, store):
    return store["article"]["owner"] == scope["user"].username


class Stored(SocketRouterConsumer):
    routes = [
        Route(
            "getArticle",
            check_data=find_article,
            check_access=owns_article,
            hydrate=lambda store: store["article"],
        )
    ]

    def on_get_article(self, payload, headers):
        return {"payload": payload["title"]}
