"""Models loaded once for nothing: what a run would refuse, a dry run refuses too."""

from perception.execution.job import Job, load_models
from perception.execution.supervisor import Supervisor
from perception.io import scratch
from perception.runs import folder, records
from perception.runs.folder import Plan


def load_once(job: Job, plan: Plan) -> None:
    """Load the models of a job and let go of them.

    Weights are opened in a process of their own, as in a run: they may end it.

    Raises:
        RequestError: as `load_models`; `process.crash` for weights that end the process.
    """
    models = job.spec.models()
    opened = [model for name, model in models.items() if name != "detector" or not job.boxes]
    if not any(model.sha256 for model in opened):
        load_models(job, plan)
        return
    if not job.boxes:  # boxes are found by the names of all pictures, models by none
        plan = Plan(plan.shard(0), plan.shard_size)
    spec = job.spec.model_copy(update={"plan_sha256": records.sha256(plan.to_bytes())})
    with scratch.folder("trial") as place:
        run = place / "run"
        folder.begin(run, spec, plan)
        where = {"run": str(run), "address": str(run)}
        with Supervisor(job.model_copy(update={**where, "spec": spec})):
            pass
