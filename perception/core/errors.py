"""The error tree.

PerceptionError      everything this package raises on purpose; has a `code` such as "image.empty"
|-- RequestError     a request that cannot be served: the command exits with 2; refused before any
|   |                work, or stopped whole where a disk or a worker fails, to be resumed
|   `-- BucketError  a bucket or the way to it fails: no sample is to blame
|-- SampleError      one sample cannot be used: it is quarantined with this code, the run goes on
`-- ShapeError       arrays of one container disagree: a fault of the calling code

A message names the file, the field, the value found, the value expected and the fix. Copies of what
lies in a bucket are named as the bucket names them: the scratch folder's name is another each time.
"""

import re

COPY_OF = "copy-of-"  # scratch folders of a bucket: then the scheme, then random letters
_COPY = re.compile(rf"[^\s'\"]*/perception-{COPY_OF}(s3|gs)-\w+/")


def in_bucket(text: str) -> str:
    """Name local copies of a bucket's files as the bucket names them."""
    return _COPY.sub(r"\1://", text)


class PerceptionError(Exception):
    """Base of all errors raised on purpose.

    Attributes:
        code: Dotted, stable name of the fault ("calib.invalid"), for programs.
        message: One sentence for people.
    """

    def __init__(self, code: str, message: str) -> None:
        self.code = code
        self.message = in_bucket(message)
        super().__init__(f"{code}: {self.message}")

    def __reduce__(self) -> tuple[type["PerceptionError"], tuple[str, str]]:
        """Let the error cross a process border whole."""
        return (type(self), (self.code, self.message))


class RequestError(PerceptionError):
    """The request as a whole cannot be served, or not now; what a run has done is kept."""


class BucketError(RequestError):
    """A bucket, or the way to it, fails: what a run has done is kept, and no sample is to blame."""


class SampleError(PerceptionError):
    """One sample cannot be used; the run quarantines it and goes on."""


class ShapeError(PerceptionError):
    """Arrays of one container disagree; a fault of the calling code."""

    def __init__(self, code: str, message: str = "") -> None:
        super().__init__("shape.invalid", message or code)


class Interrupted(KeyboardInterrupt):
    """A signal asked this process to end.

    Attributes:
        exit_code: As shells have it: 128 and the number of the signal.
        at_once: Whether what is in hand is given up.
    """

    def __init__(self, number: int, *, at_once: bool) -> None:
        super().__init__()
        self.exit_code = 128 + number
        self.at_once = at_once
