"""Whether what a detector found looks as if it was read rightly: counts over a run's pictures.

A detector whose numbers are misread does not fail: it finds hundreds of things of every class,
boxes outside of the pictures, or nothing. That proves nothing either, so people are warned and the
run goes on.
"""

import numpy as np

from perception.core.types import Evidence
from perception.runs.shards import Tallies, add_tallies

GROUP = "detector_pictures"
SEEN, EMPTY, UNUSABLE, CROWDED = "seen", "without_boxes", "without_usable_boxes", "crowded"
CROWD_BOXES, CROWD_CLASSES = 100, 20  # streets have fewer classes, crowds of people one
EARLY = 20  # pictures: enough to warn by, before hours of work


def tally(evidence: Evidence) -> Tallies:
    """Return what one picture adds to the counts."""
    boxes, classes = len(evidence.detections), np.unique(evidence.detections.class_ids)
    counts = {SEEN: 1}
    if not boxes:
        counts[UNUSABLE if evidence.dropped else EMPTY] = 1
    elif boxes >= CROWD_BOXES and len(classes) >= CROWD_CLASSES:
        counts[CROWDED] = 1
    return {GROUP: counts}


def warnings(tallies: Tallies) -> tuple[str, ...]:
    """Return what counts give reason to doubt, a sentence each."""
    counts = tallies.get(GROUP, {})
    seen, empty, unusable, crowded = (
        counts.get(name, 0) for name in (SEEN, EMPTY, UNUSABLE, CROWDED)
    )
    pictures = "the only picture" if seen == 1 else f"any of {seen} pictures"
    if seen and empty == seen:
        return (f"no box was found on {pictures}: do these boxes belong to these pictures?",)
    found = []
    if unusable > (seen - empty) / 2:
        found.append(
            f"on {unusable} of {seen} pictures no box has an area inside the picture: do these "
            "boxes belong to these pictures, and is the detector read rightly?"
        )
    if crowded:
        found.append(
            f"{crowded} of {seen} pictures have {CROWD_BOXES} boxes or more, of {CROWD_CLASSES} "
            "classes or more: is the detector read rightly?"
        )
    return tuple(found)


class FirstLook:
    """Warns once, when the first pictures of a run are done."""

    def __init__(self) -> None:
        self._tallies: Tallies = {}
        self._is_over = False

    def add(self, tallies: Tallies) -> tuple[str, ...]:
        """Add the counts of a shard; return the warnings when enough pictures have been seen."""
        if self._is_over:
            return ()
        add_tallies(self._tallies, {GROUP: tallies.get(GROUP, {})})
        self._is_over = self._tallies[GROUP].get(SEEN, 0) >= EARLY
        return warnings(self._tallies) if self._is_over else ()
