"""A chat with a swarm of agents as a library: sessions, agents, tools, models, and the events of a turn.

Every public name can be imported from here: ``from swarmchat.swarm import Session``. Where it is defined may change.
"""

# isort and the formatter would give each `X as X` a line of its own.
# ruff: isort: skip_file

from importlib import import_module
from typing import TYPE_CHECKING, Any

# fmt: off
if TYPE_CHECKING:
    from swarmchat.swarm.agents.agent import Agent as Agent, Swarm as Swarm
    from swarmchat.swarm.agents.loader import load_swarm as load_swarm
    from swarmchat.swarm.agents.operator import Operator as Operator
    from swarmchat.swarm.agents.replay_rules import ReplayRules as ReplayRules
    from swarmchat.swarm.agents.rescue_steps import Fault as Fault
    from swarmchat.swarm.archive.export import (
        as_html as as_html, as_jsonl as as_jsonl, as_markdown as as_markdown, as_messages as as_messages,
        as_openai as as_openai,
    )
    from swarmchat.swarm.archive.redaction import Redaction as Redaction
    from swarmchat.swarm.archive.repair import repair_file as repair_file, repair_session as repair_session
    from swarmchat.swarm.archive.search import search_sessions as search_sessions
    from swarmchat.swarm.archive.sessions import (
        delete_session as delete_session, fork_session as fork_session, rename_session as rename_session,
    )
    from swarmchat.swarm.archive.writer import SessionWriter as SessionWriter
    from swarmchat.swarm.context.builder import (
        Budget as Budget, RequestContext as RequestContext, build_context as build_context,
    )
    from swarmchat.swarm.context.groups import Group as Group, GroupBuilder as GroupBuilder, Groups as Groups
    from swarmchat.swarm.context.tokens import TokenCounter as TokenCounter, counter_for as counter_for
    from swarmchat.swarm.conversation.events import (
        Event as Event, HandedOver as HandedOver, MailReceived as MailReceived, OutputDelta as OutputDelta,
        PersonAwaited as PersonAwaited, ReasoningDelta as ReasoningDelta,
        Refused as Refused, Rescued as Rescued, Retrying as Retrying, Rotated as Rotated, Steered as Steered,
        Summarized as Summarized,
        TaskEnded as TaskEnded, TaskProgress as TaskProgress, TaskStarted as TaskStarted, TextDelta as TextDelta,
        ToolFinished as ToolFinished, ToolStarted as ToolStarted, TurnEnded as TurnEnded, Warned as Warned,
    )
    from swarmchat.swarm.conversation.hooks import Hooks as Hooks
    from swarmchat.swarm.conversation.settings import SessionSettings as SessionSettings
    from swarmchat.swarm.conversation.tracing import Tracing as Tracing
    from swarmchat.swarm.errors import (
        AskError as AskError, BadRecord as BadRecord, ClientBanned as ClientBanned, CompactFailed as CompactFailed,
        ConnectionSettingsError as ConnectionSettingsError,
        ContextTooLong as ContextTooLong, DefinitionError as DefinitionError, EmbeddingError as EmbeddingError,
        HandoffLoop as HandoffLoop, HookError as HookError, ImageError as ImageError, LimitReached as LimitReached,
        LogLost as LogLost, MailboxFull as MailboxFull, MailError as MailError,
        ModelAuthError as ModelAuthError, ModelBusy as ModelBusy, ModelError as ModelError,
        ModelNotFound as ModelNotFound, ModelRefused as ModelRefused, ModelUnavailable as ModelUnavailable,
        NetworkForbidden as NetworkForbidden,
        NothingToCompact as NothingToCompact, OutputError as OutputError, OverBudget as OverBudget,
        PinError as PinError, RepeatedCall as RepeatedCall, RequestDenied as RequestDenied,
        RequestLimit as RequestLimit,
        ScriptError as ScriptError,
        SessionBusy as SessionBusy, StateError as StateError, StorageError as StorageError, SwarmError as SwarmError,
        TaskError as TaskError, TaskLimit as TaskLimit, TranscriptError as TranscriptError,
    )
    from swarmchat.swarm.images.files import image_file as image_file
    from swarmchat.swarm.importers.detect import Transcript as Transcript, open_transcript as open_transcript
    from swarmchat.swarm.mcp.server import McpServer as McpServer
    from swarmchat.swarm.models.base import (
        Adapted as Adapted, Answer as Answer, FellBack as FellBack, Model as Model, ModelEvent as ModelEvent,
        ModelRequest as ModelRequest, ReasoningChunk as ReasoningChunk, Retry as Retry, TextChunk as TextChunk,
        ToolCall as ToolCall,
    )
    from swarmchat.swarm.models.demo import DemoModel as DemoModel, DemoRule as DemoRule
    from swarmchat.swarm.models.openai_chat import OpenAIModel as OpenAIModel
    from swarmchat.swarm.models.scripted import ScriptedModel as ScriptedModel
    from swarmchat.swarm.persistence.log import read_lines as read_lines, read_records as read_records
    from swarmchat.swarm.persistence.mailbox import Mail as Mail, tell as tell
    from swarmchat.swarm.persistence.records import Record as Record, parse_record as parse_record
    from swarmchat.swarm.persistence.session_index import (
        SessionInfo as SessionInfo, find_session as find_session, latest_session as latest_session,
        list_sessions as list_sessions,
    )
    from swarmchat.swarm.persistence.store import REDIS_LIFETIMES as REDIS_LIFETIMES, Lifetimes as Lifetimes
    from swarmchat.swarm.primitives.memory import PersistMemory as PersistMemory
    from swarmchat.swarm.primitives.navigation import PersistSwarm as PersistSwarm
    from swarmchat.swarm.primitives.policy import Ban as Ban, PersistPolicy as PersistPolicy, Policy as Policy
    from swarmchat.swarm.primitives.presence import PersistAlive as PersistAlive, Presence as Presence
    from swarmchat.swarm.primitives.state import PersistState as PersistState, State as State, computed as computed
    from swarmchat.swarm.providers.adaptations import LearnedAdaptations as LearnedAdaptations
    from swarmchat.swarm.replay.compare import Difference as Difference, compare_logs as compare_logs
    from swarmchat.swarm.replay.files import (
        RecordedConversation as RecordedConversation, read_conversations as read_conversations,
    )
    from swarmchat.swarm.replay.runner import Replayed as Replayed
    from swarmchat.swarm.persistence.tickets import Ticket as Ticket
    from swarmchat.swarm.session.desk import OperatorCase as OperatorCase, OperatorDesk as OperatorDesk
    from swarmchat.swarm.session.opening import SessionOpening as SessionOpening
    from swarmchat.swarm.session.reply import Reply as Reply
    from swarmchat.swarm.session.session import Session as Session
    from swarmchat.swarm.storage.declaration import Storage as Storage
    from swarmchat.swarm.storage.embeddings import Embedder as Embedder, PersistEmbedding as PersistEmbedding
    from swarmchat.swarm.storage.ngram_embedder import NgramEmbedder as NgramEmbedder
    from swarmchat.swarm.storage.openai_embedder import OpenAIEmbedder as OpenAIEmbedder
    from swarmchat.swarm.storage.sentence_embedder import SentenceEmbedder as SentenceEmbedder
    from swarmchat.swarm.storage.storage import PersistStorage as PersistStorage
    from swarmchat.swarm.tools.agent_tool import AgentTool as AgentTool
    from swarmchat.swarm.tools.asking import FormField as FormField, UserQuestion as UserQuestion
    from swarmchat.swarm.tools.context import Context as Context, Denied as Denied
    from swarmchat.swarm.tools.tool import Tool as Tool, tool as tool
