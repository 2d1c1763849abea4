"""Buckets: `s3://BUCKET/PATH` and `gs://BUCKET/PATH`, through pyarrow's file systems.

Everything that reads files reads local ones, so what lies in a bucket is copied into a scratch
folder first, SCRATCH/BUCKET/PATH; errors name the object (see `errors`). Only an address of a
bucket makes a connection. Credentials come from pyarrow's own chain (environment, profile,
instance), the address of another S3 server from AWS_ENDPOINT_URL: an address is stored, so neither
may stand in it.
"""

import os
import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any

from perception.core.errors import COPY_OF, BucketError, RequestError
from perception.io.scratch import folder as scratch_folder

SCHEMES = ("s3://", "gs://")
# Larger than anything that is read: such a file gets its size alone, and its reader refuses it.
MAX_BYTES = 1 << 29
PART_BYTES = 1 << 26  # read at a time: most objects are one request
LANES = 16  # objects on their way at a time: each waits for the network nearly all of its time
ATTEMPTS = 5
RETRY_S = 30  # of Google's client, which counts seconds in place of attempts
_BUCKET = re.compile(r"[a-z0-9][a-z0-9._-]*")
_OPTION = re.compile(r"\?\w+=")


def is_bucket(text: object) -> bool:
    """Tell whether a place is one in a bucket."""
    return str(text).startswith(SCHEMES)


@dataclass(frozen=True)
class Bucket:
    """A place in a bucket.

    Attributes:
        scheme: "s3" or "gs".
        path: Of the place: the bucket's name, then the parts of the key.
    """

    scheme: str
    path: str

    def __str__(self) -> str:
        """Return the address."""
        return f"{self.scheme}://{self.path}"

    def beside(self, path: str) -> "Bucket":
        """Return another place of the same server."""
        return Bucket(self.scheme, path)

    def sizes(self, *, deep: bool = True) -> dict[str, int]:
        """List the objects below this place.

        Args:
            deep: Whether to look into folders.

        Returns:
            Path relative to this place, and bytes; none where there is no object.

        Raises:
            BucketError: `bucket.missing`, `bucket.denied`, `bucket.unreachable`, `bucket.failed`.
            RequestError: `path.invalid` for a key that is no path of a file.
        """
        from pyarrow import fs

        with self._faults():
            # Not `allow_not_found`: a bucket that is missing would be an empty one.
            try:
                found = self._files().get_file_info(fs.FileSelector(self.path, recursive=deep))
            except FileNotFoundError:
                return {}
        files = [info for info in found if info.type == fs.FileType.File]
        names = {info.path[len(self.path) + 1 :]: info.size for info in files}
        for name in names:
            if name != posixpath.normpath(name) or name.startswith(("/", "../")) or name == "..":
                raise RequestError("path.invalid", f"{self}/{name!r} is no path of a file: move it")
        return names

    def folders(self) -> list[str]:
        """List the folders of this place; raises as `sizes`."""
        from pyarrow import fs

        with self._faults():
            try:
                found = self._files().get_file_info(fs.FileSelector(self.path))
            except FileNotFoundError:
                return []
        return sorted(info.base_name for info in found if info.type == fs.FileType.Directory)

    def has(self, name: str) -> bool:
        """Tell whether there is an object of a name; "" for this place itself."""
        from pyarrow import fs

        with self._faults():
            (info,) = self._files().get_file_info([posixpath.join(self.path, name).rstrip("/")])
        return bool(info.type == fs.FileType.File)

    def read(self, name: str) -> bytes | None:
        """Return the bytes of an object; None where there is none.

        Raises:
            BucketError: as `sizes`; `bucket.too_large` for more than `MAX_BYTES`.
        """
        with self._faults():
            try:
                with self._files().open_input_file(f"{self.path}/{name}") as stream:
                    if stream.size() > MAX_BYTES:
                        raise BucketError(
                            "bucket.too_large",
                            f"{self}/{name}: {stream.size()} bytes, expected at most {MAX_BYTES}",
                        )
                    return bytes(stream.readall())
            except FileNotFoundError:
                return None

    def fetch(self, name: str, place: Path, *, whole: bool = False) -> bool:
        """Copy an object to a file, part by part; return whether there was one.

        Args:
            name: Of the object.
            place: The file.
            whole: Whether more than `MAX_BYTES` are copied too.
        """
        with self._faults():
            try:
                stream = self._files().open_input_file(f"{self.path}/{name}")
                size = stream.size()
            except FileNotFoundError:
                return False
        place.parent.mkdir(parents=True, exist_ok=True)
        with stream, place.open("wb") as file:
            for at in range(0, size if whole or size <= MAX_BYTES else 0, PART_BYTES):
                with self._faults():
                    part = stream.read(min(PART_BYTES, size - at))
                file.write(part)
            file.truncate(size)
        return True

    def write(self, name: str, data: bytes) -> None:
        """Put an object: it appears whole or not at all."""
        with self._faults():
            # pyarrow wants the length of what it sends to be known when the stream is closed.
            with self._files().open_output_stream(f"{self.path}/{name}") as stream:
                stream.write(data)

    def remove(self, name: str) -> None:
        """Delete an object, if there is one."""
        with self._faults():
            try:
                self._files().delete_file(f"{self.path}/{name}")
            except FileNotFoundError:
                return

    def _files(self) -> Any:
        return _file_system(self.scheme, self.path.partition("/")[0])

    @contextmanager
    def _faults(self) -> Iterator[None]:
        """Say what the server, or the way to it, refused, and how to go on."""
        try:
            yield
        except FileNotFoundError:
            raise
        except OSError as error:
            code, fix = _fault(str(error), self.scheme)
            raise BucketError(
                code, f"{self}: {fix}, then the same command goes on ({error})"
            ) from error


