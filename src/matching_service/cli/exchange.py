"""``deliver`` and ``import-feed``: send webhook events, and import the feed of another service."""

import os
import re
from typing import Annotated

import typer
from rich.markup import escape

from matching_service.cli.opening import open_database, run
from matching_service.cli.output import AsJson, print_json, print_rows, progress, stderr
from matching_service.disclosure.mapping import find_mapping, load_mappings
from matching_service.feeds.adoption import FeedReport
from matching_service.feeds.remote import import_feed
from matching_service.foundation.settings import Settings
from matching_service.webhooks.sender import Sender

_MAX_SHOWN = 100
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,29}")


def deliver(as_json: AsJson = False) -> None:
    async def work() -> bool:
        settings = Settings()
        mappings = load_mappings(settings.feed_mapping)
        async with open_database(settings, created=False) as database:
            tallies = await Sender(database, settings, mappings).deliver_due()
        columns = ("webhook_id", "delivered", "failed", "dead", "skipped")
        rows = [[getattr(tally, column) for column in columns] for tally in tallies]
        print_rows(columns, rows, as_json=as_json)
        return any(tally.failed or tally.dead for tally in tallies)

    if run(work()):
        raise typer.Exit(1)


def _checked_source(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise typer.BadParameter("小写字母、数字与连字符，至多 30 个。Lower-case letters, digits and -, at most 30.")
    return name


def import_feed_(
    url: Annotated[str, typer.Argument(help="对方数据流地址，如 https://…/v1/feed。The other service's feed.")],
    source: Annotated[str, typer.Option(help="来源名，如城市拼音。Name for it.", callback=_checked_source)],
    key_env: Annotated[
        str | None, typer.Option(help="存有对方密钥的环境变量名。Environment variable that holds the key.")
    ] = None,
    mapping: Annotated[str | None, typer.Option(help="字段映射名。Name of a mapping in the mapping file.")] = None,
    restart: Annotated[
        bool, typer.Option(help="从头读取，不会重复。Read everything anew; nothing is doubled.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    if key_env is not None and not os.environ.get(key_env):
        raise typer.BadParameter(f"环境变量 {key_env} 未设置或为空。{key_env} is not set or empty.")
    if not url.startswith(("https://", "http://")):
        raise typer.BadParameter("网址应以 https:// 开头。A URL begins with https://.")

    async def work() -> FeedReport:
        settings = Settings()
        mappings = load_mappings(settings.feed_mapping)
        chosen = find_mapping(mappings, mapping) if mapping is not None else None
        key = os.environ.get(key_env) if key_env is not None else None
        async with open_database(settings, created=False) as database:
            with progress(f"import-feed {source}", total=None) as advance:
                return await import_feed(
                    database, source, url, key=key, mapping=chosen, restart=restart, on_progress=advance
                )

    report = run(work())
    err = stderr()
    for item in report.rejected[:_MAX_SHOWN]:
        for error in item.errors:
            what = f"第 {item.place} 项 item {item.place} {item.entity} {item.entity_id} {error.pointer}".rstrip()
            err.print(escape(f"{what}: {error.message.zh} {error.message.en}"))
    if (more := len(report.rejected) - _MAX_SHOWN) > 0:
        err.print(f"……另有 {more} 项。and {more} more items.")
    counts = ("created", "updated", "unchanged", "removed", "skipped")
    n_by_outcome = {name: getattr(report, name) for name in counts} | {"rejected": len(report.rejected)}
    if as_json:
        print_json(n_by_outcome)
    else:
        print_rows(list(n_by_outcome), [list(n_by_outcome.values())])
    if report.rejected:
        raise typer.Exit(1)
