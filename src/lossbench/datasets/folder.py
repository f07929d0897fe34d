"""Your own images: a folder or an archive with one folder an identity."""

from __future__ import annotations

from dataclasses import dataclass

from lossbench.datasets.folders import Found, check_exists, content_key, find_images
from lossbench.datasets.image_files import ImageFiles


@dataclass(frozen=True, kw_only=True)
class Folder(ImageFiles):
    """Images of ``path/<identity>/...`` or ``path/<role>/<identity>/...``; path: a folder, a tar or a zip."""

    def content(self) -> str:
        check_exists(self.place)
        return content_key(self.place, self.find().files if self.place.is_dir() else ())

    def find(self) -> Found:
        return find_images(self.place)