def parse(address: str) -> Bucket:
    """Understand an address.

    Raises:
        RequestError: `source.invalid` for an address with options or credentials in it, or one
            whose path is none.
    """
    scheme, _, rest = address.partition("://")
    path = rest.rstrip("/")
    name = path.partition("/")[0]
    if "@" in name or _OPTION.search(rest):
        raise RequestError(
            "source.invalid",
            f"{scheme}://...: credentials and options do not go into an address, which is stored; "
            "use the environment: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION, "
            "AWS_ENDPOINT_URL",
        )
    if not _BUCKET.fullmatch(name) or path != posixpath.normpath(path) or "\0" in path:
        raise RequestError(
            "source.invalid", f"{address!r}: expected {scheme}://BUCKET/PATH, without . and .."
        )
    return Bucket(scheme, path)


@contextmanager
def scratch(bucket: Bucket) -> Iterator[Path]:
    """Make a folder for copies of a place, which goes at the end; errors name the place.

    Yields:
        The place's own folder in it, not made yet.
    """
    with scratch_folder(f"{COPY_OF}{bucket.scheme}") as top:
        yield top.resolve() / bucket.path


@contextmanager
def fetched(bucket: Bucket, names: Iterable[str]) -> Iterator[Path]:
    """Copy some files of a place into a scratch folder; those that are missing stay missing.

    Args:
        bucket: The place.
        names: Relative to it; `..` may lead to the folder above it.

    Yields:
        The folder of the place.
    """
    with scratch(bucket) as place:
        place.mkdir(parents=True)
        limit = posixpath.dirname(bucket.path) or bucket.path
        for name in names:
            key = posixpath.normpath(posixpath.join(bucket.path, name))
            if key.startswith(limit + "/"):  # else the reader refuses it
                above, _, last = key.rpartition("/")
                bucket.beside(above).fetch(last, place / name)
        yield place


@contextmanager
def skeleton(bucket: Bucket, sizes: Mapping[str, int]) -> Iterator[Path]:
    """Make a folder with an empty file for each object: enough to plan a dataset.

    Args:
        bucket: The place.
        sizes: What to show of it, see `Bucket.sizes`; "" is the place itself, if it is a file.

    Raises:
        RequestError: `path.invalid` for keys that no folder can hold, such as a and a/b.
    """
    with scratch(bucket) as place:
        place.parent.mkdir(parents=True)
        made: set[Path] = set()  # a call for each file would take minutes
        for name in sizes:
            path = place / name
            try:
                if path.parent not in made:
                    path.parent.mkdir(parents=True, exist_ok=True)
                    made.add(path.parent)
                path.touch()
            except (OSError, ValueError) as error:
                raise RequestError("path.invalid", f"{path}: is no path of a file: {error}") from (
                    error
                )
        yield place


def address_of(bucket: Bucket, place: Path, path: Path) -> str:
    """Return where a local copy comes from.

    Args:
        bucket: A place.
        place: Its scratch folder.
        path: A path beside it, below it or above it.
    """
    top = place.parents[bucket.path.count("/")]
    return f"{bucket.scheme}://{path.relative_to(top).as_posix()}"


def fetch_all(bucket: Bucket, names: Iterable[str], place: Path) -> None:
    """Copy many files of a place side by side."""
    with ThreadPoolExecutor(LANES) as lanes:
        for _ in lanes.map(lambda name: bucket.fetch(name, place / name), names):
            pass


@lru_cache(maxsize=8)
def _file_system(scheme: str, name: str) -> Any:
    from pyarrow import fs

    if scheme == "gs":
        return fs.GcsFileSystem(retry_time_limit=timedelta(seconds=RETRY_S))
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    if not endpoint and not region:
        region = fs.resolve_s3_region(name)
    return fs.S3FileSystem(
        endpoint_override=endpoint,
        region=region,
        background_writes=False,
        allow_delayed_open=True,  # a small object is one request
        retry_strategy=fs.AwsStandardS3RetryStrategy(max_attempts=ATTEMPTS),
    )


def _fault(text: str, scheme: str) -> tuple[str, str]:
    """Return code and remedy of what pyarrow says."""
    low = text.lower()
    if (
        "no_such_bucket" in low
        or "bucket not found" in low
        or ("not found" in low and "://" in low)
    ):
        return "bucket.missing", "there is no such bucket; make it, or correct its name"
    low = re.sub(r"'[^']*'", "", low)  # names of files, which may hold any number and word
    if "access_denied" in low or "403" in low or "forbidden" in low or "credential" in low:
        hint = (
            "AWS_ACCESS_KEY_ID and its like" if scheme == "s3" else "GOOGLE_APPLICATION_CREDENTIALS"
        )
        return "bucket.denied", f"no permission; check the bucket's policy, or {hint}"
    if "network_connection" in low or "curlcode" in low or "connect" in low or "resolve" in low:
        return "bucket.unreachable", "cannot be reached; check the network and AWS_ENDPOINT_URL"
    return "bucket.failed", "the store refused; see what it says"
