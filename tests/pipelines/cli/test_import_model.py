"""`paddlepress import`: a network's class and its weights become a base, and nothing else is run."""

from __future__ import annotations

import os
import pickle
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from paddlepress.artifact import store
from paddlepress.core import plugins
from paddlepress.spec.preprocessing import Preprocessing
from paddlepress_pipelines.cli import main
from tests import cli

README = Path(__file__).parents[3] / "README.md"

NETWORK = """
import paddle
from paddle import nn


class Net(nn.Layer):
    def __init__(self, hidden: int = 8, act=nn.ReLU):
        super().__init__()
        self.body = nn.Sequential(nn.Flatten(), nn.Linear(64, hidden), act(), nn.Linear(hidden, 3))

    def forward(self, x):
        return self.body(x)


class Tied(nn.Layer):
    def __init__(self):
        super().__init__()
        self.flat, self.first = nn.Flatten(), nn.Linear(64, 64)
        self.again, self.last = self.first, nn.Linear(64, 3)

    def forward(self, x):
        return self.last(self.again(self.first(self.flat(x))))


class Undeployable(Net):
    def forward(self, x):
        return paddle.erfinv(self.body(x) * 0)


class Unknown(nn.Layer):
    pass


def number():
    return 3
"""
ENTRIES = """
[paddlepress.architectures]
own-net = own_network:Net
own-tied = own_network:Tied
own-undeployable = own_network:Undeployable
own-number = own_network:number
"""


class Done(NamedTuple):
    """How a command ended, and what it printed."""

    returncode: int
    stdout: str
    stderr: str


Run = Callable[..., Done]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a package with networks is installed."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "own_network.py").write_text(NETWORK)
    facts = folder / "own_network-1.0.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: own-network\nVersion: 1.0\n")
    (facts / "entry_points.txt").write_text(ENTRIES)
    return folder


@pytest.fixture(scope="module")
def saved(site: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights that Paddle saved, and the outputs that the networks give with them for ones."""
    folder = tmp_path_factory.mktemp("saved")
    code = """
import numpy as np, paddle, own_network
for name, network in (("net", own_network.Net(5)), ("tied", own_network.Tied())):
    network.eval()
    paddle.save(network.state_dict(), f"{name}.pdparams")
    np.save(f"{name}.npy", network(paddle.ones([2, 1, 8, 8])).numpy())
"""
    environment = {**os.environ, "PYTHONPATH": str(site)}
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def run(
    site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Run]:
    """Runs `paddlepress import` into the folder `base`; in this process, which has Paddle loaded already."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(site))
    plugins.listed.cache_clear()

    def imported(architecture: str, *arguments: str | Path, inputs: str = "1x8x8") -> Done:
        usual = [] if "--inputs" in arguments else ["--inputs", inputs]
        given = ["--architecture", architecture, *usual, "-o", "base", *map(str, arguments)]
        monkeypatch.setattr(sys, "argv", ["paddlepress", "import", *given])
        with pytest.raises(SystemExit) as ended:
            main()
        return Done(int(ended.value.code or 0), *capsys.readouterr())

    yield imported
    plugins.listed.cache_clear()
    sys.modules.pop("own_network", None)


def refused(done: Done, *words: str, code: int = 2) -> None:
    """It ended with one line that has these words."""
    assert done.returncode == code, done.stdout + done.stderr
    (line,) = done.stderr.splitlines()
    assert line.startswith("paddlepress: error: ")
    for word in words:
        assert word in line, line


def outputs(site: Path, artifact: Path) -> np.ndarray:  # type: ignore[type-arg]
    """What a model artifact computes of ones, in a process that has the package."""
    code = f"""
import numpy as np, sys, paddlepress as pp
np.save(sys.argv[1], pp.load({str(artifact)!r}).predict(np.ones([2, 1, 8, 8], "float32")))
"""
    environment = {**os.environ, "PYTHONPATH": str(site)}
    file = artifact.parent / "outputs.npy"
    subprocess.run([sys.executable, "-c", code, str(file)], env=environment, check=True)
    found: np.ndarray = np.load(file)  # type: ignore[type-arg]
    return found


def test_a_class_and_its_weights_become_a_base(run: Run, site: Path, saved: Path, tmp_path: Path) -> None:
    """The artifact names the class as it is registered, computes the same, and the command says what it is."""
    given = ["--arguments", "hidden=5", "--weights", saved / "net.pdparams"]
    done = run("own_network:Net", *given, "--preprocessing", "scale=255", "--preprocessing", "mean=0.5")
    assert done.returncode == 0, done.stderr
    assert "Wrote base: own-net, 343 parameters, float32 [n, 1, 8, 8] -> logits [n, 3]" in done.stdout
    assert done.stdout.endswith("base: {artifact: base}\n")
    found = store.manifests.read(tmp_path / "base")
    assert found.architecture.name == "own-net" and found.architecture.arguments == {"hidden": 5}
    assert found.task.classes == ("0", "1", "2")  # type: ignore[attr-defined]
    assert found.preprocessing == Preprocessing(scale=255, mean=(0.5,))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["base"]
    np.testing.assert_array_equal(outputs(site, tmp_path / "base"), np.load(saved / "net.npy"))

    refused(run("own_network:Net", *given), "base holds a model already", "--force")
    assert run("own_network:Net", *given, "--force", "--classes", "cat,dog,bird").returncode == 0
    assert store.manifests.read(tmp_path / "base").task.classes == ("cat", "dog", "bird")  # type: ignore[attr-defined]


def test_weights_that_layers_share_and_preprocessing_that_is_not_said(run: Run, site: Path, saved: Path) -> None:
    """What Paddle saves twice is taken once; what the recipe must say is shown. A file's class is found too."""
    done = run(f"{site / 'own_network.py'}:Tied", "--weights", saved / "tied.pdparams")
    assert done.returncode == 0, done.stderr
    assert "preprocessing: {scale: 255}" in done.stdout


def test_registered_names(run: Run, tmp_path: Path) -> None:
    """Those of paddlepress are told their classes, and say so where nobody does."""
    refused(run("lenet", inputs="1x28x28"), "--classes is missing", "'lenet'")
    refused(run("lenot", "--classes", "10"), "unknown architecture 'lenot'", "Did you mean 'lenet'")
    done = run("lenet", "--classes", "10", '--arguments={"width": 0.25}', inputs="1x28x28")
    assert done.returncode == 0, done.stderr
    assert "lenet, " in done.stdout and "not trained" in done.stdout
    assert store.load(tmp_path / "base").task.out_features == 10


def test_a_class_that_is_not_registered(run: Run, tmp_path: Path) -> None:
    """The line that registers it is told, with the file that it belongs in."""
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "__init__.py").touch()
    (tmp_path / "mine" / "nets.py").write_text("class SmallNet: ...\n")
    line = 'small-net = "mine.nets:SmallNet" below [project.entry-points."paddlepress.architectures"]'
    refused(
        run("mine/nets.py:SmallNet"), "not registered", f"{line} in a pyproject.toml in {tmp_path}, with a [project]"
    )
    (tmp_path / "pyproject.toml").touch()
    refused(run("mine/nets.py:SmallNet"), f"{line} in {tmp_path}/pyproject.toml, and pip install -e {tmp_path}")
    refused(run("own_network:Unknown"), 'unknown = "own_network:Unknown"')
    refused(run("mine/nets.py:SmallNte"), "'SmallNte'", "Did you mean 'SmallNet'")
    assert not (tmp_path / "base").exists()


