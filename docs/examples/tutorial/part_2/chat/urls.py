from django.urls import path
from django.views.generic import TemplateView

from . import views

urlpatterns = [
    path("", views.index, name="index"),
    path("desk/", TemplateView.as_view(template_name="chat/desk.html")),
    path("<str:room_name>/", views.room, name="room"),
]
