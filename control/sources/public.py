"""Public data sets by name, from a folder of the user's or fetched into a cache.

From a folder of the user's, files are used as they are; where one differs from the published one, a
note says so (a subset, or images stored anew, are legitimate). From the cache, every file is
checked at every read and fetched again if it differs, so a damaged cache repairs itself.

Layout of both: `mnist/*.gz`, `fashion-mnist/*.gz`, `cifar-10-batches-bin/*`.
"""

from dataclasses import replace
from pathlib import Path

from control.sources.download import Patience, Progress, fetch
from control.sources.errors import UnknownSource, writing
from control.sources.labelled import Splits
from control.sources.published import PUBLIC_SETS, Archive, PublicSet


def read(
    name: str, *, data_dir: Path | None, cache_dir: Path, progress: Progress | None = None
) -> Splits:
    """Read a public set. Blocks, for minutes if it has to download: call it from a thread.

    Args:
        name: A key of `PUBLIC_SETS`.
        data_dir: Folder that holds the set's own folder; nothing is downloaded then.
        cache_dir: Where downloads are kept, if there is no `data_dir`.
        progress: Told of each file's bytes, from 0 again for the next file.

    Raises:
        UnknownSource: No set of that name, or `data_dir` lacks it.
        DownloadFailed: No host gave a file.
        SourceError: A file is damaged, or the cache cannot be written.

    """
    if name not in PUBLIC_SETS:
        remedy = f"choose from: {', '.join(PUBLIC_SETS)}"
        raise UnknownSource(name, "no public set has that name", remedy)
    if data_dir is not None:
        return read_own(PUBLIC_SETS[name], data_dir)
    return read_cached(PUBLIC_SETS[name], cache_dir, progress)


def read_own(public: PublicSet, data_dir: Path) -> Splits:
    """Read a set from the user's folder; notes say what differs from the published files."""
    folder = data_dir / public.folder
    if public.files and not folder.is_dir():
        names = public.files[0].name
        remedy = f"put {names} and so on there, or unset RDG_DATA_DIR to download them"
        raise UnknownSource(folder, "there is no such folder", remedy)
    splits = public.read(folder)
    differing = [file.name for file in public.files if not file.is_genuine(folder / file.name)]
    if not differing:
        return splits
    count = f"{len(differing)} of {len(public.files)} files"
    note = f"{folder}: {count} differ from the published ones ({', '.join(differing)})."
    return replace(splits, notes=(*splits.notes, note))


def read_cached(
    public: PublicSet,
    cache_dir: Path,
    progress: Progress | None = None,
    patience: Patience | None = None,
) -> Splits:
    """Read a set from the cache, after fetching what the cache lacks or holds damaged."""
    folder = cache_dir / public.folder
    if public.archive is None:
        _fetch_files(public, folder, progress, patience)
    else:
        _fetch_archive(public, public.archive, folder, progress, patience)
    return public.read(folder)


def _fetch_files(
    public: PublicSet, folder: Path, progress: Progress | None, patience: Patience | None
) -> None:
    for file in public.files:
        path = folder / file.name
        if not file.is_genuine(path):
            urls = [host + file.name for host in public.hosts]
            fetch(urls, path, file.is_genuine, progress, patience)


def _fetch_archive(
    public: PublicSet,
    archive: Archive,
    folder: Path,
    progress: Progress | None,
    patience: Patience | None,
) -> None:
    path = folder / archive.name
    is_complete = all(file.is_genuine(folder / file.name) for file in public.files)
    if is_complete and not path.exists():  # the archive goes last: its presence means unfinished
        return
    if not (path.exists() and archive.is_genuine(path)):
        urls = [host + archive.name for host in public.hosts]
        fetch(urls, path, archive.is_genuine, progress, patience)
    archive.unpack(path, folder)
    with writing(folder):
        path.unlink()
