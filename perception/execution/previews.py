"""What the previews of a run are called."""

from collections.abc import Iterable
from pathlib import PurePosixPath

from perception.io.images import is_read


def preview_stems(sample_ids: Iterable[str]) -> dict[str, str]:
    """Return the beginning of each preview's name, by the sample's id: of "a/b.png" it is "a/b".

    Where samples would share one, as b.jpg and b.png, all but the .jpg keep their ending.

    Args:
        sample_ids: Of all samples that have a preview.
    """
    ids = {*sample_ids}
    cuts = {one: _cut(one) for one in ids}
    shared = {cut: sum(other == cut for other in cuts.values()) for cut in {*cuts.values()}}
    return {
        one: cut if cut not in ids and (shared[cut] == 1 or one.endswith(".jpg")) else one
        for one, cut in cuts.items()
    }


def _cut(sample_id: str) -> str:
    path = PurePosixPath(sample_id)
    return str(path.with_suffix("")) if path.suffix and is_read(path.name) else sample_id
