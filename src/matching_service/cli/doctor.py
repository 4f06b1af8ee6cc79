"""``doctor``: examine the installation, and say what to do."""

import asyncio

import typer
from rich.markup import escape

from matching_service.cli.output import AsJson, print_json, stdout
from matching_service.foundation.logs import configure_logs
from matching_service.jobs.doctor import CHECKS, CheckResult, State, examine

_WORDS = {
    State.OK: "[green]正常 ok     [/]",
    State.WARNING: "[yellow]注意 warning[/]",
    State.ERROR: "[red]错误 error  [/]",
}


def doctor(as_json: AsJson = False) -> None:
    configure_logs("ERROR")
    findings = asyncio.run(_findings())
    if as_json:
        print_json([_as_json(finding) for finding in findings])
    else:
        for finding in findings:
            name = CHECKS[finding.check]
            line = (
                f"{_WORDS[finding.state]} {name.zh} {name.en}: {escape(f'{finding.message.zh} {finding.message.en}')}"
            )
            stdout().print(line, soft_wrap=True)
            if finding.advice is not None:
                stdout().print(escape(f"    → {finding.advice.zh} {finding.advice.en}"), soft_wrap=True)
    if any(finding.state is State.ERROR for finding in findings):
        raise typer.Exit(1)


async def _findings() -> list[CheckResult]:
    return [finding async for finding in examine()]


def _as_json(finding: CheckResult) -> dict[str, object]:
    return {
        "check": finding.check,
        "state": finding.state,
        "message": finding.message._asdict(),
        "advice": finding.advice._asdict() if finding.advice is not None else None,
    }
