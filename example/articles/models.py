"""An article."""

from django.db import models


class Article(models.Model):
    """A text with a title."""

    title = models.CharField(max_length=100, unique=True)
    text = models.TextField(blank=True)
    changed = models.DateTimeField(auto_now=True)

    def __str__(self) -> str:
        return self.title
