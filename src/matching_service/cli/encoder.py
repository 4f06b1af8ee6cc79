"""``encoder calibrate``: measure how to read the vectors of the office's own encoder."""

import typer

from matching_service.cli.output import AsJson, print_json, print_line, print_rows
from matching_service.cli.settings import read_settings
from matching_service.encoders.choice import calibrate_own, calibration_path
from matching_service.foundation.settings import ENCODERS

encoder = typer.Typer(help="自备编码器。An encoder of one's own.", no_args_is_help=True)


@encoder.callback()
def _group() -> None:
    """自备编码器。An encoder of one's own."""


@encoder.command("calibrate")
def calibrate(as_json: AsJson = False) -> None:
    """校准 MATCHING_ENCODER 所指的编码器。Calibrate the model that MATCHING_ENCODER names."""
    settings = read_settings()
    if settings.encoder in ENCODERS:
        raise typer.BadParameter(
            f"{settings.encoder} 已自带校准，无需再校准。{settings.encoder} comes with its calibration.",
            param_hint="MATCHING_ENCODER",
        )
    found = calibrate_own(settings)
    path = calibration_path(settings)
    if as_json:
        print_json({"model": path.stem, "file": str(path), "first": found})
        return
    print_rows(("language", "expert found first"), [(language, f"{share:.0%}") for language, share in found.items()])
    print_line(f"校准已写入 {path}；下次启动时重新编码全部文本。")
    print_line(f"Calibration written to {path}. The next start encodes all texts again.")
