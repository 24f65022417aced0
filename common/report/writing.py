"""The report of a run that writes texts: one page that opens without a network, and its figures as PNG files."""

from collections.abc import Sequence
from typing import Any

import matplotlib.figure
import matplotlib.ticker
import numpy as np

from common import words
from common.evaluation import language
from common.report import figures, text_page
from common.report import page as pages
from common.runs import finished_run

FILES = ("templates/writing.html",)
TITLES = {
    "before": "Written before tuning",
    "after": "Written after tuning",
    "held_out": "Held-out documents, by people",
}
MUCH = 0.1  # share of copied runs above that of held-out documents; beyond it, the page warns
COLUMNS = {
    "validation": ("validation", "perplexity"), "test": ("test", "perplexity"),
    "test per byte": ("test", "byte_perplexity"),
}  # fmt: skip
LEGEND = "perplexity; > kept, for the lowest loss on validation"


def page(run: finished_run.FinishedRun, saved: object, parts: list[dict[str, Any]]) -> str:
    """Return the page of a run that writes texts as HTML, and write its figures.

    Args:
        run: the run to report.
        saved, parts: not used.
    """
    return text_page.render(
        "writing.html",
        run,
        warning=words.WARNING,
        perplexities=_perplexity_figure(run),
        titles=TITLES,
        copy_length=language.COPY_LENGTH,
        much=_copies_much(run.results["copying"]),
    )


def _perplexity_figure(run: finished_run.FinishedRun) -> pages.Figure | None:
    """Draw all strategies and the network before tuning; None if there is only one strategy."""
    results = run.results
    if len(results["strategies"]) < 2:
        return None
    rows = [
        {"name": name, "test": row["test"]["perplexity"], "general": (row.get("general") or {}).get("perplexity")}
        for row in (results["before"], *results["strategies"]) for name in [row.get("strategy", "before tuning")]
    ]  # fmt: skip
    alt = "Perplexity on test documents of " + ", ".join(f"{row['name']}: {row['test']:.3g}" for row in rows)
    return pages.figure(run, "perplexities", alt, perplexities, rows)


@figures.png(colours=256)
def perplexities(rows: Sequence[dict], *, theme: figures.Theme) -> matplotlib.figure.Figure:
    """Draw the perplexity of each strategy on test documents and, if it was measured, on general texts.

    Args:
        rows: a dict per line with `name`, `test` and `general`, perplexities; `general` may be None. The first row is
            the network before tuning.
    """
    figure, axes = figures.new_figure(6.4, 0.42 * len(rows) + 1.2)
    places = np.arange(len(rows))[::-1]
    marks = (
        ("test", "test documents", "o", theme.train, (0, 5), "bottom"),
        ("general", "general texts: what is forgotten", "D", theme.muted, (0, -6), "top"),
    )
    box = {"facecolor": theme.background, "edgecolor": "none", "pad": 0.6}
    for name, label, marker, colour, offset, side in marks:
        values = np.array([row[name] for row in rows], float)
        if not np.isfinite(values).any():
            continue
        axes.plot(values, places, marker=marker, markersize=7, linestyle="", color=colour, label=label, zorder=3)
        for place, value in zip(places, values, strict=True):
            where = {"xytext": offset, "textcoords": "offset points", "ha": "center", "va": side}
            axes.annotate(_digits(value), (value, place), fontsize=7.5, color=colour, bbox=box, **where)
    first = np.array([rows[0]["test"]], float)[0]
    if np.isfinite(first):
        axes.axvline(first, color=theme.muted, label="before tuning", **figures.DASHED)
    axes.set(xscale="log", xlabel="perplexity, lower is better", ylim=(-0.7, len(rows) - 0.3))
    axes.margins(x=0.1)
    axes.set_yticks(places, [figures.short(row["name"].replace("_", " ")) for row in rows], parse_math=False)
    axes.xaxis.set_major_formatter(matplotlib.ticker.FuncFormatter(lambda value, _: f"{value:,.10g}"))
    axes.xaxis.set_minor_formatter(matplotlib.ticker.NullFormatter())
    figure.legend(loc="outside upper left", ncols=3)
    return figure


def _digits(value: float) -> str:
    """Format a number with three significant digits and without an exponent: 17,600."""
    return f"{float(f'{value:.3g}'):,.10g}"


def _copies_much(copying: dict[str, dict]) -> bool:
    """Return whether far more is copied than people repeat in such documents anyway."""
    share, natural = copying["after"]["share"], copying["held_out"]["share"]
    return share is not None and share > (natural or 0.0) + MUCH


def summary(result: finished_run.Result) -> str:
    """Return the lines printed at the end of a run."""
    found, test, shown = result.results, result.results["test"], text_page.number
    before, limits = found["before"]["test"], test["byte_perplexity_interval"]
    interval = "{:.3f} – {:.3f}".format(*limits) if limits else "too few for an interval"
    lines = [
        text_page.strategy_table(found["strategies"], COLUMNS, LEGEND),
        f"test perplexity {shown(before['perplexity'])} before, {shown(test['perplexity'])} after; per byte "
        f"{before['byte_perplexity']:.3f}, {test['byte_perplexity']:.3f} ({interval})",
    ]
    if test["perplexity"] >= before["perplexity"]:
        lines.append("tuning did not improve the perplexity: try another --learning-rate, or more --epochs")
    if found["general"]:
        lines.append(
            f"general texts: perplexity {shown(found['before']['general']['perplexity'])} before, "
            f"{shown(found['general']['perplexity'])} after"
        )
    copied, natural = found["copying"]["after"], found["copying"]["held_out"]
    lines.append(
        f"copied from the training documents: {_percent(copied['share'])} of runs of {language.COPY_LENGTH} "
        f"words, the longest {copied['longest']} words (held-out: {_percent(natural['share'])}, "
        f"{natural['longest']} words)"
    )
    return "\n".join([*lines, f"note: {words.WARNING}", *text_page.ending(result)])


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.1f} %"
