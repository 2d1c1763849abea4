"""Truth from SemanticKITTI's point labels, by the benchmark's own classes and measures.

    ROOT[/dataset]/sequences/08/labels/000123.label     the truth of sample "08/000123"
    ROOT[/dataset]/sequences/08/image_2, calib.txt      what the camera sees, where they are there

- Classes are those of `learning_map`: a van is a car, buses and trains are other vehicles, a moving
  thing is what it is; "unlabeled", "outlier", "other-structure" and "other-object" do not count.
- IoU and PQ of a class are those of semantic-kitti-api (evaluate_semantics.py,
  evaluate_panoptic.py) for what `export --to semantic-kitti` writes of the accepted labels. Its
  mean is over 19 classes, of which nine can be labels of ours: row "mIoU of 19".
- A scene, for intervals, is ten seconds (100 frames) of a sequence: the frames of a sequence
  resemble each other too much to be drawn one by one, and the validation set is one sequence.

Source: https://github.com/PRBonn/semantic-kitti-api (config/semantic-kitti.yaml).
"""

from functools import lru_cache
from pathlib import Path

from perception.core.errors import RequestError
from perception.core.ontology import Ontology, load_class_map
from perception.core.types import Bool, SampleRef
from perception.evaluation.boxed import require_count, seen_points
from perception.evaluation.point_truth import benchmark_classes, lookup, points_of_classes
from perception.evaluation.truth import TruePoints, Truth, vocabulary_of
from perception.formats import semantic_kitti as labels_
from perception.io.images import probe_image
from perception.readers import sources

PREFIX = "semantic-kitti:"
OWN_ROOT = "semantic-kitti"  # the root that the run was made from
SCENE_FRAMES = 100


def semantic_kitti_truth(root: Path, ontology: Ontology, columns: int = 0) -> Truth:
    """Open the labels of a SemanticKITTI folder, with or without images.

    Args:
        root: The folder that holds `sequences`, or `dataset/sequences`.
        ontology: The classes of the run.
        columns: Numbers per point of its sweeps; 0: as the layout has them.

    Raises:
        RequestError: `truth.invalid` for a folder without labels; as `sources.find`.
    """
    files = sorted(
        path
        for pattern in ("sequences/*/labels/*.label", "dataset/sequences/*/labels/*.label")
        for path in root.glob(pattern)
    )
    if not files:
        raise RequestError("truth.invalid", f"{root}: holds no sequences/*/labels/*.label")
    by_id = {f"{path.parent.parent.name}/{path.stem}": path for path in files}
    exported = load_class_map("road-to-semantic-kitti")
    names = {number: name for name, number in exported.ids.items()}
    class_of = {
        names[number]: learned
        for learned, ids in labels_.LEARNING.items()
        for number in ids
        if number in names
    }
    learned = tuple(labels_.LEARNING)
    classes, stands_for = benchmark_classes(ontology, exported, class_of, learned, learned)
    table = lookup(labels_.LEARNING)
    refs = _with_cameras(root, columns)
    load = lru_cache(maxsize=1)(sources.load_scene)

    def find_points(sample_id: str, count: int) -> TruePoints | None:
        if sample_id not in by_id:
            return None
        kinds, instance_ids = labels_.read(by_id[sample_id], count)
        seen: Bool | None = None
        ref = refs.get(sample_id)
        if ref is not None:
            scene = load(ref)
            require_count(ref, scene, count)
            size_hw = probe_image(Path(ref.root) / ref.pictures[0].file_name)
            seen = seen_points(scene, [size_hw])
        return points_of_classes(table[kinds], instance_ids, stands_for, seen)

    return Truth(
        name=f"{PREFIX}{root}",
        picture_classes=vocabulary_of(ontology, ()),
        point_classes=classes,
        find_picture=lambda name: None,
        find_points=find_points,
        has_images=False,
        scene_of=_scene_of,
        benchmark_classes=len(learned),
        image_names=tuple(by_id),
    )


def _with_cameras(root: Path, columns: int) -> dict[str, SampleRef]:
    """Return the samples that have a camera with a calibration, and a sweep."""
    try:
        found = sources.find(sources.parse_source(f"{PREFIX}{root}"))
    except RequestError as error:
        if error.code != "source.empty":  # labels without images: what is seen is not known
            raise
        return {}
    refs = sources.with_columns(found, columns)
    return {ref.id: ref for ref in refs if ref.calib_files and ref.sweep_file}


def _scene_of(sample_id: str) -> str:
    """Return which ten seconds of its sequence a frame belongs to."""
    sequence, _, frame = sample_id.rpartition("/")
    number = int(frame) // SCENE_FRAMES if frame.isascii() and frame.isdigit() else 0
    return f"{sequence}/{number}"
