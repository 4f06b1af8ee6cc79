"""``python -m matching_service``."""

from matching_service.cli import main

main()
