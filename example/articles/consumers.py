"""A consumer that behaves like an HTTP endpoint: requests with a route, answers with a status."""

from dataclasses import dataclass
from typing import Any

from django.db.models import QuerySet
from django.shortcuts import get_object_or_404

from channels_demultiplexer.router import AsyncSocketRouterConsumer, StatusCodes

from .models import Article


@dataclass
class Key:
    """Names an article."""

    id: int


@dataclass
class Draft:
    """A new article."""

    title: str
    text: str = ""


@dataclass
class Change(Key):
    """What is to change in an article."""

    title: str | None = None
    text: str | None = None


def load(payload: Key) -> Article:
    """Return the article; a missing one is answered with 404."""
    return get_object_or_404(Article, pk=payload.id)


def compose(payload: Draft) -> Article:
    """Return an article that is not saved yet; a bad one is answered with 400."""
    article = Article(title=payload.title, text=payload.text)
    article.full_clean()
    return article


def revise(payload: Change) -> Article:
    """Return the changed article, not saved yet."""
    article = load(payload)
    for name in "title", "text":
        value = getattr(payload, name)
        if value is not None:
            setattr(article, name, value)
    article.full_clean()
    return article


def dump(payload: Article) -> dict[str, Any]:
    """Return what the client gets of an article."""
    return {
        "id": payload.pk,
        "title": payload.title,
        "text": payload.text,
        "changed": payload.changed,
    }


def dump_all(payload: QuerySet[Article]) -> list[dict[str, Any]]:
    """Return what the client gets of articles."""
    return [dump(article) for article in payload]


class ArticlesConsumer(AsyncSocketRouterConsumer):
    """Reads and writes articles."""

    routes = [
        {"route": "articles.list", "dehydrate": dump_all},
        {"route": "articles.get", "payload_type": Key, "hydrate": load, "dehydrate": dump},
        {"route": "articles.create", "payload_type": Draft, "hydrate": compose, "dehydrate": dump},
        {"route": "articles.update", "payload_type": Change, "hydrate": revise, "dehydrate": dump},
        {"route": "articles.delete", "payload_type": Key, "hydrate": load},
    ]

    def on_articles_list(self) -> dict[str, Any]:
        return {"payload": Article.objects.order_by("-changed")[:20]}

    async def on_articles_get(self, payload: Article) -> dict[str, Any]:
        return {"payload": payload}

    def on_articles_create(self, payload: Article) -> dict[str, Any]:
        payload.save()
        return {"payload": payload, "status": StatusCodes.CREATED}

    def on_articles_update(self, payload: Article) -> dict[str, Any]:
        payload.save()
        return {"payload": payload}

    def on_articles_delete(self, payload: Article) -> None:
        payload.delete()
