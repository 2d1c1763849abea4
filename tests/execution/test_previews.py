"""Bugs caught: two endings in a name, two samples with one preview, a dot taken for an ending."""

import pytest

from perception.execution.previews import preview_stems


@pytest.mark.parametrize(
    ("ids", "stems"),
    [
        ((), ()),
        (("x.png",), ("x",)),
        (("a/x.jpg", "b/x.png", "x.tif"), ("a/x", "b/x", "x")),
        (("x.png", "x.jpg"), ("x.png", "x")),
        (("x.png", "x.tif"), ("x.png", "x.tif")),
        (("x.JPG", "x.jpg"), ("x.JPG", "x")),
        (("x", "x.jpg"), ("x", "x.jpg")),
        (("x.png", "x.jpg", "x.png.jpg"), ("x.png", "x", "x.png.jpg")),
        (("drive.1/0.5",), ("drive.1/0.5",)),
    ],
)
def test_a_preview_has_one_ending_unless_samples_share_it(
    ids: tuple[str, ...], stems: tuple[str, ...]
) -> None:
    found = preview_stems(ids)
    assert tuple(found[one] for one in ids) == stems
    assert len({*found.values()}) == len(ids)
    assert preview_stems(reversed(ids)) == found
