"""The Django application."""

from django.apps import AppConfig
from django.core.checks import register

__all__ = ["ChannelsDemultiplexerConfig"]


class ChannelsDemultiplexerConfig(AppConfig):
    """Registers the system checks."""

    name = "channels_demultiplexer"
    verbose_name = "Channels demultiplexer"

    def ready(self) -> None:
        """Register the checks."""
        from . import checks

        for check in checks.CHECKS:
            register(check)
