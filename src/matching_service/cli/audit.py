"""``audit verify`` and ``audit export``: check the chain of the audit log, and write it to a file."""

import re
from pathlib import Path
from typing import Annotated

import orjson
import typer

from matching_service.audit.chain import Verdict, verify
from matching_service.audit.queries import rows_after
from matching_service.cli.opening import open_database, run
from matching_service.cli.output import AsJson, print_json, print_line, progress, stderr

audit = typer.Typer(help="审计日志。The audit log.", no_args_is_help=True)
_HEAD = re.compile(r"(\d+):([0-9a-f]{64})")


@audit.command("verify")
def verify_(
    noted: Annotated[
        str | None, typer.Option("--head", help="以前记下的 序号:摘要。A head noted earlier, NUMBER:DIGEST.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """核对审计日志的哈希链；有更改或缺失则以 1 退出。Check the chain; exit code 1 for any change or hole."""
    parsed = _HEAD.fullmatch(noted) if noted is not None else None
    if noted is not None and parsed is None:
        raise typer.BadParameter("应为 序号:摘要。Must be NUMBER:DIGEST.", param_hint="--head")

    async def work() -> Verdict:
        async with open_database(created=False) as database, database.snapshot() as session:
            with progress("audit verify", total=None) as advance:
                known = (int(parsed[1]), parsed[2]) if parsed is not None else None
                return await verify(session, noted=known, on_progress=advance)

    verdict = run(work())
    shown_head = f"{verdict.head[0]}:{verdict.head[1]}"
    if as_json:
        print_json({"rows": verdict.n_rows, "head": shown_head, "n_faults": verdict.n_faults, "faults": verdict.faults})
    else:
        for fault in verdict.faults:
            stderr().print(fault)
        print_line(f"已核对 {verdict.n_rows} 条，发现 {verdict.n_faults} 处问题。请另处保存链尾 {shown_head}")
        print_line(f"{verdict.n_rows} rows checked, {verdict.n_faults} faults. Note the head elsewhere: {shown_head}")
    if verdict.n_faults:
        raise typer.Exit(1)


@audit.command("export")
def export(
    file: Annotated[Path, typer.Argument(help="目标文件 .jsonl。The file to write.")],
) -> None:
    """导出为 JSON Lines，按序号。Write all rows as JSON Lines, in their order."""

    async def work() -> int:
        seq = 0
        async with open_database(created=False) as database, database.snapshot() as session:
            with file.open("wb") as out, progress("audit export", total=None) as advance:
                while rows := await rows_after(session, seq):
                    out.writelines(orjson.dumps(row) + b"\n" for row in rows)
                    seq = rows[-1]["seq"]
                    advance(len(rows))
        return seq

    print_line(f"{run(work())} -> {file}")
