-- cancel ends waiting tasks of one queue: those that a caller cancels, or those whose deadlines
-- have passed. It can't end a running task. A cancelled one is marked in the set stop, and its
-- minion is told; one whose deadline passes while it runs is left to its minion.
--
-- The message of a pending task is somewhere in a list, which is too long to search. The script
-- leaves a tombstone: it adds the id to gone and renames ready to held. The dequeue script
-- checks the messages in held before they start (see push.lua), and drops this one then.
--
-- KEYS  1 state  2 due  3 later  4 gone  5 stop  6 ready  7 held  8 minions
--       9 keep  10 list of the retention class  11 watch  12 flows  13 outbox  14 about
--       15 parked  16 needs  17 deadlines  18-26 the keys of lanes, then flight and claim of each minion of ARGV, then
--       the record of each id, which exists only for large ones
-- ARGV  1 number of minions, then their ids, then: name of the class, ms for which the outcome
--       can be read, ms until it is swept, wake channel, prefix of inbox channels, prefix of
--       minion channels, outcome (length and record), whether minions are told of running
--       tasks (0, 1), state of the outcome, whether to end only tasks whose deadlines have
--       passed (0, 1), then the ids
-- Returns false and the ids of all minions if one of them is not among those of ARGV: nothing
-- was done, call again. Else returns a list of three: a list of verdicts, one for each id; a list of
-- the removed messages that have a unique key; how many arrivals were made. A verdict is 0 unknown,
-- 1 ended before it started, 2 running (its minion was told, if that was asked for), 3 final
-- before; or the task's state, if that can't be read.

local state, due, later, gone, stop, ready, held, minions, keep, list, watch, flows, outbox =
  KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6], KEYS[7], KEYS[8], KEYS[9], KEYS[10], KEYS[11], KEYS[12], KEYS[13]
local about, deadlines = KEYS[14], KEYS[17]
local spare = 26 -- number of keys before those of the minions
local count = tonumber(ARGV[1])
local known = {}
for i = 1, count do
  known[ARGV[1 + i]] = true
end
local members = redis.call('ZRANGE', minions, 0, -1)
for _, m in ipairs(members) do
  if not known[m] then
    return { false, members }
  end
end
local at = count + 2
local class, readms, sweepms, wake = ARGV[at], tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2]), ARGV[at + 3]
local inboxes, channels, outcome, tell = ARGV[at + 4], ARGV[at + 5], ARGV[at + 6], ARGV[at + 7] == '1'
local becomes, expiring = tonumber(ARGV[at + 8]), ARGV[at + 9] == '1'
at = at + 10

local function hex(s)
  return (string.gsub(s, '.', function(c) return string.format('%02x', string.byte(c)) end))
end

local asked, states = { unpack(ARGV, at) }, {}
local open, waiting, absent = {}, {}, {}
for i, s in ipairs(look(state, asked)) do
  states[asked[i]] = s
  if s and #s == 20 then
    open[#open + 1] = asked[i]
  end
end
if #open > 0 then
  for i, msg in ipairs(redis.call('HMGET', later, unpack(open))) do
    waiting[open[i]] = msg
    if not msg then
      absent[#absent + 1] = open[i]
    end
  end
end
local owned = owners(absent, spare, count)

redis.call('ZREM', minions, '') -- for a server out of memory: see dequeue.lua
local t = now()
local verdicts, uniques, forget, final, ended, spent = {}, {}, { big(t + sweepms, 6) }, {}, {}, {}
local unparked = {}
local tombs, asleep, news, posts = {}, {}, {}, {} -- ids in a list; ids in later; new states; inboxes and ids to publish
local tail = big(t + readms, 6) .. big(0, 4) .. outcome
local NOBODY = string.rep('\0', 16)
local seen = {} -- ids to be removed from deadlines
local lined = {} -- messages with a lane
for i = at, #ARGV do
  local id = ARGV[i]
  local s = states[id]
  local verdict
  local limit = expiring and redis.call('ZSCORE', deadlines, id)
  if limit and tonumber(limit) <= t then
    seen[#seen + 1] = id -- also if it runs: when it is given back it is added again
  end
  if not s or expiring and seen[#seen] ~= id then
    verdict = 0
  elseif #s < 20 then
    verdict = s -- unreadable
  elseif #s > 20 then
    -- Final; unknown, if it may not be read any more.
    verdict = number(s, 22, 6) > t and 3 or 0
  else
    local msg = waiting[id]
    local by = owned[id] and ARGV[1 + owned[id].by]
    if msg then
      if readable(msg) and math.floor(string.byte(msg, 25) / 2) % 2 == 1 then
        uniques[#uniques + 1] = msg
      end
      if isParked(string.byte(msg, 25)) then
        unparked[#unparked + 1] = id
      end
      if not by and readable(msg) and laneOf(msg) then
        lined[#lined + 1] = msg
      end
    end
    if by then
      if tell then
        redis.call('SADD', stop, id)
        redis.call('PUBLISH', channels .. hex(by), id)
      end
      verdict = 2
    else
      if msg then
        asleep[#asleep + 1] = id
      else
        tombs[#tombs + 1] = id
      end
      states[id] = s .. string.char(becomes) .. tail
      news[#news + 1] = id
      news[#news + 1] = states[id]
      final[#final + 1] = id
      local inbox = string.sub(s, 5, 20)
      if inbox ~= NOBODY then
        posts[#posts + 1] = inbox
        posts[#posts + 1] = id
      end
      forget[#forget + 1] = id
      ended[#ended + 1] = { id = id, outcome = outcome }
      spent[#spent + 1] = KEYS[spare + 2 * count + 1 + i - at]
      verdict = 1
    end
  end
  verdicts[#verdicts + 1] = verdict
end
if #lined > 0 then
  local L = laneKeys(18, later)
  leaveLine(L, lined)
  endSequence(L, lined, becomes)
  nudge(ready, watch, wake)
end
if #tombs > 0 then
  -- Their messages are in the list: leave tombstones, and have the list checked.
  redis.call('SADD', gone, unpack(tombs))
  if redis.call('EXISTS', held) == 0 and redis.call('EXISTS', ready) == 1 then
    redis.call('RENAME', ready, held)
  end
  if redis.call('EXISTS', held) == 1 then
    nudge(ready, watch, wake)
  else
    redis.call('DEL', gone) -- neither list exists, so there are no messages
  end
end
if #forget > 1 then
  redis.call('HSET', state, unpack(news))
  for i = 1, #posts, 2 do
    redis.call('PUBLISH', inboxes .. hex(posts[i]), posts[i + 1] .. outcome)
  end
  if #asleep > 0 then
    redis.call('HDEL', later, unpack(asleep))
    redis.call('ZREM', due, unpack(asleep))
  end
  redis.call('SREM', stop, unpack(final)) -- marks from when they ran; no settlement will remove them
  mark(state, final, OWN)
  if redis.call('EXISTS', about) == 1 then
    local failures = {}
    for i, id in ipairs(final) do
      failures[i] = id .. 'f'
    end
    redis.call('HDEL', about, unpack(failures))
  end
  unpark(KEYS[15], KEYS[16], unparked)
  redis.call('RPUSH', list, table.concat(forget))
  redis.call('ZADD', keep, 'NX', t + sweepms, class)
  redis.call('UNLINK', unpack(spent))
end
if not expiring and #final > 0 and redis.call('EXISTS', deadlines) == 1 then
  seen = final
end
if #seen > 0 then
  redis.call('ZREM', deadlines, unpack(seen))
end
return { verdicts, uniques, arrive(flows, outbox, ended) }
