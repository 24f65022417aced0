"""The report of a run that gives several labels to a document: one page, without confusions."""

from typing import Any

from common.report import text_classes, text_page
from common.runs import finished_run

FILES = ("templates/text_tags.html",)
COLUMNS = {
    "validation": ("validation", "macro_f1"), "test": ("test", "macro_f1"), "mAP": ("test", "mean_average_precision"),
}  # fmt: skip
LEGEND = "macro F1; mAP: mean average precision on the test"


def page(run: finished_run.FinishedRun, saved: object, parts: list[dict[str, Any]]) -> str:
    """Return the page as HTML, and write its figures; the arguments are as for `text_classes.page`."""
    return text_page.render("text_tags.html", run, parts=parts, adapted=text_classes.adapted(run.results))


def summary(result: finished_run.Result) -> str:
    """Return the lines printed at the end of a run."""
    found, rows = result.results, result.results["strategies"]
    told = [("test", found["test"]), ("logistic regression on TF-IDF", found["counted_words"]["test"]),
            ("always alike", found["always_alike"]["test"])]  # fmt: skip
    scores = "; ".join(
        f"{name}: macro F1 {row['macro_f1']:.3f}, micro F1 {row['micro_f1']:.3f}, mean average precision "
        f"{row['mean_average_precision']:.3f}" for name, row in told
    )  # fmt: skip
    return "\n".join([
        text_page.strategy_table(rows, COLUMNS, LEGEND + text_classes.KEPT * (len(rows) > 1)),
        f"{scores}; on {found['test']['n']} documents",
        *filter(None, [text_classes.adapted(found)]),
        *text_page.ending(result),
    ])  # fmt: skip
