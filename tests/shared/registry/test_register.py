"""Registering variants, and taking the champion out of the registry by MLflow's own means."""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from paddlepress.core.errors import ArtifactError, RegistryError
from paddlepress.core.files import sha256_of
from paddlepress.deployment import bundle
from paddlepress.registry.catalogue import rows, versions
from paddlepress.registry.connection import connect, in_use

NAME = "digits"


def test_a_version_carries_all_that_is_known(registry: Any, variants: Any) -> None:
    """Metrics, parameters, lineage, digests and the evaluation stand with the version and its run."""
    found = {row.variant: row for row in rows(registry.client, NAME)}
    student, made = found["student"], variants["student"]
    assert student.metrics == made.evaluation.metrics
    assert student.missing == made.evaluation.missing
    assert student.chain == [{"distill-offline": {"student": "lenet-half"}}]
    assert student.model_digest == made.evaluation.model_digest
    assert (student.recipe_digest, student.dataset_digest) == ("recipe-1", "data-1")
    assert (student.test_data_digest, student.pipeline_run) == ("test-1", "run-1")
    assert [entry["technique"] for entry in student.lineage] == ["train"]
    assert student.aliases == ("challenger", "champion")
    assert found["base"].aliases == ("baseline",)
    run = registry.client.get_run(student.run_id).data
    assert run.metrics == made.evaluation.metrics
    stated = run.params.pop("preprocessing")
    assert run.params == {"architecture": "lenet-half", "0.train.seed": "1", "0.train.epochs": "1"}
    assert json.loads(stated)["scale"] == 255
    with in_use(registry.client):
        import mlflow

        saved = mlflow.artifacts.load_dict(f"runs:/{student.run_id}/evaluation.json")
    assert saved["metrics"] == made.evaluation.metrics


def test_everything_lies_under_the_home(registry: Any) -> None:
    """Models are kept under the home directory, complete and without a pickle; none in the working directory."""
    models = [path.parent for path in registry.home.rglob("MLmodel")]
    assert len(models) >= 2
    for model in models:
        assert {*bundle.FILES, "model.json"} <= {path.name for path in model.rglob("*")}
        assert not [path for path in model.rglob("*") if path.suffix in (".pkl", ".pickle")]
        assert "paddlepress==" in (model / "requirements.txt").read_text()
    assert not (Path.cwd() / "mlruns").exists()


@pytest.mark.parametrize("name", ["a b é 中文", "feature%2Fx 50%25 e#f g?h"])
def test_a_home_may_be_called_anything(name: str, variants: Any, empty_home: Path, tmp_path: Path) -> None:
    """Spaces, percent signs, question marks and Chinese in a home's path: models are put there and load from there."""
    import mlflow

    home = tmp_path / "homes" / name
    shutil.copytree(empty_home, home)
    client = connect(home)
    variants["student"].register(client)
    # MLflow itself looks in the wrong folder for a model below one that has %, # or ?, unless told where to copy it.
    place = {"dst_path": str(tmp_path)} if "%" in name else {}
    with in_use(client):
        loaded = mlflow.pyfunc.load_model("models:/digits/1", **place)
    assert loaded.metadata.get_input_schema() is not None
    assert [path.name for path in (tmp_path / "homes").iterdir()] == [name]
    assert len(list(home.rglob(bundle.GRAPH))) == 1


def test_registering_again_makes_no_second_version(registry: Any, variants: Any) -> None:
    """The same variant of the same recipe and data is found; another recipe makes a new version."""
    client = registry.client
    runs = len(client.search_runs([client.get_experiment_by_name(NAME).experiment_id]))
    again = variants["base"].register(client)
    assert (again.version, again.created) == (registry.first["base"].version, False)
    assert len(client.search_runs([client.get_experiment_by_name(NAME).experiment_id])) == runs
    other = variants["base"].register(client, name="other")
    changed = variants["base"].register(client, name="other", recipe_digest="recipe-2")
    assert (other.created, changed.created, changed.version) == (True, True, other.version + 1)
    baseline = client.get_registered_model("other").aliases["baseline"]
    assert int(baseline) == changed.version
    # The first recipe again: its version counts as the newest, and is the baseline once more.
    assert variants["base"].register(client, name="other") == type(again)(other.version, False)
    assert int(client.get_registered_model("other").aliases["baseline"]) == other.version
    assert [row.version for row in rows(client, "other")] == [other.version]


