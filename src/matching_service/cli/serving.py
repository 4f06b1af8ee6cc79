"""``serve``: run the HTTP server."""

from contextlib import nullcontext
from typing import Annotated

import typer
import uvicorn

from matching_service.api.workers import folder_of_workers
from matching_service.app import create_app
from matching_service.cli.opening import open_database, run
from matching_service.cli.output import fail
from matching_service.cli.protocol import Protocol
from matching_service.cli.settings import read_settings
from matching_service.disclosure.mapping import load_mappings
from matching_service.programme.plan import load_plan
from matching_service.reports.files import load_templates

_LAST_ANSWERS_S = 20
"""Seconds that a server which is stopped leaves to the requests that it has begun."""


def serve(
    host: Annotated[str, typer.Option(help="监听地址。Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="端口。Port.")] = 8000,
    workers: Annotated[int, typer.Option(min=1, max=64, help="工作进程数。Worker processes.")] = 1,
) -> None:
    settings = read_settings()

    async def prepare() -> None:
        # Report errors in these files once, and not in each worker.
        load_mappings(settings.feed_mapping)
        load_plan(settings.targets)
        load_templates(settings.templates_dir)
        async with open_database(settings):
            pass

    run(prepare())
    siblings = folder_of_workers(settings.data_dir, workers) if workers > 1 else nullcontext()
    try:
        with siblings:
            uvicorn.run(
                f"{create_app.__module__}:{create_app.__name__}", factory=True, host=host, port=port, workers=workers,
                log_config=None, server_header=False, timeout_graceful_shutdown=_LAST_ANSWERS_S,
                http=f"{Protocol.__module__}:{Protocol.__name__}",
            )  # fmt: skip
    except SystemExit as stop:
        if stop.code:
            fail(
                f"服务未能在 {host}:{port} 启动；端口可能已被占用，原因见上面的日志。",
                f"The server did not start on {host}:{port}; the port may be in use, the log above tells why.",
            )
        raise
