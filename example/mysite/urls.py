"""The pages of the example."""

from django.urls import path
from django.views.generic import TemplateView

from .demultiplexers import Demultiplexer
from .routing import websocket_urlpatterns

urlpatterns = [
    path(
        "",
        TemplateView.as_view(
            template_name="index.html",
            extra_context={
                "streams": Demultiplexer.consumer_classes,
                "urls": [route.pattern for route in websocket_urlpatterns],
            },
        ),
    ),
]
