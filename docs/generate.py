"""The pages that are made from the code: commands, settings, reasons, errors, columns of a run."""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from perception.cli import app
from perception.core.config import Config, EverythingConfig, TrainConfig
from perception.core.reasons import REASONS
from perception.runs import evidence, labels

ROOT = Path(__file__).resolve().parent.parent
MUCH = 30  # letters of a message that says something
EXAMPLES = re.compile(r"\n\n((?:perception .*\n)+)\n")  # in help texts
CODE = re.compile(r"[a-z_]+\.(?!json)[a-z_]+")
RAISED = {
    "RequestError": "refused, exit code 2",
    "BucketError": "stopped, exit code 2; the same command resumes",
    "SampleError": "the sample is quarantined, or the request refused where it was about one file",
}
# Codes that are passed on as values, or whose messages are: what these say.
SAID = {
    "bucket.denied": "the bucket refuses these credentials",
    "bucket.failed": "the bucket's server failed",
    "bucket.missing": "there is no such bucket",
    "bucket.unreachable": "the bucket's server cannot be reached",
    "calibration.off": "--strict-calibration: boxes and points do not fit in most pictures",
    "cutouts.invalid": "the index of a cut-outs export is not one",
    "disk.failed": "the disk reports an input or output error",
    "disk.full": "the disk is full; the message says how much is needed and free",
    "disk.read_only": "the folder cannot be written",
    "environment.broken": "a library of this environment cannot be loaded",
    "gpu.oom": "the GPU ran out of memory with a single box at a time",
    "image.empty": "the picture has no bytes",
    "image.not_an_image": "the bytes are those of no picture that is read",
    "image.too_large": "the picture has more pixels than --max-megapixels",
    "image.truncated": "the picture ends before its data do",
    "internal.error": "a fault of this program; the message names the exception",
    "io.failed": "the operating system refused to read or write; the message quotes it",
    "io.write": "a file of the run could not be written",
    "ray.unreachable": "there is no Ray cluster at --address",
    "run.damaged": "a file of the run folder is not what the run promised",
    "run.locked": "another process works on the run; the message names it",
    "shape.invalid": "arrays of one container disagree; a fault of the calling code",
}


def commands() -> str:
    """Return every verb with its options, as the command line declares them."""
    text = app.generate_docs(heading_level=1)
    text = text[
        text.index("\n## perception") :
    ]  # after the list of commands, which the page's own contents show
    text = EXAMPLES.sub(r"\n\n```\n\1```\n\n", text)
    return (
        "# Commands\n\nMade from the command line's own declarations. `perception VERB --help` "
        "says the same. `key=value` is accepted for `--key value`.\n\n"
        "Exit codes: 0 done; 1 done, but samples were quarantined or a check failed; 2 refused or "
        "stopped, with the reason; 130 or 143 interrupted.\n\n" + text
    )


def settings() -> str:
    """Return every setting with type, default and meaning, from the models that check them."""
    parts = [
        "# Settings\n\nMade from the models that check them. `perception init SOURCE` writes a "
        "file with all settings of a run; `label --config FILE` reads it, and may hold any part "
        "of it. Unknown keys are refused. `decide` settings can be changed after a run with "
        "`perception relabel`.\n"
    ]
    for title, kind in (
        ("A run", Config),
        ("`perception segment --everything`", EverythingConfig),
        ("`perception train`", TrainConfig),
    ):
        parts.append(f"\n## {title}\n")
        parts += [
            f"\n### {name or 'top level'}\n\n{table}" if len(tables) > 1 else f"\n{table}"
            for tables in [list(_settings_of(kind, ""))]
            for name, table in tables
        ]
    return "".join(parts)


def _settings_of(kind: type[BaseModel], prefix: str) -> Iterator[tuple[str, str]]:
    rows, inner = [], []
    for name, field in kind.model_fields.items():
        value = field.get_default()
        if isinstance(value, BaseModel):
            inner += list(_settings_of(type(value), f"{prefix}{name}."))
        else:
            rows.append((f"`{name}`", _type(field), f"`{value}`", field.description or ""))
    if rows:
        yield prefix.rstrip("."), _table(("setting", "type", "default", "meaning"), rows)
    yield from inner


def _type(field: FieldInfo) -> str:
    kind = field.annotation
    name = kind.__name__ if isinstance(kind, type) else re.sub(r"typing\.|Literal", "", str(kind))
    signs = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<"}
    bounds = [
        f"{sign} {getattr(part, key)}"
        for part in field.metadata
        for key, sign in signs.items()
        if hasattr(part, key)
    ]
    return f"{name.strip('[]')}{', ' if bounds else ''}{', '.join(bounds)}"


