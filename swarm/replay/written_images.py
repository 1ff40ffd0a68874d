"""Images in the questions of hand-written conversations: paths beside the file, data URLs, or addresses."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from swarmchat.swarm.errors import ImageError, TranscriptError
from swarmchat.swarm.images.files import checked, image_file
from swarmchat.swarm.images.parts import data_of, url_of
from swarmchat.swarm.replay.places import Place


def with_images(text: Any, images: Any, where: Place) -> list[Mapping[str, Any]]:
    """Return the content of a question with ``images``. Raises TranscriptError."""
    if not isinstance(images, list) or not images or not all(isinstance(image, str) for image in images):
        raise TranscriptError(f"{where}: 'images' is {images!r:.60}, expected a list of paths, such as [cat.png]")
    if text is not None and not isinstance(text, str):
        raise TranscriptError(f"{where}: 'text' is {text!r:.60}, expected a text")
    try:
        parts = [_part(image, Path(where.file).parent) for image in images]
    except ImageError as error:
        raise TranscriptError(f"{where}: {error}") from error
    return [*([{"type": "text", "text": text}] if text else []), *parts]


def _part(image: str, folder: Path) -> Mapping[str, Any]:
    if image.startswith(("data:", "https:", "http:")):
        return checked({"type": "image_url", "image_url": {"url": image}})
    return image_file(folder / Path(image).expanduser())


def images_as_files(steps: Sequence[tuple[str, dict[str, Any]]], stem: str) -> Iterator[tuple[str, bytes]]:
    """Yield the images in the questions of ``steps``, named by ``stem``, and put their names in place of the data."""
    number = 0
    for kind, fields in steps:
        for place, image in enumerate(fields.get("images", ()) if kind == "user" else ()):
            part = {"type": "image_url", "image_url": {"url": image}}
            if (data := data_of(part)) is not None:
                number += 1
                fields["images"][place] = f"{stem}-{number}.{url_of(part).partition('/')[2].partition(';')[0]}"
                yield fields["images"][place], data
