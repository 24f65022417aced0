"""The part of the report on strategies of finding boxes that were compared: AP50, cost, and what is told apart."""

from __future__ import annotations

import urllib.parse
from collections.abc import Sequence
from typing import Any

import matplotlib.figure

from common import words
from common.report import figures, page
from common.runs import finished_run

FILES = ("templates/boxes_compared.html",)


def section(run: finished_run.FinishedRun, saved: object = None) -> dict[str, Any]:
    """Return the section's entries for the page of a run that finds boxes, and draw its figure.

    Args:
        run: a run whose results have a section `comparison`.
        saved: not used.
    """
    found = run.results["comparison"]
    drawn = [row for row in found["rows"] if row["test"]]
    alt = f"AP50 on the test of {len(drawn)} strategies, with a dot for each seed; the table has the numbers"
    rows = [row | {"runs": [each | {"link": each["report"] and urllib.parse.quote(each["report"])}
                            for each in row["runs"]]} for row in found["rows"]]  # fmt: skip
    return found | {
        "name": "comparison", "template": "boxes_compared.html", "contents": [("strategies", "Strategies")],
        "rows": rows, "bars": page.figure(run, "strategies", alt, strategy_bars, drawn, found["choice"]["choice"]),
    }  # fmt: skip


def summary(result: finished_run.Result) -> str:
    """Return the table and the sentences printed at the end of a comparison."""
    found = result.results["comparison"]
    head = ("  strategy", "AP50 on the test", "AP", "validation", "seconds", "trained", "the best?", "failed")
    lines = [head, *(_cells(row, found["choice"]["choice"]) for row in found["rows"])]
    usual = found["usual_boxes"]
    lines.append(("  boxes of the usual size", _ranged(usual["ap50"]), _ranged(usual["ap"]), *[""] * 5))
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    sides = ("<", ">", ">", ">", ">", ">", "<", ">")
    shown = ["  ".join(f"{text:{side}{width}}" for text, side, width in zip(line, sides, widths, strict=True)).rstrip()
             for line in lines]  # fmt: skip
    count = len(found["rows"][0]["runs"])
    notes = (f"AP50: median and range over {words.plural(count, 'seed')}. Seconds: a trial without the features of "
             f"the frozen network, which took {found['feature_seconds']:.0f} s for all trials.")  # fmt: skip
    return "\n".join([*shown, notes, *found["told"], f"the numbers above these are those of seed "
                      f"{found['model']['seed']}, whose model is in the run"])  # fmt: skip


def _cells(row: dict[str, Any], choice: str) -> tuple[str, ...]:
    name = f"{'>' if row['name'] == choice else ' '} {row['name']}"
    failed = f"{row['failed']} of {len(row['runs'])}" if row["failed"] else "–"
    if not row["test"]:
        return name, *["–"] * 6, failed
    return (name, _ranged(row["test"]["ap50"]), _ranged(row["test"]["ap"]), _ranged(row["validation"]["ap50"]),
            f"{row['cost']['seconds'][0]:,.0f}", f"{row['cost']['trainable_parameters']:,}", row["mark"],
            failed)  # fmt: skip


def _ranged(values: Sequence[float]) -> str:
    return words.decimal(values[0]) if values[1] == values[2] else words.estimate(values, is_share=False)


@figures.png(colours=256)
def strategy_bars(rows: Sequence[dict[str, Any]], chosen: str, *, theme: figures.Theme) -> matplotlib.figure.Figure:
    """Draw the AP50 of each strategy beside its seconds, a dot for each seed; the chosen one has another colour.

    Args:
        rows: those with a finished trial.
        chosen: the strategy to use.
    """
    figure, (scores, seconds) = figures.new_figure(8.6, 0.42 * len(rows) + 0.9, ncols=2, width_ratios=(3, 2))
    for place, row in enumerate(reversed(rows)):
        colour = theme.validation if row["name"] == chosen else theme.train
        found = [run["test"] for run in row["runs"] if run["test"] is not None]
        scores.barh(place, row["test"]["ap50"][0], 0.6, color=colour, alpha=0.45)
        scores.plot(found, [place] * len(found), "o", markersize=4, color=theme.ink)
        scores.text(max(found) + 0.02, place, f"{row['test']['ap50'][0]:.3f}", va="center", fontsize=8)
        took = row["cost"]["seconds"][0]
        seconds.barh(place, took, 0.6, color=colour, alpha=0.45)
        seconds.text(took, place, f" {took:,.0f}", va="center", fontsize=8)
    for axes, title in ((scores, "AP50 on the test"), (seconds, "seconds of a trial, without features")):
        axes.set_yticks(range(len(rows)), [words.words(row["name"]) for row in reversed(rows)], fontsize=8)
        axes.grid(axis="y", visible=False)
        axes.set_xlabel(title)
    scores.set_xlim(0, 1.1)
    scores.set_xticks([0, 0.25, 0.5, 0.75, 1])
    seconds.set_xlim(0, 1.2 * max(row["cost"]["seconds"][0] for row in rows) + 1e-9)
    seconds.set_yticks(range(len(rows)), [""] * len(rows))
    return figure
