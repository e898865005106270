"""Django settings that show what the demultiplexer logs."""

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"plain": {"format": "{asctime} {levelname} {name}: {message}", "style": "{"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "plain"}},
    "loggers": {
        "channels_demultiplexer": {"handlers": ["console"], "level": "INFO", "propagate": False},
    },
}
