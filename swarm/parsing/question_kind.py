"""Tell questions about tools, and hypothetical ones, from requests: a call in the answer to them is an example."""

import re
from collections.abc import Iterable

from swarmchat.swarm.common.patterns import lazy_pattern

_ASKS = lazy_pattern(
    r"\b(?:what|which|how|explain|describe|show|tell|write|give|list|print|example|walk me|talk me|teach|outline"
    r"|wonder|curious|without|would you|could you"
    r"|erklär\w*|beschreib\w*|explique[rsz]?|décri\w*|explica\w*|describe|spiega\w*|descriv\w*|descrev\w*)\b|\?",
    re.IGNORECASE,
)
_ABOUT_CALLS = lazy_pattern(
    r"\b(?:(?:tool|function)[ _-]?(?:calls?|calling|definitions?)|(?:what|which|your) (?:tools|functions)"
    r"(?! (?:does|do (?:you|they) (?:sell|offer|stock)|would help)))\b"
    r"|\b(?:which|what) (?:call\b|(?:tool|function) (?:would|do|did|will|should)\b)"
    # "What would the call be?", "what does your call look like", "what would you call to order tea?"
    r"|\b(?:show|write|print|tell|give)(?: me)? (?:the|your|that)(?: \w+)? call\b(?! (?:number|cent))"
    r"|\b(?:what|how)(?: \w+(?: be)?|'s) (?:the|your|that|this)(?: \w+)? call(?: (?:be|look|for|to)\b|\s*(?:[?.]|$))"
    r"|\bwhat (?:exactly )?would you (?:call|send|run|invoke|execute)(?: to\b|\s*\?)"
    r"|\b(?:wie|welcher|quel|comment|cu[aá]l|c[oó]mo|quale|come)\b.{0,40}\b(?:aufruf|appel|llamada|chiamata)\b"
    r"|\A\W*what (?:can|could) you do(?: for me)?\W*\Z",
    re.IGNORECASE,
)
_ABOUT_USE = lazy_pattern(r"\bhow\b.*\b(?:call|called|invoke|invoked|use|used|works?)\b", re.IGNORECASE)
_ABOUT_ARGUMENTS = lazy_pattern(r"\b(?:arguments?|parameters?|schemas?|syntax|json|formats?)\b", re.IGNORECASE)
_ABOUT_NAMED = lazy_pattern(
    r"\b(?:explain|describe|what(?:'s| is| does| was| can)|why|when (?:do|would|will|did) you|did you|are you|have you"
    r"|was|wof[üu]r|wann|warum"
    r"|que fait|pourquoi|qu[eé] hace|por qu[eé]|cosa fa|perch[eé]|o que faz)\b(?!.*\b(?:say|says|sagt|dit|dice"
    r"|diz)\b)",
    re.IGNORECASE,
)
# What somebody with an opinion or a shop would do, not somebody with tools.
_VIEW = (
    r"(?! (?:like|recommend|suggest|advise|choose|pick|prefer|buy|take|think|want|mind|rather|get|play|put|go to"
    r"|sell|have"
    r"|charge|deliver|say (?:is|are|the|that))\b)"
)
_ACT = r" (?:do|call|use|run|invoke|execute|send|need|say|answer|reply|respond|react|try|check|query|write|proceed)\b"
_ANYONE = r"(?:i|we|some\w+|any\w+|an? \w+|the \w+)"
_PAST = r"(?:wanted|asked|said|told|typed|were to|had|ordered|needed|requested|would ask|would like|(?:ask|tell) you)\b"
_HYPOTHETICAL = lazy_pattern(
    rf"\bhow(?: would| could| might|'d) you\b{_VIEW}"
    rf"|\b(?:what|which)(?: \w+){{0,2}}(?: would| could| might|'d) you\b{_VIEW}{_ACT}"
    r"|\bwhat (?:would|will) (?:be )?(?:the|your) (?:\w+ )?(?:steps?|move|action|answer|response|reaction|reply"
    r"|arguments?"
    r"|parameters?|calls?|requests?)\b"
    r"|\bsteps you(?:'d| would| will| take)\b|\b(?:what|which) steps (?:would|will|do) you\b"
    r"|\b(?:what|how) (?:do|will|did) you (?:do|call|use|answer|respond|react|say)\b[^.?!]*\b(?:if|when|once|for)\b"
    rf"|\b(?:what|how|which|whether|if)\b[^.?!]{{0,40}} you(?:'d| would| will)\b{_VIEW}"
    r"|\b(?:explain|describe|(?:walk|talk) me through|teach me|wonder|curious)\b[^.?!]{0,40}\bhow you\b"
    r"|\b(?:walk|talk) me through\b"
    rf"|\bif {_ANYONE} {_PAST}[^.?!]*\b(?:would|could|might) you\b"
    rf"|\b(?:would|could|can) you\b[^.?!]*\bif (?:i|we) {_PAST}"
    rf"|\bwhat (?:(?:would|will) happen )?if {_ANYONE} {_PAST}"
    r"|\bwhat (?:happens|will happen) (?:if|when) (?:i|we|some\w+|any\w+) (?:asks?|tells?) you\b"
    r"|\b(?:hypoth?[eé]t|theoret|hipot[eé]t|ipotet)\w+|\b(?:in theory|in principle|en th[eé]orie|en principe"
    r"|en teor[ií]a|in teoria|em teoria|im prinzip)\b"
    r"|\bwithout (?:actually |really )?(?:doing|calling|ordering|using|executing|running|plac\w+|sending"
    r"|booking|mak\w+)\b"
    r"|\b(?:do not|don't) (?:actually |really )?\w+ (?:anything|(?:\w+ ){0,2}yet)\b"
    r"|\bwhat (?:would|might) [^.?!]{1,60} look like\b|\b(?:what is|what's) your (?:plan|approach|procedure|strategy)\b"
    rf"|\b(?:should|if|when|once) [^.?!]{{1,60}}, (?:what|how) (?:do|will) you\b{_VIEW}"
    r"|\bexamples? of [^.?!]{1,40} you (?:could|would|can)\b|\bsteps does it take (?:for )?you\b"
    r"|\bfor (?:which|what) \w+ do you use\b"
    # A sentence that supposes something, and a question.
    r"|(?:\A|[.!?\n])\W*(?:suppose|assume|assuming|imagine|pretend|let(?:'s| us) (?:say|suppose|assume|imagine|pretend)"
    r"|say (?:an?|i|we|some\w*) |were (?:i|we) to|angenommen|nehmen wir an|stell dir vor|supposons|admettons|imaginons"
    r"|supongamos|sup[oó]n|imagina|supponiamo|poniamo|immagina|suponha\w*|digamos)\b[^!]{1,200}"
    r"\b(?:what|how|which|was|wie|welche\w*|que|quoi|comment|qu[eé]|c[oó]mo|cosa|come)\b[^!]{0,120}\?\W*\Z"
    # "Explain how you do it", in the other languages
    r"|\b(?:erklär|beschreib)\w*\b[^.?!]{0,40}\bwie (?:du|sie|ihr)\b"
    r"|\b(?:expliqu|décri)\w*\b[^.?!]{0,40}\bcomment (?:tu|vous)\b"
    r"|\b(?:explic|describ)\w*\b[^.?!]{0,40}\bc[oó]mo (?!llego)\w+[aei]s\b|\bspiega\w*\b[^.?!]{0,40}\bcome \w+i\b"
    r"|\bexpli\w*\b[^.?!]{0,40}\bcomo (?:você|tu)\b|\bcomment t'y prend\w+"
    # German, French, Spanish, Italian, Portuguese: "what would you do", not "what would you recommend"
    r"|\b(?:was|wie|womit|welche\w*|erklär\w*|beschreib\w*|sag\w*)\b[^.?!]{0,60}\b(?:würde(?:st|n|t)?,? (?:du|sie"
    r"|ihr)|(?:du|sie|ihr)"
    r"\b[^.?!]{0,60} würde(?:st|n|t)?)\b(?![^.?!]*\b(?:gern|empfehlen|mir|uns|raten|vorschlagen|nehmen|bevorzugen"
    r"|wählen|kaufen)\b)"
    r"|\bwas (?:machst|tust|tätest) du\b|\bwie gehst du vor\b"
    r"|\b(?:que|quoi|comment|quel\w*|expliqu\w*|décri\w*)\b[^.?!]{0,50}(?:\b(?!conseill|recommand|sugg|propos"
    r"|choisi|prend|préf"
    r"|achèt|pour|voud)\w+(?:rais|riez)[- ](?:tu|vous)\b|\b(?:tu|vous) (?!conseill|recommand|sugg|propos|pour"
    r"|voud)\w+(?:rais|riez)\b)"
    r"|\b(?:qu[eé]|c[oó]mo|cu[aá]l)\b[^.?!]{0,40}\b(?!recomend|suger|aconsej|elegir|comprar|podr|querr)\w+r[ií]as\b"
    r"|\bqu[eé] har[ií]an? ustede?s?\b"
    r"|\b(?:cosa|che|come|quale)\b[^.?!]{0,40}\b(?!consigl|raccomand|sugger|scegl|compr|potr|vorr)\w+res(?:ti|te)\b"
    r"|\b(?:que|como|qual)\b[^.?!]{0,40}\b(?:(?:você|vocês|tu) (?!recomend|suger|aconselh|poder"
    r"|gostar)\w+[aei]rias?|faria[ms]?)\b",
    re.IGNORECASE,
)
_ABOUT_TOOLS = lazy_pattern(
    r"\b(?:welche[sn]?|quels?|qu[eé]|quali?|quais|que) (?:tools?|werkzeuge?|funktion(?:en)?|outils?|fonctions?"
    r"|herramientas?|funci[oó]n(?:es)?"
    r"|strument[io]|funzion[ei]|ferramentas?|fun(?:ção|ções)) (?:hast|habt|haben|kannst|würde\w*|as|avez|utilis\w+"
    r"|tienes?|usa\w*|puede\w*"
    r"|hai|avete|puoi|tem|você|pode\w*)\b",
    re.IGNORECASE,
)
# Not "a discount code", "a letter about the program" or "a Python book".
_OBJECT = r"(?: (?!to\b|about\b|that\b|for\b|with\b|at\b|of\b|on\b|in\b|and\b)[\w-]+){0,5}?"
_LANGUAGE = r"(?:python|javascript|typescript)(?: (?:that|which|to|for|code|functions?|program)\b|\W*\Z)"
_FOR_CODE = lazy_pattern(
    rf"\b(?:write|draft|program|code){_OBJECT} (?:{_LANGUAGE}|(?:scripts?|snippets?|functions?|program|one-liner)\b)"
    rf"|\b(?:show|give|generate|create|make|produce|need|want|print|see|have){_OBJECT}"
    rf" (?:{_LANGUAGE}|(?:scripts?(?! of)|snippets?|one-liner|pseudocode)\b)"
    r"|\b(?:write|draft)(?: me| us)?(?: some| the| a piece of)? code\b|\b(?:sample|example|source) code\b"
    r"|\b(?:in|with|using) (?:python|javascript|typescript|js|ts|node(?:\.?js)?)\b"
    r"|\b(?:schreib|écri|escrib|scriv|escrev)\w*\b[^.?!]{0,60}"
    r"\b(?:code|python|javascript|skript|script\w*|programm|programme|programa|código|codice|fonction|funktion"
    r"|funci[oó]n|funzione|função)\b",
    re.IGNORECASE,
)
# Then the code is not all that is wanted.
_RUNS_CODE = lazy_pattern(
    r"\b(?:run|execute|test|try|save|send|use) (?:it|them|this|that|the (?:code|script|program))\b", re.IGNORECASE
)
_LAST_SENTENCE = lazy_pattern(r"(?s:.*)[.?!]\s+(?P<sentence>[^.?!\n]{2,200})[.!]*\s*\Z")
_ASKS_FOR_WORDS = lazy_pattern(
    r"\W*(?:please |then |and |but )*(?:tell|explain|describe|show|say|answer|write|give|list|print|just|only|don't"
    r"|do not"
    r"|be|keep|no|without|in|as|for|with|not|thanks?|use|reply|respond)\b",
    re.IGNORECASE,
)
_SUPPOSES = lazy_pattern(
    r"\W*(?:suppose|imagine|assume|say|let's say|hypothetically|angenommen|supposons|imagin\w*)\b", re.IGNORECASE
)
_END = 1000
"""Characters at the beginning and at the end of a long question that are read."""


