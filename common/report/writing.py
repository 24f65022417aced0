"""The report of a finished run on texts: one page that opens without a network, and its figures as PNG files."""

import os
from collections.abc import Sequence

import matplotlib.ticker
import numpy as np

from common import words
from common.evaluation import language
from common.report import figures
from common.report import page as pages
from common.runs import finished_run

FILES = ("templates/writing.html",)
LISTED = 20  # pairs of near-duplicates, wrong answers
TITLES = {
    "before": "Written before tuning",
    "after": "Written after tuning",
    "held_out": "Held-out documents, by people",
}
MUCH = 0.1  # share of copied runs, above that of held-out documents, that is called much


def page(run, saved, parts):
    """Return the page of a run on texts, and write its figures.

    Args:
        run: a `finished_run.FinishedRun`.
        saved, parts: as for `classes.page`; of texts there are none.
    """
    classifies = run.results["task"] == "classify"
    return pages.template("writing.html").render(
        run=run,
        results=run.results,
        classifies=classifies,
        warning=words.WARNING,
        perplexities=None if classifies else _perplexity_figure(run),
        curve=_learning_curve(run),
        confusion=_confusion_matrix(run) if classifies else None,
        wrong=_wrong(run),
        titles=TITLES,
        copy_length=language.COPY_LENGTH,
        much=None if classifies else _copies_much(run.results["copying"]),
        duplicates=_duplicates(run),
        listed=LISTED,
        named_types=any(run.class_names),
    )


def _learning_curve(run):
    kept = [row for row in run.history if row.get("stage") == run.results["strategy"]]
    if not kept:
        return None
    losses = [row["val_loss"] for row in kept]
    alt = f"Loss on training and validation texts in {len(kept)} epochs"
    return pages.figure(run, "loss", alt, figures.learning_curve, kept, "loss", losses.index(min(losses)))


def _perplexity_figure(run):
    """Every strategy beside the network before tuning; None if there is one strategy alone."""
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
def perplexities(rows, *, theme):
    """Draw what each way of training makes of test documents and, where it was measured, of general texts.

    Args:
        rows: a dict per line with `name`, `test` and `general`, perplexities; `general` may be None. The first row is
            the network before tuning.
        theme: a `figures.Theme`.
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


def _digits(value):
    """Three significant digits, without an exponent: 17,600."""
    return f"{float(f'{value:.3g}'):,.10g}"


def _confusion_matrix(run):
    alt = f"Confusion matrix of {len(run.class_names)} types of documents"
    matrix = run.results["test"]["confusion_matrix"]
    return pages.figure(run, "confusion_matrix", alt, figures.confusion_matrix, matrix, run.class_names)


def _wrong(run):
    """The wrong answers, the surest first."""
    wrong = sorted((row for row in run.predictions if not row["correct"]), key=lambda row: -row["confidence"])
    return [row | {"name": os.path.basename(row["path"])} for row in wrong]


def _copies_much(copying) -> bool:
    """Whether far more is copied than people repeat who write such documents anyway."""
    share, natural = copying["after"]["share"], copying["held_out"]["share"]
    return share is not None and share > (natural or 0.0) + MUCH


def _duplicates(run):
    """The pairs of near-duplicates with their names alone."""
    return [
        {"first": os.path.basename(pair["first"]), "second": os.path.basename(pair["second"]),
         "similarity": pair["similarity"]}
        for pair in run.results["data"]["near_duplicates"]
    ]  # fmt: skip


def strategy_table(rows: Sequence[dict]) -> str:
    """The strategies side by side.

    Args:
        rows: `strategy, trainable_parameters, seconds, peak_memory_bytes, validation, test, kept`; the two are what
            `evaluate` here, or that of a classifier, makes.
    """
    classifies = "accuracy" in rows[0]["test"]
    last = ("validation", "test", "balanced") if classifies else ("validation", "test", "test per byte")
    names = ("accuracy", "balanced_accuracy") if classifies else ("perplexity", "byte_perplexity")
    shown = [("", "strategy", "trained", "seconds", "memory", *last)]
    for row in rows:
        values = [row["validation"][names[0]], row["test"][names[0]], row["test"][names[1]]]
        shown.append((
            ">" if row["kept"] else "", row["strategy"], f"{row['trainable_parameters']:,}", f"{row['seconds']:.1f}",
            f"{row['peak_memory_bytes'] / 2**20:,.0f} MB", *map(_shown, values),
        ))  # fmt: skip
    widths = [max(len(row[column]) for row in shown) for column in range(len(shown[0]))]
    title, chosen = ("accuracy", "log loss") if classifies else ("perplexity", "loss")
    lines = [
        f"{row[0]:<1} {row[1]:<{widths[1]}}  "
        + "  ".join(f"{cell:>{width}}" for cell, width in zip(row[2:], widths[2:], strict=True))
        for row in shown
    ]
    told = f"trained: parameters; validation and test: {title}; > kept, for the lowest {chosen} on validation"
    return "\n".join([*lines, told])


def _shown(value: float) -> str:
    return f"{value:.3f}" if value < 1e15 else f"{value:.3g}"


def summary(result: finished_run.Result) -> str:
    """The lines that a run ends with."""
    found, cost = result.results, result.results["cost"]
    lines = [strategy_table(found["strategies"])]
    test = found["test"]
    if found["task"] == "generate":
        before, (low, high) = found["before"]["test"], test["byte_perplexity_interval"]
        lines += [
            f"test perplexity {_shown(before['perplexity'])} before, {_shown(test['perplexity'])} after; per byte "
            f"{before['byte_perplexity']:.3f}, {test['byte_perplexity']:.3f} ({low:.3f} – {high:.3f})",
        ]
        if test["perplexity"] >= before["perplexity"]:
            lines.append("tuning brought nothing here: try another --learning-rate, or more --epochs")
        if found["general"]:
            lines.append(
                f"general texts: perplexity {_shown(found['before']['general']['perplexity'])} before, "
                f"{_shown(found['general']['perplexity'])} after"
            )
        copied, natural = found["copying"]["after"], found["copying"]["held_out"]
        lines.append(
            f"copied from the training documents: {_percent(copied['share'])} of runs of {language.COPY_LENGTH} "
            f"words, the longest {copied['longest']} words (held-out: {_percent(natural['share'])}, "
            f"{natural['longest']} words)"
        )
        lines.append(f"note: {words.WARNING}")
    else:
        low, high = test["accuracy_interval"]
        baseline = found["counted_words"]["test"]["accuracy"]
        lines.append(
            f"test accuracy {test['accuracy']:.3f} ({low:.3f} – {high:.3f}) on {test['n']} documents; logistic "
            f"regression on TF-IDF {baseline:.3f}"
        )
    lines.append(f"{cost['epochs']} epoch{'s' if cost['epochs'] != 1 else ''}, {cost['seconds']:.0f} s in all")
    return "\n".join([*lines, f"report: {result.directory / 'report.html'}"])


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.1f} %"
