"""Images in tar archives, indexed once and read where they lie."""

import io
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from msal_lightning.data.images.decoding import Decoding
from msal_lightning.data.images.encoded_images import EncodedImages
from msal_lightning.data.images.formats import suffixes
from msal_lightning.errors import DataError

_LONGEST_LABEL = 2**20  # bytes: a stranger's archive must not fill the memory


@dataclass(frozen=True)
class TarSample:
    """An image of an archive.

    Attributes:
        shard: the archive.
        name: the members' common name.
        offset: where the image begins in the archive.
        size: bytes of the image.
        label: content of the member with the label; None without one.
        label_name: extension of that member.
    """

    shard: Path
    name: str
    offset: int
    size: int
    label: bytes | None
    label_name: str


class TarImages(EncodedImages):
    """The images of archives.

    Args:
        samples: where they are.
        how: how an image becomes a square.
    """

    def __init__(self, samples: Sequence[TarSample], how: Decoding) -> None:
        super().__init__(len(samples), how)
        self._samples = samples

    def open(self, place: int) -> BinaryIO:  # noqa: D102
        sample = self._samples[place]
        try:
            with sample.shard.open("rb") as file:
                file.seek(sample.offset)
                return io.BytesIO(file.read(sample.size))
        except OSError as error:
            raise DataError(f"cannot read '{self.name(place)}' ({error}): bring the archive back") from None

    def name(self, place: int) -> str:  # noqa: D102
        return f"{self._samples[place].shard.name}/{self._samples[place].name}"


def index_shards(shards: Sequence[Path], labels: str | Sequence[str]) -> list[TarSample]:
    """Return the images of archives, in the order of archives and members.

    Args:
        shards: the archives.
        labels: extension of the member with the label, or several, of which the first one counts.

    Raises:
        DataError: an archive is damaged, has no image, or has two images of one name.
    """
    wanted = [labels] if isinstance(labels, str) else [*labels]
    return [sample for shard in shards for sample in _index(shard, wanted)]


def _index(shard: Path, wanted: list[str]) -> Iterator[TarSample]:
    images: dict[str, tarfile.TarInfo] = {}
    labels: dict[str, tuple[int, bytes]] = {}
    pictures = {suffix.removeprefix(".") for suffix in suffixes()}
    try:
        with tarfile.open(shard, "r:") as archive:  # without compression, which has no places to seek
            for member in archive:
                name, kind = _key(member.name)
                if not member.isfile():
                    continue
                if kind.rpartition(".")[2] in pictures:
                    if name in images:
                        raise DataError(
                            f"expected one image for each name in '{shard}', got two of '{name}': rename one"
                        )
                    images[name] = member
                elif kind in wanted and member.size <= _LONGEST_LABEL:
                    content = archive.extractfile(member)
                    assert content is not None
                    rank = wanted.index(kind)
                    if name not in labels or rank < labels[name][0]:
                        labels[name] = rank, content.read()
    except (tarfile.TarError, OSError, EOFError) as error:
        raise DataError(f"cannot read the archive '{shard}' ({error}): make it again, without compression") from None
    if not images:
        raise DataError(f"expected images in the archive '{shard}', found none: leave it out")
    for name, member in images.items():
        rank, content_of = labels.get(name, (0, None))
        yield TarSample(shard, name, member.offset_data, member.size, content_of, wanted[rank])


def _key(path: str) -> tuple[str, str]:
    """Split the name of a member at the first dot of its last part, as WebDataset does."""
    folder, slash, base = path.rpartition("/")
    name, _, kind = base.partition(".")
    return f"{folder}{slash}{name}", kind.lower()
