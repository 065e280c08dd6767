"""A board as Grafana's JSON, by grafana-foundation-sdk (checked against 11.6)."""

from __future__ import annotations

import string
from typing import Final

from grafana_foundation_sdk.builders import common as common_builders
from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.builders import prometheus, stat, table, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import common
from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from deploy.grafana import runbooks
from deploy.grafana.board import WHENCE, Board, Place
from deploy.grafana.panel import NOTHING, Kind, Marks, Panel
from logflume.settings.alerting import DOCS

TAG: Final = "logflume"
_SOURCE: Final = model.DataSourceRef(type_val="prometheus", uid="${datasource}")
_REFRESH: Final = "30s"
_UNITS: Final = {
    "seconds": "s",
    "bytes": "bytes",
    "ratio": "percentunit",
    "bytes/s": "binBps",
    "requests/s": "reqps",
    "messages/s": "mps",
    "/s": "cps",
}
_SCALES: Final = "fpnuµmkMGTPEZY"
"""Letters that Grafana's ``si:`` takes for the scale of the unit that follows."""
_UNKNOWN: Final = model.SpecialValueMap(
    options=model.DashboardSpecialValueMapOptions(
        match=model.SpecialValueMatch.NULL_AND_NAN, result=model.ValueMappingResult(text=NOTHING, color="purple")
    )
)
"""A number that nobody tells is neither good nor bad."""

Builder = stat.Panel | timeseries.Panel | table.Panel


def encoded(board: Board) -> str:
    """The dashboard's file."""
    return JSONEncoder(sort_keys=True, indent=1).encode(_dashboard(board).build()) + "\n"


def _dashboard(board: Board) -> build.Dashboard:
    made = (
        build.Dashboard(f"Logflume / {board.title}")
        .uid(f"{TAG}-{board.name}")
        .description(board.about)
        .tags([TAG])
        .editable()
        .time("now-1h", "now")
        .refresh(_REFRESH)
        .timezone("browser")
        .tooltip(model.DashboardCursorSync.CROSSHAIR)
        .link(_to_others())
        .with_variable(build.DatasourceVariable("datasource").label("Prometheus").type("prometheus"))
        .with_variable(build.ConstantVariable("docs").label("Documentation").value(DOCS))
    )
    for name in board.variables:
        made.with_variable(_variable(name))
    top = number = 0
    for row in board.rows:
        number, top = number + 1, top + 1
        head = model.GridPos(h=1, w=24, x=0, y=top - 1)
        made.with_row(build.Row(row.title).id(number).grid_pos(head))
        lowest = top
        for panel, place in row.places(top):
            number += 1
            lowest = max(lowest, place.top + panel.height)
            made.with_panel(_panel(panel, place, number))
        top = lowest
    return made


def _to_others() -> build.DashboardLink:
    link = build.DashboardLink("Logflume").type(model.DashboardLinkType.DASHBOARDS).tags([TAG])
    return link.as_dropdown(True).include_vars(True).keep_time(True)


