"""A run as notebooks and scripts see it: a sequence of samples, handed over to other tools."""

import base64
import re
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest

import perception
from perception.commands import notebook, samples
from perception.commands.calls import request_of
from perception.commands.request import LabelRequest
from perception.commands.results import Run, open_run
from perception.commands.views import COLUMNS, PictureView, SampleView, library, thumbnail
from perception.core.errors import PerceptionError, RequestError, SampleError
from perception.core.progress import Pace, Step, phase, step
from perception.core.types import (
    Instances,
    Masks,
    PictureLabels,
    PictureRef,
    SampleLabels,
    SampleRef,
)
from perception.runs import labels, shards, store

FAKES: dict[str, Any] = {"detector": "bright", "segmenter": "boxes"}
SHARDS = {"shard_size": 2}
REJECTING = {"decide": {"judge": {"min_score": 0.9}}}  # the darker objects score 0.84


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory, pictures: Callable[..., Path]) -> Path:
    """Pictures with 0, 1 and 2 objects in turn; the third cannot be read."""
    root = pictures(tmp_path_factory.mktemp("views") / "src", 6)
    (root / "002.png").write_bytes(b"\x89PNG\r\n\x1a\n torn")
    return root


@pytest.fixture(scope="module")
def run(source: Path) -> Run:
    overrides = SHARDS | REJECTING
    return perception.label(source, source.parent / "run", overrides=overrides, **FAKES)


def test_a_run_is_a_sequence_of_the_samples_that_were_not_quarantined(run: Run) -> None:
    names = ["000.png", "001.png", "003.png", "004.png", "005.png"]
    assert [sample.id for sample in run] == names == [run[i].id for i in range(len(run))]
    assert run[-1].id == "005.png" and [one.id for one in run[1:3]] == names[1:3]
    for outside in (5, -6):
        with pytest.raises(IndexError):
            run[outside]
    assert run[::2][1].id == "003.png" and run[5:] == ()


def test_a_sample_gives_its_labels_as_arrays(run: Run) -> None:
    sample = run[4]  # one bright object, one that is darker and rejected
    assert sample.masks.shape == (2, 48, 64) and sample.masks.dtype == bool
    assert sample.masks[0].sum() == 11 * 22 and sample.boxes[0].tolist() == [9, 8, 20, 30]
    assert sample.statuses == ("accepted", "rejected") and sample.names == ("car", "car")
    assert sample.scores[0] > 0.9 > sample.scores[1]
    assert sample.accepted.masks.shape == (1, 48, 64) and sample.accepted.reasons == ((),)
    assert sample[0].only("rejected").statuses == ("rejected",)
    with pytest.raises(RequestError, match="expected some of accepted"):
        sample[0].only("good")


def test_a_picture_without_objects_has_empty_arrays(run: Run) -> None:
    empty = run[0]
    assert empty.masks.shape == (0, 48, 64) and empty.boxes.shape == (0, 4)
    assert empty.names == () and empty.scores.shape == (0,) and len(empty.points) == 0
    assert np.array_equal(empty[0].overlay(), empty.image)


