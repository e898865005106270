"""The Django settings that the tests run under."""

SECRET_KEY = "tests"
USE_TZ = True
ALLOWED_HOSTS = ["*"]
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        # A file: the threads that sync code runs in open connections of their own.
        "NAME": "tests.sqlite3",
        "TEST": {"NAME": "test_tests.sqlite3"},
    }
}
CHANNEL_LAYERS = {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}
INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "channels_demultiplexer",
]
