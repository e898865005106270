"""The settings that the type checker's Django plugin reads."""

SECRET_KEY = "typed"
INSTALLED_APPS = ["channels_demultiplexer"]
