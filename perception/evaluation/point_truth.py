"""Truth of every point in a benchmark's classes: what SemanticKITTI and nuScenes-lidarseg share.

Both benchmarks bring their ids to fewer classes, and so are labels: through what an export writes,
then as the benchmark maps it. Points of classes that a benchmark leaves out are void. Points of
classes that no class of ours stands for (roads, trees) are background: labels there are false.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from perception.core.ontology import ClassMap, Ontology
from perception.core.types import Bool, Int32
from perception.evaluation.truth import (
    BACKGROUND,
    VOID,
    TruePoints,
    Vocabulary,
    vocabulary_through,
)

LEFT_OUT = 0  # the id that both benchmarks give to points that do not count
Ids = npt.NDArray[np.integer]


def benchmark_classes(
    ontology: Ontology,
    exported: ClassMap,
    class_of: Mapping[str, str],
    names: Sequence[str],
    judged: Sequence[str],
) -> tuple[Vocabulary, dict[int, int]]:
    """Return what can be judged, and the benchmark's class id to the class id that it is judged as.

    Args:
        ontology: The classes of the run.
        exported: From the ontology to the names of the format.
        class_of: From a name of the format to the benchmark's class; names it leaves out are not in
            it.
        names: The benchmark's classes; ids count from 1 in this order.
        judged: Those that labels of ours can be.
    """
    targets = {own: class_of.get(name, "") for own, name in exported.map.items()}
    kept = {own: name for own, name in targets.items() if name in judged}
    mapped = exported.model_copy(
        update={
            "map": kept,
            "ignore": (*exported.ignore, *(own for own in targets if own not in kept)),
            "ids": {name: number for number, name in enumerate(names, start=1)},
        }
    )
    return vocabulary_through(ontology, mapped)


def points_of_classes(
    benchmark_ids: Ids, instance_ids: Ids, stands_for: Mapping[int, int], seen: Bool | None
) -> TruePoints:
    """Return the truth of P points.

    Args:
        benchmark_ids: (P,) classes of the benchmark, `LEFT_OUT` for void.
        instance_ids: (P,) 0 for no instance; two classes may use one id.
        stands_for: From a benchmark's class to the class id that it is judged as.
        seen: (P,) whether a camera sees the point; None where that is not known.
    """
    class_ids = np.full(len(benchmark_ids), BACKGROUND, np.int32)
    for number, class_id in stands_for.items():
        class_ids[benchmark_ids == number] = class_id
    class_ids[benchmark_ids == LEFT_OUT] = VOID
    things = (class_ids > 0) & (instance_ids > 0)
    # 16 bits hold an instance in both formats; with the class an id stands for one object alone.
    unique = class_ids << 16 | instance_ids.astype(np.int32)
    return TruePoints(
        class_ids=class_ids,
        instance_ids=np.where(things, unique, 0).astype(np.int32),
        seen=np.ones(len(class_ids), bool) if seen is None else seen,
        has_seen=seen is not None,
    )


def lookup(of_class: Mapping[str, Sequence[int]]) -> Int32:
    """Return a table from a format's id to the benchmark's class, counted from 1; else `LEFT_OUT`.

    Args:
        of_class: The benchmark's classes in order, each with the ids that it holds.
    """
    table = np.full(1 << 16, LEFT_OUT, np.int32)
    for number, ids in enumerate(of_class.values(), start=1):
        table[list(ids)] = number
    return table
