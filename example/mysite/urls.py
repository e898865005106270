"""The pages of the example."""

from django.urls import path
from django.views.generic import TemplateView

from .demultiplexers import Demultiplexer
from .routing import websocket_urlpatterns

urlpatterns = [
    path(
        "",
        TemplateView.as_view(
            template_name="demo/page.html",
            extra_context={
                "rooms": ["lobby", "kitchen"],
                "streams": Demultiplexer.consumer_classes,
                "urls": [route.pattern for route in websocket_urlpatterns],
            },
        ),
    ),
]
