"""Native Office charts. The program that opens the file draws them with its own fonts and can edit them."""

from collections.abc import Sequence
from typing import Any

from openpyxl.chart import BarChart
from openpyxl.chart.data_source import AxDataSource, NumData, NumDataSource, NumVal, StrData, StrVal
from openpyxl.chart.series import Series, SeriesLabel
from openpyxl.chart.shapes import GraphicalProperties
from openpyxl.chart.title import title_maker
from openpyxl.xml.functions import tostring

from matching_service.reports.content import Cell, as_text

WIDTH_CM, HEIGHT_CM = 16, 8
_COLOURS = ("2F5597", "ED7D31", "70AD47")


def bar_chart(title: str, *, is_share: bool) -> BarChart:
    """Return a column chart with a title and both axes. Call ``finish`` after adding the series."""
    chart = BarChart()
    heading = title_maker(title)
    heading.overlay = False  # by default Excel draws the title over the bars and hides the axes
    chart.type, chart.title, chart.width, chart.height = "col", heading, WIDTH_CM, HEIGHT_CM
    chart.x_axis.delete = chart.y_axis.delete = False
    chart.x_axis.axPos = "b"
    chart.y_axis.scaling.min = 0
    chart.y_axis.number_format = "0%" if is_share else "General"
    return chart


def finish(chart: BarChart) -> BarChart:
    """Set the colours, and show a legend only if there is more than one series."""
    if len(chart.series) == 1:
        chart.legend = None
    elif chart.legend is not None:
        chart.legend.overlay = False
    for series, colour in zip(chart.series, _COLOURS, strict=False):
        series.graphicalProperties = GraphicalProperties(solidFill=colour)
    return chart


def chart_part(chart: BarChart, labels: Sequence[str], series: Sequence[tuple[str, Sequence[Cell]]]) -> bytes:
    """Return the XML of a chart with embedded data, for a document. An unknown value leaves a gap."""
    names = StrData(ptCount=len(labels), pt=[StrVal(idx=i, v=label) for i, label in enumerate(labels)])
    for place, (name, values) in enumerate(series):
        known = [NumVal(idx=i, v=str(value)) for i, value in enumerate(values) if value is not None]
        chart.series.append(
            Series(
                idx=place,
                order=place,
                tx=SeriesLabel(v=as_text(name)),
                cat=AxDataSource(strLit=names),
                val=NumDataSource(numLit=NumData(formatCode="General", ptCount=len(values), pt=known)),
            )
        )
    xml: Any = tostring(finish(chart)._write())  # type: ignore[attr-defined]  # noqa: SLF001  # as openpyxl does when it saves
    return b'<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n' + bytes(xml)
