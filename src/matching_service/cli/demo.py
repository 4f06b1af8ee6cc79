"""``demo``: load the sample city, rank its demands and print the lists."""

import sys
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter

from rich.markup import escape
from rich.table import Table

from matching_service.cli.engine import open_engine
from matching_service.cli.opening import run
from matching_service.cli.output import progress, stdout
from matching_service.foundation.settings import Settings
from matching_service.jobs.demo import ShownList, load_sample_city, rank_sample_city, remove_demo
from matching_service.profiles.schemas import KIND_NAMES
from matching_service.ranking.calibrate import LEVEL_NAMES


def demo() -> None:
    folder = Settings().data_dir / "demo"
    settings = Settings(data_dir=folder, database_url="")
    remove_demo(folder)
    out = stdout()

    async def work() -> Sequence[ShownList]:
        async with open_engine(settings) as engine:
            await load_sample_city(engine, lambda what, n: out.print(f"  载入 loaded {what}: {n}"))
            with progress("匹配 ranking", total=None) as advance:
                return await rank_sample_city(engine, advance)

    started = perf_counter()
    out.print("[bold]示例城市 The sample city[/bold]")
    for shown in run(work()):
        out.print()
        out.print(_table(shown))
    command = _own_command()
    out.print(
        f"\n用时 {perf_counter() - started:.1f} 秒；结果已保存在 {folder}。启动服务 To serve it:\n"
        f"  export MATCHING_DATA_DIR={folder}\n"
        f"  {command} keys create --role admin --name me\n"
        f"  {command} serve          # http://127.0.0.1:8000/docs",
        soft_wrap=True,
    )


def _table(shown: ShownList) -> Table:
    table = Table(
        title=escape(f"{shown.demand.title}（{shown.demand.cluster}）"), title_justify="left", show_lines=True
    )
    table.add_column("#", justify="right")
    table.add_column("名称", overflow="fold")
    table.add_column("类别", no_wrap=True)
    table.add_column("得分", justify="right")
    table.add_column("匹配度", no_wrap=True)
    table.add_column("理由", ratio=1, overflow="fold")
    for item in shown.matches.items[:5]:
        reason = item.explanation.reason.zh if item.explanation else ""
        cells = (
            item.profile.name,
            KIND_NAMES[item.profile.kind].zh,
            f"{item.score:.2f}",
            LEVEL_NAMES[item.level].zh,
            reason,
        )
        table.add_row(str(item.rank), *(escape(cell) for cell in cells))
    return table


def _own_command() -> str:
    """Return the shell command that started this process, for the printed instructions."""
    path = Path(sys.argv[0])
    if path.name == "__main__.py":
        return "python -m matching_service"
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)
