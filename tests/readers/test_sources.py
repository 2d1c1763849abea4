"""From what a person types to a loaded sample."""

import pkgutil
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from perception.core.errors import RequestError, SampleError
from perception.core.ontology import data_folder
from perception.core.types import PictureRef, SampleRef
from perception.readers import sources
from perception.readers.sources import (
    LAYOUTS,
    Source,
    find,
    load_manifest,
    load_pictures,
    load_sample,
    load_scene,
    parse_source,
    survey,
)

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
MANIFEST = "name: mine\nlayout: images\nroot: pictures\nlicence: CC-BY-4.0\nhomepage: ''\n"


def with_images(root: Path, *names: str) -> Path:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        assert cv2.imwrite(str(path), np.full((4, 6, 3), (10, 20, 30), np.uint8))  # BGR
    return root


def code_of(text: str, match: str | None = None) -> str:
    with pytest.raises(RequestError, match=match) as caught:
        parse_source(text)
    return caught.value.code


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_resolves_and_has_a_shipped_manifest(layout: str) -> None:
    reader = pkgutil.resolve_name(LAYOUTS[layout])
    assert callable(reader.find) and callable(reader.load_scene)
    folder = data_folder() / LAYOUTS[layout].rpartition(".")[2]
    manifest = load_manifest(folder / "dataset.yaml")
    assert manifest.layout == layout and manifest.licence
    assert (folder / "dataset.yaml").read_text().startswith("# ") and (
        folder / "README.md"
    ).exists()
    assert f"{layout}:ROOT" in (folder / "dataset.yaml").read_text()


def test_a_layout_and_a_root_give_a_source_with_the_layouts_licence() -> None:
    assert parse_source("kitti:/data/kitti") == Source(
        name="kitti-object", layout="kitti", root=Path("/data/kitti"), licence="CC BY-NC-SA 3.0"
    )
    assert parse_source("kitti-raw:drive").licence == "CC BY-NC-SA 3.0"
    assert parse_source("images:a/**/*.png").root == Path("a/**/*.png")


def test_a_plain_path_is_images_even_with_a_colon_if_it_exists(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "day:1").mkdir()
    for text in ("pictures", "a/b:c.png", "day:1"):
        source = parse_source(text)
        assert (source.layout, source.root, source.licence) == ("images", Path(text), "unknown")


@pytest.mark.parametrize("text", ["waymo:/data", "https://example.org/a.png", "C:images"])
def test_an_unknown_layout_lists_the_known_ones(text: str) -> None:
    assert code_of(text, match="images, kitti, kitti-raw") == "source.unknown"


@pytest.mark.parametrize("text", ["", "kitti:", "a\0b"])
def test_half_a_source_is_refused(text: str) -> None:
    assert code_of(text) == "source.invalid"


def test_a_manifest_says_where_and_under_what_licence(tmp_path: Path) -> None:
    with_images(tmp_path / "pictures", "a.png", "sub/b.png", "c.png")
    path = tmp_path / "dataset.yaml"
    path.write_text(MANIFEST)
    source = parse_source(str(path))
    assert (source.name, source.licence) == ("mine", "CC-BY-4.0")
    assert [ref.id for ref in find(source)] == ["a.png", "c.png", "sub/b.png"]


def test_a_split_takes_the_samples_that_it_names(tmp_path: Path) -> None:
    with_images(tmp_path / "pictures", "a.png", "sub/b.png", "c.png")
    path, split = tmp_path / "dataset.yaml", tmp_path / "train.txt"
    path.write_text(MANIFEST + "split: train.txt\n")
    source = parse_source(str(path))
    split.write_text("# mine\nsub/b.png\n\na.png\n")
    assert [ref.id for ref in find(source)] == ["a.png", "sub/b.png"]
    for content, code in [
        ("a.png\nzzz.png\n", "source.invalid"),
        ("a.png\na.png\n", "source.duplicate"),
        ("# none\n", "source.empty"),
    ]:
        split.write_text(content)
        with pytest.raises(RequestError) as caught:
            find(source)
        assert caught.value.code == code
    split.unlink()
    with pytest.raises(RequestError, match=r"io\.not_found"):
        find(source)


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (MANIFEST + "colour: red\n", "config.invalid"),
        (MANIFEST.replace("licence: CC-BY-4.0\n", ""), "config.invalid"),
        ("- a\n- b\n", "config.invalid"),
        (MANIFEST + "download: rm -rf /\n", "config.unsafe"),
        (MANIFEST + "split: !!python/object/apply:os.system ['touch canary']\n", "config.unsafe"),
        (MANIFEST.replace("layout: images", "layout: waymo"), "source.unknown"),
        (MANIFEST.replace("root: pictures\n", ""), "source.invalid"),
    ],
)
def test_row_28_manifests_that_are_wrong_or_want_more_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str, code: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("dataset.yaml").write_text(content)
    assert code_of("dataset.yaml") == code
    assert [path.name for path in tmp_path.iterdir()] == ["dataset.yaml"]


def test_ids_that_are_not_unique_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    ref = SampleRef(id="twin", layout="images", root="/", pictures=())

    class Twins:
        @staticmethod
        def find(root: Path) -> tuple[SampleRef, ...]:
            return (ref, ref)

    monkeypatch.setattr(sources, "_reader", lambda layout: Twins)
    with pytest.raises(RequestError, match="twin") as caught:
        find(Source("x", "kitti", Path("/"), "unknown"))
    assert caught.value.code == "source.duplicate"


