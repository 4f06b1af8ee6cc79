"""Reads the settings for a command."""

from matching_service.foundation.logs import configure_logs
from matching_service.foundation.settings import Settings


def read_settings() -> Settings:
    """Read the settings and configure the logs. Without MATCHING_LOG_LEVEL, commands log only warnings and errors."""
    settings = Settings()
    configure_logs(settings.log_level if "log_level" in settings.model_fields_set else "WARNING")
    return settings
