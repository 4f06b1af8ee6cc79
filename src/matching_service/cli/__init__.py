"""The command line. Results go to stdout, progress and logs to stderr. Exit codes: 0 success, 1 failure, 2 usage error.

The module of a command is imported only when the command is called. Commands start without the imports of other
commands, and ``--help`` imports none of them. The help lines of the commands are therefore defined here.
"""

import gc
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from matching_service import __version__

COMMANDS = {
    "migrate": ("migrate:migrate", "创建或升级数据库。Create or upgrade the database."),
    "serve": (
        "serving:serve",
        "启动 HTTP 服务；空数据库会先建表。Serve over HTTP; an empty database is migrated first.",
    ),
    "import": (
        "data:import_",
        "导入文件；坏行按行号列名报告，不影响好行。Import a file; bad rows are reported and stop no good one.",
    ),
    "import list": ("imports:list_", "列出最近的导入。List the last imports."),
    "import undo": (
        "imports:undo",
        "撤销一次导入；此后有人改动或使用的记录保留。Undo an import; what was worked on since is left.",
    ),
    "export": ("data:export", "导出文件；再导入不改变任何内容。Export to a file; importing it again changes nothing."),
    "load-societies": (
        "data:load_societies",
        "载入内置的全国学会名录，可重复执行。Store the built-in national societies; running it twice changes nothing.",
    ),
    "rerank": (
        "ranking:rerank",
        "重排开放需求，保存并报告变化。Rank open demands, store the run, print what changed.",
    ),
    "deadlines": (
        "deadlines:deadlines",
        "到期与催办：到期的需求过期，久无对接的催办直至放弃；可重复执行。Do what is due; nothing twice.",
    ),
    "report": ("report:report", "生成报告（信息报送）。Write the report of a period."),
    "evaluate": ("quality:evaluate", "在标注数据上测量排序质量。Measure ranking quality on judged pairs."),
    "fit": (
        "quality:fit",
        "按标注拟合融合权重，写成新版本。Fit the fusion weights to judged pairs; writes a new version.",
    ),
    "reindex": ("ranking:reindex", "由数据库重建索引快照。Rebuild the index snapshots from the database."),
    "deliver": (
        "exchange:deliver",
        "发送到期的订阅事件后退出；服务运行时自行发送。Send the webhook events that are due; a server does so itself.",
    ),
    "import-feed": (
        "exchange:import_feed_",
        "导入另一城市服务的数据流，从上次中断处继续。Import another service's feed, from where the last import ended.",
    ),
    "backup": (
        "backup:backup",
        "备份数据库与权重，服务可照常运行。Back up database and weights; the service may run.",
    ),
    "restore": (
        "backup:restore",
        "恢复备份（先停止服务）；原数据库会保留。Restore a backup; the service must be stopped.",
    ),
    "doctor": ("doctor:doctor", "检查安装，并说明如何处理。Examine the installation, and say what to do."),
    "demo": ("demo:demo", "示例城市：载入、匹配、打印。The sample city: load, rank, print."),
    "audit": ("audit:audit", "审计日志：核对、导出。The audit log: verify, export."),
    "encoder": ("encoder:encoder", "自备编码器的校准。Calibration of an encoder of one's own."),
    "keys": ("keys:keys", "接口密钥。API keys."),
    "weights": ("weights:weights", "融合权重的版本。Versions of the fusion weights."),
}
"""Command name -> (``module:attribute``, help line). The attribute is a function or a Typer group.

A name of two words is a command beside the arguments of the first word: ``import list`` beside ``import demands FILE``.
"""


class _LazyGroup(TyperGroup):
    """Lists all commands from ``COMMANDS`` and imports only the command that is called."""

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        words = 2 if " ".join(args[:2]) in COMMANDS and len(args) > 1 else 1
        name, command, rest = super().resolve_command(ctx, [" ".join(args[:words]), *args[words:]])
        return name, _imported(name) if name else command, rest


app = typer.Typer(
    cls=_LazyGroup,
    help="企业创新瓶颈问题需求匹配服务。Matches enterprises' technical demands with those who can solve them.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _print_version(*, wanted: bool) -> None:
    if wanted:
        typer.echo(f"matching-service {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    *,
    version: Annotated[  # handled by its callback
        bool,
        typer.Option("--version", help="显示版本。Show the version.", callback=_print_version, is_eager=True),
    ] = False,
) -> None: ...


def _not_imported() -> None:
    """Placeholder for a command until it is imported."""


for _name, (_, _help) in COMMANDS.items():
    app.command(_name, help=_help)(_not_imported)


def _imported(name: str) -> Any:
    """Import a command and return it with its options."""
    place, line = COMMANDS[name]
    module, attribute = place.split(":")
    gc.disable()  # modules are never garbage; collecting during import takes an eighth of a command's time
    command = getattr(import_module(f"{__name__}.{module}"), attribute)
    gc.freeze()
    gc.enable()
    alone = typer.Typer()
    if isinstance(command, typer.Typer):
        alone.add_typer(command, name=name, help=line)
    else:
        alone.command(name, help=line)(command)
    return typer.main.get_group(alone).commands[name]


def main() -> None:
    """Entry point of ``matching-service``."""
    try:
        app()
    except Exception as error:
        from matching_service.cli.failures import explain  # noqa: PLC0415  # imports sqlalchemy and pydantic

        if (reason := explain(error)) is None:
            raise
        from matching_service.cli.output import fail  # noqa: PLC0415

        fail(*reason)
