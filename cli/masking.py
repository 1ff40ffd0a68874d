"""Settings as they may be shown: what opens doors is left out."""

import json
import re
from typing import Any

HIDDEN = "***"


def shown_value(name: str, value: Any) -> Any:
    """Return the value of a setting without keys and passwords."""
    if value is None and name.endswith("lifetime"):
        return "none"
    if value is None or isinstance(value, bool | int | float):
        return value
    if name == "api_key":
        return HIDDEN
    if name == "api_key_command":
        # Its arguments may hold what they are to get.
        return f"{str(value).split()[0]} {HIDDEN}" if len(str(value).split()) > 1 else value
    if isinstance(value, str):
        return mask_url(value)
    return dict(value) if hasattr(value, "items") else list(value)


def mask_url(text: str) -> str:
    """Return ``text`` without the login and the options of a URL, if it is one."""
    if not re.match(r"[A-Za-z][A-Za-z0-9+.-]*:", text):
        return text
    # To the last @: a password that should have been percent-encoded may hold some.
    text = re.sub(r"//[^\s]*@", f"//{HIDDEN}@", text)
    return re.sub(r"([?&;][^=&;]*(?:pass|key|token|secret|auth)[^=&;]*=)[^&;\s]*", rf"\1{HIDDEN}", text, flags=re.I)


def as_text(value: Any) -> str:
    """Return a value as TOML has it, or nearly: texts in quotation marks, lists and tables as JSON."""
    if value is None:
        return "(not set)"
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return json.dumps(value, ensure_ascii=False)