def test_a_shard_is_read_when_one_of_its_samples_is_asked(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = samples.folder.read_shard
    asked: list[int] = []

    def counted(*arguments: Any) -> Any:
        asked.append(arguments[3])
        return read(*arguments)

    monkeypatch.setattr(samples.folder, "read_shard", counted)
    opened = open_run(run.folder)
    assert len(opened) == 5 and asked == []
    assert opened[4].id == "005.png" and opened[3].id == "004.png" and asked == [2]
    assert next(iter([*opened])).id == "000.png" and asked == [2, 0, 1, 2]


def test_a_run_that_is_opened_says_what_the_one_that_was_made_says(run: Run) -> None:
    opened = perception.open_run(str(run.folder))
    assert opened.counts == run.counts and opened.refusals == run.refusals
    assert opened.address == run.address
    assert repr(opened) == (
        f"Run({run.address!r}: 6 samples (1 quarantined); labels: 3 accepted, 0 review, 1 rejected)"
    )
    assert repr(opened[4]) == "SampleView('005.png', 2 labels)"
    assert repr(opened[4][0]) == "PictureView('005.png', 2 labels)"


def test_what_is_no_finished_run_is_refused(run: Run, tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="is this a run folder"):
        open_run(tmp_path)
    copy = Path(shutil.copytree(run.folder, tmp_path / "copy"))
    decided = next((copy / "labels").iterdir())
    stated = shards.read_stated(decided, 1)
    lying = stated.model_copy(update={"samples": stated.samples.model_copy(update={"ok": 7})})
    lying = lying.model_copy(update={"own_sha256": lying.digest()})
    (decided / "000001.json").write_text(lying.model_dump_json())
    with pytest.raises(RequestError, match="samples: found"):
        open_run(copy)[3]


def test_a_run_is_opened_once(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    copies = []
    reading = store.reading
    monkeypatch.setattr(
        samples.store, "reading", lambda *a, **k: (copies.append(1), reading(*a, **k))[1]
    )
    opened = open_run(run.folder)
    assert (len(opened), opened[0].id, opened[4].id) == (5, "000.png", "005.png")
    assert "car" in opened.class_names.values()
    assert copies == [1]  # of a run in a bucket each is a copy


def test_pictures_are_drawn_and_saved(run: Run, tmp_path: Path) -> None:
    pytest.importorskip("PIL")
    drawn = run[1].plot()
    assert drawn.size == (64, 48) and np.array_equal(np.asarray(drawn), run[1][0].overlay())
    assert not np.array_equal(run[1][0].overlay(), run[1].image)
    saved = run[1].save(tmp_path / "made" / "one.png")
    found = cv2.imread(str(saved))
    assert found is not None and np.array_equal(found[..., ::-1], run[1][0].overlay())
    with pytest.raises(RequestError, match=r"expected a name that ends in \.png"):
        run[1].save(tmp_path / "one.gif")


def test_a_picture_that_changed_is_no_longer_shown(
    run: Run, source: Path, draw: Callable[..., Path], tmp_path: Path
) -> None:
    moved = tmp_path / "src"
    shutil.copytree(source, moved)
    draw(moved / "001.png", size_hw=(20, 30))
    view = run[1][0]
    elsewhere = replace(view, ref=replace(view.ref, root=str(moved)))
    with pytest.raises(PerceptionError, match="was \\(48, 64\\) when it was labelled"):
        elsewhere.image  # noqa: B018
    gone = replace(view, ref=replace(view.ref, root=str(tmp_path / "nowhere")))
    with pytest.raises(SampleError, match="nowhere"):
        gone.overlay()
    assert "nowhere" in thumbnail(gone) and "<img" not in thumbnail(gone)


def test_a_name_from_outside_is_no_markup(run: Run) -> None:
    view = run[1][0]
    shown = thumbnail(replace(view, ref=replace(view.ref, id="<script>alert(1)</script>")))
    assert "<script>" not in shown and "&lt;script&gt;" in shown
    address = replace(run, address=f"{run.address}/<b>")
    object.__setattr__(address, "samples", run.samples)
    assert "&lt;b&gt;" in address._repr_html_() and "<b>" not in address._repr_html_()


def test_a_notebook_shows_pictures_of_a_run(run: Run) -> None:
    page = run._repr_html_()
    found = re.findall(r'src="data:image/jpeg;base64,([^"]+)"', page)
    assert len(found) == 4 and page.startswith("<p>") and "6 samples" in page
    for data in found:
        jpeg = cv2.imdecode(np.frombuffer(base64.b64decode(data), np.uint8), cv2.IMREAD_COLOR)
        assert jpeg is not None and jpeg.shape == (48, 64, 3)


def two_cameras() -> SampleView:
    cameras = ("CAM_FRONT", "CAM_BACK")
    size_hw = (4, 6)
    own = tuple(
        PictureLabels(name, f"{name}.png", size_hw, Instances.blank(n, size_hw), ())
        for n, name in enumerate(cameras)
    )
    ref = SampleRef("7", "images", "/gone", tuple(PictureRef(c, f"{c}.png") for c in cameras))
    return SampleView(SampleLabels("7", own, labels.NO_POINTS), ref, {0: "car"})


def test_a_sample_of_several_cameras_asks_which() -> None:
    sample = two_cameras()
    assert len(sample) == 2 and repr(sample) == "SampleView('7', 2 pictures, 1 label)"
    assert sample["CAM_BACK"].names == ("car",) and sample[0].names == ()
    with pytest.raises(RequestError, match=r"2 pictures \(CAM_FRONT, CAM_BACK\)"):
        sample.masks  # noqa: B018
    with pytest.raises(KeyError):
        sample["CAM_LEFT"]


def test_a_sample_without_pictures_says_so() -> None:
    none = SampleView(
        SampleLabels("7", (), labels.NO_POINTS), replace(two_cameras().ref, pictures=()), {}
    )
    assert len(none) == 0 and "SampleView" in none._repr_html_()
    with pytest.raises(RequestError, match=r"0 pictures \(none\)"):
        none.boxes  # noqa: B018


@pytest.mark.slow
def test_points_stand_beside_their_labels(kitti: Callable[..., Path], tmp_path: Path) -> None:
    root = kitti(tmp_path / "kitti", 1)
    run = perception.label(f"kitti:{root}", tmp_path / "run", boxes="label_2", segmenter="boxes")
    sample = run[0]
    assert len(sample.points) == 4 and sample.points_lidar.shape == (4, 3)
    assert sample.points_lidar[0].tolist() == [5, 0, 0] and sample.points.class_ids[0] >= 0
    assert repr(sample) == "SampleView('000000', 1 label, 4 points)"


def test_a_table_has_a_row_for_each_label(run: Run) -> None:
    pytest.importorskip("pandas")
    table = run.to_pandas()
    assert list(table.columns) == list(COLUMNS) and len(table) == 4
    last = table.iloc[-1]
    assert (last["sample"], last["status"], last["reasons"]) == ("005.png", "rejected", "score.low")
    assert run.to_pandas("accepted")["area_px"].tolist()[-1] == 11 * 22
    nothing = run.to_pandas("review")
    assert len(nothing) == 0 and list(nothing.columns) == list(COLUMNS)


def fake(name: str, monkeypatch: pytest.MonkeyPatch, **holds: Any) -> None:
    module = ModuleType(name)
    module.__dict__.update(holds)
    monkeypatch.setitem(sys.modules, name, module)


def test_detections_are_handed_over_to_supervision(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake("supervision", monkeypatch, Detections=SimpleNamespace)
    found = run[4].to_supervision()
    assert found.xyxy.tolist() == [[9, 8, 20, 30]] and found.mask.shape == (1, 48, 64)
    assert found.data["class_name"].tolist() == ["car"] and found.class_id.dtype == int
    both = run[4].to_supervision("accepted,rejected")
    assert both.data["status"].tolist() == ["accepted", "rejected"] and len(both.confidence) == 2
    assert run[0].to_supervision().xyxy.shape == (0, 4)


class Dataset(list[Any]):
    def __init__(self, name: str | None, persistent: bool) -> None:
        self.name, self.persistent = name, persistent

    add_samples = list.extend


def test_a_data_set_is_handed_over_to_fiftyone(
    run: Run, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = dict.fromkeys(("Sample", "Detections", "Detection"), SimpleNamespace)
    fake("fiftyone", monkeypatch, Dataset=Dataset, **parts)
    dataset = run.to_fiftyone()
    assert [Path(one.filepath) for one in dataset][4] == source / "005.png" and len(dataset) == 5
    (label,) = dataset[4].labels.detections
    assert label.bounding_box == [9 / 64, 8 / 48, 11 / 64, 22 / 48]
    assert label.mask.shape == (22, 11) and label.mask.all() and label.label == "car"
    assert dataset[0].labels.detections == [] and not dataset.persistent
    assert run.to_fiftyone("mine").persistent
    in_bucket = replace(run[1][0], ref=replace(run[1].ref, root="s3://drives/photos"))
    with pytest.raises(RequestError, match="reads pictures from disk"):
        in_bucket.to_fiftyone(sys.modules["fiftyone"])


def test_an_object_without_a_mask_is_handed_over_with_its_prompt_box() -> None:
    view = two_cameras()["CAM_BACK"]
    rows = replace(
        view.instances,
        boxes_xyxy=np.array([[0, 0, 3, 2]], np.float32),
        masks=Masks(np.zeros((1, 4), np.int32), (b"",), (4, 6)),
    )
    view = PictureView(replace(view.labels, instances=rows), view.ref, view.class_names)
    made = SimpleNamespace(
        Sample=SimpleNamespace, Detections=SimpleNamespace, Detection=SimpleNamespace
    )
    (label,) = view.to_fiftyone(made, "rejected").labels.detections
    assert label.bounding_box == [0, 0, 0.5, 0.5] and label.mask is None


@pytest.mark.parametrize(
    ("name", "install"), [("supervision", "supervision"), ("PIL.Image", "pillow")]
)
def test_a_library_that_is_not_there_is_named(
    name: str, install: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, name.partition(".")[0], None)
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(RequestError, match=f"plot needs {install}: pip install {install}"):
        library(name, "plot")


def test_a_library_that_lacks_something_itself_is_not_called_absent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "half_there.py").write_text("import no_such_module_at_all")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="no_such_module_at_all"):
        library("half_there", "plot")


def test_plain_arguments_come_to_the_request_that_they_say() -> None:
    made = request_of("photos", "", {"min_score": 0.4, "classes": ["car", "person"], "mode": None})
    judge = {"decide": {"judge": {"min_score": 0.4}}}
    assert made == LabelRequest(
        "photos", "runs/photos", "mobile_sam", "yolov8n", classes="car,person", overrides=judge
    )
    boxes = request_of("kitti:A/kitti", "b", {"boxes": "label_2", "overrides": {"shard_size": 3}})
    assert (boxes.detector, boxes.out, boxes.overrides) == ("", "b", {"shard_size": 3})
    strict = request_of("a", "", {"preset": "strict", "config": None})
    assert strict.config is not None and strict.config.name == "strict.yaml"
    both = {"overrides": {"decide": {"judge": {"review_stability": 0.8}}}, "min_score": 0.4}
    assert request_of("a", "", both).overrides["decide"]["judge"] == {
        "review_stability": 0.8,
        "min_score": 0.4,
    }


def test_an_argument_that_does_not_exist_is_answered_with_those_that_are_meant() -> None:
    with pytest.raises(RequestError, match=r"min_scor: did you mean min_score.* there are address"):
        request_of("photos", "", {"min_scor": 0.4})
    with pytest.raises(RequestError, match="holds its own options"):
        perception.label(LabelRequest("a", "b", "boxes"), detector="bright")


def test_a_notebook_hears_phases_and_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[str] = []
    handle = SimpleNamespace(update=shown.append)
    display = ModuleType("IPython.display")
    display.__dict__.update(
        HTML=lambda text: text, display=lambda text, display_id: (shown.append(text), handle)[1]
    )
    shell = SimpleNamespace(kernel=object())
    fake("IPython", monkeypatch, get_ipython=lambda: shell, display=display)
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    monkeypatch.setattr(notebook, "REFRESH_S", 0)
    assert notebook.is_one()
    with notebook.Bar() as bar:
        phase("checking <weights>")
        step(1, 4, "a.png")
        bar.note("1 picture is <odd>")
        step(4, 4, "d.png")
    assert shown[0] == "<div>checking &lt;weights&gt;</div>"
    assert 'value="1" max="4"' in shown[1] and "1/4 · a.png" in shown[1]
    assert shown[2] == "<div>note: 1 picture is &lt;odd&gt;</div>"
    assert "4/4" in shown[-1] and "left" not in shown[-1]
    phase("nobody hears it")
    assert "nobody" not in "".join(shown)
    shell.kernel = None
    assert not notebook.is_one()


def test_a_bar_says_how_long() -> None:
    pace = Pace()
    pace.add(0, 0)
    pace.add(10, 5)
    assert "5/10 · 0.5/s · 0:10 left · e.png" in notebook.bar_html(
        "", Step(5, 10, "e.png"), pace, 10
    )
    assert "<div>starting</div>" == notebook.bar_html("", None, Pace(), 0)
    assert "starting" in notebook.bar_html("", Step(0, 0), Pace(), 0)
