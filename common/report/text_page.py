"""Parts shared by the pages of runs on texts: frame, learning curve, near-duplicates, table of strategies."""

import os
from collections.abc import Sequence
from typing import Any

from common.report import figures
from common.report import page as pages
from common.runs import finished_run

FILES = ("templates/text_page.html",)
LISTED = 20  # pairs of near-duplicates, wrong answers


def render(template: str, run: finished_run.FinishedRun, **further: Any) -> str:
    """Return a page of a run on texts.

    Args:
        template: the name of a template that extends `text_page.html`.
        run: the run to report.
        further: further variables of the template.
    """
    return pages.template(template).render(
        run=run,
        results=run.results,
        unit=run.unit,
        data=run.results["data"],
        cost=run.results["cost"],
        test=run.results["test"],
        several=len(run.results["strategies"]) > 1,
        curve=_learning_curve(run),
        duplicates=_duplicates(run),
        listed=LISTED,
        **further,
    )


def _learning_curve(run: finished_run.FinishedRun) -> pages.Figure | None:
    kept = [row for row in run.history if row.get("stage") == run.results["strategy"]]
    if not kept:
        return None
    losses = [row["val_loss"] for row in kept]
    alt = f"Loss on training and validation texts in {len(kept)} epochs"
    return pages.figure(run, "loss", alt, figures.learning_curve, kept, "loss", losses.index(min(losses)))


def _duplicates(run: finished_run.FinishedRun) -> list[dict[str, Any]]:
    """Return the pairs of near-duplicates, with file names instead of paths."""
    return [
        {"first": os.path.basename(pair["first"]), "second": os.path.basename(pair["second"]),
         "similarity": pair["similarity"]}
        for pair in run.results["data"]["near_duplicates"]
    ]  # fmt: skip


def strategy_table(rows: Sequence[dict], columns: dict[str, tuple[str, str]], legend: str) -> str:
    """Return a table of the strategies for the terminal.

    Args:
        rows: dicts: `strategy, trainable_parameters, seconds, peak_memory_bytes, kept`, and the metrics of each side.
        columns: heading → side and metric.
        legend: the metric, and the criterion by which the strategy was kept.
    """
    shown = [("", "strategy", "trained", "seconds", "memory", *columns)]
    for row in rows:
        shown.append((
            ">" if row["kept"] else "", row["strategy"], f"{row['trainable_parameters']:,}", f"{row['seconds']:.1f}",
            f"{row['peak_memory_bytes'] / 1e6:,.0f} MB",
            *(number(row[side][metric]) for side, metric in columns.values()),
        ))  # fmt: skip
    widths = [max(len(row[column]) for row in shown) for column in range(len(shown[0]))]
    lines = [
        f"{row[0]:<1} {row[1]:<{widths[1]}}  "
        + "  ".join(f"{cell:>{width}}" for cell, width in zip(row[2:], widths[2:], strict=True))
        for row in shown
    ]
    return "\n".join([*lines, f"trained: parameters; validation and test: {legend}"])


def number(value: float) -> str:
    """Format a metric with three decimals, or a value that diverged with three digits."""
    return f"{value:.3f}" if value < 1e15 else f"{value:.3g}"


def ending(result: finished_run.Result) -> list[str]:
    """Return the last lines of the summary of a run: its epochs, its time, and the path of its page."""
    cost = result.results["cost"]
    return [
        f"{cost['epochs']} epoch{'s' if cost['epochs'] != 1 else ''}, {cost['seconds']:.0f} s in all",
        f"report: {result.directory / 'report.html'}",
    ]
