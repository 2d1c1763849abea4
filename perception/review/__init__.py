"""Pages that open from disk: no server, no network, no module scripts.

    show(Path("run"), Path("report"), truth="drive")     # then open report/index.html

`sweeps` packs points for `web/point_view.js`, `words` says in sentences what a run is and how good,
`html` puts a page together, `command` loads and writes.
"""

from perception.review.command import Shown, show

__all__ = ["Shown", "show"]
