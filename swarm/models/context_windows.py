"""Context windows of known models, by name."""

DEFAULT_CONTEXT_WINDOW = 32_000

# Tokens for prompt plus answer, by the start of the model's name. Sources: the model pages of
# developers.openai.com/api/docs/models, "Introducing GPT-5 for developers", the gpt-oss model card.
# gpt-5.4 and later accept about a million tokens at a higher price; the smaller figure is the safe one.
_WINDOWS = {
    # The window is 400,000 tokens, but the prompt may have at most 272,000 of them.
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
    """Return the context window of ``model_name`` in tokens; ``DEFAULT_CONTEXT_WINDOW`` for an unknown model.

    The window of a model on a local server depends on how the server loads it, so its name says nothing about it.
    """
    return known_context_window(model_name) or DEFAULT_CONTEXT_WINDOW


def known_context_window(model_name: str) -> int | None:
    """Return the window in the table for the longest prefix of ``model_name``; ``None`` if no prefix is in it.

    Case and a provider in front (``openai/gpt-4o``) are ignored.
    """
    name = model_name.rsplit("/", 1)[-1].lower()
    prefixes = [prefix for prefix in _WINDOWS if name.startswith(prefix)]
    return _WINDOWS[max(prefixes, key=len)] if prefixes else None
