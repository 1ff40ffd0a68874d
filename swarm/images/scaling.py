"""Decode images to check that they are complete, and scale down large ones. Needs Pillow, the extra `images`."""

from io import BytesIO
from typing import TYPE_CHECKING

from swarmchat.swarm.errors import ImageError

if TYPE_CHECKING:
    from PIL import Image

_QUALITY = 85
_DECODED = 1.5
"""How many times larger than needed a JPEG is decoded at least: its own scaling is coarse."""
_SMALLER = 0.75
"""What the sides are multiplied with until an image is small enough."""


def is_available() -> bool:
    """Whether Pillow is installed."""
    try:
        import PIL.Image  # noqa: F401 - to see whether it can be
    except ImportError:
        return False
    return True


def checked(data: bytes, side: int, size: int) -> bytes:
    """Return ``data`` if it is whole, upright, at most ``side`` pixels wide and high, and at most ``size`` bytes.

    Else return it as an image that is. Raises ImageError if it cannot be decoded.
    """
    from PIL import Image, ImageOps

    try:
        with Image.open(BytesIO(data)) as image:
            is_photo = image.format == "JPEG"
            turned = image.getexif().get(0x0112, 1) != 1
            if max(image.size) <= side:
                image.load()
                if not turned and len(data) <= size:
                    return data
            # Before anything else is done with it: a JPEG is then decoded smaller, and nothing is copied at full size.
            image.thumbnail((side, side), reducing_gap=_DECODED)
            ImageOps.exif_transpose(image, in_place=True)
    except Exception as error:
        # Each format's plugin raises its own errors.
        raise ImageError(f"the image is damaged: {error}; open and save it again") from error
    while True:
        smaller = _encoded(image, is_photo, size)
        if len(smaller) <= size:
            return smaller
        side = int(max(image.size) * _SMALLER)
        image.thumbnail((side, side))


def _encoded(image: "Image.Image", is_photo: bool, size: int) -> bytes:
    """Return ``image`` as a PNG, which loses nothing; as a JPEG if it is a photo, or if the PNG is too large."""
    if not is_photo and image.mode in ("1", "L", "LA", "P", "RGB", "RGBA"):
        output = BytesIO()
        image.save(output, "PNG")
        if output.tell() <= size:
            return output.getvalue()
    output = BytesIO()
    if image.mode in ("LA", "P", "RGBA", "PA"):
        from PIL import Image

        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    image.convert("RGB").save(output, "JPEG", quality=_QUALITY)
    return output.getvalue()