def reasons() -> str:
    """Return the reasons that a label may carry."""
    rows = [(f"`{code}`", reason.words) for code, reason in REASONS.items()]
    return (
        "# Reasons\n\nEvery label that is not accepted carries one reason or more. "
        "`duplicate_of` and `part_of` end with the number of the other label, as in "
        "`duplicate_of.3`. [What decides them](../guides/label.md) and the thresholds "
        "([decide.judge](settings.md#decidejudge), [decide.lift](settings.md#decidelift)) stand "
        "elsewhere; signals are fields of [Signals](python.md#what-labels-are-made-of).\n\n"
        + _table(("reason", "what it says"), rows)
    )


@dataclass(frozen=True)
class Fault:
    """One place that raises an error code."""

    code: str
    kind: str
    file: str
    message: str


def promised() -> dict[str, str]:
    """Return the codes that docstrings promise under Raises, with the words that follow them."""
    found: dict[str, str] = {}
    for _, text in _sources():
        for raises in re.findall(r"Raises:\n(.*?)(?:\n\n|\"\"\")", text, re.DOTALL):
            for code, words in re.findall(rf"`({CODE.pattern})`([^`;.,]*)", raises):
                found[code] = max(found.get(code, ""), " ".join(words.split()), key=len)
    return found


def _sources() -> Iterator[tuple[str, str]]:
    for folder in ("perception", "integrations"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            yield path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8")


def faults() -> list[Fault]:
    """Return what the code raises, by code: read from the sources, so that none is missing.

    A code that is passed on as a value is known by what docstrings promise, or by `SAID`.
    """
    found = []
    said = promised() | SAID
    for name, text in _sources():
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("Error"):
                first, *rest = [*node.args, None]
                if isinstance(first, ast.Constant) and CODE.fullmatch(str(first.value)):
                    kind = ast.unparse(node.func).rpartition(".")[2]
                    found.append(Fault(first.value, kind, name, _message(rest[0])))
            elif isinstance(node, ast.Constant) and node.value in said:
                found.append(Fault(node.value, "", name, said[node.value]))
    return sorted(found, key=lambda fault: (fault.code, fault.file))


def _message(node: ast.AST | None) -> str:
    """Return the text of a message, with dots for what it names."""
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        parts = (
            _message(value) if isinstance(value, ast.Constant) else "…" for value in node.values
        )
        return "".join(parts)
    return ""


def _words(message: str) -> int:
    """Count letters, up to a sentence's worth: what names only values says nothing."""
    return min(len(re.sub(r"[^A-Za-z]", "", message)), MUCH)


def errors() -> str:
    """Return the error codes with where they come from and what one of their messages says."""
    by_code: dict[str, list[Fault]] = {}
    for fault in faults():
        by_code.setdefault(fault.code, []).append(fault)
    for code, said in SAID.items():
        by_code.setdefault(code, [Fault(code, "", "", said)])
    rows = []
    for code, places in sorted(by_code.items()):
        said = SAID.get(code) or max((place.message for place in places), key=_words)
        files = sorted({place.file for place in places if place.file})
        shown = ", ".join(f"`{Path(file).name}`" for file in files[:3])
        more = f" and {len(files) - 3} more" if len(files) > 3 else ""
        kinds = sorted({place.kind for place in places if place.kind in RAISED})
        rows.append((f"`{code}`", said, ", ".join(kinds), shown + more))
    listed = "".join(f"- `{name}`: {what}\n" for name, what in RAISED.items())
    return (
        "# Error codes\n\nRead from the sources. An error has a code, stable and for programs, and "
        "a sentence for people that names the file, what was found, what was expected and what to "
        f"do.\n\n{listed}\nThe sentence below is that of one place, with … for what it names.\n\n"
        + _table(("code", "a message", "as", "raised in"), rows)
    )


def columns() -> str:
    """Return the columns of evidence and label sets, from the schemas that hold them."""
    parts = []
    for title, schema in (("Evidence", evidence.SCHEMA), ("Label set", labels.SCHEMA)):
        rows: list[tuple[str, ...]] = [(f"`{one.name}`", f"`{_short(one.type)}`") for one in schema]
        parts.append(f"### {title}\n\n" + _table(("column", "type"), rows))
    return "\n".join(parts)


def _short(kind: pa.DataType) -> str:
    return re.sub(r"(element|item): ", "", str(kind)).replace(" not null", "")


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    cells = (
        " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in row) for row in lines
    )
    return "".join(f"| {line} |\n" for line in cells)


PAGES = {
    "reference/cli.md": commands,
    "reference/settings.md": settings,
    "reference/reasons.md": reasons,
    "reference/errors.md": errors,
}