def _variable(name: str) -> build.QueryVariable:
    everything = model.VariableOption(selected=True, text="All", value="$__all")
    return (
        build.QueryVariable(name)
        .label(name.capitalize())
        .datasource(_SOURCE)
        .query({"query": WHENCE[name], "refId": name})
        .refresh(model.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(model.VariableSort.ALPHABETICAL_ASC)
        .multi(True)
        .include_all(True)
        .all_value(".*")
        .current(everything)
    )


def _panel(panel: Panel, place: Place, number: int) -> Builder:
    made = _drawn(panel)
    made.id(number).title(panel.title).description(panel.description).datasource(_SOURCE)
    made.grid_pos(model.GridPos(h=panel.height, w=panel.width, x=place.left, y=place.top))
    made.unit(grafana_unit(panel.counted_in)).thresholds(_thresholds(panel.marks)).no_value(panel.none)
    made.links([*_links(panel)])
    for letter, query in zip(string.ascii_uppercase, panel.queries, strict=False):
        asked = prometheus.Dataquery().ref_id(letter).expr(query.expression.text).legend_format(query.legend)
        if panel.kind is Kind.SERIES:
            asked.range()
        else:
            asked.instant()  # what was an hour ago is no answer when nobody tells it any more
        if panel.kind is Kind.TABLE:
            asked.format(PromQueryFormat.TABLE)
        made.with_target(asked.datasource(_SOURCE))
    return made


def _drawn(panel: Panel) -> Builder:
    if panel.kind is Kind.STAT:
        coloured = common.BigValueColorMode.BACKGROUND if panel.marks != Marks() else common.BigValueColorMode.VALUE
        last = common_builders.ReduceDataOptions().calcs(["lastNotNull"])
        made = stat.Panel().reduce_options(last).color_mode(coloured).graph_mode(common.BigValueGraphMode.NONE)
        made.text_mode(common.BigValueTextMode.VALUE)
        return made.mappings([_UNKNOWN]) if panel.none == NOTHING else made
    return _series(panel) if panel.kind is Kind.SERIES else _table(panel)


def _series(panel: Panel) -> timeseries.Panel:
    legend = (
        common_builders.VizLegendOptions()
        .display_mode(common.LegendDisplayMode.LIST)
        .placement(common.LegendPlacement.BOTTOM)
        .show_legend(True)
    )
    tooltip = (
        common_builders.VizTooltipOptions().mode(common.TooltipDisplayMode.MULTI).sort(common.SortOrder.DESCENDING)
    )
    made = timeseries.Panel().legend(legend).tooltip(tooltip).line_width(1).show_points(common.VisibilityMode.AUTO)
    made.fill_opacity(30 if panel.stacked else 5)
    if not panel.signed:
        made.min(0)
    if panel.stacked:
        made.stacking(common_builders.StackingConfig().mode(common.StackingMode.NORMAL).group("A"))
    if panel.marks != Marks():
        dashed = common.GraphThresholdsStyleMode.DASHED
        made.thresholds_style(common_builders.GraphThresholdsStyleConfig().mode(dashed))
    return made


def _table(panel: Panel) -> table.Panel:
    """Each expression's frame has its labels, and a value that Grafana calls ``Value``, of several ``Value #A``."""
    names = {f"Value #{letter}": q.legend for letter, q in zip(string.ascii_uppercase, panel.queries, strict=False)}
    if len(panel.queries) == 1:
        names = {"Value": panel.queries[0].legend}
    made = table.Panel()
    made.with_transformation(model.DataTransformerConfig(id_val="merge", options={}))
    options = {"excludeByName": {"Time": True}, "renameByName": names}
    made.with_transformation(model.DataTransformerConfig(id_val="organize", options=options))
    for query in panel.queries:
        unit = model.DynamicConfigValue(id_val="unit", value=grafana_unit(query.expression.unit))
        made.override_by_name(query.legend, [unit])
    return made.sort_by([common_builders.TableSortByFieldState().display_name(panel.queries[0].legend).desc(True)])


def _thresholds(marks: Marks) -> build.ThresholdsConfig:
    """Steps rise: each colour holds from its value on, the first from below all."""
    bounds = [("orange", marks.orange), ("red", marks.red)]
    if marks.falling:
        bounds = [("orange", marks.red), ("green", marks.orange)]
    steps = [model.Threshold(color="red" if marks.falling else "green")]
    steps += [model.Threshold(color=colour, value=value) for colour, value in bounds if value is not None]
    return build.ThresholdsConfig().mode(model.ThresholdsMode.ABSOLUTE).steps(steps)


def _links(panel: Panel) -> list[build.DashboardLink]:
    """Runbooks of the alerts on its metrics, the page about it, and the metrics of its stage."""
    stage = panel.metrics[0].name.split("_")[1]
    pairs = [(f"Runbook {each.name}", f"runbooks/{each.slug}.md") for each in runbooks.of(panel)]
    pairs += [("Read on", panel.read), (f"Metrics of {stage}", f"metrics.md#{stage}")]
    return [
        build.DashboardLink(title).type(model.DashboardLinkType.LINK).url(f"${{docs}}/{page}").target_blank(True)
        for title, page in pairs
    ]


def grafana_unit(unit: str) -> str:
    """Grafana's name of what a value is counted in."""
    if unit in _UNITS:
        return _UNITS[unit]
    if not unit.endswith("/s"):
        return "short"
    return "cps" if unit[0] in _SCALES else f"si:{unit}"
