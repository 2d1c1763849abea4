"""What people decided, put over what the rules decided."""

import numpy as np
import pytest

from perception.core import masks as masks_
from perception.core.ontology import load_ontology
from perception.core.types import Bool, Instances, Masks, Status, unknown_signals
from perception.labeling.quality.correct import Correction, corrected

ROAD, SIZE_HW = load_ontology(), (20, 30)
PERSON, CAR = ROAD.id_of("person"), ROAD.id_of("car")


def block(x0: int, y0: int, x1: int, y1: int) -> Bool:
    bitmap = np.zeros(SIZE_HW, bool)
    bitmap[y0:y1, x0:x1] = True
    return bitmap


def cars(*bitmaps: Bool, status: Status = Status.ACCEPTED) -> Instances:
    """Cars 1, 2, ... whose prompt boxes are a pixel wider than their masks on each side."""
    n = len(bitmaps)
    masks: Masks = masks_.join(tuple(masks_.encode_one(one) for one in bitmaps), SIZE_HW)
    numbers = np.full(n, 0.5, np.float32)
    return Instances(
        instance_ids=np.arange(1, n + 1, dtype=np.int32),
        prompt_ids=np.arange(1, n + 1, dtype=np.int32),
        class_ids=np.full(n, CAR, np.int32),
        statuses=np.full(n, status, np.uint8),
        reasons=(("score.low",),) * n,
        scores=numbers,
        predicted_ious=numbers,
        stabilities=numbers,
        box_ious=numbers,
        outside_shares=numbers,
        boxes_xyxy=(masks.boxes_xyxy + np.array([-1, -1, 1, 1])).astype(np.float32),
        masks=masks,
        signals=unknown_signals(n),
        trusts=np.full(n, np.nan, np.float32),
        by_human=np.zeros(n, bool),
    )


def decided(instance: int, bitmap: Bool, decision: str = "accept", name: str = "car") -> Correction:
    bounds, counts = masks_.encode_one(bitmap)
    return Correction(
        sample="s",
        file_name="a.png",
        instance=instance,
        decision=decision,
        class_name=name,
        mask_xyxy=tuple(int(side) for side in bounds),
        mask_counts=counts.decode(),
    )


def test_an_edited_label_keeps_the_box_that_prompted_it_and_an_added_one_has_its_bounds() -> None:
    """The prompt box is evidence of the detector: a redrawn mask does not move it."""
    ours = cars(block(5, 5, 10, 10))
    found = corrected(
        ours, (decided(1, block(5, 5, 12, 12)), decided(7, block(20, 3, 25, 8))), ROAD
    )
    assert found.boxes_xyxy.tolist() == [[4, 4, 11, 11], [20, 3, 25, 8]]
    assert found.masks.boxes_xyxy.tolist() == [[5, 5, 12, 12], [20, 3, 25, 8]]
    assert found.instance_ids.tolist() == found.prompt_ids.tolist() == [1, 7]
    assert found.by_human.tolist() == [True, True]


@pytest.mark.parametrize("decision", ["reject", "wrong_class", "bad_edge"])
def test_what_people_added_and_took_away_again_is_no_label(decision: str) -> None:
    ours, theirs = cars(block(5, 5, 10, 10)), block(20, 3, 25, 8)
    found = corrected(ours, (decided(7, theirs, decision), decided(8, block(1, 1, 3, 3))), ROAD)
    assert found.prompt_ids.tolist() == [1, 8]
    assert found.statuses.tolist() == [Status.ACCEPTED] * 2
