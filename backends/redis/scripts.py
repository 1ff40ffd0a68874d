"""The Lua scripts of the Redis backend, and the packing of a commit into their arguments.

Redis runs nothing else during a script, but undoes nothing when a command in it fails. So the commit script checks
everything that could refuse a write before it writes anything.
"""

import hashlib
import math
import re
from collections.abc import Sequence
from functools import lru_cache
from itertools import count

from redis.crc import key_slot
from swarmchat.backends.base import Append, Condition, Delete, Expect, ExpectLength, Lease, Put, Touch, Truncate, Write

_LONGEST = 10**14
"""Milliseconds, three thousand years: Redis refuses a lifetime that overflows its clock."""


class Script:
    """A Lua script and the digest by which the server knows it."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.digest = hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest()


# What a script may do is checked before it writes: Redis undoes nothing if a command is refused in the middle. Since
# Redis 7 the server tells, for a key too. Before, each command is tried on a missing key, where it changes nothing.
_RIGHTS = """
local arguments = {
  SET = {'', 'XX'}, RPUSH = {''}, LTRIM = {'0', '0'}, DEL = {}, PERSIST = {}, PEXPIRE = {'1'},
  GET = {}, MGET = {}, TYPE = {}, EXISTS = {}, LLEN = {}, LRANGE = {'0', '0'}
}
local function attempt(command, key, ...)
  local reply = redis.pcall(command, key, ...)
  if type(reply) ~= 'table' or not reply.err then return end
  if string.find(reply.err, "can't run this command", 1, true) then
    return redis.error_reply('NOPERM no right to run ' .. command)
  end
  -- Redis 6 puts the place in the script before the code of the error.
  return redis.error_reply((string.gsub(reply.err, '^@user_script: ?%d+: ?%-?', '')))
end
local function run(command, key)
  local reply = redis.pcall(command, key)
  if type(reply) ~= 'table' or not reply.err then return reply end
  -- Redis 6 does not say which command it refuses.
  error(string.find(reply.err, "can't run this command", 1, true) and 'no right to run ' .. command or reply.err)
end
local function refusal(command, key)
  if not redis.acl_check_cmd then return attempt(command, key, unpack(arguments[command])) end
  if redis.acl_check_cmd(command, key, unpack(arguments[command])) then return end
  return redis.error_reply('NOPERM no right to run ' .. command .. ' on ' .. key)
end
"""

# KEYS: token, a key that is always missing, lease (the token again when there is none), then the key of each write,
#       those of the conditions first.
# ARGV: token ttl, when to remember the token ('always', 'full': even if memory is full, or 'never'), owner of the lease
#       ('' for none), its ttl, the number of conditions, for each Expect whether there is a value ('0' or '1') and
#       which, for each ExpectLength 'length' and how long, then for each write
#       'put' ttl value | 'append' ttl number value… | 'delete' | 'truncate' keep | 'touch' ttl. A ttl of '' is none.
# Returns 1, or 0 when the lease is lost, or 1 + N when the condition that is write N does not hold, or -N when the key
# of write N is of the wrong kind.
COMMIT = Script(
    _RIGHTS
    + """
local token, missing = KEYS[1], KEYS[2]
if run('EXISTS', token) == 1 then return 1 end
local owner = ARGV[3]
if owner ~= '' and run('GET', KEYS[3]) ~= owner then return 0 end

local expects = tonumber(ARGV[5])
for write = 1, expects do
  local key, at = KEYS[write + 3], 4 + 2 * write
  local kind = run('TYPE', key).ok
  local required = ARGV[at] == 'length' and 'list' or 'string'
  if kind ~= required and kind ~= 'none' then return -write end
  if required == 'list' then
    if run('LLEN', key) ~= tonumber(ARGV[at + 1]) then return 1 + write end
  -- GET of a missing key is false here, and '' is true.
  elseif run('GET', key) ~= (ARGV[at] == '1' and ARGV[at + 1]) then return 1 + write end
end
if ARGV[2] == 'never' then return 1 end

