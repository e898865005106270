"""A consumer whose steps are Django REST framework's serializers."""

from django.contrib.auth.models import User
from django.shortcuts import get_object_or_404
from rest_framework import serializers

from channels_demultiplexer.router import SocketRouterConsumer, StatusCodes


class UserSerializer(serializers.ModelSerializer):
    class Meta:
        model = User
        fields = ["id", "username", "email"]


def load(headers, payload):
    return get_object_or_404(User, id=payload["id"])


def create(payload):
    serializer = UserSerializer(data=payload)
    serializer.is_valid(raise_exception=True)
    return serializer.save()


def dump(user):
    return UserSerializer(user).data


class Users(SocketRouterConsumer):
    routes = [
        {"route": "users.get", "hydrate": load, "dehydrate": dump},
        {"route": "users.create", "hydrate": create, "dehydrate": dump},
        {"route": "users.delete", "hydrate": load},
    ]

    def on_users_get(self, payload):
        return {"payload": payload}

    def on_users_create(self, payload):
        return {"payload": payload, "status": StatusCodes.CREATED}

    def on_users_delete(self, payload):
        payload.delete()
