"""Sets the clock of each Python process that a test starts. In force only under ``pytest --as-if``: see conftest.py."""

import os
from contextlib import suppress
from datetime import timedelta

with suppress(ModuleNotFoundError):  # an interpreter without the package has no clock to set
    from matching_service.foundation import clock

    clock._ahead = timedelta(seconds=float(os.environ["CLOCK_AHEAD_S"]))