def test_a_new_measurement_takes_the_place_of_the_old(registry: Any, variants: Any) -> None:
    """Measured again on the same data, a version gets the new figures in tags, run and file; no version is made."""
    client, student = registry.client, variants["student"]
    student.register(client, name="measured")
    figures = {**student.evaluation.metrics, "accuracy": 12.5, "latency_b1_ms": 0.25}
    changed = student.evaluation.model_copy(update={"metrics": figures, "missing": {}})
    again = type(student)(**{**vars(student), "evaluation": changed}).register(client, name="measured")
    (row,) = versions(client, "measured")
    assert (again.version, again.created, row.version) == (1, False, 1)
    assert (row.metrics, row.missing) == (figures, {})
    assert client.get_run(row.run_id).data.metrics == figures
    with in_use(client):
        import mlflow

        assert mlflow.artifacts.load_dict(f"runs:/{row.run_id}/evaluation.json")["metrics"] == figures
        saved = mlflow.artifacts.download_artifacts(f"runs:/{row.run_id}/evaluation.json")
    assert row.evaluation_digest == sha256_of(Path(saved))


def test_other_test_data_make_another_version(registry: Any, variants: Any) -> None:
    """Figures of other test data don't take the place of the old ones: they come with a version of their own."""
    client, student = registry.client, variants["student"]
    first = student.register(client, name="elsewhere")
    other = student.evaluation.model_copy(update={"data_digest": ""})
    elsewhere = type(student)(**{**vars(student), "evaluation": other})
    second = elsewhere.register(client, name="elsewhere")
    assert (first.created, second.created, second.version) == (True, True, first.version + 1)
    assert not elsewhere.register(client, name="elsewhere").created
    assert [row.test_data_digest for row in versions(client, "elsewhere")] == ["test-1", ""]


def test_what_does_not_belong_together_is_refused(registry: Any, variants: Any, tmp_path: Path) -> None:
    """A deployable or an evaluation of another model, a damaged artifact and an unusable name register nothing."""
    base, student = variants["base"], variants["student"]
    before = len(versions(registry.client, NAME))
    mixed = type(base)(**{**vars(base), "deployable": student.deployable})
    with pytest.raises(ArtifactError, match="was made from another model than"):
        mixed.register(registry.client)
    misjudged = type(base)(**{**vars(base), "evaluation": student.evaluation})
    with pytest.raises(ArtifactError, match="the evaluation is of model"):
        misjudged.register(registry.client)
    broken = tmp_path / "model"
    shutil.copytree(base.model_dir, broken)
    (broken / "weights.safetensors").write_bytes(b"cut")
    with pytest.raises(ArtifactError, match="truncated or replaced"):
        type(base)(**{**vars(base), "model_dir": broken}).register(registry.client)
    with pytest.raises(RegistryError, match=r"variant 'a/b' can't be registered\. Valid: letters"):
        type(base)(**{**vars(base), "name": "a/b"}).register(registry.client)
    assert len(versions(registry.client, NAME)) == before


