"""The process that shields a run from its models."""

import hashlib
import os
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from perception.core.config import Config, ModelSpec
from perception.core.errors import RequestError
from perception.core.ontology import load_class_map, load_ontology
from perception.execution.handle import Child
from perception.execution.job import Job, require_match
from perception.execution.supervisor import Supervisor
from perception.models.given_boxes import class_map_for
from perception.readers import sources
from perception.runs import evidence, folder, records, shards
from perception.runs.folder import Plan, RunSpec

Prepare = Callable[[str], None]


def job_of(run: Path, source: Path, class_map: str = "") -> Job:
    """Open a run of two pictures in two shards."""
    plan = Plan(sources.find(sources.parse_source(f"images:{source}")), 1)
    ontology = load_ontology()
    spec = RunSpec(
        libraries={},
        source="images",
        source_licence="unknown",
        plan_sha256=records.sha256(plan.to_bytes()),
        detector=ModelSpec(kind="bright"),
        segmenter=ModelSpec(kind="boxes"),
        config=Config.model_validate({"shard_size": 1, "observe": {"threads": 1}}),
        ontology=ontology,
        class_map=load_class_map(class_map) if class_map else class_map_for(("car",), ontology)[0],
    )
    folder.begin(run, spec, plan)
    return Job(
        run=str(run),
        address=str(run),
        spec=spec,
        detector_path=".",
        segmenter_path=".",
        boxes="",
        layout="images",
        root=str(source),
    )


@pytest.fixture
def job(tmp_path: Path, pictures: Callable[[Path, int], Path]) -> Job:
    return job_of(tmp_path / "run", pictures(tmp_path / "src", 2))


def done(job: Job) -> list[int]:
    where = evidence.folder_of(Path(job.run))
    return [index for index in range(2) if shards.shard_is_whole(where, index)]


def child_of(supervisor: Supervisor) -> int:
    assert supervisor._child is not None
    return supervisor._child.pid


def is_alive(pid: int) -> bool:
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z"


@pytest.mark.slow
def test_one_process_serves_all_shards_and_ends_with_the_context(job: Job) -> None:
    begun: list[int] = []
    with Supervisor(job) as supervisor:
        pid = child_of(supervisor)
        for index in range(2):
            supervisor.do_shard(index, begun.append)
        assert child_of(supervisor) == pid and is_alive(pid)
    assert not is_alive(pid)
    # Each shard holds one sample, which is begun before its picture and before its sweep is read.
    assert done(job) == [0, 1] and begun == [0, 0, 0, 0]


