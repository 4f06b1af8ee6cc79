"""``deliver``: what servers do all the time, once."""

import typer

from matching_service.cli.opening import open_database, run
from matching_service.cli.output import AsJson, print_rows
from matching_service.exchange.mapping import load_mappings
from matching_service.exchange.sender import Sender
from matching_service.foundation.settings import Settings


def deliver(as_json: AsJson = False) -> None:
    """发送到期的订阅事件后退出；服务运行时自行发送。Send the webhook events that are due; a server does so itself."""

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