def asks_about_calls(question: str, names: Iterable[str]) -> bool:
    """Tell whether ``question`` is about how the tools with these ``names`` are called: what calls look like."""
    question = _shortened(question)
    if not _ASKS.search(question):
        return False
    is_about = _ABOUT_ARGUMENTS.search(question) or _ABOUT_USE.search(question)
    return bool(is_about and _names_one(question, names)) or _is_of(question, _ABOUT_CALLS)


def asks_hypothetically(question: str, names: Iterable[str]) -> bool:
    """Tell whether ``question`` asks what the assistant would do, or what the tools with these ``names`` are for."""
    question = _shortened(question)
    if not _ASKS.search(question):
        return False
    written = [name for name in names if "_" in name and name.casefold() in question.casefold()]
    if _names_one(question, written) and _ABOUT_NAMED.search(question):
        return True
    return _is_of(question, _HYPOTHETICAL) or _is_of(question, _ABOUT_TOOLS)


def asks_for_code(question: str) -> bool:
    """Tell whether ``question`` asks for a program, in which a call of a tool is a line of it."""
    question = _shortened(question)
    return not _RUNS_CODE.search(question) and _is_of(question, _FOR_CODE)


def _shortened(question: str) -> str:
    return question if len(question) <= 2 * _END else f"{question[:_END]}\n{question[-_END:]}"


def _names_one(question: str, names: Iterable[str]) -> bool:
    words = f" {re.sub(r'[^a-z0-9]+', ' ', question.casefold())} "
    return any(f" {re.sub(r'[^a-z0-9]+', ' ', name.casefold())} " in words for name in names)


def _is_of(question: str, kind: "re.Pattern[str]") -> bool:
    """Tell whether ``question`` is of this kind, and no other sentence at its end demands something."""
    if not kind.search(question):
        return False
    last = _LAST_SENTENCE.match(question)
    sentence = last["sentence"] if last else ""
    is_demand = sentence and not _ASKS_FOR_WORDS.match(sentence) and not _SUPPOSES.match(sentence)
    return not is_demand or kind.search(sentence) is not None
