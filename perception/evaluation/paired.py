"""Two sets of labels on the same objects: how much better the one is, object by object.

Objects differ more than labels of one object do, so a difference is told apart from chance much
sooner where the objects are the same. An object that only one of the two was judged on is left out.
"""

import numpy as np

from perception.core.statistics import Figure, paired
from perception.evaluation.report import Report, Table

COLUMNS = ("first", "other", "difference")


def paired_table(first: Report, other: Report) -> Table:
    """Compare the IoU of each object in the first report and another, by kind of figure."""
    rows = []
    for name, mine in first.object_ious.items():
        yours = other.object_ious.get(name, {})
        common = sorted(mine.keys() & yours.keys())
        before, after = (np.array([ious[key] for key in common]) for ious in (mine, yours))
        means = [
            Figure(float(ious.mean()) if common else None, n=len(common))
            for ious in (before, after)
        ]
        rows.append((name, (*means, paired(after, before, first.seed))))
    title = "mean IoU of the same objects in the first run and the other; n: objects"
    return Table("paired", title, COLUMNS, tuple(rows))
