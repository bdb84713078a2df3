"""The documents of a published version: what people, model servers and auditors read."""

from __future__ import annotations

import json
from pathlib import Path

import onnx
import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format
from onnx import TensorProto, helper

from paddlepress.core.errors import ArtifactError, VerificationFailed
from paddlepress.core.files import sha256_of
from paddlepress.publishing import checksums, contents, manifest, triton
from paddlepress.publishing.facts import VersionFacts, gather
from paddlepress.registry.catalogue import Row
from paddlepress.registry.fetching import fetch_deployable, version_of
from tests.shared.publishing.conftest import BASE, STUDENT
from tests.shared.registry.conftest import NAME, Registry


def _made(registry: Registry, version: int, folder: Path) -> tuple[VersionFacts, Path]:
    row = version_of(registry.client, NAME, str(version))
    (folder / "registry").mkdir(parents=True)
    deployable = fetch_deployable(registry.client, NAME, version, folder / "registry")
    facts = gather(registry.client, NAME, row, deployable)
    contents.make(facts, deployable, folder / "version")
    return facts, folder / "version"


@pytest.fixture(scope="module")
def student(registry: Registry, tmp_path_factory: pytest.TempPathFactory) -> tuple[VersionFacts, Path]:
    """The student's files, as they are published."""
    return _made(registry, STUDENT, tmp_path_factory.mktemp("student"))


def test_the_same_version_has_the_same_bytes(
    registry: Registry, student: tuple[VersionFacts, Path], tmp_path: Path
) -> None:
    """Whoever publishes it and whenever, so that publishing again can tell that it is the same."""
    assert checksums.of_folder(_made(registry, STUDENT, tmp_path)[1]) == checksums.of_folder(student[1])


def test_the_bill_of_materials_is_valid(student: tuple[VersionFacts, Path]) -> None:
    """By the schema of CycloneDX 1.6; it names the model, its base, its data, what made it, and every file."""
    facts, folder = student
    text = (folder / manifest.BILL_OF_MATERIALS).read_text()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    bom = json.loads(text)
    model = bom["metadata"]["component"]
    assert (model["type"], model["name"], model["version"]) == ("machine-learning-model", NAME, str(STUDENT))
    assert model["hashes"] == [{"alg": "SHA-256", "content": facts.row.model_digest}]
    assert model["pedigree"]["ancestors"][0]["hashes"][0]["content"] == facts.row.base_digest
    card = model["modelCard"]
    assert card["modelParameters"]["modelArchitecture"] == "lenet-half"
    assert card["modelParameters"]["inputs"] == [{"format": "image: uint8 [batch, 1, 8, 8]"}]
    measured = {each["type"]: float(each["value"]) for each in card["quantitativeAnalysis"]["performanceMetrics"]}
    assert measured == facts.row.metrics
    assert card["considerations"]["technicalLimitations"] == ["peak_memory_mib was not measured: not asked for"]
    parts = {part["name"]: part for part in bom["components"]}
    assert {"training data", "test data", "paddlepress"} <= parts.keys()
    onnx_file = f"repository/{NAME}/1/model.onnx"
    assert parts[onnx_file]["hashes"][0]["content"] == sha256_of(folder / onnx_file)


def test_the_card_tells_what_the_registry_knows(
    registry: Registry, student: tuple[VersionFacts, Path], tmp_path: Path
) -> None:
    """What it is, data, figures beside the base's, gates, lineage; of a version that was never promoted, that."""
    card = (student[1] / manifest.MODEL_CARD).read_text()
    for text in (
        f"# {NAME}, version {STUDENT}",
        "Champion since",
        "takes `image`: uint8 [batch, 1, 8, 8]",
        "gives `logits`: float32 [batch, 10]",
        "classes: 0, 1, 2, 3, 4, 5, 6, 7, 8, 9",
        "| figure | this model | base model |",
        "peak\\_memory\\_mib was not measured: not asked for",
        "is at least 10",
        "1. `train`, paddlepress 0, seed 1 (epochs: 1)",
        student[0].row.model_digest,
    ):
        assert text in card
    accuracy = next(line for line in card.splitlines() if line.startswith("| Accuracy"))
    assert f"{student[0].row.metrics['accuracy']:.2f}" in accuracy
    base = (_made(registry, BASE, tmp_path)[1] / manifest.MODEL_CARD).read_text()
    assert "never promoted" in base and "No gate judged it." in base


