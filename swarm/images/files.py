"""Convert images to content parts of the chat API: check them, and scale down those that are too large."""

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from swarmchat.swarm.errors import ImageError
from swarmchat.swarm.images.header import Header, read_header
from swarmchat.swarm.images.parts import data_of, url_of

MAX_FILE = 20_000_000
"""The largest image file in bytes: the original limit of OpenAI's API."""
MAX_SENT = 4_000_000
"""The most bytes of an image that is sent: Groq takes 4 MB, Anthropic 5."""
MAX_SIDE = 2048
"""The most pixels of a side that is sent: OpenAI scales larger images to that
(https://platform.openai.com/docs/guides/images-vision)."""
MAX_PIXELS = {"image/jpeg": 50_000_000, "image/webp": 12_000_000}
"""The most pixels of a type that are decoded, which takes up to 7 bytes each of a JPEG and 17 of a WebP."""
MAX_OTHER_PIXELS = 25_000_000
"""The same of PNG and GIF, which take up to 9 bytes each."""
MAX_MESSAGE = 40_000_000
"""The most bytes of the images of one message: OpenAI takes 50 MB in a request, in base64."""
DETAILS = ("low", "high", "auto")


def image_file(path: str | Path, *, detail: str | None = None, name: str | None = None) -> dict[str, Any]:
    """Return the image in a file as a content part for ``Session.ask``. Raises ImageError.

    ``detail`` is the field of the chat API: low, high or auto. ``name`` is the file's name in the log.
    """
    path = Path(path)
    try:
        with path.expanduser().open("rb") as file:
            data = file.read(MAX_FILE + 1)
    except (OSError, RuntimeError, ValueError) as error:
        raise ImageError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from error
    return image_part(data, name or path.name, detail=detail)


def image_part(data: bytes, name: str, *, detail: str | None = None) -> dict[str, Any]:
    """Return the image ``data`` as a content part; see ``image_file``."""
    if detail is not None and detail not in DETAILS:
        raise ImageError(f"detail is {detail!r}, expected one of {', '.join(DETAILS)}")
    try:
        data, header = _ready(data)
    except ImageError as error:
        raise ImageError(f"{name or 'an image'} cannot be sent: {error}") from error
    url = f"data:{header.type};base64,{base64.b64encode(data).decode()}"
    image = {"url": url} | ({} if detail is None else {"detail": detail})
    return {"type": "image_url", "image_url": image, "image": facts(data, header, name)}


def checked(part: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a content part; one with the data of an image as ``image_part`` makes it. Raises ImageError."""
    data = data_of(part)
    if data is None and url_of(part).startswith("data:"):
        raise ImageError("an image cannot be sent: its data URL is not of the form data:image/png;base64,…")
    if data is None or part.get("type") != "image_url" or isinstance(part.get("image"), dict):
        return part
    return {**part, **image_part(data, "", detail=part["image_url"].get("detail"))}


def with_facts(part: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a content part; one with the data of an image with its size, by which it is counted.

    For logs of other programs: what is damaged there stays as it is.
    """
    data = data_of(part)
    if data is None or part.get("type") != "image_url" or isinstance(part.get("image"), dict):
        return part
    try:
        return {**part, "image": facts(data, read_header(data), "")}
    except ImageError:
        return part


def check_total(parts: Sequence[Mapping[str, Any]]) -> None:
    """Raise ImageError if the images of a message are too large together."""
    size = sum(len(data) for part in parts if (data := data_of(part)) is not None)
    if size > MAX_MESSAGE:
        raise ImageError(f"the images have {size:,} bytes together, and at most {MAX_MESSAGE:,} are sent: send fewer")


def facts(data: bytes, header: Header, name: str) -> dict[str, Any]:
    """Return the fields of an image in the log, without its data."""
    named = {"name": name} if name else {}
    return {**named, "type": header.type, "bytes": len(data), "width": header.width, "height": header.height}


def _ready(data: bytes) -> tuple[bytes, Header]:
    """Return an image as it is sent, with its header. Raises ImageError."""
    header = read_header(data)
    if len(data) > MAX_FILE:
        raise ImageError(f"it has more than {MAX_FILE:,} bytes: make it smaller")
    most = MAX_PIXELS.get(header.type, MAX_OTHER_PIXELS)
    if header.width * header.height > most:
        kind = header.type.removeprefix("image/")
        raise ImageError(
            f"it has {header.width:,} × {header.height:,} pixels, more than the {most:,} of a {kind}: make it smaller"
        )
    if header.animated:
        raise ImageError("it is animated, but models see a single image: save a frame of it as PNG")
    # Pillow is loaded when there is an image.
    from swarmchat.swarm.images import scaling

    if scaling.is_available():
        ready = scaling.checked(data, MAX_SIDE, MAX_SENT)
        return (data, header) if ready is data else (ready, read_header(ready))
    if max(header.width, header.height) > MAX_SIDE or len(data) > MAX_SENT:
        raise ImageError(
            f"it has {header.width:,} × {header.height:,} pixels and {len(data):,} bytes, and at most {MAX_SIDE:,} "
            f"pixels a side and {MAX_SENT:,} bytes are sent: make it smaller, or install what scales it: "
            "pip install 'swarmchat[images]'"
        )
    return data, header
