"""The command line. Results go to stdout, progress and logs to stderr; 0 done, 1 failed, 2 wrong use."""

import typer
from pydantic import ValidationError as SettingsError
from sqlalchemy.exc import SQLAlchemyError

from matching_service.cli import data, deadlines, demo, exchange, keys, quality, ranking, report, serving
from matching_service.cli.output import fail
from matching_service.foundation.errors import MatchingError

app = typer.Typer(
    help="企业创新瓶颈问题需求匹配服务。Matches enterprises' technical demands with those who can solve them.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command()(serving.migrate)
app.command()(serving.serve)
app.command("import")(data.import_)
app.command()(data.export)
app.command()(data.load_societies)
app.command()(ranking.rerank)
app.command()(deadlines.deadlines)
app.command()(report.report)
app.command()(quality.evaluate)
app.command()(quality.fit)
app.command()(ranking.reindex)
app.command()(exchange.deliver)
app.command("import-feed")(exchange.import_feed_)
app.command()(demo.demo)
app.add_typer(keys.app, name="keys")
app.add_typer(quality.weights, name="weights")


def main() -> None:
    """Entry point of ``matching-service``."""
    try:
        app()
    except MatchingError as error:
        fail(error.detail.zh, error.detail.en)
    except SettingsError as error:
        found = "; ".join(f"MATCHING_{str(e['loc'][0]).upper()}: {e['msg']}" for e in error.errors())
        fail(f"设置有误：{found}", f"Wrong setting: {found}")
    except (SQLAlchemyError, OSError) as error:
        reason = str(error).splitlines()[0]
        fail(
            f"数据库或文件不可用：{reason}。请检查文件路径、MATCHING_DATABASE_URL 与 MATCHING_DATA_DIR。",
            f"Database or file not usable: {reason}. Check the path, MATCHING_DATABASE_URL and MATCHING_DATA_DIR.",
        )