def test_a_sample_is_loaded_with_its_pixels_and_its_scene(tmp_path: Path) -> None:
    (ref,) = find(parse_source(str(with_images(tmp_path, "sub/a b.png"))))
    sample = load_sample(ref)
    assert sample.id == "sub/a b.png"
    assert [(p.camera, p.file_name) for p in sample.pictures] == [("camera", "sub/a b.png")]
    np.testing.assert_array_equal(sample.pictures[0].image_rgb, np.full((4, 6, 3), (30, 20, 10)))
    assert len(sample.scene.points_lidar) == 0


@pytest.mark.parametrize("name", ["../out.png", "sub/../../out.png", "link.png", "folder/out.png"])
def test_row_09_no_file_outside_the_root_is_opened(tmp_path: Path, name: str) -> None:
    with_images(tmp_path, "out.png", "root/a.png")
    root = tmp_path / "root"
    (root / "link.png").symlink_to(tmp_path / "out.png")
    (root / "folder").symlink_to(tmp_path)
    (root / "within.png").symlink_to("a.png")
    ref = SampleRef("x", "images", str(root), (PictureRef("camera", "within.png"),))
    assert load_sample(ref).pictures[0].file_name == "within.png"
    absolute = str(tmp_path / "out.png")
    for bad in (name, absolute):
        wrong = replace(ref, pictures=(PictureRef("camera", bad),))
        for load in (load_sample, load_pictures):
            with pytest.raises(SampleError) as caught:
                load(wrong)
            assert caught.value.code == "path.outside_root"
        with pytest.raises(SampleError, match=r"path\.outside_root"):
            load_scene(replace(ref, layout="kitti", sweep_file=bad))


@pytest.mark.parametrize(
    ("link", "target"),
    [
        ("link.png", "/etc/passwd"),
        ("link.png", "id_rsa"),
        ("link.png", "secret.txt"),
        ("folder/link.png", ".ssh/id_ed25519"),
    ],
)
def test_row_09_a_link_to_a_file_of_another_kind_is_refused(
    tmp_path: Path, link: str, target: str
) -> None:
    root = with_images(tmp_path / "root", "a.png")
    place = tmp_path / target
    if not place.exists():
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text("secret")
    (root / link).parent.mkdir(exist_ok=True)
    (root / link).symlink_to(place)
    with pytest.raises(RequestError, match=r"path\.outside_root"):
        survey(parse_source(str(root)))


@pytest.mark.parametrize("target", ["b.png", "b.JPG", "blobs/" + "0a" * 32])
def test_a_link_out_of_the_root_is_named_in_the_plan_and_said(tmp_path: Path, target: str) -> None:
    root = with_images(tmp_path / "root", "a.png")
    place = with_images(tmp_path / "other", "b.png") / "b.png"
    place = place.rename(tmp_path / Path(target).name)
    (root / "link.png").symlink_to(place)
    found = survey(parse_source(str(root)))
    assert [ref.outside for ref in found.refs] == [(), (str(place),)]
    assert found.notices == (
        f"links lead out of the source to 1 file, in {tmp_path}; plan.jsonl names each",
    )
    assert load_sample(found.refs[1]).pictures[0].size_hw == (4, 6)
    with_images(tmp_path, "elsewhere.png")
    (root / "link.png").unlink()
    (root / "link.png").symlink_to(tmp_path / "elsewhere.png")
    with pytest.raises(SampleError, match="which the plan does not name"):
        load_sample(found.refs[1])


def test_folders_of_a_data_set_may_be_links(tmp_path: Path) -> None:
    real = tmp_path / "store"
    with_images(real / "image_2", "000001.png")
    (real / "velodyne").mkdir()
    (real / "velodyne" / "000001.bin").write_bytes(bytes(16))
    training = tmp_path / "kitti" / "training"
    training.mkdir(parents=True)
    for name in ("image_2", "velodyne"):
        (training / name).symlink_to(real / name)
    found = survey(parse_source(f"kitti:{tmp_path / 'kitti'}"))
    assert found.refs[0].outside == (
        str(real / "image_2" / "000001.png"),
        str(real / "velodyne" / "000001.bin"),
    )
    assert "2 files" in found.notices[0]


def test_row_09_calibration_may_lie_one_folder_above_the_root_and_no_higher(tmp_path: Path) -> None:
    root = tmp_path / "date" / "drive"
    with_images(root, "a.png")
    ref = SampleRef("x", "kitti", str(root), (PictureRef("image_2", "a.png"),))
    with pytest.raises(SampleError, match=r"io\.not_found"):
        load_scene(replace(ref, calib_files=("../calib.txt",)))
    with pytest.raises(SampleError, match=r"path\.outside_root"):
        load_scene(replace(ref, calib_files=("../../calib.txt",)))


@pytest.mark.parametrize("name", ["a\0b.png", "loop.png"])
def test_row_09_names_that_lead_nowhere_are_not_found(tmp_path: Path, name: str) -> None:
    (tmp_path / "loop.png").symlink_to("loop.png")
    ref = SampleRef("x", "images", str(tmp_path), (PictureRef("camera", name),))
    with pytest.raises(SampleError) as caught:
        load_sample(ref)
    assert caught.value.code in {"io.not_found", "io.failed"}


@pytest.mark.skipif(not DATA.is_dir(), reason="the real driving data is not beside the repository")
@pytest.mark.parametrize(
    ("text", "count"), [("kitti:kitti_object", 9), ("kitti-raw:kitti_raw_seq", 8)]
)
def test_every_real_sample_loads(text: str, count: int) -> None:
    layout, _, folder = text.partition(":")
    refs = find(parse_source(f"{layout}:{DATA / folder}"))
    assert len(refs) == count
    for ref in refs:
        sample = load_sample(ref)
        assert len(sample.scene.cameras) == 1 and len(sample.scene.points_lidar) > 10_000
