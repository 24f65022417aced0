"""`python -m recipes publish`: send a finished run to MLflow."""

import pathlib

import tyro

from common.runs import tracking


def command(run: tyro.conf.Positional[pathlib.Path], /, mlflow: str) -> int:
    """Send a finished run to MLflow: settings, every epoch, scores, and the report as an artefact.

    Args:
        run: the directory of a finished run or comparison.
        mlflow: the address of a server, such as http://127.0.0.1:5000, or a database, such as sqlite:///mlflow.db.
    """
    print(tracking.publish(run, mlflow))
    return 0
