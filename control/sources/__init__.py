"""Where samples come from: public sets by name, and the user's own files and folders."""

from control.sources.dispatch import read
from control.sources.download import Progress
from control.sources.errors import DownloadFailed, InvalidData, SourceError, UnknownSource
from control.sources.labelled import Labelled, Splits
from control.sources.published import PUBLIC_SETS

__all__ = [
    "PUBLIC_SETS",
    "DownloadFailed",
    "InvalidData",
    "Labelled",
    "Progress",
    "SourceError",
    "Splits",
    "UnknownSource",
    "read",
]
