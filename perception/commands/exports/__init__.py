"""Exports that prove themselves: written, read again, compared, and described by a card.

    for done in export("runs/kitti", "all", "exported"):
        print(done.lines())

`checks` compares what a format's own reader gives back, `card` says what a data set is, `command`
holds the table of formats.
"""

from perception.commands.exports.checks import ReadBack
from perception.commands.exports.command import ALL, FORMATS, Exported, export

__all__ = ["ALL", "FORMATS", "Exported", "ReadBack", "export"]
