"""Context windows of known models, by name."""

DEFAULT_CONTEXT_WINDOW = 32_000

# Tokens of prompt and answer together, by the start of the name. Sources: the model pages of
# developers.openai.com/api/docs/models, "Introducing GPT-5 for developers", the gpt-oss model card.
# gpt-5.4 and later take about a million at a higher price; the smaller figure is the safe one.
_WINDOWS = {
    # 400,000 by the model page, of which a prompt may take 272,000: what may be sent is what counts here.
    "gpt-5": 272_000,
    "gpt-5-chat": 128_000,
    "gpt-5.1-chat": 128_000,
    "gpt-5.2-chat": 128_000,
    "gpt-5.3-chat": 128_000,
    "gpt-4.1": 1_047_576,
    "gpt-4o": 128_000,
    "chatgpt-4o": 128_000,
    "gpt-4-turbo": 128_000,
    "gpt-4-1106": 128_000,
    "gpt-4-0125": 128_000,
    "gpt-4-32k": 32_768,
    "gpt-4": 8_192,
    "gpt-3.5-turbo": 16_385,
    "gpt-3.5-turbo-instruct": 4_096,
    "gpt-oss": 131_072,
    "o1": 200_000,
    "o1-mini": 128_000,
    "o1-preview": 128_000,
    "o3": 200_000,
    "o4-mini": 200_000,
    "codex-mini": 200_000,
}


def context_window_for(model_name: str) -> int:
    """Return the context window of ``model_name`` in tokens; the longest known prefix of the name decides.

    The name's case and a provider before it (``openai/gpt-4o``) do not matter. A name that is not known gets
    ``DEFAULT_CONTEXT_WINDOW``: local servers load models with windows of their own, which no name tells.
    """
    return _WINDOWS.get(_known_prefix(model_name), DEFAULT_CONTEXT_WINDOW)


def is_known(model_name: str) -> bool:
    """Tell whether the window of ``model_name`` is known; otherwise a default is assumed."""
    return bool(_known_prefix(model_name))


def _known_prefix(model_name: str) -> str:
    name = model_name.rsplit("/", 1)[-1].lower()
    return max((prefix for prefix in _WINDOWS if name.startswith(prefix)), key=len, default="")


# How servers word that a request is too long; a group holds the window in tokens where the text names it.
# Order matters: a wording that names the window comes before one that does not.