def test_a_failed_registration_leaves_no_version(registry: Any, variants: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the model can't be logged, its run is marked as failed, and trying again succeeds."""
    from paddlepress.registry import register as module

    def fail(*_: object, **__: object) -> str:
        raise OSError("disk full")

    student = variants["student"]
    with monkeypatch.context() as patch:
        patch.setattr(module, "_log_model", fail)
        with pytest.raises(OSError, match="disk full"):
            student.register(registry.client, name="flaky")
    client = registry.client
    runs = client.search_runs([client.get_experiment_by_name("flaky").experiment_id])
    assert [run.info.status for run in runs] == ["FAILED"]
    assert versions(client, "flaky") == []
    assert student.register(client, name="flaky").created


LOADER = """
import sys
import mlflow, numpy as np
with np.load(sys.argv[1]) as data:
    images, labels = data["images"], data["labels"]
assert images.dtype == np.uint8
model = mlflow.pyfunc.load_model("models:/digits@champion")
answer = model.predict(images)
assert list(answer.columns) == ["label", "score"]
logits = model.predict(images, params={"output": "logits"})
assert logits.dtype == np.float32 and logits.shape == (len(labels), 10), logits
probabilities = model.predict(images, params={"output": "probabilities"})
assert np.allclose(probabilities.sum(1), 1) and np.allclose(probabilities.max(1), answer["score"])
assert "paddle" not in sys.modules
correct = answer["label"].to_numpy() == labels.astype(str)
assert (correct == (logits.argmax(1) == labels)).all()
print(repr(100.0 * float(correct.mean())))
"""


def test_the_champion_reproduces_its_accuracy_elsewhere(
    registry: Any, digits: Any, environment: dict[str, str], tmp_path: Path
) -> None:
    """A new process that knows only MLflow loads the champion, without Paddle, and gets exactly its accuracy.

    It gives the model the images as they are stored, and is told their classes by name.
    """
    test = digits[1]
    np.savez(tmp_path / "test.npz", images=test.images, labels=test.labels)
    done = subprocess.run(
        [sys.executable, "-W", "error::UserWarning:mlflow", "-c", LOADER, str(tmp_path / "test.npz")],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    champion = next(row for row in rows(registry.client, NAME) if "champion" in row.aliases)
    assert float(done.stdout) == champion.metrics["accuracy"]


REGISTRAR = """
import sys
from pathlib import Path
from paddlepress.evaluation.result import Evaluation
from paddlepress.registry.connection import connect
from paddlepress.registry.register import Delivered, Variant, register
home, model_dir, deployable, evaluation = map(Path, sys.argv[1:])
client = connect(home)
print("ready", flush=True)
sys.stdin.readline()
delivered = Delivered(model_dir, deployable, Evaluation.load(evaluation))
done = register(client, "race", Variant("student", [], "r", "d", "p"), delivered)
print(done.version, done.created)
"""


def test_two_processes_register_one_version(variants: Any, tmp_path: Path) -> None:
    """On a home that is not there yet, two processes make one database and one version between them, in silence."""
    student, home, elsewhere = variants["student"], tmp_path / "new" / "home", tmp_path / "elsewhere"
    elsewhere.mkdir()
    student.evaluation.save(tmp_path / "evaluation.json")
    arguments = [home, student.model_dir, student.deployable, tmp_path / "evaluation.json"]
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", REGISTRAR, *map(str, arguments)],
            cwd=elsewhere,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for _ in range(2)
    ]
    for racer in racers:
        assert racer.stdout is not None and racer.stdout.readline() == "ready\n"
    said = sorted(racer.communicate("go\n")[0].strip() for racer in racers)
    assert said == ["1 False", "1 True"]
    assert list(elsewhere.iterdir()) == []
    assert len(versions(connect(home), "race")) == 1


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def test_mlflow_serves_the_champion(registry: Any, digits: Any, environment: dict[str, str], tmp_path: Path) -> None:
    """`mlflow models serve` takes pixels as JSON and answers with classes by name, or with logits if asked to."""
    port = free_port()
    images = digits[1].images[:20]
    log = tmp_path / "serve.log"
    command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", f"models:/{NAME}@champion"]
    with log.open("wb") as output:
        server = subprocess.Popen(
            [*command, "--env-manager", "local", "--host", "127.0.0.1", "--port", str(port)],
            env=environment,
            cwd=tmp_path,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        url, body = f"http://127.0.0.1:{port}/invocations", {"inputs": images.tolist()}
        told = ask(url, body, server, log)["predictions"]
        logits = ask(url, body | {"params": {"output": "logits"}}, server, log)["predictions"]
        refused = {
            "output is 'classes'. Valid: label, probabilities, logits": body | {"params": {"output": "classes"}},
            "(-1, 1, 8, 8)": {"inputs": images[:, :, :4].tolist()},
            "256 out of bounds for uint8": {"inputs": (images.astype(int) + 256).tolist()},
        }
        for words, mistake in refused.items():
            with pytest.raises(AssertionError, match=re.escape(words)):
                ask(url, mistake, server, log)
    finally:
        stop(server)
    from paddlepress.deployment.predictor import Predictor

    champion = next(row for row in rows(registry.client, NAME) if "champion" in row.aliases)
    source = registry.client.get_model_version_download_uri(NAME, str(champion.version))
    with in_use(registry.client):
        import mlflow

        local = Path(mlflow.artifacts.download_artifacts(source))
    expected = Predictor.load(local / "artifacts" / "deployable").predict(images)
    np.testing.assert_allclose(np.array(logits), expected, rtol=1e-5, atol=1e-6)
    assert [row["label"] for row in told] == [str(label) for label in expected.argmax(axis=1)]
    assert all(0.1 <= row["score"] <= 1 for row in told)


def ask(url: str, content: Any, server: Any, log: Path) -> Any:
    """Post to a server that is still starting."""
    while True:
        try:
            request = urllib.request.Request(url, json.dumps(content).encode(), {"Content-Type": "application/json"})
            with urllib.request.urlopen(request, timeout=30) as response:
                return json.load(response)
        except urllib.error.HTTPError as error:
            raise AssertionError(error.read().decode()) from None
        except OSError:
            assert server.poll() is None, log.read_text()
            time.sleep(0.2)


def stop(server: Any) -> None:
    """End a server and the workers that it started."""
    import os
    import signal

    os.killpg(server.pid, signal.SIGTERM)
    server.wait(240)