@pytest.mark.parametrize(
    ("architecture", "arguments", "words"),
    [
        ("own_network:Nte", [], ["own_network has no 'Nte'"]),
        ("nowhere:Net", [], ["no module 'nowhere'"]),
        ("nowhere.py:Net", [], ["nowhere.py can't be read"]),
        ("a-b:Net", [], ["'a-b:Net' is no class"]),
        ("own_network:number", [], ["gives a int, and no paddle.nn.Layer"]),
        ("own-net", ["--arguments", "hiden=5"], ["unknown argument 'hiden'", "Valid: act, hidden"]),
        ("own-net", ["--arguments", "hidden=much"], ["own-net", "'much'"]),
        ("own-net", ["--arguments", "hidden"], ["--arguments is 'hidden'", "KEY=VALUE"]),
        ("own-net", ["--arguments", "{hidden"], ["--arguments is '{hidden'", "KEY=VALUE"]),
        ("own-net", ["--classes", "4"], ["gives float32 [n, 3]", "here [n, 4]"]),
        ("own-net", ["--classes", "a,a,b"], ["--classes is 'a,a,b'"]),
        ("own-net", ["--inputs", "3x0"], ["--inputs is '3x0'"]),
        ("own-net", ["--inputs", "3 x 8"], ["--inputs is '3 x 8'", "such as 3x32x32"]),
        ("own-net", ["--inputs", "1x9x9"], ["can't be run on 2 inputs of float32 [1, 9, 9]"]),
        ("own-net", ["--inputs", "x=1x8x8", "--inputs", "3"], ["--inputs is '3'", "NAME=SHAPE"]),
        ("own-net", ["--inputs", "x=1x8x8", "--inputs", "x=3"], ["--inputs names 'x' more than once"]),
        ("own-net", ["--inputs", "a b=1x8x8"], ["--inputs is 'a b=1x8x8'"]),
        ("own-net", ["--inputs", "x=1x8x8", "--inputs", "y=3"], ["can't be run on 2 inputs of", "float32 [3]"]),
        ("own-net", ["--preprocessing", "scal=2"], ["--preprocessing: unknown field 'scal'"]),
        ("own-net", ["--preprocessing", "mean=1,2"], ["'mean' has 2 numbers", "1 channels"]),
        ("own-net", ["--preprocessing", "std=much"], ["--preprocessing: 'std.0' is 'much'"]),
        ("own-net", ["--weights", "nowhere.npz"], ["nowhere.npz does not exist"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else value,
)
def test_mistakes_are_a_line(run: Run, architecture: str, arguments: list[str], words: list[str]) -> None:
    """With the bad value and what is valid."""
    refused(run(architecture, *arguments), *words)


def test_a_network_of_several_inputs(run: Run, tmp_path: Path) -> None:
    """Each has a name, in the network's order, and preprocessing of its own, which a recipe states where it lacks."""
    inputs = ["--inputs", "photo=1x8x8", "--inputs", "numbers=2", "--classes", "3"]
    settings = ["--arguments", '{"filters": [8]}']
    done = run("late-fusion", *inputs, *settings)
    assert done.returncode == 0, done.stderr
    assert "float32 [n, 1, 8, 8] and float32 [n, 2] -> logits [n, 3]" in done.stdout
    assert "    photo: {scale: 255}" in done.stdout and "    numbers: {scale: 1}" in done.stdout
    stated = '{"photo": {"scale": 255}, "numbers": {"scale": 10}}'
    done = run("late-fusion", *inputs, *settings, "--preprocessing", stated, "--force")
    assert done.returncode == 0, done.stderr
    made = store.load(tmp_path / "base")
    assert [spec.name for spec in made.inputs] == ["photo", "numbers"]
    assert made.preprocessing is not None and made.preprocessing.text().startswith("photo: inputs / 255, ")
    refused(run("late-fusion", *inputs, *settings, "--preprocessing", "scale=255", "--force"), "it is of one input")
    wrong = '{"photo": {"scale": 0}, "numbers": {}}'
    refused(
        run("late-fusion", *inputs, *settings, "--preprocessing", wrong, "--force"), "'photo.scale' is 0: must be >="
    )


def test_weights_of_another_network(run: Run, saved: Path, tmp_path: Path) -> None:
    """The first names that are missing, unknown or of another shape are told in one line, and nothing is written."""
    refused(
        run("own-net", "--weights", saved / "net.pdparams"),
        "net.pdparams does not fit architecture 'own-net'",
        "body.1.weight has shape (64, 5), the network needs (64, 8)",
    )
    refused(
        run("own-net", "--weights", saved / "tied.pdparams"),
        "no weights for body.1.weight, body.1.bias, body.3.weight and 1 more",
        "weights for first.weight, first.bias, again.weight and 3 more, which the network does not have",
    )
    assert list(tmp_path.iterdir()) == []


class Bomb:
    """What a hostile pickle may hold."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (str(self.place),)


def test_a_pickle_runs_nothing(run: Run, tmp_path: Path) -> None:
    """Weights that ask for a function are refused by its name."""
    file = tmp_path / "evil.pdparams"
    file.write_bytes(pickle.dumps({"body.1.bias": np.zeros(8, np.float32), "body.1.weight": Bomb(tmp_path / "ran")}))
    refused(run("own-net", "--weights", file), "evil.pdparams is refused: it asks for posix.mkdir")
    assert [path.name for path in tmp_path.iterdir()] == ["evil.pdparams"]


def test_what_is_no_model_is_never_replaced(run: Run, tmp_path: Path) -> None:
    """Not even with --force: it might be anybody's folder."""
    (tmp_path / "base").mkdir()
    (tmp_path / "base" / "thesis.txt").write_text("years of work")
    refused(run("own-net", "--force"), "base is something else than a model artifact")
    assert (tmp_path / "base" / "thesis.txt").read_text() == "years of work"


def test_a_network_that_can_not_be_deployed(run: Run) -> None:
    """It fails, which is no mistake in what was typed."""
    refused(run("own-undeployable"), "erfinv", code=1)


def test_the_readme_shows_it(tmp_path: Path) -> None:
    """What the README says of a network of one's own: a class, two lines of a project, one command, a recipe."""
    text = README.read_text(encoding="utf-8")
    part = text[text.index("## Your own model") :]
    part = part[: part.index("\n## ", 3)]
    blocks = re.findall(r"^```(\w*)\n(.*?)^```", part, re.DOTALL | re.MULTILINE)
    (network,) = (code for kind, code in blocks if kind == "python" and "(nn.Layer)" in code)
    (project,) = (code for kind, code in blocks if kind == "toml" and "[project]" in code)
    (commands,) = (code for _, code in blocks if "paddlepress import" in code)
    (tmp_path / "my_network.py").write_text(network)
    (tmp_path / "pyproject.toml").write_text(project)
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "site")}
    # In place of `pip install -e .`, so that the environment that the tests run in stays as it is.
    pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-build-isolation", "--target", "site", "."]
    code = "import paddle, my_network; paddle.save(my_network.Net(64).state_dict(), 'trained.pdparams')"
    install, *imports = commands.replace("\\\n", " ").splitlines()
    assert install.startswith("pip install -e .")
    (words,) = (line.partition("  #")[0].split() for line in imports)
    assert words.pop(0) == "paddlepress"
    for command in (pip, [sys.executable, "-c", code], [*cli.COMMAND, *words]):
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    assert store.manifests.read(tmp_path / "my-model").architecture.name == "my-network"
    assert done.stdout.endswith("base: {artifact: my-model}\n")
