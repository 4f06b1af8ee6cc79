"""``deadlines``: expire demands, remind or abandon those without contact, and delete files that were imported."""

import logging
from dataclasses import asdict

from matching_service.audit.queries import head
from matching_service.cli.opening import open_database, run
from matching_service.cli.output import AsJson, print_json, print_rows
from matching_service.cli.settings import read_settings
from matching_service.files.pruning import prune_imports
from matching_service.foundation.clock import now, today
from matching_service.jobs.deadlines import DeadlineReport, meet_deadlines

logger = logging.getLogger(__name__)


def deadlines(as_json: AsJson = False) -> None:
    async def work() -> DeadlineReport:
        async with open_database(created=False) as database:
            settings = read_settings()
            met = await meet_deadlines(database, settings, on=today())
            await prune_imports(database, settings.imports_dir, at=now())
            async with database.reading() as session:
                if (last := await head(session)) is not None:  # kept by whoever keeps the logs: see audit verify --head
                    logger.info("audit_head", extra={"head": f"{last[0]}:{last[1]}"})
            return met

    report = run(work())
    if as_json:
        print_json(asdict(report))
    else:
        print_rows(("what", "demands"), report.rows())