# fmt: on

# A name is imported when it is first used: tools need pydantic and storages numpy, which take time to import.
_NAMES = {
    "agents.agent": "Agent Swarm",
    "agents.loader": "load_swarm",
    "agents.operator": "Operator",
    "agents.replay_rules": "ReplayRules",
    "agents.rescue_steps": "Fault",
    "archive.export": "as_html as_jsonl as_markdown as_messages as_openai",
    "archive.redaction": "Redaction",
    "archive.repair": "repair_file repair_session",
    "archive.search": "search_sessions",
    "archive.sessions": "delete_session fork_session rename_session",
    "archive.writer": "SessionWriter",
    "context.builder": "Budget RequestContext build_context",
    "context.groups": "Group GroupBuilder Groups",
    "context.tokens": "TokenCounter counter_for",
    "conversation.events": """
        Event HandedOver MailReceived OutputDelta PersonAwaited ReasoningDelta Refused Rescued Retrying Rotated Steered
        Summarized
        TaskEnded TaskProgress TaskStarted TextDelta ToolFinished ToolStarted TurnEnded Warned
    """,
    "conversation.hooks": "Hooks",
    "conversation.settings": "SessionSettings",
    "conversation.tracing": "Tracing",
    "errors": """
        AskError BadRecord ClientBanned CompactFailed ConnectionSettingsError ContextTooLong DefinitionError
        EmbeddingError
        HandoffLoop HookError ImageError LimitReached LogLost MailboxFull MailError
        ModelAuthError ModelBusy ModelError ModelNotFound
        ModelRefused ModelUnavailable NetworkForbidden NothingToCompact OutputError OverBudget PinError RepeatedCall
        RequestDenied RequestLimit ScriptError SessionBusy StateError StorageError SwarmError TaskError TaskLimit
        TranscriptError
    """,
    "images.files": "image_file",
    "importers.detect": "Transcript open_transcript",
    "mcp.server": "McpServer",
    "models.base": "Adapted Answer FellBack Model ModelEvent ModelRequest ReasoningChunk Retry TextChunk ToolCall",
    "models.demo": "DemoModel DemoRule",
    "models.openai_chat": "OpenAIModel",
    "models.scripted": "ScriptedModel",
    "persistence.log": "read_lines read_records",
    "persistence.mailbox": "Mail tell",
    "persistence.records": "Record parse_record",
    "persistence.session_index": "SessionInfo find_session latest_session list_sessions",
    "persistence.store": "REDIS_LIFETIMES Lifetimes",
    "primitives.memory": "PersistMemory",
    "primitives.navigation": "PersistSwarm",
    "primitives.policy": "Ban PersistPolicy Policy",
    "primitives.presence": "PersistAlive Presence",
    "primitives.state": "PersistState State computed",
    "providers.adaptations": "LearnedAdaptations",
    "replay.compare": "Difference compare_logs",
    "replay.files": "RecordedConversation read_conversations",
    "replay.runner": "Replayed",
    "persistence.tickets": "Ticket",
    "session.desk": "OperatorCase OperatorDesk",
    "session.opening": "SessionOpening",
    "session.reply": "Reply",
    "session.session": "Session",
    "storage.declaration": "Storage",
    "storage.embeddings": "Embedder PersistEmbedding",
    "storage.ngram_embedder": "NgramEmbedder",
    "storage.openai_embedder": "OpenAIEmbedder",
    "storage.sentence_embedder": "SentenceEmbedder",
    "storage.storage": "PersistStorage",
    "tools.agent_tool": "AgentTool",
    "tools.asking": "FormField UserQuestion",
    "tools.context": "Context Denied",
    "tools.tool": "Tool tool",
}
"""The modules of this package with the public names of each; a test compares it with the imports for types."""

_MODULE_OF = {name: module for module, names in _NAMES.items() for name in names.split()}

# Type checkers take the names from the imports above: `X as X` makes X public.
__all__ = sorted(_MODULE_OF)


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
