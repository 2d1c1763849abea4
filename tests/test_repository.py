"""The rules of the repository itself."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import perception
from perception.core.config import load_yaml

ROOT = Path(__file__).resolve().parent.parent
INTEGRATIONS = sorted(path.parent.name for path in ROOT.glob("integrations/*/__init__.py"))
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
HEAVY = ("torch", "torchvision", "ultralytics", "openvino", "onnxruntime", "open3d", "ray", "rerun")
FOLDERS = (".ci", "configs", "datasets", "docs", "integrations", "perception", "tests")
ENVIRONMENT = os.environ | {
    "PYTHONPATH": os.pathsep.join(
        [str(ROOT), str(ROOT / "integrations"), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    ),
    "NO_COLOR": "1",
}


def repository_files() -> Iterator[Path]:
    """Every file that belongs to the project; not what tools leave beside them."""
    yield from (path for path in ROOT.iterdir() if path.is_file() and path.name != ".git")
    for folder in FOLDERS:
        for path in (ROOT / folder).rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts:
                yield path


def run(*command: str, cwd: Path = ROOT, timeout_s: float = 300) -> str:
    done = subprocess.run(
        command, cwd=cwd, env=ENVIRONMENT, capture_output=True, text=True, timeout=timeout_s
    )
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("package", ["perception", *INTEGRATIONS])
def test_importing_every_module_loads_nothing_heavy(package: str) -> None:
    if package == "perception_sam":
        pytest.importorskip("PIL")
    # Are networks: who needs them imports them then.
    names = ("exporter", "modules", "tiny_vit", "two_way")
    networks = tuple(f"perception_sam.{name}" for name in names)
    code = f"""
import importlib, pkgutil, sys
package = importlib.import_module({package!r})
for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
    if not module.name.endswith("__main__") and module.name not in {networks!r}:
        importlib.import_module(module.name)
print(sorted({set(HEAVY)!r} & sys.modules.keys()))
"""
    assert run(sys.executable, "-W", "error", "-c", code).strip() == "[]"


@pytest.mark.slow
def test_the_processes_of_a_run_load_scipy_when_they_lift_points() -> None:
    """Half a second of each, if they did it at once."""
    code = """
