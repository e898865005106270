INSTALLED_APPS = ["daphne", "chat", *INSTALLED_APPS]  # noqa: F821
ASGI_APPLICATION = "mysite.asgi.application"
