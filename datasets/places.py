"""Where the files of a data set are looked for, what is done about files that are not the official ones."""

import gzip
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from platformdirs import user_cache_dir

from analogmgd.errors import DataError

from .checks import short
from .info import Info

VARIABLE = "ANALOGMGD_DATA"


@dataclass(frozen=True)
class Place:
    """A folder that may hold the files.

    cure : what to do about files of it that are damaged, where it is not a folder the user points at
    """

    folder: Path
    what: str
    cure: str = ""

    @property
    def own(self) -> bool:
        """Whether the user points at it: only there files are taken that are not the official ones."""
        return not self.cure


@dataclass(frozen=True)
class Found:
    """The files of a data set: one for each part, or an archive."""

    place: Place
    files: tuple[Path, ...]

    @property
    def stamp(self) -> tuple[tuple[int, int], ...]:
        """Size and time of each file: what tells a changed file."""
        stats = [path.stat() for path in self.files]
        return tuple((stat.st_size, stat.st_mtime_ns) for stat in stats)


def cache_folder(name: str) -> Path:
    """Where `analogmgd datasets fetch` puts the files of a data set."""
    return Path(user_cache_dir("analogmgd", appauthor=False)) / "datasets" / name


def given_folder(path: Any, what: str) -> Path:
    """A folder the user names, which has to be there."""
    if not isinstance(path, str | os.PathLike) or not os.fspath(path):
        raise DataError(f"{what} is {short(repr(path))}; expected the path of a folder")
    folder = Path(os.fsdecode(path)).expanduser()
    if not folder.is_dir():
        raise DataError(f"{what} is {short(folder, 120)}; there is no such folder")
    return folder


def places(info: Info, data_dir: Any = None) -> list[Place]:
    """The folders to look into, in order: the user's, Debian's package, the cache. With data_dir no other."""
    if data_dir is not None:
        return [Place(given_folder(data_dir, "data_dir"), "data_dir")]
    found = []
    if os.environ.get(VARIABLE):
        found.append(Place(given_folder(os.environ[VARIABLE], VARIABLE), VARIABLE))
    if info.package:
        cure = f"reinstall {info.package}, or name another folder with --data-dir or {VARIABLE}"
        found.append(Place(Path(info.package_folder), f"Debian's package {info.package}", cure))
    cure = f"`analogmgd datasets fetch {info.name}` gets it again"
    return [*found, Place(cache_folder(info.name), "the cache", cure)]


def locate(module: Any, data_dir: Any = None) -> Found | None:
    """The first place that has the files of a data set, or None; DataError where it has only some of them."""
    for place in places(module.INFO, data_dir):
        names = [place.folder, *(place.folder / name for name in module.FOLDERS if place.own)]
        files = complete((group for folder in names for group in module.groups(folder)), place.cure)
        if files is not None:
            return Found(place, files)
    return None


def find(module: Any, data_dir: Any = None) -> Found:
    """As `locate`; DataError where there are none, with the way to get them."""
    found = locate(module, data_dir)
    if found is None:
        raise DataError(advice(module.INFO, data_dir))
    return found


def read(module: Any, found: Found) -> tuple[dict[str, Any], bool]:
    """What the files hold, as arguments of ``Dataset``, and whether they are the official ones."""
    arguments, sums = module.load(found.files)
    if official(module.INFO, found.place, sums):
        return arguments, True
    return arguments | {"source": f"{module.INFO.source}; NOT the official files"}, False


def complete(groups: Iterable[Sequence[Path]], cure: str) -> tuple[Path, ...] | None:
    """The first group of files that are all there, or None; DataError where there are only parts of one."""
    part = None
    for group in groups:
        there = [path for path in group if path.is_file()]
        if len(there) == len(group):
            return tuple(group)
        if there and part is None:
            part = there[0], next(path for path in group if path not in there)
    if part:
        raise DataError(f"{part[0].parent} has {part[0].name} but not {part[1].name}: {cure or 'put it there too'}")
    return None


def official(info: Info, place: Place, sums: Mapping[str, tuple[str, str]]) -> bool:
    """Whether the files are the official ones.

    sums : for every file its MD5 and that of the official one.
    Raises DataError: damaged, which is to say some are and some are not, or none is where all should be.
    """
    wrong = [name for name, (found, known) in sums.items() if found != known]
    if not wrong:
        return True
    if place.own and len(wrong) == len(sums):
        return False
    others = "" if len(wrong) == len(sums) else ", as that of other files here is"
    cure = f": {place.cure}" if place.cure else ""
    raise DataError(f"{wrong[0]} is damaged, its checksum is not the official one{others}{cure}")


def elsewhere(module: Any) -> Found | None:
    """Where the official files of a data set are already, or None."""
    try:
        found = locate(module)
        return found if found is not None and read(module, found)[1] else None
    except DataError:
        return None


def advice(info: Info, data_dir: Any = None) -> str:
    """How to get the files of a data set that is not here, in a line."""
    names = ", ".join(item.file for item in info.downloads)
    if data_dir is not None:
        return f"data_dir {short(data_dir, 120)} has no files of {info.name}; put there: {names}"
    debian = f" (Debian: install {info.package})" if info.package else ""
    return (
        f"data set {info.name!r} is not here: `analogmgd datasets fetch {info.name}` gets it{debian}; or put {names} "
        f"into {short(cache_folder(info.name), 100)} or a folder named by --data-dir or {VARIABLE}"
    )


def state(module: Any, data_dir: Any = None) -> dict[str, Any]:
    """Where the files of a data set are or how to get them, as a dictionary JSON can hold."""
    info = module.INFO
    about: dict[str, Any] = {"folder": None, "place": None, "fetch": f"analogmgd datasets fetch {info.name}"}
    about |= {"download_bytes": sum(item.size for item in info.downloads), "problem": None}
    try:
        found = locate(module, data_dir)
    except DataError as error:
        return about | {"problem": str(error)}
    if found is None:
        return about | {"problem": None if data_dir is None else advice(info, data_dir)}
    return about | {"folder": str(found.files[0].parent), "place": found.place.what}


@contextmanager
def damage(path: Path) -> Iterator[None]:
    """Whatever goes wrong while a file is read, as a DataError of one line."""
    try:
        yield
    except (DataError, MemoryError):
        raise
    except gzip.BadGzipFile as error:
        raise DataError(f"{path} is damaged: {short(error, 200)}") from None
    except OSError as error:
        raise DataError(f"{path} cannot be read: {short(error.strerror or error, 200)}") from None
    except Exception as error:  # a damaged file can fail anywhere in gzip, tarfile, zlib, in any way
        raise DataError(f"{path} is damaged: {short(error, 200) or type(error).__name__}") from None
