"""How many tokens an image costs, by OpenAI's published rules.

https://platform.openai.com/docs/guides/images-vision#calculating-costs: most models pay for tiles of 512 pixels, after
the image was scaled into 2048 × 2048 and its shorter side to 768; small models pay for patches of 32 pixels, at most
1,536, times a factor. Other providers have other rules, so requests with images are not used to learn how a server
counts.
"""

import re
from collections.abc import Mapping
from math import ceil, sqrt
from typing import Any, NamedTuple

_FIT = 2048
_SHORT_SIDE = 768
_TILE = 512
_PATCH = 32
_MOST_PATCHES = 1536
UNKNOWN_SIZE = (1024, 1024)
"""Width and height that an image is counted with whose size is unknown, such as one at a remote address."""


class ImageRule(NamedTuple):
    """What an image costs: ``base`` and ``tile`` tokens, or ``factor`` for each patch if that is not 0."""

    base: int = 85
    tile: int = 170
    factor: float = 0.0

    def tokens(self, part: Mapping[str, Any]) -> int:
        """Return the tokens of an image as a content part."""
        facts, image = part.get("image"), part.get("image_url")
        width, height = _size(facts) if isinstance(facts, Mapping) else UNKNOWN_SIZE
        is_low = isinstance(image, Mapping) and image.get("detail") == "low"
        if self.factor:
            return self._patches(*(_scaled(width, height, _TILE) if is_low else (width, height)))
        return self.base + (0 if is_low else self.tile * _tiles(width, height))

    def _patches(self, width: float, height: float) -> int:
        patches = ceil(width / _PATCH) * ceil(height / _PATCH)
        if patches > _MOST_PATCHES:
            shrink = sqrt(_PATCH**2 * _MOST_PATCHES / (width * height))
            across, down = width * shrink / _PATCH, height * shrink / _PATCH
            shrink *= min(max(1, int(across)) / across, max(1, int(down)) / down)
            patches = min(_MOST_PATCHES, ceil(width * shrink / _PATCH) * ceil(height * shrink / _PATCH))
        return ceil(patches * self.factor)


_TILES = ImageRule()
_RULES = (
    (r"gpt-4o-mini", ImageRule(2833, 5667)),
    (r"gpt-4\.1-mini|gpt-5(\.\d)?-mini", ImageRule(factor=1.62)),
    (r"gpt-4\.1-nano|gpt-5(\.\d)?-nano", ImageRule(factor=2.46)),
    (r"o4-mini", ImageRule(factor=1.72)),
    (r"gpt-5", ImageRule(70, 140)),
    (r"o1|o3", ImageRule(75, 150)),
)


def image_rule(model: str) -> ImageRule:
    """Return the rule of ``model``; that of gpt-4o for models that OpenAI's documents do not name."""
    name = model.rpartition("/")[2]
    return next((rule for pattern, rule in _RULES if re.match(rf"(?:{pattern})(?![a-z0-9])", name)), _TILES)


def _size(facts: Mapping[str, Any]) -> tuple[int, int]:
    width, height = facts.get("width"), facts.get("height")
    if isinstance(width, int) and isinstance(height, int) and 0 < width < 1 << 20 and 0 < height < 1 << 20:
        return width, height
    return UNKNOWN_SIZE


def _tiles(width: float, height: float) -> int:
    width, height = _scaled(width, height, _FIT)
    shrink = min(1.0, _SHORT_SIDE / min(width, height))
    return ceil(round(width * shrink, 6) / _TILE) * ceil(round(height * shrink, 6) / _TILE)


def _scaled(width: float, height: float, side: int) -> tuple[float, float]:
    shrink = min(1.0, side / max(width, height))
    return width * shrink, height * shrink
