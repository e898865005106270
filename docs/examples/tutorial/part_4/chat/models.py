from django.core.validators import RegexValidator
from django.db import models


class Room(models.Model):
    name = models.CharField(max_length=40, unique=True, validators=[RegexValidator(r"^\w+\Z")])

    def __str__(self):
        return self.name
