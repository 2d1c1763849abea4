"""Two sets of labels on the same objects: how much better the one is, object by object.

Objects differ more than labels of one object do, so a difference is told apart from chance much
sooner where the objects are the same. An object that only one of the two was judged on is left out.
"""

from collections.abc import Mapping

import numpy as np

from perception.core.statistics import Figure, paired
from perception.evaluation.report import Table

COLUMNS = ("this", "other", "difference")
Ious = Mapping[tuple[str, int], float]


def paired_table(ours: Mapping[str, Ious], theirs: Mapping[str, Ious], seed: int) -> Table:
    """Compare the IoU of each object, by kind of figure.

    Args:
        ours: Name of the figure to object to IoU.
        theirs: Likewise, of the other labels; a figure that is missing has no object.
        seed: Of the bootstrap.
    """
    rows = []
    for name, mine in ours.items():
        yours = theirs.get(name, {})
        common = sorted(mine.keys() & yours.keys())
        one, other = (np.array([ious[key] for key in common]) for ious in (mine, yours))
        means = [
            Figure(float(ious.mean()) if common else None, n=len(common)) for ious in (one, other)
        ]
        rows.append((name, (*means, paired(one, other, seed))))
    title = "mean IoU of the same objects in this run and the other; n: objects"
    return Table("paired", title, COLUMNS, tuple(rows))
