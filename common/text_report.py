"""The report of a finished run on texts: one page that opens without a network, and its figures as PNG files."""

import os
import pathlib

from common import figures, files, generate, page, text_evaluation

LISTED = 20  # pairs of near-duplicates, wrong answers
TITLES = {
    "before": "Written before tuning",
    "after": "Written after tuning",
    "held_out": "Held-out documents, by people",
}
MUCH = 0.1  # share of copied runs, above that of held-out documents, that is called much


def write(run_directory) -> pathlib.Path:
    """Writes `figures/*.png` and `report.html` into a run directory, from nothing but the files in it.

    Args:
        run_directory: of a run of legal_text: config.json, results.json, and as far as the run wrote them history.csv
            and predictions.csv.

    Returns:
        The path of report.html.

    Raises:
        OSError, KeyError, ValueError: a file of the run is missing or not as the recipe writes it.
    """
    run = page.Run.read(pathlib.Path(run_directory))
    (run.directory / "figures").mkdir(exist_ok=True)
    classifies = run.results["task"] == "classify"
    html = page.template("text.html").render(
        run=run,
        results=run.results,
        classifies=classifies,
        warning=generate.WARNING,
        perplexities=None if classifies else _perplexities(run),
        curve=_learning_curve(run),
        confusion=_confusion_matrix(run) if classifies else None,
        wrong=_wrong(run),
        titles=TITLES,
        copy_length=text_evaluation.COPY_LENGTH,
        much=None if classifies else _copies_much(run.results["copying"]),
        duplicates=_duplicates(run),
        listed=LISTED,
        named_types=any(run.class_names),
    )
    path = run.directory / "report.html"
    with files.replacing(path) as temporary:
        temporary.write_text(html, encoding="utf-8")
    return path


def _learning_curve(run):
    kept = [row for row in run.history if row.get("stage") == run.results["strategy"]]
    if not kept:
        return None
    losses = [row["val_loss"] for row in kept]
    alt = f"Loss on training and validation texts in {len(kept)} epochs"
    return page.figure(run, "loss", alt, figures.learning_curve, kept, "loss", losses.index(min(losses)))


def _perplexities(run):
    """Every strategy beside the network before tuning; None if there is one strategy alone."""
    results = run.results
    if len(results["strategies"]) < 2:
        return None
    rows = [
        {"name": name, "test": row["test"]["perplexity"], "general": (row.get("general") or {}).get("perplexity")}
        for row in (results["before"], *results["strategies"]) for name in [row.get("strategy", "before tuning")]
    ]  # fmt: skip
    alt = "Perplexity on test documents of " + ", ".join(f"{row['name']}: {row['test']:.3g}" for row in rows)
    return page.figure(run, "perplexities", alt, figures.perplexities, rows)


def _confusion_matrix(run):
    alt = f"Confusion matrix of {len(run.class_names)} types of documents"
    matrix = run.results["test"]["confusion_matrix"]
    return page.figure(run, "confusion_matrix", alt, figures.confusion_matrix, matrix, run.class_names)


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
