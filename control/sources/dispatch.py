"""Which reader reads a source: a public set's name, a path to an .npz file, or a folder of images.

A name of a public set means that set; write `./mnist` for a folder of your own that is called so.
"""

from pathlib import Path

from control.sources import arrays, folder, public
from control.sources.download import Progress
from control.sources.errors import InvalidData, UnknownSource
from control.sources.labelled import Splits
from control.sources.published import PUBLIC_SETS


def read(
    source: str,
    *,
    data_dir: Path | None,
    cache_dir: Path,
    progress: Progress | None = None,
    size: folder.Size | None = None,
) -> Splits:
    """Read a source. Blocks, and may download: call it from a thread.

    Args:
        source: Name of a public set, path to an .npz file, or path to a folder of class folders.
        data_dir: Folder with the public sets; nothing is downloaded then.
        cache_dir: Where downloads are kept, if there is no `data_dir`.
        progress: Told of the bytes of each file that is downloaded.
        size: Height and width that the images of a folder are resized to.

    Raises:
        SourceError: One line that names the file, the problem and the remedy.

    """
    path = Path(source).expanduser()
    is_folder = source not in PUBLIC_SETS and path.is_dir()
    if size is not None and not is_folder:
        raise InvalidData(source, "size is for a folder of images", "leave it out")
    if source in PUBLIC_SETS:
        return public.read(source, data_dir=data_dir, cache_dir=cache_dir, progress=progress)
    if is_folder:
        return folder.read(path, size)
    if path.suffix == ".npz":
        return arrays.read(path)
    choices = ", ".join(PUBLIC_SETS)
    remedy = f"give one of {choices}, a path to an .npz file, or a folder of class folders"
    raise UnknownSource(source, "it is no known source", remedy)
