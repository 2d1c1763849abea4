import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from perception.core import masks as rle
from perception.core.errors import RequestError, SampleError
from perception.core.ontology import Target
from perception.core.types import PictureLabels, SampleLabels, Status
from perception.formats import cutouts
from perception.io.pictures import Pictures

ACCEPTED = frozenset({Status.ACCEPTED})
Picture = Callable[..., PictureLabels]
Sample = Callable[..., SampleLabels]
Block = Callable[..., np.ndarray]
HOSTILE = "<b>&\"'.png"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    pixels = np.random.default_rng(0).integers(1, 255, (20, 30, 3), np.uint8)
    (tmp_path / "images").mkdir()
    for name in ("a.png", HOSTILE):
        assert cv2.imwrite(str(tmp_path / "images" / name), pixels)
    return tmp_path / "images"


def test_pillow_and_we_see_the_object_and_nothing_beside_it(
    tmp_path: Path, root: Path, picture: Picture, sample: Sample, block: Block, target: Target
) -> None:
    image = pytest.importorskip("PIL.Image")
    ring = block(10, 5, 20, 15) & ~block(13, 8, 17, 12)
    front = picture([ring, block(1, 2, 5, 4), block(0, 18, 1, 19)], [6, 1, 7], [0, 0, 1])
    odd = picture([block(0, 0, 2, 1)], file_name=HOSTILE, first_id=9)
    out = tmp_path / "out"
    summary = cutouts.write(
        [sample(front), sample(odd, id="s2")],
        out,
        target,
        statuses=ACCEPTED,
        pictures=Pictures(root),
    )
    assert (summary.labels, summary.left_out) == (3, (("review", 1),))
    files = sorted(str(path.relative_to(out)) for path in out.rglob("*.png"))
    assert files == ["cutouts/24/000001.png", "cutouts/26/000000.png", "cutouts/26/000002.png"]
    with image.open(out / files[1]) as opened:
        assert opened.mode == "RGBA"
        pixels = np.array(opened)
    np.testing.assert_array_equal(pixels[..., 3], np.where(ring[5:15, 10:20], 255, 0))
    source = cv2.cvtColor(cv2.imread(str(root / "a.png")), cv2.COLOR_BGR2RGB)
    np.testing.assert_array_equal(pixels[..., :3][ring[5:15, 10:20]], source[ring])
    assert not pixels[..., :3][~ring[5:15, 10:20]].any()

    first, second = cutouts.read(out)
    assert (first.file_name, second.file_name) == ("a.png", HOSTILE)
    assert first.objects.class_names == ("car", "person")
    assert first.objects.instance_ids.tolist() == [1, 2]
    assert second.objects.instance_ids.tolist() == [9]
    np.testing.assert_array_equal(first.objects.scores, front.instances.scores[:2])
    np.testing.assert_array_equal(rle.decode_one(first.objects.masks, 0), ring)


def test_no_labels_no_files(
    tmp_path: Path, root: Path, picture: Picture, sample: Sample, target: Target
) -> None:
    out = tmp_path / "out"
    cutouts.write([sample(picture())], out, target, statuses=ACCEPTED, pictures=Pictures(root))
    (found,) = cutouts.read(out)
    assert len(found.objects) == 0 and [p.name for p in out.rglob("*")] == ["index.json"]


def test_a_picture_that_changed_is_refused(
    tmp_path: Path, root: Path, picture: Picture, sample: Sample, block: Block, target: Target
) -> None:
    def write(**options: object) -> None:
        labels = picture([block(0, 0, 2, 2)], **options)
        cutouts.write(
            [sample(labels)], tmp_path / "o", target, statuses=ACCEPTED, pictures=Pictures(root)
        )

    with pytest.raises(RequestError, match=r"io\.not_found"):
        write(file_name="gone.png")
    (root / "out.png").symlink_to("/etc/passwd")
    with pytest.raises(RequestError, match=r"path\.outside_root"):
        write(file_name="out.png")
    cv2.imwrite(str(root / "a.png"), np.zeros((21, 30, 3), np.uint8))
    with pytest.raises(RequestError, match=r"size\.mismatch.*restore"):
        write()


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"file": "../../x.png"}, "path.outside_root"),
        ({"file": "gone.png"}, "io.not_found"),
        ({"mask_xyxy": [0, 0, 1, 1]}, "size.mismatch"),
        ({"instance_id": "x"}, "cutouts.invalid"),
    ],
)
def test_an_index_that_lies_is_refused(
    tmp_path: Path,
    root: Path,
    picture: Picture,
    sample: Sample,
    block: Block,
    target: Target,
    change: dict[str, object],
    code: str,
) -> None:
    labels = picture([block(0, 0, 2, 2)])
    cutouts.write(
        [sample(labels)], tmp_path / "o", target, statuses=ACCEPTED, pictures=Pictures(root)
    )
    index = json.loads((tmp_path / "o/index.json").read_bytes())
    index["pictures"][0]["cutouts"][0].update(change)
    (tmp_path / "o/index.json").write_text(json.dumps(index))
    with pytest.raises((RequestError, SampleError)) as caught:
        list(cutouts.read(tmp_path / "o"))
    assert caught.value.code == code
