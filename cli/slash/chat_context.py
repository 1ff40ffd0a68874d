"""What slash commands know beyond their session: the settings it was opened with, and how to make a model."""

from dataclasses import dataclass, field, replace
from weakref import WeakKeyDictionary

from swarmchat.cli.errors import UsageError
from swarmchat.cli.settings import wiring
from swarmchat.cli.settings.settings import Settings
from swarmchat.swarm.conversation.settings import SessionSettings
from swarmchat.swarm.models.base import Model
from swarmchat.swarm.session.session import Session


@dataclass
class ChatContext:
    """What sessions are opened with. ``made`` holds the models that commands have made, to be closed at the end."""

    settings: Settings = field(default_factory=Settings)
    interactive: bool = False
    made: list[Model] = field(default_factory=list)

    @property
    def begun_with(self) -> SessionSettings:
        """What a session begins with."""
        return wiring.session_settings(self.settings)

    def make_model(self, session: Session, name: str) -> Model:
        """Return the model ``name``. Raises UsageError where there is no server for it, and ConfigError."""
        # The demo model stands in for all others, unless somebody asks for one of them.
        settings = replace(self.settings, model=name)
        if name != "demo" and not wiring.is_connected(settings):
            raise UsageError(f"there is no server to ask for {name!r}: set OPENAI_API_KEY, or give --base-url URL")
        model = wiring.make_model(settings, interactive=self.interactive, swarm=session.swarm, name=name)
        self.made.append(model)
        return model


# A command has its session and nothing else: whoever opens one says here what it was opened with.
_DESKS: WeakKeyDictionary[Session, ChatContext] = WeakKeyDictionary()


def seat(session: Session, desk: ChatContext) -> None:
    """Have commands in ``session`` know ``desk``."""
    _DESKS[session] = desk


def desk_of(session: Session) -> ChatContext:
    """Return what ``session`` was opened with; the defaults for one that the program did not open."""
    return _DESKS.setdefault(session, ChatContext())
