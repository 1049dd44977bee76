"""Models of what a stanza says about a data set and its raw files."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from curvecast.validation import Strict

MIRROR_VARIABLE = "CURVECAST_MIRROR"
REPOSITORY = Path(__file__).resolve().parents[3]
_CHECKSUM = re.compile(r"(sha256:[0-9a-f]{64}|md5:[0-9a-f]{32}|gitblob:[0-9a-f]{40})", re.I)

# Not Sequence: a text is one too, and its message is unclear.
Names = list[str] | tuple[str, ...]
Direction = Literal["maximize", "minimize"]


class RawFile(Strict):
    """One raw file: `path` with `checksum`, or `local`, or `made`.

    Attributes
    ----------
    path : place below `raw/` and below the root of a mirror.
    local : path of a file that is used as it is, in the repository or on this machine.
    made : path of a file that a rule of this run makes.
    urls : addresses to download it from, tried in this order.
    checksum : `sha256:`, `md5:` or `gitblob:` (git's id of the content) and hexadecimal digits.
    bytes : size, 0 where it is not known.
    page : a page on which a person can get a file that has no address of its own.
    """

    path: str = ""
    local: str = ""
    made: str = ""
    urls: Names = ()
    checksum: str = ""
    bytes: int = 0
    page: str = ""

    @model_validator(mode="after")
    def _is_usable(self) -> Self:
        if self.local or self.made:
            return self
        if not self.path:
            raise ValueError("a file's entry has neither `path` nor `local`")
        if Path(self.path).is_absolute() or ".." in Path(self.path).parts:
            raise ValueError(f"path {self.path!r} leaves the raw folder")
        if not _CHECKSUM.fullmatch(self.checksum):
            raise ValueError(
                f"checksum of {self.path} is {self.checksum!r}, not `sha256:`, `md5:` or "
                "`gitblob:` with all of its hexadecimal digits"
            )
        return self

    @property
    def name(self) -> str:
        """What stands for the file in messages: the path that its stanza gives."""
        return self.path or self.local or self.made

    def destination(self, raw_dir: str | Path) -> Path:
        """The path at which rules and readers expect the file."""
        if self.path:
            return Path(raw_dir) / self.path
        path = Path(self.name)
        in_repository = REPOSITORY / path
        return in_repository if not path.exists() and in_repository.exists() else path

    def how_to_get(self, destination: str | Path) -> str:
        """A sentence that tells a person where to get the file and where to put it."""
        origin = " or ".join(self.urls) or self.page or "its publisher"
        return (
            f"Get {self.path} from {origin} and put it at {destination} "
            f"or below a mirror ({MIRROR_VARIABLE}) as {self.path}"
        )


class Stanza(Strict):
    """The keys that every stanza may have; a reader's model adds its own.

    `kind` is `curves`, or `task` for raw data that networks are trained on.
    """

    reader: str = ""
    kind: Literal["curves", "task"] = "curves"
    files: Annotated[list[RawFile], Field(min_length=1)]
    licence: str = ""
    citation: str = ""
    description: str = ""


class TaskStanza(Stanza):
    """Raw data that networks are trained on.

    `validation` is the number of training samples that are held out; `split` the numbers for
    training, validation and test where one file holds all; `features` and `target` are columns
    of a csv.
    """

    format: Literal["npz", "idx", "h5", "libsvm", "cifar", "svhn", "csv"]
    validation: int | None = None
    split: Annotated[list[int], Field(min_length=3, max_length=3)] | None = None
    features: Names = ()
    target: str = ""
