"""What people decided of a run's labels: decisions of the review pages, edited COCO and CVAT files.

`page` understands the decisions of review pages, `edited` the files of other tools.
"""

from perception.review.decisions.changes import Apart, Changes, Seen
from perception.review.decisions.page import decided
from perception.review.decisions.reading import read_corrections, read_seen

__all__ = ["Apart", "Changes", "Seen", "decided", "read_corrections", "read_seen"]
