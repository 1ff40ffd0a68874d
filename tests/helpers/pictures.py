"""Images of all kinds, made when they are needed."""

import base64
import random
from io import BytesIO

from PIL import Image


def picture(kind: str = "PNG", width: int = 40, height: int = 30, *, frames: int = 1, noise: bool = False) -> bytes:
    """Return an image; with ``noise``, one that no format makes small."""
    images = [Image.new("RGB", (width, height), (200, 30 * frame, 90)) for frame in range(frames)]
    if noise:
        images = [Image.frombytes("RGB", (width, height), random.Random(7).randbytes(width * height * 3))]
    output = BytesIO()
    more = {"save_all": True, "append_images": images[1:]} if frames > 1 else {}
    images[0].save(output, kind, **more)
    return output.getvalue()


def picture_url(data: bytes, kind: str = "png") -> str:
    """Return an image as a data URL."""
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
