"""``weights``: list, show and activate versions of the fusion weights."""

from collections.abc import Mapping
from typing import Annotated

import typer

from matching_service.cli.output import AsJson, print_json, print_rows, stdout
from matching_service.cli.settings import read_settings
from matching_service.encoders.choice import configured_encoder
from matching_service.matching.weights import WeightsStore
from matching_service.ranking.calibrate import LEVEL_NAMES

weights = typer.Typer(no_args_is_help=True)


@weights.command("list")
def list_weights(as_json: AsJson = False) -> None:
    """列出权重版本。List the versions of the weights."""
    store = _weights_store()
    active = store.active().version
    columns = ("version", "active", "created_at", "compared_with", "gain", "low", "high", "n_demands")
    rows: list[tuple[object, ...]] = [(store.default.version, active == store.default.version, *[None] * 6)]
    for file in store.files():
        m = file.cross_validation
        gain = (m.compared_with, round(m.difference, 4), round(m.low, 4), round(m.high, 4))
        rows.append((file.version, active == file.version, file.created_at, *gain, file.n_demands))
    print_rows(columns, rows, as_json=as_json)


@weights.command("show")
def show_weights(
    version: Annotated[
        str | None, typer.Argument(help="版本，省略为现用。A version; the one in force if left out.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """显示一个版本。Show a version."""
    store = _weights_store()
    shown = store.get(version) if version is not None else store.active()
    if as_json:
        floors = {level: getattr(shown.floors, level) for level in ("strong", "related", "weak")}
        print_json({"version": shown.version, "values": dict(shown.values), "floors": floors})
        return
    stdout().print(shown.version)
    print_weights(shown.values)
    rows = [(LEVEL_NAMES[level].zh, level, getattr(shown.floors, level)) for level in LEVEL_NAMES if level != "none"]
    print_rows(("匹配度", "level", "from score"), rows)


@weights.command("activate")
def activate_weights(
    version: Annotated[str, typer.Argument(help="weights list 显示的版本。As weights list shows it.")],
) -> None:
    """启用一个版本；没有显示出更好的会被拒绝。Put a version in force; one not shown to be better is refused."""
    store = _weights_store()
    before = store.active().version
    stdout().print(f"{before} -> {store.activate(version).version}")


def print_weights(values: Mapping[str, float]) -> None:
    print_rows(("signal", "weight"), [(signal, f"{weight:g}") for signal, weight in values.items()])


def _weights_store() -> WeightsStore:
    settings = read_settings()
    return WeightsStore(settings.weights_dir, configured_encoder(settings))
