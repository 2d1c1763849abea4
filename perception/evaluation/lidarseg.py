"""Truth from nuScenes-lidarseg, by the classes and measures of its challenge.

    ROOT/lidarseg/v1.0-mini/<token>_lidarseg.bin    uint8 per point: the index of a general class
    ROOT/v1.0-mini/category.json                    the general classes, each with its index

- Classes are the challenge's 16, of which the first ten are things; noise, animals and whatever
  else it leaves out do not count. A ridden bicycle is one thing with its rider.
- IoU of a class is that of the devkit (nuscenes/eval/lidarseg/utils.py). It refuses predictions
  that leave points without a class, as labels of things do, so there is no official mean.
- There are no instances: panoptic quality and IoU of objects have no value.

Source: https://github.com/nutonomy/nuscenes-devkit, docs/instructions_lidarseg.md.
"""

from functools import lru_cache
from pathlib import Path

import numpy as np

from perception.core.errors import RequestError, SampleError
from perception.core.ontology import Ontology, load_class_map
from perception.evaluation.boxed import require_count, seen_points
from perception.evaluation.point_truth import benchmark_classes, lookup, points_of_classes
from perception.evaluation.truth import TruePoints, Truth, vocabulary_of
from perception.formats import nuscenes as labels_
from perception.io.images import probe_image
from perception.io.tables import read_table
from perception.readers import nuscenes, sources

PREFIX = "nuscenes-lidarseg:"
OWN_ROOT = "nuscenes-lidarseg"  # the root that the run was made from


def lidarseg_truth(root: Path, ontology: Ontology, columns: int = 0) -> Truth:
    """Open the point labels of a nuScenes folder.

    Args:
        root: The folder, or its folder of tables.
        ontology: The classes of the run.
        columns: Numbers per point of its sweeps; 0: as the layout has them.

    Raises:
        RequestError: as `sources.find`; `truth.invalid` without labels, `source.invalid` for a
            category.json without indices: nuScenes-lidarseg comes with its own.
    """
    found = sources.find(sources.parse_source(f"nuscenes:{root}"))
    refs = {ref.id: ref for ref in sources.with_columns(found, columns)}
    home = Path(found[0].root)
    where = home / nuscenes.version_of(found[0])
    if not (home / labels_.LIDARSEG / where.name).is_dir():
        raise RequestError(
            "truth.invalid", f"{home}: has no folder {labels_.LIDARSEG}/{where.name} of labels"
        )
    scenes = {row.token: row.text("scene_token") for row in read_table(where / nuscenes.SAMPLES)}
    index = {row.text("name"): row.integer("index") for row in read_table(where / "category.json")}
    table = lookup(
        {
            name: [index[one] for one in held if one in index]
            for name, held in labels_.CHALLENGE.items()
        }
    )
    names = tuple(labels_.CHALLENGE)
    things = names[: names.index(labels_.FIRST_CHALLENGE_STUFF)]
    class_of = {one: name for name, held in labels_.CHALLENGE.items() for one in held}
    exported = load_class_map("road-to-nuscenes")
    classes, stands_for = benchmark_classes(ontology, exported, class_of, names, things)
    load = lru_cache(maxsize=1)(sources.load_scene)
    known = frozenset(index.values())

    def find_points(sample_id: str, count: int) -> TruePoints | None:
        ref = refs.get(sample_id)
        if ref is None or not ref.sweep_file:
            return None
        token = nuscenes.sweep_token(ref)
        path = home / labels_.label_file(labels_.LIDARSEG, where.name, token)
        if not path.is_file():
            return None
        kinds = labels_.read_lidarseg(path, count)
        if strange := set(np.unique(kinds).tolist()) - known:
            raise SampleError(
                "label.invalid", f"{path}: class {min(strange)}, which category.json does not have"
            )
        scene = load(ref)
        require_count(ref, scene, count)
        sizes = [probe_image(home / picture.file_name) for picture in ref.pictures]
        none = np.zeros(count, np.int32)
        return points_of_classes(table[kinds], none, stands_for, seen_points(scene, sizes))

    return Truth(
        name=f"{PREFIX}{root}",
        picture_classes=vocabulary_of(ontology, ()),
        point_classes=classes,
        find_picture=lambda name: None,
        find_points=find_points,
        has_images=False,
        scene_of=lambda sample_id: scenes.get(sample_id, sample_id),
        image_names=tuple(refs),
    )
