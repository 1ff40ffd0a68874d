"""The token budget of a model test: a request that could exceed it is not sent."""

from swarmchat.swarm.errors import SwarmError
from swarmchat.swarm.models.base import ModelRequest

MOST_REQUESTS, MOST_TOKENS = 24, 15_000
_LIMITS = ("max_tokens", "max_completion_tokens")
_LARGEST_FACTOR = 2.0
"""The most by which a server's count of a request is expected to exceed ours in proportion."""


class BudgetSpent(SwarmError):
    """The next request could cost more than is left."""


class ProbeBudget:
    """Counts the requests and tokens of a run; each attempt at a request counts as one."""

    def __init__(self) -> None:
        self.requests = 0
        self.tokens = 0
        """By the server's count where it reports one."""
        self._factor, self._surplus, self._longest_answer = 1.0, 0, 0

    @property
    def spent(self) -> str:
        """What the run has cost so far, as the reason not to go on."""
        return f"the test has taken {self.requests} requests and {self.tokens:,} tokens"

    def begin(self, request: ModelRequest) -> None:
        """Count the first attempt at ``request``. Raises BudgetSpent if it could cost more than is left."""
        limits = [limit for name in _LIMITS if isinstance(limit := request.parameters.get(name), int)]
        answer = max([*limits, self._longest_answer])
        if self.tokens + self._expected(request) + answer > MOST_TOKENS:
            raise BudgetSpent(self.spent)
        self.repeat()

    def repeat(self) -> None:
        """Count one more attempt. Raises BudgetSpent if none is left."""
        if self.requests >= MOST_REQUESTS:
            raise BudgetSpent(self.spent)
        self.requests += 1

    def check_answer(self, request: ModelRequest, characters: int) -> None:
        """Raise BudgetSpent if an answer of ``characters`` so far uses up the remaining budget."""
        if self.tokens + self._expected(request) + characters // 4 > MOST_TOKENS:
            raise BudgetSpent(self.spent)

    def end(self, request: ModelRequest, prompt: int, answer: int, characters: int) -> None:
        """Add the tokens of a request; ``prompt`` and ``answer`` are the server's counts, 0 if missing."""
        own = _estimate(request)
        self._longest_answer = max(self._longest_answer, answer or characters // 4)
        if prompt:
            self._factor = max(self._factor, min(_LARGEST_FACTOR, prompt / max(1, own)))
            self._surplus = max(self._surplus, prompt - own)
        self.tokens += (prompt or own) + (answer or characters // 4)

    def _expected(self, request: ModelRequest) -> int:
        """Return how many tokens ``request`` may have by the server's count: templates add some, tokenizers differ."""
        own = _estimate(request)
        return max(round(own * self._factor), own + self._surplus)


def _estimate(request: ModelRequest) -> int:
    return len(request.body()) // 4
