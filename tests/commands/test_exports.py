"""`perception export`: every format read again, what is lost said, and the card beside it."""

import json
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from perception import cli
from perception.commands import exports
from perception.commands.exports import card, checks, command, turns
from perception.commands.relabel import relabel
from perception.core import masks as rle
from perception.core.errors import RequestError
from perception.core.types import ExportSummary, SampleLabels, Status
from perception.formats import coco, cvat, yolo
from perception.io import files
from perception.review import words
from perception.runs import folder

BRIGHT = (12, 8, 40, 30, 250)  # of a picture, see `draw`
POINTS = (
    *("semantic-kitti", "nuscenes-lidarseg", "nuscenes-panoptic"),
    *("kitti", "kitti-results", "ply", "pcd"),
)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, kitti: Callable[..., Path]) -> Path:
    root = tmp_path_factory.mktemp("exports")
    source = f"kitti:{kitti(root / 'src', 3)}"
    made = ["label", source, "--boxes", "label_2", "--segmenter", "grabcut"]
    assert cli.run([*made, "--out", str(root / "run")]) == cli.FINE
    return root / "run"


@pytest.mark.slow
def test_all_formats_come_back_whole(run: Path, tmp_path: Path) -> None:
    done = exports.export(run, "all", tmp_path / "all")
    assert [one.to for one in done] == list(exports.FORMATS)
    for one in done:
        assert one.read_back.min_iou == 1 and one.read_back.fault == ""
        assert one.read_back.labels == one.written.labels > 0
        assert "unchanged" in one.lines()[0] and one.card.is_file()


@pytest.mark.slow
def test_all_leaves_out_points_where_there_is_no_sweep(
    tmp_path: Path, pictures: Callable[..., Path]
) -> None:
    source = pictures(tmp_path / "src", 2)
    fakes = ["--detector", "bright", "--segmenter", "boxes"]
    assert cli.run(["label", str(source), *fakes, "--out", str(tmp_path / "run")]) == cli.FINE
    done = exports.export(tmp_path / "run", "all", tmp_path / "out")
    assert set(POINTS) == set(exports.FORMATS) - {one.to for one in done}
    with pytest.raises(RequestError, match=r"export\.empty: --to ply writes labels of points"):
        exports.export(tmp_path / "run", "coco,ply", tmp_path / "points")
    assert not (tmp_path / "points").exists()
    (nothing,) = exports.export(
        tmp_path / "run", "png", tmp_path / "none", statuses=(Status.REVIEW,)
    )
    assert "it holds no label" in nothing.lines()[1] and "it holds no label" not in str(done)


@pytest.mark.slow
def test_several_formats_go_into_one_folder_and_replace_what_an_export_wrote(
    run: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    command = ["export", str(run), "--to", "png,coco", "--out", str(out)]
    assert cli.run(command) == cli.FINE
    assert (out / "coco.json").is_file() and (out / "png" / "card.md").is_file()
    (out / "png" / "stale.png").touch()
    assert cli.run(command) == cli.USAGE
    assert cli.run([*command, "--overwrite"]) == cli.FINE
    assert not (out / "png" / "stale.png").exists() and (out / "coco.json").is_file()
    with pytest.raises(RequestError, match="--to tiff: expected one of"):
        exports.export(run, "coco,tiff", out)


def test_overwrite_discards_nothing_but_an_export(tmp_path: Path) -> None:
    mine = tmp_path / "thesis"
    mine.mkdir()
    (mine / "chapter.tex").write_text("years of work")
    with pytest.raises(RequestError, match=r"holds something else \(no card\.md\)"):
        files.discard_made(mine, command.CARDS)
    assert (mine / "chapter.tex").is_file()
    (mine / "card.md").touch()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "kept").touch()
    (mine / "link").symlink_to(tmp_path / "elsewhere")
    files.discard_made(mine, command.CARDS)
    assert [*mine.iterdir()] == [] and (tmp_path / "elsewhere" / "kept").is_file()
    for nothing in (mine, tmp_path / "nowhere"):
        files.discard_made(nothing, command.CARDS)


def test_what_cannot_be_asked_for(run: Path, tmp_path: Path) -> None:
    for to, options in (("voc", {}), ("all", {"classes": "road-to-cityscapes"})):
        with pytest.raises(RequestError, match=r"export\.unknown"):
            exports.export(run, to, tmp_path / "out", **options)
    (tmp_path / "old").touch()
    with pytest.raises(RequestError, match=r"export\.occupied"):
        exports.export(run, "all", tmp_path)