def test_names_that_markdown_would_read_stay_as_they_are(student: tuple[VersionFacts, Path]) -> None:
    """A reason with bars and stars breaks no table and no line."""
    from paddlepress.publishing.model_card import model_card

    facts = student[0]
    row = facts.row.model_copy(update={"missing": {"accuracy": "a|b *c*\n# d"}})
    card = model_card(VersionFacts(facts.name, row, facts.model))
    assert r"a\|b \*c\* \# d" in card


def test_the_manifest_is_that_of_its_version(student: tuple[VersionFacts, Path]) -> None:
    """It reads back, and is refused for another version, with other checksums, and damaged."""
    facts, folder = student
    data = (folder / manifest.FILE).read_bytes()
    sums = {path: digest for path, digest in checksums.of_folder(folder).items() if path != checksums.FILE}
    found = manifest.read(data, "s3://b/manifest.json", NAME, STUDENT, sums)
    assert (found.variant, found.model_digest, found.metrics) == ("student", facts.row.model_digest, facts.row.metrics)
    assert found.gates and found.lineage[0] == facts.model.lineage[0].model_dump(mode="json")
    for text, version, digests, message in (
        (
            data,
            3,
            sums,
            "s3://b/manifest.json is that of version 2 of 'digits', which was put in the place of version 3",
        ),
        (data, STUDENT, {**sums, "x": "0" * 64}, "names other files than SHA256SUMS"),
        (data.replace(b"student", b"Student"), STUDENT, sums, "s3://b/manifest.json does not match its own seal"),
        (data[:-9], STUDENT, sums, "s3://b/manifest.json is damaged: it is not JSON"),
        (b'{"format_version": 9}', STUDENT, sums, "has format version 9; this paddlepress reads up to 1"),
    ):
        with pytest.raises(VerificationFailed) as caught:
            manifest.read(text, "s3://b/manifest.json", NAME, version, digests)
        assert message in str(caught.value)


def test_checksums_name_files_of_their_folder_alone() -> None:
    """Once each, whole lines; anything else is damage."""
    digest = "0" * 64
    assert checksums.parse(f"{digest}  a/b.c\n".encode(), "sums") == {"a/b.c": digest}
    for text in (
        "",
        "\n",
        f"{digest}  a",
        f"{digest} a\n",
        f"{digest}  ../a\n",
        f"{digest}  /a\n",
        f"{digest}  a//b\n",
        f"{digest}  a/../b\n",
        f"{digest}  .hidden\n",
        f"{digest}  a\n{digest}  a\n",
        f"{digest[1:]}  a\n",
        f"{digest}  a\r\n",
        f"{digest}  \u00e4\n",
    ):
        with pytest.raises(VerificationFailed, match="sums is damaged"):
            checksums.parse(text.encode(), "sums")
    with pytest.raises(VerificationFailed, match="sums is damaged"):
        checksums.parse(b"\xff" * 80, "sums")


