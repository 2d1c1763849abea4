"""What mkdocs asks while it builds: pages made from the code, from notebooks, from the root."""

import re
from pathlib import Path, PurePosixPath
from posixpath import normpath, relpath

import generate  # mkdocs puts this folder on the path
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parent.parent
FROM_ROOT = {  # documents beside docs/, and the pages that they become
    "ARCHITECTURE.md": "project/architecture.md",
    "BENCHMARKS.md": "project/benchmarks.md",
    "CHANGELOG.md": "project/changelog.md",
    "CONTRIBUTING.md": "project/contributing.md",
    "SECURITY.md": "project/security.md",
    "README.md": "index.md",
}
# What stands beside the code; its page says the same.
FROM_ROOMS = {
    "perception/labeling/lift/design.md": "concepts/lift.md",
    "perception/labeling/trust/design.md": "concepts/trust.md",
    "integrations/perception_sam/design.md": "concepts/sam.md",
}
PICTURE = re.compile(r"\.(jpg|png)$")
LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)#\s]*)(#[^)\s]*)?\)")
COLUMNS = "<!-- columns -->"


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add what is not written in docs/."""
    for uri, make in generate.PAGES.items():
        files.append(File.generated(config, uri, content=make()))
    for name, uri in (FROM_ROOT | FROM_ROOMS).items():
        if uri != "index.md" and (ROOT / name).is_file():
            text = moved_links((ROOT / name).read_text(encoding="utf-8"), name, uri)
            files.append(File.generated(config, uri, content=text))
    for path in sorted((ROOT / "docs" / "notebooks").glob("*.py")):
        files.append(File.generated(config, f"notebooks/{path.stem}.md", content=notebook(path)))
    demo = ROOT / "datasets" / "demo" / "overlay.jpg"
    files.append(File.generated(config, "assets/overlay.jpg", abs_src_path=str(demo)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Let links that leave docs/ lead to pages, and put in what a page asks for."""
    uri = page.file.src_uri
    if (ROOT / "docs" / uri).is_file():
        markdown = moved_links(markdown, f"docs/{uri}", uri)
    return markdown.replace(COLUMNS, generate.columns())


def moved_links(markdown: str, written_in: str, uri: str) -> str:
    """Return text whose links fit the place where it is shown.

    Args:
        markdown: As it stands in the repository.
        written_in: Its file, from the root.
        uri: Of its page.
    """
    here = PurePosixPath(written_in).parent

    def move(match: re.Match[str]) -> str:
        picture, text, target, anchor = (part or "" for part in match.groups())
        if not target or "://" in target or target.startswith("mailto:"):
            return match[0]
        path = normpath(str(here / target))
        pages = FROM_ROOT | FROM_ROOMS
        if path == "datasets/demo/overlay.jpg":
            place = "assets/overlay.jpg"
        elif path.startswith("docs/"):
            place = path.removeprefix("docs/")
            place = re.sub(r"^(notebooks/.*)\.py$", r"\1.md", place)
        elif path in pages:
            place = pages[path]
        else:  # a file of the repository that is no page
            return text if (ROOT / path).exists() else match[0]
        return f"{picture}[{text}]({relpath(place, str(PurePosixPath(uri).parent))}{anchor})"

    return LINK.sub(move, markdown)


def notebook(path: Path) -> str:
    """Return a notebook script as a page: text, and code in fences."""
    import jupytext

    text: str = jupytext.writes(jupytext.read(path), fmt="md")
    return re.sub(r"\A---\n.*?\n---\n", "", text, flags=re.S)
