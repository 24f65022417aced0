"""Records of runs: TensorBoard's files are read by TensorBoard, and MLflow is a server of its own on this machine."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request

import pytest

from common import errors
from common.runs import tracking
from recipes import feature_extraction

mlflow = pytest.importorskip("mlflow", reason="mlflow is not installed: pip install -e '.[track]'")
pytest.importorskip("tensorboard", reason="tensorboard is not installed: pip install -e '.[track]'")


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """The address of a running MLflow server."""
    folder = tmp_path_factory.mktemp("mlflow")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1",
        "--backend-store-uri", f"sqlite:///{folder}/mlflow.db", "--artifacts-destination", str(folder / "artefacts"),
    ]  # fmt: skip
    log = open(folder / "log", "w")
    process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log, start_new_session=True)
    address = f"http://127.0.0.1:{port}"
    for _ in range(240):
        try:
            urllib.request.urlopen(f"{address}/health", timeout=1).close()
            break
        except OSError:
            assert process.poll() is None, (folder / "log").read_text()
            time.sleep(0.5)
    yield address
    os.killpg(process.pid, signal.SIGKILL)  # it would take its time
    process.wait(30)


def settings(stripes, folder, **changes):
    return feature_extraction.Config(
        data=str(stripes), backbone="demo", weights="demo", image_size=32, head="gap", epochs=3, out=folder / "runs",
        cache=folder / "cache", **changes,
    )  # fmt: skip


@pytest.fixture(scope="module")
def run(server, module_stripes, tmp_path_factory):
    """A run with both records, of three epochs."""
    folder = tmp_path_factory.mktemp("run")
    return feature_extraction.run(settings(module_stripes, folder, tensorboard=True, mlflow=server))


def test_mlflow_has_the_settings_the_epochs_the_scores_and_the_report(server, run):
    client = mlflow.MlflowClient(server)
    experiment = client.get_experiment_by_name(tracking.EXPERIMENT)
    (found,) = client.search_runs([experiment.experiment_id])
    assert found.info.status == "FINISHED" and found.info.run_name == f"feature_extraction {run.directory.name}"
    assert found.data.params["head"] == "gap" and found.data.params["epochs"] == "3"
    assert found.data.metrics["test/accuracy"] == run.results["test"]["accuracy"]
    assert found.data.metrics["cost/trainable_parameters"] == run.results["cost"]["trainable_parameters"]
    losses = client.get_metric_history(found.info.run_id, "head/val_loss")
    history = (run.directory / "history.csv").read_text().splitlines()
    column = history[0].split(",").index("val_loss")
    assert [(each.step, each.value) for each in losses] == [
        (step, float(line.split(",")[column])) for step, line in enumerate(history[1:])
    ]
    lasted = (found.info.end_time - found.info.start_time) / 1000
    assert lasted == pytest.approx(run.results["cost"]["seconds"], abs=0.01)
    names = {each.path for each in client.list_artifacts(found.info.run_id)}
    assert {"report.html", "results.json", "config.json", "split.csv", "figures"} <= names
    copy = client.download_artifacts(found.info.run_id, "report.html")
    assert open(copy).read() == (run.directory / "report.html").read_text()


def test_tensorboard_reads_every_epoch(run):
    from tensorboard.backend.event_processing import event_accumulator

    events = event_accumulator.EventAccumulator(
        str(run.directory / "tensorboard" / "head" / "train"), size_guidance={event_accumulator.TENSORS: 0}
    )
    events.Reload()
    assert [event.step for event in events.Tensors("epoch_loss")] == [0, 1, 2]


def test_records_change_nothing(run, module_stripes, tmp_path, undrawn):
    assert feature_extraction.run(settings(module_stripes, tmp_path)).results["test"] == run.results["test"]


def test_a_finished_run_can_be_sent_later_to_a_data_base(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    sent = tracking.publish(run.directory, uri)
    assert mlflow.MlflowClient(uri).get_run(sent).data.tags["recipe"] == "feature_extraction"


def test_no_server_is_found_out_before_the_training(tmp_path):
    config = feature_extraction.Config(mlflow="http://127.0.0.1:9", out=tmp_path)
    with pytest.raises(errors.UserError, match="no MLflow server answers at this address"):
        feature_extraction.run(config)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("127.0.0.1:5000", "give the address of a server, http://"),
        ("http://[::1", "not a valid address"),
        ("mlruns", "give the"),
    ],
)
def test_a_slip_in_the_address_is_found_out_before_the_training(address, message):
    with pytest.raises(errors.UserError, match=message):
        tracking.check(False, address)


def test_what_answers_but_is_no_mlflow_is_said():
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def hang_up():
            for reply in (b"SSH-2.0\r\n", b""):
                connection, _ = listener.accept()
                connection.recv(1000)
                connection.sendall(reply)
                connection.close()

        threading.Thread(target=hang_up, daemon=True).start()
        for _ in range(2):
            with pytest.raises(errors.UserError, match="no MLflow server answers at this address"):
                tracking.check(False, f"http://127.0.0.1:{listener.getsockname()[1]}")


def test_a_password_does_not_get_into_files(tmp_path):
    with pytest.raises(errors.UserError, match="MLFLOW_TRACKING_PASSWORD") as refused:
        tracking.check(False, "https://me:secret@example.org")
    assert "secret" not in str(refused.value)


def test_a_missing_package_is_said_before_the_training(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    for tensorboard, uri in ((True, None), (False, "sqlite:///a.db")):
        with pytest.raises(errors.UserError, match=r"pip install 'keras-recipes\[track\]'"):
            tracking.check(tensorboard, uri)


def test_a_run_that_is_not_finished_is_refused(tmp_path):
    with pytest.raises(errors.UserError, match="has no results.json"):
        tracking.publish(tmp_path, "sqlite:///a.db")


def test_the_steps_go_on_from_stage_to_stage(tmp_path):
    (tmp_path / "history.csv").write_text("stage,epoch,loss,seconds\nhead,0,2.0,1.5\nhead,1,1.0,1.5\nlast,0,0.5,4\n")
    assert tracking.epochs(tmp_path, 100.0) == [
        ("head/loss", 2.0, 101.5, 0), ("head/seconds", 1.5, 101.5, 0), ("head/loss", 1.0, 103.0, 1),
        ("head/seconds", 1.5, 103.0, 1), ("last/loss", 0.5, 107.0, 2), ("last/seconds", 4.0, 107.0, 2),
    ]  # fmt: skip
    results = {"test": {"accuracy": 0.5, "per_class": {}}, "cost": {"epochs": 3}}
    assert tracking.scores(results) == [("test/accuracy", 0.5), ("cost/epochs", 3.0)]
