"""SAMs with random weights that the tests of several files share."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest


def _fill_zeros(model: Any) -> None:
    """Make what the packages initialise with zeros matter as well."""
    import torch

    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.abs().max() == 0:
                parameter.normal_(std=0.02)


@pytest.fixture(scope="session")
def mobile_sam(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MobileSAM's checkpoint with random weights.

    Its bytes are the same in every worker, so that they share the networks compiled of it.
    """
    import torch
    from ultralytics.models.sam.build import build_mobile_sam

    torch.manual_seed(0)
    model = build_mobile_sam()
    _fill_zeros(model)
    path = tmp_path_factory.mktemp("mobile") / "sam_l.pt"  # the name says ViT-L: keys decide
    torch.save(model.state_dict(), path)
    return path


@pytest.fixture(scope="module")
def vit_b(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Any, Path]]:
    """The reference's ViT-B with random weights, and its checkpoint.

    Of its twelve blocks two are left, one of each kind: with a window, and with global attention.
    """
    package = pytest.importorskip("segment_anything.build_sam")
    import torch
    from ultralytics.models.sam import build

    torch.manual_seed(0)
    two_blocks = (768, 2, 12, [1])
    reference = package._build_sam(*two_blocks)
    _fill_zeros(reference)
    path = tmp_path_factory.mktemp("vit_b") / "renamed.pth"
    torch.save(reference.state_dict(), path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(build, "build_sam_vit_b", partial(build._build_sam, *two_blocks))
        yield reference.eval(), path
