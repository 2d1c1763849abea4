"""`relabel`: decide again over a run's stored evidence; no model runs."""

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

from perception.commands import hygiene
from perception.commands.results import Progress, Run, first_refusals, no_progress
from perception.core.config import merge, parse_config, read_overrides
from perception.core.errors import RequestError
from perception.core.ontology import load_class_map
from perception.execution.side_by_side import decide_all
from perception.labeling.trust.model import read_model
from perception.runs import folder, lock, store
from perception.runs.folder import RunSpec

NO_TRUST = "none"  # --trust none


def relabel(
    run: Path | str,
    *,
    overrides: dict[str, Any] | None = None,
    config: Path | None = None,
    class_map: str = "",
    workers: int = 0,
    trust: str = "",
    keep_per_class: int = 0,
    progress: Progress = no_progress,
) -> Run:
    """Decide again over a run's stored evidence; no model runs.

    Sweeps and calibration are read again from the source; images only for the previews.

    Args:
        run: The run folder, or its address in a bucket.
        overrides: Nested settings that win over the file and over what the run has.
        config: YAML with settings.
        class_map: Another class map.
        workers: Processes at most; 0 for one per core.
        trust: A trust file; "none" for no trust model; "" for the one that the run has.
        keep_per_class: Accept the best labels of rare classes below the line too, until there are
            so many of each; 0 leaves the line of every class where it is.
        progress: Called as samples are done.

    Raises:
        RequestError: `relabel.observe` for a setting that needs the models again, such as a score
            below the run's floor; `run.damaged`; `config.invalid`.
    """
    with store.changing(run) as opened:
        path = opened.place
        spec = folder.read_spec(path)
        before = spec.config.model_dump(mode="json")
        asked = parse_config(
            merge(merge(before, read_overrides(config)), overrides or {}), str(config or "options")
        )
        if asked.observe != spec.config.observe or asked.shard_size != spec.config.shard_size:
            raise RequestError(
                "relabel.observe",
                "only `decide` settings can be changed without the models; use `label`",
            )
        mapping = load_class_map(class_map) if class_map else spec.class_map
        spec = spec.decided_here().with_decisions(asked.decide, mapping)
        if trust:
            model = None if trust == NO_TRUST else read_model(Path(trust))
            spec = spec.model_copy(update={"trust": model})
        done = decide_run(path, spec, workers, progress)
        if keep_per_class:
            floored = hygiene.with_floor(path, spec, keep_per_class)
            done = decide_run(path, floored, workers, progress)
    return replace(done, address=str(opened.address))


def decide_run(run: Path, spec: RunSpec, workers: int = 0, progress: Progress = no_progress) -> Run:
    """Decide all shards of a run by `spec`, and make that its current label set."""
    samples = folder.read_plan(run, spec)
    total = len(samples.samples)
    with lock.held(run):
        progress(0, total)
        for index in decide_all(run, spec, samples, workers or len(os.sched_getaffinity(0))):
            progress(samples.first(index) + len(samples.shard(index)), total)
        counts = folder.finish(run, spec, samples)
        return Run(run, counts, str(run), refusals=first_refusals(run))