def test_an_interrupt_while_it_waits_leaves_nothing_that_exit_waits_for(
    job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = threading.active_count()

    def interrupted(child: Child, index: int) -> None:
        raise KeyboardInterrupt

    with Supervisor(job) as supervisor, monkeypatch.context() as patched:
        patched.setattr(Child, "answer", interrupted)
        with pytest.raises(KeyboardInterrupt):
            supervisor.do_shard(0)
    assert threading.active_count() == before


# Of the module, the function whose first call stands still: writing a shard, finishing a sample.
@pytest.mark.slow
@pytest.mark.parametrize(
    ("module", "slow"), [("runs.evidence", "write"), ("labeling.pipeline", "image_statistics")]
)
def test_the_models_see_the_next_shard_while_one_is_finished(
    job: Job, in_worker: Prepare, tmp_path: Path, module: str, slow: str
) -> None:
    in_worker(
        "import os, time\n"
        f"import perception.{module} as module\n"
        f"plain, calls = module.{slow}, []\n"
        "def wait(*given):\n"
        "    calls.append(0)\n"
        f"    while len(calls) == 1 and not os.path.exists({str(tmp_path / 'go')!r}):\n"
        "        time.sleep(0.01)\n"
        "    return plain(*given)\n"
        f"module.{slow} = wait\n"
        f"open({str(tmp_path / 'replaced')!r}, 'w').close()\n"
    )
    with Supervisor(job) as supervisor, ThreadPoolExecutor() as lanes:
        begun = [threading.Event(), threading.Event()]
        first = lanes.submit(supervisor.do_shard, 0, lambda place: begun[0].set())
        assert begun[0].wait(60)
        second = lanes.submit(supervisor.do_shard, 1, lambda place: begun[1].set())
        assert begun[1].wait(60)
        assert not first.done() and done(job) == []
        (tmp_path / "go").touch()
        first.result(), second.result()
    assert done(job) == [0, 1] and (tmp_path / "replaced").exists()


@pytest.mark.slow
def test_a_worker_killed_between_shards_is_replaced(job: Job) -> None:
    with Supervisor(job) as supervisor:
        supervisor.do_shard(0)
        pid = child_of(supervisor)
        os.kill(pid, signal.SIGKILL)
        deadline = time.monotonic() + 10
        while is_alive(pid) and time.monotonic() < deadline:
            time.sleep(0.01)
        supervisor.do_shard(1)
    assert done(job) == [0, 1]
    assert not (Path(job.run) / "poison").exists()


@pytest.mark.parametrize(
    ("deed", "how"),
    [
        ("import os; os._exit(7)", "exit code 7"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "signal 9"),
    ],
    ids=["exits", "is killed"],
)
def test_row_34_a_worker_that_dies_while_loading_says_how(
    job: Job, in_worker: Prepare, deed: str, how: str
) -> None:
    in_worker(deed)
    with pytest.raises(RequestError, match=r"died while loading") as caught, Supervisor(job):
        pytest.fail("the worker was ready")
    assert caught.value.code == "process.crash" and how in caught.value.message
    assert done(job) == []


def test_row_17_a_worker_that_refuses_its_job_says_why_and_leaves_no_process(
    tmp_path: Path, pictures: Callable[[Path, int], Path]
) -> None:
    job = job_of(tmp_path / "run", pictures(tmp_path / "src", 2), class_map="kitti-to-road")
    supervisor = Supervisor(job)
    with pytest.raises(RequestError, match="'car'") as caught, supervisor:
        pytest.fail("the worker was ready")
    assert caught.value.code == "class.unknown"
    assert supervisor._child is None
    assert done(job) == []


@pytest.mark.slow
def test_what_a_library_prints_does_not_mix_with_the_answers(
    job: Job, detector_does: Prepare
) -> None:
    detector_does("print('{\"done\": 0}', flush=True); os.write(1, b'noise\\n')")
    with Supervisor(job) as supervisor:
        supervisor.do_shard(0)
        supervisor.do_shard(1)
    assert done(job) == [0, 1]


@pytest.mark.slow
def test_row_35_a_disk_that_cannot_be_written_ends_the_run_with_its_name(job: Job) -> None:
    (Path(job.run) / "evidence").write_text("a file where a folder should be")
    with pytest.raises(RequestError, match="evidence") as caught, Supervisor(job) as supervisor:
        supervisor.do_shard(0)
    assert caught.value.code == "io.write"


@pytest.mark.slow
def test_what_a_worker_leaves_in_its_temporary_folder_goes_with_it(
    job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, detector_does: Prepare
) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    monkeypatch.setattr("tempfile.tempdir", None)
    detector_does("import tempfile; tempfile.mkdtemp(); os.kill(os.getpid(), signal.SIGKILL)")
    with Supervisor(job) as supervisor:
        supervisor.do_shard(1)
    assert list(temporary.iterdir()) == []


@pytest.mark.slow
def test_of_several_samples_side_by_side_the_one_that_kills_is_found(
    job: Job, detector_does: Prepare, tmp_path: Path, draw: Callable[..., Path]
) -> None:
    for number in range(5):
        draw(tmp_path / "many" / f"{number}.png", (4, 8, 20, 30, 255), size_hw=(48, 60 + number))
    plan = Plan(sources.find(sources.parse_source(f"images:{tmp_path / 'many'}")), 5)
    observe = job.spec.config.observe.model_copy(update={"lanes": 3})
    config = job.spec.config.model_copy(update={"observe": observe, "shard_size": 5})
    spec = job.spec.model_copy(
        update={"config": config, "plan_sha256": records.sha256(plan.to_bytes())}
    )
    run = tmp_path / "lanes"
    folder.begin(run, spec, plan)
    detector_does("time.sleep(0.2); picture.image_rgb.shape[1] == 62 and os._exit(5)")
    with Supervisor(job.model_copy(update={"run": str(run), "spec": spec})) as supervisor:
        supervisor.do_shard(0)
    outcomes = [outcome for outcome, _ in evidence.read(run, 0, plan.shard(0))]
    assert [outcome.code for outcome in outcomes] == ["", "", "process.crash", "", ""]


def test_a_worker_whose_weights_are_others_than_the_runs_is_refused(
    job: Job, tmp_path: Path
) -> None:
    weights = tmp_path / "net.onnx"
    weights.write_bytes(b"\x08\x07")
    sha256 = hashlib.sha256(b"\x08\x07").hexdigest()
    for part in ("detector", "segmenter", "second"):
        model = ModelSpec(kind="onnx", file_name="net.onnx", sha256=sha256)
        libraries = folder.installed_libraries()
        spec = job.spec.model_copy(update={part: model, "libraries": libraries})
        asked = job.model_copy(update={"spec": spec, f"{part}_path": str(weights)})
        require_match(asked)
        other = model.model_copy(update={"sha256": "0" * 64})
        spec = spec.model_copy(update={part: other})
        with pytest.raises(RequestError, match=f"weights of the .*{part}.*{sha256} here") as caught:
            require_match(asked.model_copy(update={"spec": spec}))
        assert caught.value.code == "worker.mismatch"


@pytest.mark.slow
def test_a_sweep_that_kills_the_worker_is_found_when_decisions_read_it(
    job: Job, in_worker: Prepare, tmp_path: Path, kitti: Callable[[Path, int], Path]
) -> None:
    plan = Plan(sources.find(sources.parse_source(f"kitti:{kitti(tmp_path / 'kitti', 3)}")), 3)
    config = job.spec.config.model_copy(update={"shard_size": 3})
    sha256 = records.sha256(plan.to_bytes())
    spec = job.spec.model_copy(update={"config": config, "source": "kitti", "plan_sha256": sha256})
    run = tmp_path / "sweeps"
    folder.begin(run, spec, plan)
    in_worker(
        "import os\n"
        "from perception.readers import kitti_object\n"
        "plain = kitti_object.read_sweep\n"
        "def read(path, columns):\n"
        f"    path.stem == {plan.samples[1].id!r} and os._exit(5)\n"
        "    return plain(path, columns)\n"
        "kitti_object.read_sweep = read\n"
    )
    with Supervisor(job.model_copy(update={"run": str(run), "spec": spec})) as supervisor:
        supervisor.do_shard(0)
    assert [outcome.code for outcome, _ in evidence.read(run, 0, plan.shard(0))] == ["", "", ""]
    decided = [outcome.code for outcome, _ in folder.read_shard(run, spec, plan, 0)]
    assert decided == ["", "process.crash", ""]
