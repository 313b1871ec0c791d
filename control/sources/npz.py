"""The .npz container, read with bounds: the sizes that it declares are summed before anything is unpacked."""

import zipfile
from pathlib import Path

from control.sources.errors import InvalidData, reading
from control.sources.labelled import check_size
from learning.npz import Array, Unsound, name_of, read_array

MAX_MEMBERS = 64


def load(path: Path) -> dict[str, Array]:
    """Return the arrays by name.

    Raises:
        SourceError: Not an .npz file, damaged, encrypted, too large, or an array of objects.

    """
    with reading(path), zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        if len(members) > MAX_MEMBERS:
            problem = f"it holds {len(members):,} files"
            raise InvalidData(path, problem, f"give at most {MAX_MEMBERS} arrays")
        check_size(sum(member.file_size for member in members), str(path))
        try:
            return {name_of(member): read_array(archive, member) for member in members}
        except Unsound as error:
            raise InvalidData(path, error.problem, error.remedy) from error