@pytest.mark.parametrize(("to", "columns"), [("kitti", 15), ("kitti-results", 16)])
def test_only_results_of_kitti_have_a_score(
    run: Path, tmp_path: Path, to: str, columns: int
) -> None:
    exports.export(run, to, tmp_path / "out")
    rows = (tmp_path / "out/000000.txt").read_text().splitlines()
    assert [len(row.split()) for row in rows] == [columns]


def shifted(samples: Iterator[SampleLabels], dx: int) -> Iterator[SampleLabels]:
    """Yield labels whose masks begin `dx` columns later."""
    for sample in samples:
        changed = []
        for picture in sample.pictures:
            bitmaps = rle.decode(picture.instances.masks)
            masks = rle.encode(np.roll(bitmaps, dx, axis=2))
            changed.append(replace(picture, instances=replace(picture.instances, masks=masks)))
        yield replace(sample, pictures=tuple(changed))


@pytest.mark.parametrize("to", [to for to in exports.FORMATS if to not in POINTS])
def test_an_export_that_does_not_come_back_is_an_error(
    run: Path, tmp_path: Path, to: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    form = exports.FORMATS[to]

    def write(job: checks.Job) -> object:
        return form.write(replace(job, samples=lambda: shifted(job.samples(), 3)))

    monkeypatch.setitem(exports.FORMATS, to, replace(form, write=write))
    with pytest.raises(RequestError, match=r"export\.lossy"):
        exports.export(run, to, tmp_path / "out")


def _other_class(path: Path) -> None:
    values = np.fromfile(path, np.uint8)
    values[np.flatnonzero(values)[0]] += 1
    values.tofile(path)


def _other_instance(path: Path) -> None:
    if path.suffix == ".npz":
        values = np.load(path)["data"]
        values[np.flatnonzero(values)[0]] += 1
        np.savez_compressed(path, data=values)
        return
    values = np.fromfile(path, "<u4")
    values[np.flatnonzero(values)[0]] += 1 << 16
    values.tofile(path)


@pytest.mark.parametrize(
    ("to", "pattern", "spoil", "match"),
    [
        ("semantic-kitti", "*.label", _other_class, "1 points changed"),
        ("semantic-kitti", "*.label", _other_instance, "1 points changed"),
        ("nuscenes-lidarseg", "*.bin", _other_class, "1 points changed"),
        ("nuscenes-panoptic", "*.npz", _other_instance, "1 points changed"),
        ("nuscenes-panoptic", "*.npz", Path.unlink, r"io\.not_found|No such file"),
        ("nuscenes-lidarseg", "*.json", lambda path: path.write_text("[]"), "no row for the sweep"),
    ],
)
def test_points_that_do_not_come_back_are_an_error(
    run: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    to: str,
    pattern: str,
    spoil: Callable[[Path], object],
    match: str,
) -> None:
    form = exports.FORMATS[to]

    def write(job: checks.Job) -> object:
        summary = form.write(job)
        spoil(min(job.out.rglob(pattern)))
        return summary

    monkeypatch.setitem(exports.FORMATS, to, replace(form, write=write))
    with pytest.raises(RequestError, match=rf"export\.lossy(.|\n)*({match})"):
        exports.export(run, to, tmp_path / "out")


@pytest.mark.parametrize("to", exports.FORMATS)
def test_a_run_without_a_label_is_an_export(run: Path, tmp_path: Path, to: str) -> None:
    (done,) = exports.export(run, to, tmp_path / "out", statuses=(Status.REJECTED,))
    assert (done.written.samples, done.read_back.labels) == (3, 0)
    assert done.lines()[0].endswith("read again: 0 labels, unchanged")
    card = json.loads(done.card.with_suffix(".json").read_bytes())
    assert card["read_again"] == {"labels": 0, "mean_iou": 1, "min_iou": 1}


FOR_REVIEW = {
    **dict.fromkeys(("coco", "coco-panoptic"), "3 ignored (iscrowd)"),
    "cityscapes": "3 ignored (groups)",
    "cvat": "3 ignored (status review, for people)",
    "yolo": "3 ignored (painted grey in the pictures)",
    # One point of each sweep is on the car.
    **dict.fromkeys(
        ("semantic-kitti", "nuscenes-lidarseg", "nuscenes-panoptic"), "3 ignored (class 0)"
    ),
    **dict.fromkeys(("kitti", "kitti-results"), "3 ignored (DontCare)"),
    **dict.fromkeys(("ply", "pcd"), "3 ignored (unknown)"),
    "png": "3 ignored (void)",
    **dict.fromkeys(("coco-results", "cutouts", "labelme"), "0 ignored"),
}


def test_people_are_told_what_became_of_labels_for_review(run: Path, tmp_path: Path) -> None:
    doubted = Path(shutil.copytree(run, tmp_path / "run"))
    relabel(doubted, overrides={"decide": {"judge": {"review_predicted_iou": 1.5}}})
    done = exports.export(doubted, "all", tmp_path / "all")
    said = {one.to: one.lines()[0].split(", ", 2)[2].split(";")[0] for one in done}
    assert said == FOR_REVIEW


@pytest.mark.parametrize("field", ["scores", "instance_ids", "class_ids"])
@pytest.mark.parametrize("to", ["coco", "coco-panoptic", "cityscapes", "cvat", "cutouts"])
def test_ids_scores_and_classes_are_compared(
    run: Path, tmp_path: Path, to: str, field: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    form = exports.FORMATS[to]

    def change(samples: Iterator[SampleLabels]) -> Iterator[SampleLabels]:
        for sample in samples:
            (picture,) = sample.pictures
            own = picture.instances
            other = {field: (getattr(own, field) * 0 + 1.5 + len(own)).astype(own.scores.dtype)}
            if field != "scores":
                other = {field: np.full(len(own), 9, np.int32)}
            yield replace(sample, pictures=(replace(picture, instances=replace(own, **other)),))

    changing = replace(
        form, write=lambda job: form.write(replace(job, samples=lambda: change(job.samples())))
    )
    monkeypatch.setitem(exports.FORMATS, to, changing)
    with pytest.raises(RequestError, match=r"export\.lossy"):
        exports.export(run, to, tmp_path / "out")


def test_a_polygon_loss_is_told_and_above_the_bound_an_error(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (sample,) = list(folder.usable_labels(run))[:1]
    (picture,) = sample.pictures
    bitmap = np.zeros(picture.size_hw, bool)
    bitmap[10:30, 2:20] = bitmap[12:20, 30:50] = True  # two parts: a bridge is painted
    masks = rle.join((rle.encode_one(bitmap),), picture.size_hw)
    torn = replace(picture.instances[:1], masks=masks)
    labels = replace(sample, pictures=(replace(picture, instances=torn),))
    monkeypatch.setattr(folder, "usable_labels", lambda path: iter([labels]))

    (done,) = exports.export(run, "yolo", tmp_path / "fine")
    assert 0.95 < done.read_back.mean_iou == done.read_back.min_iou < 1
    lost = rf"polygons have mask IoU {done.read_back.mean_iou:.4f} in the mean \(bound 0\.95\)"
    assert re.search(lost, done.lines()[0])

    specks = np.zeros(picture.size_hw, bool)
    specks[5, 2] = specks[40, 60] = True  # too far apart for a bridge: one is lost
    masks = rle.join((rle.encode_one(specks),), picture.size_hw)
    far = replace(labels, pictures=(replace(picture, instances=replace(torn, masks=masks)),))
    monkeypatch.setattr(folder, "usable_labels", lambda path: iter([far]))
    for to in ("yolo", "cityscapes"):
        with pytest.raises(RequestError, match=r"export\.lossy.*mean mask IoU 0\.5000"):
            exports.export(run, to, tmp_path / to)
    (done,) = exports.export(run, "coco", tmp_path / "whole.json")
    assert done.read_back.min_iou == 1


def two_stems(root: Path, draw: Callable[..., Path]) -> Path:
    """Label pictures whose names differ only in folder, only in ending, or in an underscore."""
    for name in ("a/s.png", "b/s.png", "b/s.jpg", "b/s_jpg.png", "images/t.png"):
        draw(root / "src" / name, BRIGHT)
    fakes = ["--detector", "bright", "--segmenter", "boxes"]
    assert cli.run(["label", str(root / "src"), *fakes, "--out", str(root / "run")]) == cli.FINE
    return root / "run"


@pytest.fixture(scope="module")
def twins(tmp_path_factory: pytest.TempPathFactory, draw: Callable[..., Path]) -> Path:
    return two_stems(tmp_path_factory.mktemp("twins"), draw)


@pytest.mark.slow
def test_pictures_of_one_stem_keep_their_ending_in_their_name(twins: Path, tmp_path: Path) -> None:
    done = {one.to: one for one in exports.export(twins, "all", tmp_path / "all")}
    for one in done.values():
        assert one.written.samples == 5 and one.read_back.labels == one.written.labels == 5, one.to
    expected = {"b/s.jpg": "b/s_jpg-2", "b/s.png": "b/s_png"}
    for to, folder_ in (("yolo", "labels"), ("png", "class"), ("coco-panoptic", "panoptic")):
        assert done[to].renamed == expected
        told = "renamed 2 pictures whose names differ only in their ending: b/s.jpg is b/s_jpg-2"
        assert any(line.startswith(told) for line in done[to].lines())
        assert json.loads(done[to].card.with_suffix(".json").read_bytes())["renamed"] == expected
        assert "Note: renamed 2 pictures" in done[to].card.read_text()
        stems = {p.with_suffix("").relative_to(done[to].out / folder_).as_posix()
                 for p in (done[to].out / folder_).rglob("*.*")}  # fmt: skip
        top = "images_/t" if to == "yolo" else "images/t"
        assert stems == {"a/s", "b/s_png", "b/s_jpg-2", "b/s_jpg", top}
    assert done["coco"].renamed == {}
    shown = {path.relative_to(tmp_path).as_posix() for path in (tmp_path / "all/yolo").rglob("s_*")}
    assert {f"all/yolo/images/b/{name}" for name in ("s_jpg-2.jpg", "s_png.png")} <= shown


@pytest.mark.parametrize("to", ["cutouts", "coco", "yolo"])
def test_two_exports_into_one_place_do_not_mix(
    twins: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, to: str
) -> None:
    """The second begins when the first has seen an empty folder, and has written nothing yet."""
    form, refused = command.FORMATS[to], list[RequestError]()

    def write(job: checks.Job) -> ExportSummary:
        with pytest.raises(RequestError) as caught:
            exports.export(twins, to, tmp_path / "out", statuses=(Status.REJECTED,))
        refused.append(caught.value)
        return form.write(job)

    monkeypatch.setitem(command.FORMATS, to, replace(form, write=write))
    (done,) = exports.export(twins, to, tmp_path / "out")
    assert done.read_back.labels == 5
    assert [error.code for error in refused] == ["export.occupied"]
    assert "another command exports" in refused[0].message
    assert not [path for path in tmp_path.iterdir() if "exporting" in path.name]


def test_the_lock_of_a_killed_export_holds_nobody_up(twins: Path, tmp_path: Path) -> None:
    (tmp_path / ".x.json.exporting").touch()
    (done,) = exports.export(twins, "coco", tmp_path / "x.json")
    assert done.read_back.labels == 5 and not (tmp_path / ".x.json.exporting").exists()


@pytest.mark.parametrize("made_again", [False, True])
def test_a_lock_that_its_holder_removes_meanwhile_is_no_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, made_again: bool
) -> None:
    out, lock, take = tmp_path / "x.json", tmp_path / ".x.json.exporting", turns._lock

    def late(handle: int) -> None:
        monkeypatch.setattr(turns, "_lock", take)
        lock.unlink()
        if made_again:
            lock.touch()
        take(handle)

    monkeypatch.setattr(turns, "_lock", late)
    with turns.alone_in(out):
        with pytest.raises(RequestError, match="another command exports"), turns.alone_in(out):
            pass
    assert not lock.exists()


@pytest.mark.slow
def test_what_was_quarantined_is_named_in_every_export(
    tmp_path: Path, draw: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    draw(tmp_path / "src" / "good.png", BRIGHT)
    for number in range(5):
        (tmp_path / "src" / f"{number}.png").write_bytes(b"no picture")
    (tmp_path / "src" / "empty.jpg").touch()
    fakes = ["--detector", "bright", "--segmenter", "boxes"]
    run = tmp_path / "run"
    assert cli.run(["label", str(tmp_path / "src"), *fakes, "--out", str(run)]) == cli.QUARANTINED
    capsys.readouterr()
    for one in exports.export(run, "all", tmp_path / "all"):
        assert one.lines()[1] == (
            "not in it: 6 samples that were quarantined: image.empty 1 (empty.jpg); "
            "image.not_an_image 5 (0.png, 1.png, 2.png, ...)"
        )
        stated = json.loads(one.card.with_suffix(".json").read_bytes())["counts"]
        assert stated["quarantined"] == {
            "image.empty": {"samples": 1, "first": ["empty.jpg"]},
            "image.not_an_image": {"samples": 5, "first": ["0.png", "1.png", "2.png"]},
        }
        assert "Not in it: 6 samples that were quarantined" in one.card.read_text()


def test_the_card_says_what_the_data_set_is(run: Path, tmp_path: Path) -> None:
    (done,) = exports.export(run, "coco", tmp_path / "x.json", statuses=tuple(Status))
    assert done.card == tmp_path / "x.card.md"
    stated = json.loads((tmp_path / "x.card.json").read_bytes())
    spec = folder.read_spec(run)
    assert stated["counts"]["labels"] == done.written.labels
    assert stated["counts"]["objects_by_class"] == {"car": done.written.labels}
    assert stated["counts"]["decided_by_people"] == 0
    assert stated["class_map"] == "road"  # the run's own names
    assert stated["made"]["fingerprint"] == spec.fingerprint()
    assert stated["weights"]["detector"]["sha256"] == spec.detector.sha256
    assert stated["trust"] is None and stated["read_again"]["min_iou"] == 1
    text = done.card.read_text()
    assert "| car | 3 |" in text and "nobody fitted a chance" in text
    assert spec.detector.sha256 in text
    before = (tmp_path / "x.card.json").read_bytes()
    exports.export(run, "coco", tmp_path / "x.json", statuses=tuple(Status))
    assert (tmp_path / "x.card.json").read_bytes() == before  # no clock
    exports.export(run, "png", tmp_path / "png")
    assert "Class map: road-to-cityscapes." in (tmp_path / "png/card.md").read_text()


def test_cards_name_the_second_opinion(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = folder.read_spec(run)
    of = {"file_name": "other.onnx", "sha256": "ab" * 32, "licence": "AGPL-3.0-only"}
    asked = spec.model_copy(update={"second": spec.segmenter.model_copy(update=of)})
    monkeypatch.setattr(folder, "read_spec", lambda path: asked)
    (done,) = exports.export(run, "coco", tmp_path / "x.json")
    row = f"| second_opinion | AGPL-3.0-only | other.onnx | {'ab' * 32} |"
    assert row in done.card.read_text()
    assert "second opinion AGPL-3.0-only" in words.how_made(run, asked)[0]
    plan, counts = folder.read_plan(run, spec), folder.read_counts(run)
    assert "Second opinion: other.onnx (sha256 abababababab)." in words.what_was_made(
        asked, plan, counts
    )
    assert not any("Second opinion" in line for line in words.what_was_made(spec, plan, counts))


def test_a_card_holds_no_markup_from_outside() -> None:
    assert card._text("a|b\n<img>[x](y)") == r"a\|b \<img\>\[x\](y)"


def test_edited_files_come_back_with_our_ids(run: Path, tmp_path: Path) -> None:
    """One label is redrawn, one deleted, one added: what corrections have to tell apart."""
    exports.export(run, "cvat", tmp_path / "cvat")
    path = tmp_path / "cvat" / cvat.XML
    text = path.read_text()
    masks = re.findall(r"<mask .*?</mask>", text, re.DOTALL)
    drawn = '<polygon label="bus" source="manual" points="1,1;9,1;9,9;1,9"/>'
    edited = re.sub(r'label="car"', 'label="van"', masks[0])
    path.write_text(text.replace(masks[0], edited, 1).replace("</image>", f"{drawn}</image>", 1))
    first = next(iter(cvat.read(path)))
    assert first.objects.instance_ids.tolist() == [1, 0]
    assert first.objects.class_names == ("van", "bus")

    exports.export(run, "coco", tmp_path / "coco.json")
    document = json.loads((tmp_path / "coco.json").read_bytes())
    document["annotations"][0]["category_id"] = 7
    document["annotations"].append(
        {"id": 99, "image_id": 1, "category_id": 9, "segmentation": [[1, 1, 9, 1, 9, 9]]}
    )
    (tmp_path / "edited.json").write_text(json.dumps(document))
    objects = coco.read(tmp_path / "edited.json")[0].objects
    assert objects.instance_ids.tolist() == [1, 0]
    assert objects.class_names == ("van", "bus")


def test_row_27_an_edited_file_with_ids_that_come_twice_is_refused(
    run: Path, tmp_path: Path
) -> None:
    exports.export(run, "coco", tmp_path / "coco.json")
    document = json.loads((tmp_path / "coco.json").read_bytes())
    document["annotations"].append(document["annotations"][0])
    (tmp_path / "coco.json").write_text(json.dumps(document))
    with pytest.raises(RequestError, match=r"coco\.invalid.*each id once"):
        coco.read(tmp_path / "coco.json")


def test_the_terminal_says_what_was_read_again(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["export", str(run), "--to", "yolo", "--out", str(tmp_path / "y")]) == cli.FINE
    told = capsys.readouterr().out
    assert "3 samples, 3 labels, 0 ignored; read again: 3 labels, unchanged" in told
    as_json = ["export", str(run), "--to", "all", "--out", str(tmp_path / "a"), "--json"]
    assert cli.run(as_json) == cli.FINE
    told = json.loads(capsys.readouterr().out)
    assert [one["to"] for one in told["exports"]] == list(command.FORMATS)
    assert yolo.read_names(tmp_path / "a/yolo/data.yaml")