local function gone(ttl) return ttl ~= '' and tonumber(ttl) <= 0 end

local commands = {
  put = {'SET', 'PEXPIRE'}, append = {'RPUSH', 'PERSIST', 'PEXPIRE'}, truncate = {'LTRIM', 'DEL'}, delete = {'DEL'},
  touch = {'PERSIST', 'PEXPIRE'}, token = {'RPUSH', 'PEXPIRE', 'DEL'}, lease = {'PEXPIRE'}
}
local function refused(op, key)
  for _, command in ipairs(redis.acl_check_cmd and commands[op] or {}) do
    local reply = refusal(command, key)
    if reply then return reply end
  end
end

local reply = refused('token', token) or (owner ~= '' and refused('lease', KEYS[3]))
if reply then return reply end
local kinds, at = {}, 6 + 2 * expects
for write = expects + 1, #KEYS - 3 do
  local key, op = KEYS[write + 3], ARGV[at]
  local kind = kinds[key] or run('TYPE', key).ok
  local required, after, size = kind, kind, 2
  if op == 'put' then
    required, after, size = 'string', 'string', 3
  elseif op == 'append' then
    local values = tonumber(ARGV[at + 2])
    required, size = 'list', 3 + values
    if values > 0 then after = 'list' end
  elseif op == 'truncate' then
    required = 'list'
    if ARGV[at + 1] == '0' then after = 'none' end
  elseif op == 'delete' then
    after, size = 'none', 1
  end
  if kind ~= 'none' and (kind ~= required or (kind ~= 'string' and kind ~= 'list')) then return -write end
  if (op == 'put' or op == 'append' or op == 'touch') and gone(ARGV[at + 1]) then after = 'none' end
  kinds[key], at = after, at + size
  reply = refused(op, key)
  if reply then return reply end
end

-- The token is a list, so that no scan for values finds it. It is the first write, and the only one that Redis refuses
-- when memory is short: after another write, even one without effect, Redis refuses none.
if ARGV[2] == 'full' then run('DEL', missing) end
reply = attempt('RPUSH', token, 1)
for _, command in ipairs(redis.acl_check_cmd and {} or {'DEL', 'LTRIM', 'SET', 'PERSIST', 'PEXPIRE'}) do
  reply = reply or refusal(command, missing)
end
if reply then
  redis.pcall('DEL', token)
  redis.pcall('LTRIM', token, 1, 0)
  return reply
end
redis.call('PEXPIRE', token, ARGV[1])

local function live(key, ttl)
  if ttl == '' then redis.call('PERSIST', key) else redis.call('PEXPIRE', key, ttl) end
end
if owner ~= '' then redis.call('PEXPIRE', KEYS[3], ARGV[4]) end
at = 6 + 2 * expects
for write = expects + 1, #KEYS - 3 do
  local key, op, ttl = KEYS[write + 3], ARGV[at], ARGV[at + 1]
  if op == 'put' then
    redis.call('SET', key, ARGV[at + 2])
    if ttl ~= '' then redis.call('PEXPIRE', key, ttl) end
    at = at + 3
  elseif op == 'append' then
    local last = at + 2 + tonumber(ARGV[at + 2])
    for first = at + 3, last, 1000 do
      redis.call('RPUSH', key, unpack(ARGV, first, math.min(first + 999, last)))
    end
    live(key, ttl)
    at = last + 1
  elseif op == 'truncate' then
    if ttl == '0' then redis.call('DEL', key) else redis.call('LTRIM', key, 0, tonumber(ttl) - 1) end
    at = at + 2
  elseif op == 'delete' then
    redis.call('DEL', key)
    at = at + 1
  else
    live(key, ttl)
    at = at + 2
  end
end
return 1
"""
)

# Whoever takes a lease will read and commit: a right that is missing for that is found out here, not in mid-session.
# KEYS: lease, a key that is always missing. ARGV: owner, ttl, '1' to replace another owner, that owner.
ACQUIRE = Script(
    _RIGHTS
    + """
