import functools
import hashlib
import io
import json
import os
import pickle
import pkgutil
import socket
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from perception.core.errors import RequestError
from perception.models import registry, weights

HTML = b"<!DOCTYPE html>\n<html><head><title>Not Found</title></head></html>" * 50


class Bomb:
    """What a malicious .pt holds: loading it runs a command."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (os.system, (f"touch {self.canary}",))


def zipped(payload: bytes) -> bytes:
    """The bytes of a file as torch.save lays it out: a zip that holds a pickle."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("archive/data.pkl", payload)
        archive.writestr("archive/data/0", bytes(5000))
    return file.getvalue()


GOOD = zipped(pickle.dumps({"weight": [1.0, 2.0]}))


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every attempt to reach the network, which fails."""
    calls: list[str] = []

    def refuse(*_: object, **__: object) -> None:
        calls.append("call")
        raise OSError("this test is offline")

    for name in ("socket", "create_connection", "getaddrinfo", "gethostbyname"):
        monkeypatch.setattr(socket, name, refuse)
    return calls


def saved(folder: Path, name: str, contents: bytes) -> Path:
    path = folder / name
    path.write_bytes(contents)
    return path


def known(monkeypatch: pytest.MonkeyPatch, contents: bytes, url: str = "") -> weights.KnownWeights:
    """Put one made-up file into the table."""
    entry = replace(
        weights.KNOWN[0],
        name="toy",
        file_name="toy.pt",
        url=url,
        sha256=hashlib.sha256(contents).hexdigest(),
        size_bytes=len(contents),
    )
    monkeypatch.setattr(weights.catalogue, "KNOWN", (entry,))
    return entry


def test_the_table_is_whole() -> None:
    for entry in weights.KNOWN:
        assert len(entry.sha256) == 64 and set(entry.sha256) <= set("0123456789abcdef")
        assert entry.size_bytes > 1_000_000
        assert entry.file_name == Path(entry.file_name).name
        assert entry.url == "" or entry.url.startswith("https://")
        assert entry.url == "" or entry.url.endswith("/" + entry.file_name)
        assert (entry.url == "") == (entry.name in weights.RECIPES)
        assert entry.licence and entry.note.endswith(".")
        assert weights.by_name(entry.name) is entry
    assert len({entry.name for entry in weights.KNOWN}) == len(weights.KNOWN)
    assert len({entry.sha256 for entry in weights.KNOWN}) == len(weights.KNOWN)
    for recipe in weights.RECIPES.values():
        assert recipe.url.startswith("https://") and len(recipe.sha256) == 64
        assert callable(pkgutil.resolve_name(recipe.converter))
    for name, other in weights.FALLBACKS.items():
        first, second = weights.by_name(name), weights.by_name(other)
        assert (first.file_name, first.kind) == (second.file_name, second.kind)
    for entry in weights.KNOWN:  # SAM's file names begin with their own hash: sam_vit_b_01ec64 ...
        if entry.file_name.startswith("sam_vit"):
            assert entry.licence == "Apache-2.0"
        if entry.kind == "detector":
            assert entry.licence.startswith("AGPL")


@pytest.mark.parametrize("contents", [b"", b"x", bytes(3_000_000)])
def test_a_hash_is_that_of_the_whole_file(tmp_path: Path, contents: bytes) -> None:
    path = saved(tmp_path, "any.pt", contents)
    assert weights.sha256_of(path) == hashlib.sha256(contents).hexdigest()


def test_a_file_is_known_by_its_contents_not_by_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = known(monkeypatch, GOOD)
    assert weights.identify(saved(tmp_path, "renamed.pt", GOOD)) is entry
    assert weights.identify(saved(tmp_path, "toy.pt", GOOD + b" ")) is None


@pytest.mark.parametrize("name", ["mobile_sam.pt", "sam_vit_b_01ec64.pth", "yolo11n.pt"])
def test_missing_weights_tell_path_hash_and_command_without_a_network_call(
    tmp_path: Path, no_network: list[str], name: str
) -> None:
    entry = next(entry for entry in weights.KNOWN if entry.file_name == name)
    for ask in (weights.check, functools.partial(weights.require_trusted_pickle, trust=True)):
        with pytest.raises(RequestError) as caught:
            ask(tmp_path / name)
        assert caught.value.code == "weights.missing"
        assert str(tmp_path / name) in caught.value.message
        assert entry.sha256 in caught.value.message
        assert f"perception weights pull {entry.name}`" in caught.value.message
    assert no_network == []


def test_a_missing_file_of_an_unknown_name_says_what_there_is(
    tmp_path: Path, no_network: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for path in (Path("mine.pt"), tmp_path):  # a folder is no weights file
        with pytest.raises(RequestError, match=r"weights\.missing") as caught:
            weights.check(path)
        assert str(tmp_path) in caught.value.message  # absolute, whatever was given
        assert "mobile_sam" in caught.value.message
    assert no_network == []


@pytest.mark.parametrize(
    ("contents", "fault"),
    [
        (HTML, "web page"),
        (b"\n  <html></html>", "web page"),
        (b"<?xml version='1.0'?><Error/>", "web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:6dbb\n", "LFS"),
        (b"", "neither"),
        (b"404: Not Found", "neither"),
        (b"\x80", "neither"),
        (GOOD[:3000], "cut off"),
        (GOOD[:-1], "cut off"),
        (b"PK\x03\x04", "cut off"),
    ],
)
@pytest.mark.parametrize("name", ["mobile_sam.pt", "yolov8n.pt", "mine.pt"])
def test_what_is_no_weights_file_is_refused(
    tmp_path: Path, name: str, contents: bytes, fault: str
) -> None:
    path = saved(tmp_path, name, contents)
    for ask in (weights.check, functools.partial(weights.require_trusted_pickle, trust=True)):
        with pytest.raises(RequestError, match=fault) as caught:
            ask(path)
        assert caught.value.code == "weights.corrupt"
        assert hashlib.sha256(contents).hexdigest() in caught.value.message
        assert "perception weights pull" in caught.value.message


def test_a_flipped_byte_under_a_published_name_is_refused(tmp_path: Path) -> None:
    damaged = bytearray(GOOD)
    damaged[GOOD.index(b"weight") + 2] ^= 1
    with pytest.raises(RequestError, match=r"weights\.corrupt.*damaged contents"):
        weights.check(saved(tmp_path, "mobile_sam.pt", bytes(damaged)))


@pytest.mark.parametrize(
    ("name", "contents"),
    [
        ("mine.pt", GOOD),
        ("mobile_sam.pt", GOOD),  # fine-tuned under the old name: a state dict is only data
        ("legacy.pth", pickle.dumps(0x1950A86A20F9469CFC6C, protocol=2)),
        ("mine.onnx", b"\x08\x08\x12\x07pytorch"),
    ],
)
def test_weights_of_ones_own_pass_with_their_hash(
    tmp_path: Path, name: str, contents: bytes
) -> None:
    assert weights.check(saved(tmp_path, name, contents)) == hashlib.sha256(contents).hexdigest()


def test_onnx_bytes_under_a_pickles_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=r"weights\.corrupt"):
        weights.check(saved(tmp_path, "mine.pt", b"\x08\x08\x12\x07pytorch"))


@pytest.mark.parametrize("name", ["yolov8n.pt", "best.pt"])
@pytest.mark.parametrize("layout", ["zip", "pickle"])
def test_a_malicious_pickle_is_refused_before_anything_loads_it(
    tmp_path: Path, name: str, layout: str
) -> None:
    canary = tmp_path / "canary"
    payload = pickle.dumps(Bomb(canary))
    path = saved(tmp_path, name, zipped(payload) if layout == "zip" else payload)
    with pytest.raises(RequestError) as caught:
        weights.require_trusted_pickle(path, trust=False)
    assert caught.value.code == "weights.untrusted"
    assert weights.sha256_of(path) in caught.value.message
    assert "--trust-weights" in caught.value.message and "is code" in caught.value.message
    weights.require_trusted_pickle(path, trust=True)  # a person vouches: still nothing is loaded
    assert not canary.exists()


def test_a_published_pickle_is_trusted_under_any_name_until_a_byte_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known(monkeypatch, GOOD)
    weights.require_trusted_pickle(saved(tmp_path, "renamed.pt", GOOD), trust=False)
    other = zipped(pickle.dumps({"weight": [1.0, 2.5]}))
    with pytest.raises(RequestError, match=r"weights\.untrusted"):
        weights.require_trusted_pickle(saved(tmp_path, "toy.pt", other), trust=False)


@pytest.fixture
def target(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "weights"


def test_pulled_weights_are_whole_and_a_second_pull_asks_nobody(
    server: tuple[Path, str], target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved(server[0], "toy.pt", GOOD)
    known(monkeypatch, GOOD, f"{server[1]}/toy.pt")
    path = weights.pull("toy", target)
    assert path == target / "toy.pt" and path.read_bytes() == GOOD
    assert weights.check(path) == weights.by_name("toy").sha256
    (server[0] / "toy.pt").unlink()
    assert weights.pull("toy", target) == path


def test_a_download_with_another_hash_leaves_nothing_behind(
    server: tuple[Path, str], target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved(server[0], "toy.pt", HTML)
    known(monkeypatch, GOOD, f"{server[1]}/toy.pt")
    with pytest.raises(RequestError, match=r"weights\.corrupt") as caught:
        weights.pull("toy", target)
    assert hashlib.sha256(GOOD).hexdigest() in caught.value.message
    assert list(target.iterdir()) == []


def test_a_server_that_does_not_answer_leaves_nothing_behind(
    server: tuple[Path, str], target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known(monkeypatch, GOOD, f"{server[1]}/toy.pt")  # 404
    with pytest.raises(RequestError, match=r"weights\.unreachable") as caught:
        weights.pull("toy", target)
    assert str(target / "toy.pt") in caught.value.message
    assert list(target.iterdir()) == []


def test_a_file_of_ones_own_is_never_replaced_by_a_download(
    server: tuple[Path, str], target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known(monkeypatch, GOOD, f"{server[1]}/toy.pt")
    target.mkdir()
    mine = saved(target, "toy.pt", b"my own")
    with pytest.raises(RequestError, match=r"weights\.exists"):
        weights.pull("toy", target)
    assert mine.read_bytes() == b"my own"


def test_what_cannot_be_pulled_says_why(tmp_path: Path, no_network: list[str]) -> None:
    with pytest.raises(RequestError, match=r"weights\.unknown.*mobile_sam, "):
        weights.pull("yolo99", tmp_path)
    assert no_network == []


def copy_first_half(package: Path, target: Path) -> None:
    """Stand in for a converter: the weights are the first half of the package."""
    data = package.read_bytes()
    target.write_bytes(data[: len(data) // 2])


@pytest.fixture
def with_fallback(
    server: tuple[Path, str], monkeypatch: pytest.MonkeyPatch
) -> tuple[Path, weights.KnownWeights]:
    """`toy`, which its publisher does not serve, and `toy_packed`, made of a package."""
    package = GOOD + GOOD
    toy = known(monkeypatch, HTML, f"{server[1]}/toy.pt")  # 404
    packed = replace(toy, name="toy_packed", url="", sha256=hashlib.sha256(GOOD).hexdigest())
    recipe = weights.Recipe(
        url=f"{server[1]}/toy-1.tgz",
        sha256=hashlib.sha256(package).hexdigest(),
        converter=f"{__name__}:copy_first_half",
    )
    monkeypatch.setattr(weights.catalogue, "KNOWN", (toy, packed))
    monkeypatch.setattr(weights.catalogue, "RECIPES", {"toy_packed": recipe})
    monkeypatch.setattr(weights.catalogue, "FALLBACKS", {"toy": "toy_packed"})
    saved(server[0], "toy-1.tgz", package)
    return server[0], packed


def test_weights_that_their_publisher_does_not_serve_come_from_the_fallback(
    with_fallback: tuple[Path, weights.KnownWeights], target: Path
) -> None:
    path = weights.pull("toy", target)
    assert path.read_bytes() == GOOD and weights.identify(path) == with_fallback[1]
    assert list(target.iterdir()) == [path]  # the package is gone
    (with_fallback[0] / "toy-1.tgz").unlink()
    assert weights.pull("toy", target) == path  # what is there is the fallback's: fine


def test_a_damaged_package_is_not_converted_and_both_failures_are_told(
    with_fallback: tuple[Path, weights.KnownWeights], target: Path
) -> None:
    saved(with_fallback[0], "toy-1.tgz", GOOD)
    with pytest.raises(RequestError, match=r"weights\.corrupt") as caught:
        weights.pull("toy", target)
    assert "/toy.pt" in caught.value.message and "toy-1.tgz" in caught.value.message
    assert str(target / "toy.pt") in caught.value.message
    assert not (target / "toy.pt").exists()


def test_without_the_extra_one_sentence_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pooch", None)
    with pytest.raises(RequestError, match=r"extra\.missing") as caught:
        weights.pull("mobile_sam", tmp_path)
    assert "pip install 'driving-perception[weights]'" in caught.value.message


SHA256 = hashlib.sha256(b"mine").hexdigest()


@pytest.mark.parametrize(
    ("card", "licence"),
    [
        ({"licence": "AGPL-3.0-only", "sha256": {"best.onnx": SHA256}}, "AGPL-3.0-only"),
        ({"licence": "AGPL-3.0-only", "sha256": {"best.onnx": "of other weights"}}, "unknown"),
        ({"licence": "a\nb", "sha256": {"best.onnx": SHA256}}, "unknown"),
        ({"licence": "A" * 101, "sha256": {"best.onnx": SHA256}}, "unknown"),
        ({"licence": ["MIT"], "sha256": {"best.onnx": SHA256}}, "unknown"),
        ({"licence": "MIT", "sha256": SHA256}, "unknown"),
        ({"licence": "MIT", "sha256": {"best.onnx": SHA256}, "pad": "x" * (1 << 20)}, "unknown"),
        ([], "unknown"),
        (None, "unknown"),
    ],
)
def test_weights_that_we_trained_have_the_licence_of_the_card_that_names_them(
    tmp_path: Path, card: object, licence: str
) -> None:
    if card is not None:
        (tmp_path / "card.json").write_text(json.dumps(card))
    path = saved(tmp_path, "best.onnx", b"mine")
    assert weights.licence_of(path, SHA256) == licence


def test_the_pocket_detector_states_its_licence() -> None:
    pocket = Path(__file__).parents[2] / "datasets" / "pocket" / "pocket.onnx"
    assert registry.choose_detector(str(pocket), False).spec.licence == "AGPL-3.0-only"


def field(number: int, content: bytes) -> bytes:
    """A field as protobuf has it: number and kind, length, content."""
    size = len(content)
    length = bytes([size & 0x7F | 0x80, size >> 7]) if size > 127 else bytes([size])
    return bytes([number << 3 | 2]) + length + content


def onnx_bytes(*pairs: tuple[str, str]) -> bytes:
    """A graph of 300 bytes, and key-value pairs behind it."""
    entries = (field(1, key.encode()) + field(2, value.encode()) for key, value in pairs)
    return b"\x08\x0a" + field(7, bytes(300)) + b"".join(field(14, entry) for entry in entries)


@pytest.mark.parametrize("pairs", [(), (("task", "segment"), ("names", "{0: 'car'}"))])
def test_the_metadata_of_an_onnx_file_are_read_past_its_graph(
    tmp_path: Path, pairs: tuple[tuple[str, str], ...]
) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(onnx_bytes(*pairs))
    assert weights.onnx_metadata(path) == dict(pairs)


@pytest.mark.parametrize("content", [b"<html>", onnx_bytes(("task", "detect"))[:-3], b"\x3a\xff"])
def test_metadata_of_a_damaged_file_are_a_clear_error(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    with pytest.raises(RequestError, match=r"weights\.invalid: .*model\.onnx: is no ONNX file"):
        weights.onnx_metadata(path)


@pytest.mark.parametrize(("task", "fine"), [("segment", True), ("detect", False)])
def test_an_onnx_segmenter_is_told_by_its_metadata_not_its_name(
    tmp_path: Path, task: str, fine: bool
) -> None:
    path = tmp_path / "any.onnx"
    path.write_bytes(onnx_bytes(("task", task)))
    if fine:
        assert registry.choose_segmenter(str(path)).spec.kind == "yolo-seg"
    else:
        with pytest.raises(RequestError, match=r"says task detect, expected segment"):
            registry.choose_segmenter(str(path))


def with_external_data(folder: Path, location: str = "det.onnx.data", data: bytes = b"1") -> Path:
    """A model whose one tensor lies in another file: graph.initializer.external_data."""
    entry = field(1, b"location") + field(2, location.encode())
    saved(folder, "det.onnx.data", data)
    return saved(folder, "det.onnx", b"\x08\x0a" + field(7, field(5, field(13, entry))))


def test_the_digest_covers_tensors_in_files_beside_the_model(tmp_path: Path) -> None:
    path = with_external_data(tmp_path)
    first = weights.check(path)
    assert first != weights.sha256_of(path)
    with_external_data(tmp_path, data=b"2")
    assert weights.check(path) != first
    with_external_data(tmp_path)
    assert weights.check(path) == first


@pytest.mark.parametrize(
    ("location", "code"),
    [
        ("other.data", "weights.missing"),
        ("../det.onnx.data", "weights.invalid"),
        ("/det.onnx.data", "weights.invalid"),
        ("..\\det.onnx.data", "weights.invalid"),
        ("", "weights.invalid"),
    ],
)
def test_tensors_that_lie_elsewhere_or_nowhere_are_refused(
    tmp_path: Path, location: str, code: str
) -> None:
    with pytest.raises(RequestError, match=rf"{code}: .*det\.onnx: keeps") as caught:
        weights.check(with_external_data(tmp_path, location))
    assert caught.value.code == code


def test_tensors_in_a_branch_of_a_branch_are_found(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    tensor = onnx.TensorProto(name="w", data_type=1, dims=[1], data_location=1)
    tensor.external_data.add(key="location", value="deep.bin")
    graph = onnx.helper.make_graph([], "inner", [], [], [tensor])
    for _ in range(2):
        node = onnx.helper.make_node("If", ["c"], ["y"], then_branch=graph)
        graph = onnx.helper.make_graph([node], "outer", [], [])
    with_scale = onnx.helper.make_node("LeakyRelu", ["x"], ["z"], alpha=0.1)  # a fixed32 field
    graph.node.append(with_scale)
    model = onnx.helper.make_model(graph)
    parts = weights.onnx_parts(saved(tmp_path, "m.onnx", model.SerializeToString()))
    assert parts.locations == ("deep.bin",) and parts.operators == {"If", "LeakyRelu"}


def test_graphs_without_end_are_refused(tmp_path: Path) -> None:
    content = b""
    for number in [6, 5, 1] * 60:  # a graph in an attribute of a node
        content = field(number, content)
    path = saved(tmp_path, "deep.onnx", b"\x08\x0a" + field(7, content))
    with pytest.raises(RequestError, match=r"weights\.invalid.*deep in each other"):
        weights.check(path)


def test_weights_by_name_are_fetched_once_and_told_before(
    server: tuple[Path, str], target: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    saved(server[0], "toy.pt", GOOD)
    toy, told = known(monkeypatch, GOOD, f"{server[1]}/toy.pt"), list[str]()
    kept = tmp_path / "cache" / "driving-perception" / "weights" / "toy.pt"
    match = r"weights\.missing: toy: .*nothing is fetched with --offline"
    with pytest.raises(RequestError, match=match):
        weights.path_of("toy", told.append, offline=True)
    assert told == [] and not kept.exists()
    assert weights.path_of("toy", told.append) == str(kept) and kept.read_bytes() == GOOD
    (sentence,) = told
    for fact in (
        "once",
        f"{toy.size_bytes / 1e6:.1f} MB",
        toy.licence,
        toy.sha256[:12],
        str(server[1]),
    ):
        assert fact in sentence
    (server[0] / "toy.pt").unlink()
    assert weights.path_of("toy", told.append, offline=True) == str(kept) and len(told) == 1


def test_a_path_is_no_name_and_a_file_of_that_name_wins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_network: list[str]
) -> None:
    known(monkeypatch, GOOD, "http://127.0.0.1:9/toy.pt")
    monkeypatch.chdir(tmp_path)
    for text in ("toy.pt", "elsewhere/toy", "grabcut", ""):
        assert weights.path_of(text, pytest.fail) == text
    saved(tmp_path, "toy", GOOD)
    assert weights.path_of("toy", pytest.fail) == "toy" and no_network == []


def test_without_a_cache_a_name_is_refused_with_what_to_do(
    monkeypatch: pytest.MonkeyPatch, no_network: list[str]
) -> None:
    known(monkeypatch, GOOD, "http://127.0.0.1:9/toy.pt")
    monkeypatch.setenv("PERCEPTION_CACHE", "off")
    with pytest.raises(RequestError, match=r"perception weights pull toy"):
        weights.path_of("toy", pytest.fail)
    assert no_network == []
