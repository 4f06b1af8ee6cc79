"""The settings of a command."""

from matching_service.foundation.logs import configure_logs
from matching_service.foundation.settings import Settings


def read_settings() -> Settings:
    """The settings; logs are configured by them, and are only warnings where they name no level."""
    settings = Settings()
    configure_logs(settings.log_level if "log_level" in settings.model_fields_set else "WARNING")
    return settings
