"""The rules of tic-tac-toe, for the help desk. This module knows nothing about chats."""

from dataclasses import dataclass, replace

LINES = ("123", "456", "789", "147", "258", "369", "159", "357")
STATUS = {"": "X is to move: name a free square.", "X": "X has won!", "O": "O has won.", "nobody": "It is a draw."}


@dataclass
class Game:
    """A game that never changes: each move returns a new one. The board holds X, O, and the numbers of free squares."""

    board: str = "123456789"
    winner: str = ""

    def put_x(self, square: int) -> "Game":
        """Return the game with an X on ``square``. Raises ValueError if that is not allowed."""
        if self.winner:
            raise ValueError("the game is over: start a new one")
        if str(square) not in list(self.board):
            raise ValueError(f"square {square} is not free")
        return replace(self, board=self.board.replace(str(square), "X"))

    def put_o(self) -> "Game":
        """Return the game with an O on the first free square, or as it is when it is over: X can win."""
        free = [square for square in self.board if square.isdigit()]
        return self if self.winner else replace(self, board=self.board.replace(free[0], "O"))

    def describe(self) -> dict[str, str]:
        """Return the board and who is to move or has won, as a model is told."""
        rows = [" ".join(self.board[start : start + 3]) for start in (0, 3, 6)]
        return {"board": "\n".join(rows), "status": STATUS[self.winner]}


def find_winner(old: Game, new: Game) -> Game:
    """Return ``new`` with its winner: a reducer, called with every change of the state."""
    for player in "XO":
        if any(all(new.board[int(square) - 1] == player for square in line) for line in LINES):
            return replace(new, winner=player)
    return replace(new, winner="" if any(square.isdigit() for square in new.board) else "nobody")
