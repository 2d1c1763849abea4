"""Presets: shipped settings by name. They say only what is decided: `relabel` takes them too."""

from importlib import resources
from pathlib import Path
from typing import Any

from perception.core.config import load_config, merge, read_overrides
from perception.core.errors import RequestError

PRESETS = ("strict", "balanced", "recall")


def with_preset(
    preset: str, config: Path | None, overrides: dict[str, Any]
) -> tuple[Path | None, dict[str, Any]]:
    """Return the file and the overrides that a preset, below both, comes to.

    Args:
        preset: One of `PRESETS`; "" for none.
        config: A YAML file of the user's.
        overrides: Nested settings that win over the file.

    Raises:
        RequestError: `config.invalid` for a preset that does not exist; for the file as
            `load_config`.
    """
    if not preset:
        return config, overrides
    if preset not in PRESETS:
        raise RequestError(
            "config.invalid", f"--preset {preset}: expected one of {', '.join(PRESETS)}"
        )
    if config is not None:
        load_config(config, {})  # what is wrong in it is told by its own name
        overrides = merge(read_overrides(config), overrides)
    return presets_folder() / f"{preset}.yaml", overrides


def presets_folder() -> Path:
    """Return the folder of shipped settings: inside the wheel, else `configs/` of the checkout."""
    package = Path(str(resources.files("perception")))
    installed = package / "_configs"
    return installed if installed.is_dir() else package.parent / "configs"