def _parsed(text: str) -> object:
    """A model configuration read by protobuf, with the fields of Triton's `model_config.proto` that matter here."""
    label = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="config.proto", syntax="proto3")
    kinds = file.enum_type.add(name="DataType")
    for number, name in enumerate(
        [
            "INVALID",
            "BOOL",
            "UINT8",
            "UINT16",
            "UINT32",
            "UINT64",
            "INT8",
            "INT16",
            "INT32",
            "INT64",
            "FP16",
            "FP32",
            "FP64",
            "STRING",
            "BF16",
        ]
    ):
        kinds.value.add(name=f"TYPE_{name}", number=number)
    reshape = file.message_type.add(name="Reshape")
    reshape.field.add(name="shape", number=1, type=label.TYPE_INT64, label=label.LABEL_REPEATED)
    tensor = file.message_type.add(name="Tensor")
    tensor.field.add(name="name", number=1, type=label.TYPE_STRING, label=label.LABEL_OPTIONAL)
    tensor.field.add(
        name="data_type", number=2, type=label.TYPE_ENUM, type_name=".DataType", label=label.LABEL_OPTIONAL
    )
    tensor.field.add(name="dims", number=3, type=label.TYPE_INT64, label=label.LABEL_REPEATED)
    tensor.field.add(
        name="reshape", number=5, type=label.TYPE_MESSAGE, type_name=".Reshape", label=label.LABEL_OPTIONAL
    )
    file.message_type.add(name="Batching")
    config = file.message_type.add(name="Config")
    config.field.add(name="name", number=1, type=label.TYPE_STRING, label=label.LABEL_OPTIONAL)
    config.field.add(name="backend", number=17, type=label.TYPE_STRING, label=label.LABEL_OPTIONAL)
    config.field.add(name="max_batch_size", number=4, type=label.TYPE_INT32, label=label.LABEL_OPTIONAL)
    for name, number in (("input", 5), ("output", 6)):
        config.field.add(
            name=name, number=number, type=label.TYPE_MESSAGE, type_name=".Tensor", label=label.LABEL_REPEATED
        )
    config.field.add(
        name="dynamic_batching", number=11, type=label.TYPE_MESSAGE, type_name=".Batching", label=label.LABEL_OPTIONAL
    )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    found = message_factory.GetMessageClass(pool.FindMessageTypeByName("Config"))()
    return text_format.Parse(text, found)


def test_triton_is_told_what_goes_in_and_out(student: tuple[VersionFacts, Path]) -> None:
    """In the text form of protobuf: names, types, and shapes without the batch."""
    config: object = _parsed((student[1] / "repository" / NAME / triton.FILE).read_text())
    told = [
        (each.name, each.data_type, list(each.dims))  # type: ignore[attr-defined]
        for each in (*config.input, *config.output)  # type: ignore[attr-defined]
    ]
    assert told == [("image", 2, [1, 8, 8]), ("logits", 11, [10])]
    assert (config.name, config.backend, config.max_batch_size) == (NAME, "onnxruntime", 64)  # type: ignore[attr-defined]


def test_triton_takes_numbers_and_free_sizes(tmp_path: Path) -> None:
    """One number an example is reshaped; a free size is -1; a type that it does not know is refused."""

    def save(kind: int) -> Path:
        inputs = [
            helper.make_tensor_value_info("age", TensorProto.FLOAT, ["batch"]),
            helper.make_tensor_value_info("text", kind, ["batch", "length", 3]),
        ]
        graph = helper.make_graph([], "g", inputs, [])
        onnx.save(helper.make_model(graph), tmp_path / "model.onnx")
        return tmp_path / "model.onnx"

    config: object = _parsed(triton.config("two", save(TensorProto.INT64)))
    age, text = config.input  # type: ignore[attr-defined]
    assert list(age.dims) == [1] and age.HasField("reshape") and not age.reshape.shape
    assert list(text.dims) == [-1, 3] and not text.HasField("reshape")
    with pytest.raises(ArtifactError, match="Triton has no type for input 'text'"):
        triton.config("two", save(TensorProto.COMPLEX64))


def test_facts_of_a_version_whose_evaluation_is_gone(registry: Registry, tmp_path: Path) -> None:
    """The card is made of what is left."""
    row: Row = version_of(registry.client, NAME, str(STUDENT)).model_copy(update={"run_id": "0" * 32})
    deployable = fetch_deployable(registry.client, NAME, STUDENT, tmp_path)
    facts = gather(registry.client, NAME, row, deployable)
    assert facts.evaluation is None
    contents.make(facts, deployable, tmp_path / "version")
    assert "Accuracy" in (tmp_path / "version" / manifest.MODEL_CARD).read_text()