import sys
import perception.commands.label, perception.execution.child
print(sorted(name for name in sys.modules if name.startswith("scipy")))
"""
    assert run(sys.executable, "-c", code).strip() == "[]"


def test_imports_flow_the_way_that_pyproject_says() -> None:
    lint_imports = Path(sys.executable).with_name("lint-imports")
    run(str(lint_imports), "--no-cache")


def test_the_layers_name_every_module_of_the_core_and_no_other() -> None:
    contracts = PYPROJECT["tool"]["importlinter"]["contracts"]
    layers = next(contract for contract in contracts if contract["type"] == "layers")["layers"]
    named = [name.strip() for layer in layers for name in re.split(r"[|:]", layer)]
    modules = {path.stem for path in (ROOT / "perception").glob("*.py")} - {"__init__", "__main__"}
    packages = {path.parent.name for path in ROOT.glob("perception/*/__init__.py")}
    assert sorted(named) == sorted(modules | packages)


def test_every_integration_is_checked_by_the_linters() -> None:
    tool = PYPROJECT["tool"]
    assert sorted(tool["importlinter"]["root_packages"]) == sorted(["perception", *INTEGRATIONS])
    assert sorted(tool["mypy"]["packages"]) == sorted(["perception", *INTEGRATIONS])


YAML_FILES = sorted(
    path for folder in ("configs", "datasets") for path in (ROOT / folder).rglob("*.y*ml")
)


@pytest.mark.parametrize("path", YAML_FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_yaml_loads_and_begins_with_what_it_is_for(path: Path) -> None:
    assert isinstance(load_yaml(path), dict)
    assert path.read_text(encoding="utf-8").startswith("# ")
    assert path.suffix == ".yaml"


def test_data_folders_hold_no_python_and_the_source_root_is_no_package() -> None:
    assert YAML_FILES
    assert [
        path for folder in ("configs", "datasets") for path in ROOT.glob(f"{folder}/**/*.py")
    ] == []
    assert not (ROOT / "integrations" / "__init__.py").exists()


def test_no_file_names_a_folder_of_the_machine_it_was_written_on() -> None:
    machine_path = re.compile(r"(?<![\w.:/])/(home|root|work|Users)/\w")
    found = []
    for path in repository_files():
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except UnicodeDecodeError:  # a picture
            continue
        for number, line in enumerate(lines, 1):
            if machine_path.search(line):
                found.append(f"{path.relative_to(ROOT)}:{number}: {line.strip()}")
    assert found == []


def test_there_are_no_drawers_for_odds_and_ends() -> None:
    vague = {"utils", "util", "helpers", "common", "manager", "base", "misc"}
    assert [
        path for path in repository_files() if path.suffix == ".py" and path.stem in vague
    ] == []


def test_ci_runs_the_command_that_people_run() -> None:
    commands = [
        line
        for line in (ROOT / ".ci" / "run").read_text().splitlines()
        if line and not line.startswith(("#", "set ", "cd "))
    ]
    assert commands == ["exec make test"]
    makefile = (ROOT / "Makefile").read_text()
    for target in ("setup", "demo", "docs", "test", "check", "bench"):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
    for script in (".ci/run", ".ci/setup.sh"):
        assert os.access(ROOT / script, os.X_OK), script


def test_the_wheel_holds_the_packages_and_their_data_and_nothing_else(tmp_path: Path) -> None:
    run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path))
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    expected = set()
    for folder, inside in (
        ("perception", "perception"),
        *((f"integrations/{name}", name) for name in INTEGRATIONS),
        ("datasets", "perception/_data"),
        ("configs", "perception/_configs"),
    ):
        for path in (ROOT / folder).rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts:
                expected.add(f"{inside}/{path.relative_to(ROOT / folder).as_posix()}")
    assert "perception/_data/ontologies/road.yaml" in names
    assert {name for name in names if ".dist-info/" not in name} == expected
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)


# .ci/setup.sh on a made-up system: the stubs write down what they are asked to do.
LIBRARIES = re.findall(r"^(lib\S+\.so\S*) lib", (ROOT / ".ci" / "setup.sh").read_text(), re.M)
PYTHON_STUB = """
echo "$*" >>commands.log
case "$*" in
  *ensurepip*) [ -z "$NO_VENV" ] ;;
  "-m venv"*) mkdir -p .venv/bin && cp "$0" .venv/bin/python ;;
  "-m pip --version") [ "$0" = .venv/bin/python ] ;;
  "-c import open3d") [ -z "$NO_OPEN3D" ] ;;
  *print*) echo python3.12-venv ;;
esac
"""


class System:
    """A folder with the script, and a PATH where stubs come first."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / ".ci").mkdir()
        (folder / "bin").mkdir()
        for name in ("setup.sh", "constraints.txt"):
            shutil.copy(ROOT / ".ci" / name, folder / ".ci")
        shutil.copy(ROOT / "pyproject.toml", folder)
        self.stub("ldconfig", "\n".join(f"echo '  {name} (libc6) => x'" for name in LIBRARIES))
        self.stub("id", "echo 1000")
        self.stub("uname", "echo x86_64")
        self.stub("apt-get", 'echo "apt-get $*" >>commands.log')
        self.stub("python-stub", PYTHON_STUB)

    def stub(self, name: str, script: str) -> None:
        path = self.folder / "bin" / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    def set_up(self, **environment: str) -> subprocess.CompletedProcess[str]:
        path = f"{self.folder / 'bin'}{os.pathsep}{os.environ['PATH']}"
        return subprocess.run(
            [".ci/setup.sh"],
            cwd=self.folder,
            env=os.environ | {"PATH": path, "PYTHON": "python-stub"} | environment,
            capture_output=True,
            text=True,
            timeout=60,
        )

    def commands(self) -> list[str]:
        log = self.folder / "commands.log"
        return log.read_text().splitlines() if log.is_file() else []


