"""What is given to run on clusters: valid by its schema, closed, and calling options that exist."""

import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml

from perception import cli

DEPLOY = Path(__file__).resolve().parents[2] / "integrations" / "perception_ray" / "deploy"
TEXT = {"type": "string"}
COUNT = {"type": "integer", "minimum": 0}
START = {"type": "object", "additionalProperties": TEXT}  # Kubernetes refuses numbers here


def closed(required: dict[str, Any], **optional: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": required | optional,
        "required": [*required],
        "additionalProperties": False,
    }


def rows(item: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "minItems": 1, "items": item}


AMOUNTS = {
    "type": "object",
    "additionalProperties": {"type": "string", "pattern": r"^\d+(Ki|Mi|Gi|m)?$"},
}
CONTAINER = closed(
    {"name": TEXT, "image": TEXT, "resources": closed({"limits": AMOUNTS, "requests": AMOUNTS})},
    env=rows(closed({"name": TEXT, "value": TEXT})),
    volumeMounts=rows(closed({"name": TEXT, "mountPath": TEXT})),
)
POD = closed(
    {
        "spec": closed(
            {"containers": rows(CONTAINER)},
            volumes=rows(
                closed({"name": TEXT, "persistentVolumeClaim": closed({"claimName": TEXT})})
            ),
        )
    }
)
# The part of ray.io_rayjobs.yaml (ray-project/kuberay, helm-chart/kuberay-operator/crds) that is
# used here, without the rest, so that a misspelt key is refused.
RAY_JOB = closed(
    {
        "apiVersion": {"const": "ray.io/v1"},
        "kind": {"const": "RayJob"},
        "metadata": closed({"name": TEXT}),
        "spec": closed(
            {
                "entrypoint": TEXT,
                "rayClusterSpec": closed(
                    {
                        "headGroupSpec": closed({"rayStartParams": START, "template": POD}),
                        "workerGroupSpecs": rows(
                            closed(
                                {"groupName": TEXT, "rayStartParams": START, "template": POD},
                                replicas=COUNT,
                                minReplicas=COUNT,
                                maxReplicas=COUNT,
                            )
                        ),
                    },
                    rayVersion=TEXT,
                    enableInTreeAutoscaling={"type": "boolean"},
                    authOptions=closed({"mode": {"enum": ["token", "disabled"]}}),
                ),
            },
            backoffLimit=COUNT,
            shutdownAfterJobFinishes={"type": "boolean"},
        ),
    }
)


def load(name: str) -> Any:
    text = (DEPLOY / name).read_text()
    assert text.startswith("# ")
    return yaml.safe_load(text)


def labelling(name: str) -> list[str]:
    """Return the words of the `perception label` command in a file, comments included."""
    text = re.sub(r"\\?\n#? *", " ", (DEPLOY / name).read_text())
    command = re.search(r"perception (label kitti:.*?--workers \d+( --break-lock)?)", text)
    assert command is not None
    return shlex.split(command[1])


def test_the_ray_job_fits_kuberays_schema_and_is_closed() -> None:
    jsonschema = pytest.importorskip("jsonschema")
    job = load("rayjob.yaml")
    jsonschema.validate(job, RAY_JOB)
    assert job["spec"]["rayClusterSpec"]["authOptions"] == {"mode": "token"}


def test_the_launcher_file_fits_rays_schema_and_is_closed() -> None:
    jsonschema = pytest.importorskip("jsonschema")
    ray = pytest.importorskip("ray")
    schema = Path(ray.__file__).parent / "autoscaler" / "ray-schema.json"
    cluster = load("cluster.yaml")
    jsonschema.validate(cluster, json.loads(schema.read_text()))
    starts = [
        command
        for key in ("head_start_ray_commands", "worker_start_ray_commands")
        for command in cluster[key]
        if "ray start" in command
    ]
    assert len(starts) == 2
    for command in starts:
        assert "RAY_AUTH_MODE=token" in command and "RAY_USAGE_STATS_ENABLED=0" in command
        assert "dashboard-host" not in command


@pytest.mark.parametrize("name", ["rayjob.yaml", "cluster.yaml"])
def test_the_command_of_a_file_is_understood(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.run([*labelling(name), "--dry-run"]) == cli.USAGE
    # Refused for the source that is not here, and not for an option that is not there.
    assert "/mnt/drives/kitti" in capsys.readouterr().err