local key = redis.acl_check_cmd and KEYS[1] or KEYS[2]
local reply
for _, command in ipairs({
  'GET', 'MGET', 'TYPE', 'EXISTS', 'LLEN', 'LRANGE', 'SET', 'DEL', 'RPUSH', 'LTRIM', 'PERSIST', 'PEXPIRE'
}) do
  reply = reply or refusal(command, key)
  if command == 'RPUSH' and not (reply or redis.acl_check_cmd) then redis.call('DEL', key) end
end
if reply then return reply end
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] and not (ARGV[3] == '1' and holder == ARGV[4]) then return 0 end
redis.call('SET', KEYS[1], ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return 1
"""
)

# KEYS: lease. ARGV: owner, ttl.
RENEW = Script("""
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return 1
""")

# KEYS: lease. ARGV: owner.
RELEASE = Script("""
if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end
return 1
""")


def pack_commit(
    writes: Sequence[Write], lease: Lease | None, token: str, token_ttl: float
) -> tuple[list[str], list[str | bytes]]:
    """Return the KEYS and the ARGV of COMMIT. ``token`` names this commit, however often it is sent.

    In ``writes`` the conditions come first.
    """
    keys = [lease.key] if lease else []
    keys += [write.key for write in writes]
    token_key = token_key_of(keys[0], token)
    arguments: list[str | bytes] = [milliseconds(token_ttl), _remember_when(writes, lease)]
    arguments += [lease.owner, milliseconds(lease.ttl)] if lease else ["", ""]
    arguments.append(str(sum(isinstance(write, Condition) for write in writes)))
    for write in writes:
        arguments += _pack_write(write)
    return [token_key, f"{token_key}:", *([] if lease else [token_key]), *keys], arguments


def token_key_of(key: str, token: str) -> str:
    """Return a key for ``token`` that is in the slot of ``key``, and that whoever may write ``key`` may write too."""
    return f"{slot_prefix(key)}:commit:{token}"


def _remember_when(writes: Sequence[Write], lease: Lease | None) -> str:
    if any(isinstance(write, Put | Append) for write in writes):
        return "always"
    # A commit that only checks may be repeated, and must not fail because the token needs memory.
    return "full" if lease or not all(isinstance(write, Condition) for write in writes) else "never"


def _pack_write(write: Write) -> list[str | bytes]:
    match write:
        case Put(value=value, ttl=ttl):
            return ["put", milliseconds(ttl), value]
        case Append(values=values, ttl=ttl):
            return ["append", milliseconds(ttl), str(len(values)), *values]
        case Truncate(keep=keep):
            return ["truncate", str(keep)]
        case Touch(ttl=ttl):
            return ["touch", milliseconds(ttl)]
        case Delete():
            return ["delete"]
        case Expect(value=value):
            return ["0", ""] if value is None else ["1", value]
        case ExpectLength(length=length):
            return ["length", str(length)]


def milliseconds(ttl: float | None) -> str:
    """Return ``ttl`` for the scripts: milliseconds, rounded up, or '' for none."""
    return "" if ttl is None else str(min(math.ceil(min(ttl, _LONGEST) * 1000), _LONGEST))


def slot(key: str) -> int:
    """Return the hash slot of ``key`` in a cluster."""
    number: int = key_slot(key.encode())
    return number


@lru_cache(maxsize=1024)
def slot_prefix(key: str) -> str:
    """Return a prefix whose keys are in the slot of ``key``, and which begins as ``key`` does.

    A user whose ACL allows only ``swarmchat:*`` may therefore write tokens too. For a key with a hash tag, the prefix
    ends with the tag; for a key without, all of the key becomes the tag.
    """
    if tagged := re.match(r"[^{]*\{[^}]+\}", key, re.DOTALL):
        return tagged[0]
    namespace = re.match(r"[^:{]*:", key)
    begin = namespace[0] if namespace else ""
    if "}" not in key:
        return f"{begin}{{{key}}}"
    # A brace would end the tag too early: use any tag of the same slot.
    target = slot(key)
    return next(prefix for number in count() if slot(prefix := f"{begin}{{{number}}}") == target)
