"""``report``: write the report of a period to a file."""

from pathlib import Path
from typing import Annotated

import typer

from matching_service.cli.opening import open_database, run
from matching_service.cli.output import stdout
from matching_service.cli.settings import read_settings
from matching_service.files.formats import replacing
from matching_service.foundation.errors import Bilingual, InvalidInput
from matching_service.programme.plan import load_plan
from matching_service.reports.files import Format, load_templates, write_report
from matching_service.reports.schemas import Report
from matching_service.reports.service import make_report

_FORMATS: dict[str, Format] = {".json": "json", ".xlsx": "xlsx", ".docx": "docx"}


def report(
    period: Annotated[str, typer.Argument(help="2026、2026-Q3 或 2026-09。A year, a quarter or a month.")],
    file: Annotated[Path, typer.Argument(help="目标文件：.xlsx、.docx 或 .json。File to write.")],
) -> None:
    if (chosen := _FORMATS.get(file.suffix.lower())) is None:
        suffixes = " ".join(_FORMATS)
        message = Bilingual(
            f"不认识的文件格式 {file.name}；可用：{suffixes}。", f"Unknown format {file.name}; use {suffixes}."
        )
        raise InvalidInput("unknown_format", message)
    settings = read_settings()
    plan, templates = load_plan(settings.targets), load_templates(settings.templates_dir)

    async def work() -> Report:
        async with open_database(settings, created=False) as database, database.snapshot() as session:
            return await make_report(session, plan, period)

    made = run(work())
    written = write_report(made, templates, chosen)
    with replacing(file) as part:
        part.write_bytes(written)
    stdout().print(f"{made.period.label} -> {file} {made.period.note}")
