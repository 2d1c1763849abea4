"""Pages that open from disk: no server, no network, no module scripts.

    show(Path("run"), Path("report"), truth="drive")     # then open report/index.html

`verdict` says how a run went and what comes next, `frames` packs samples for `web/picture_view.js`,
`sweeps` their points for `web/point_view.js`, `words` says in sentences what a run is and how good,
`html` puts a page together, `folders` tells what may be replaced, `command` loads and writes.
"""

from perception.review.command import Shown, show

__all__ = ["Shown", "show"]