@pytest.fixture
def system(tmp_path: Path) -> System:
    return System(tmp_path)


def test_set_up_prints_the_one_command_that_installs_what_is_missing(system: System) -> None:
    system.stub("ldconfig", "echo 'libGL.so.1 (libc6) => x'; echo 'libX11.so.6 (libc6) => x'")
    done = system.set_up(NO_VENV="1")
    assert done.returncode == 1
    assert [line.strip() for line in done.stderr.splitlines() if "apt-get" in line] == [
        "sudo apt-get install -y python3.12-venv libusb-1.0-0 libegl1 libidn2-0 libglib2.0-0"
    ]
    assert not [command for command in system.commands() if "apt-get" in command]
    assert not (system.folder / ".venv").exists()


def test_set_up_installs_what_is_missing_when_it_may(system: System) -> None:
    system.stub("id", "echo 0")
    system.stub("ldconfig", "echo nothing")
    assert system.set_up().returncode == 0
    (install,) = (command for command in system.commands() if "apt-get install" in command)
    assert install.endswith(" libusb-1.0-0 libgl1 libegl1 libx11-6 libidn2-0 libglib2.0-0")


def test_set_up_installs_torch_and_torchvision_together_and_first(system: System) -> None:
    done = system.set_up()
    assert done.returncode == 0, done.stderr
    installs = [command for command in system.commands() if " install " in command]
    assert re.search(r"torch==\S+ torchvision==\S+$", installs[0])
    assert installs[1].endswith("-e .[all,dev]")


def test_all_is_every_extra_but_that_of_developers() -> None:
    extras = PYPROJECT["project"]["optional-dependencies"]
    named = ",".join(name for name in extras if name not in ("all", "dev", "docs"))
    assert extras["all"] == [f"driving-perception[{named}]"]
    assert "driving-perception[docs]" in extras["dev"]


def test_set_up_does_nothing_until_what_it_depends_on_changes(system: System) -> None:
    system.set_up()
    before = system.commands()
    assert system.set_up().returncode == 0
    assert system.commands() == before
    for name in ("pyproject.toml", ".ci/constraints.txt"):
        with (system.folder / name).open("a") as file:
            file.write("# changed\n")
        assert system.set_up().returncode == 0
        assert len(system.commands()) > len(before)
        before = system.commands()


def test_set_up_that_fails_at_the_end_starts_again_next_time(system: System) -> None:
    done = system.set_up(NO_OPEN3D="1")
    assert done.returncode == 1
    assert "import open3d fails" in done.stderr
    assert system.set_up(NO_OPEN3D="1").returncode == 1
    assert system.set_up().returncode == 0


@pytest.mark.slow
def test_the_public_face_gives_what_readers_of_the_readme_import_and_loads_nothing_before() -> None:
    code = (
        "import sys, perception\n"
        "print(sorted(name for name in sys.modules if name.startswith('perception')))\n"
        "print(all(getattr(perception, name) for name in perception.__all__))"
    )
    loaded, found = run(sys.executable, "-c", code).splitlines()
    assert loaded == "['perception', 'perception.core', 'perception.core.version']"
    assert found == "True" and (ROOT / "perception" / "py.typed").is_file()
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        perception.nothing  # noqa: B018


def test_the_readme_is_short_and_no_document_links_to_nothing() -> None:
    assert len((ROOT / "README.md").read_bytes()) <= 7000
    generated = re.findall(r'"(reference/\w+\.md)":', (ROOT / "docs" / "generate.py").read_text())
    made = {ROOT / "docs" / name for name in generated}  # by `make docs`, which checks the links
    assert made
    dead = []
    for path in repository_files():
        if path.suffix != ".md":
            continue
        for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", path.read_text()):
            place = (path.parent / target).resolve()
            if "://" not in target and not place.exists() and place not in made:
                dead.append(f"{path.relative_to(ROOT)}: {target}")
    assert dead == []
