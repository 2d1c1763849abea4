"""Boxes of people's own: rows, names files, picture names, formats."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


def _coco(boxes_xywh: dict[str, tuple[int, int, int, int]], file_name: str) -> dict[str, Any]:
    names = {"train": 7, "car": 3}
    return {
        "images": [{"id": 1, "file_name": file_name, "width": 160, "height": 120}],
        "categories": [{"id": number, "name": name} for name, number in names.items()],
        "annotations": [
            {"id": row, "image_id": 1, "category_id": names[name], "bbox": list(box), "iscrowd": 0}
            for row, (name, box) in enumerate(boxes_xywh.items(), 1)
        ],
    }


@pytest.mark.parametrize("file_name", ["street.jpg"])
def test_pictures_are_found_by_their_names(
    file_name: str,
    tmp_path: Path,
    draw_street: Callable[[Path], Path],
    boxes_xywh: dict[str, tuple[int, int, int, int]],
    label_here: Callable[..., Any],
) -> None:
    draw_street(tmp_path / "images" / "street.jpg")
    (tmp_path / "boxes.json").write_text(json.dumps(_coco(boxes_xywh, file_name)))
    answer = label_here(tmp_path / "images", boxes=str(tmp_path / "boxes.json"))
    assert answer.labels == {"street.jpg": sorted((n, b) for n, b in boxes_xywh.items())}
