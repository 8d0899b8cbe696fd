-- cancel ends waiting tasks of one queue: those that a caller cancels, or those whose deadlines
-- have passed. It can't end a running task. A cancelled one is marked in the set stop, and its
-- minion is told; one whose deadline passes while it runs is left to its minion.
--
-- KEYS  1 state  2 due  3 later  4 gone  5 stop  6 ready  7 held  8 minions
--       9 keep  10 list of the retention class  11 watch  12 flows  13 outbox  14 about
--       15 parked  16 needs  17 deadlines  18 unique  19 holders  20-28 the keys of lanes
--       29 aside  30 back, then flight and claim of each minion of ARGV, then the record of each
--       id, which exists only for large ones
-- ARGV  1 number of minions, then their ids, then: name of the class, ms for which the outcome
--       can be read, ms until it is swept, wake channel, prefix of inbox channels, prefix of
--       minion channels, outcome (length and record), whether minions are told of running
--       tasks (0, 1), state of the outcome, whether to end only tasks whose deadlines have
--       passed (0, 1), then the ids
-- Returns false and the ids of all minions if one of them is not among those of ARGV: nothing
-- was done, call again. Else returns a list of two: a list of verdicts, one for each id; how many
-- arrivals were made. A verdict is 0 unknown, 1 ended before it started, 2 running (its minion
-- was told, if that was asked for), 3 final before; or the task's state, if that can't be read.

local state, later, stop, minions, deadlines = KEYS[1], KEYS[3], KEYS[5], KEYS[8], KEYS[17]
local spare = 30 -- number of keys before those of the minions
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
local k = {
  state = state, due = KEYS[2], later = later, gone = KEYS[4], stop = stop, ready = KEYS[6], held = KEYS[7],
  keep = KEYS[9], list = KEYS[10], watch = KEYS[11], flows = KEYS[12], outbox = KEYS[13], about = KEYS[14],
  parked = KEYS[15], needs = KEYS[16], unique = KEYS[18], holders = KEYS[19], wake = wake, inboxes = inboxes,
  lanes = laneKeys(20, later), aside = KEYS[29], back = KEYS[30],
}

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
redis.call('HLEN', k.unique) -- a key of the wrong type makes the script fail here, before the first change
redis.call('HLEN', k.holders)
local t = now()
local verdicts, final, ended = {}, {}, {}
local seen = {} -- ids to be removed from deadlines
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
    if by then
      if tell then
        redis.call('SADD', stop, id)
        redis.call('PUBLISH', channels .. hex(by), id)
      end
      verdict = 2
    else
      ended[#ended + 1] = { id = id, state = s, msg = msg, outcome = outcome, record = KEYS[spare + 2 * count + 1 + i - at] }
      final[#final + 1] = id
      states[id] = s .. string.char(becomes) .. big(t + readms, 6) -- for the same id behind it
      verdict = 1
    end
  end
  verdicts[#verdicts + 1] = verdict
end
local arrivals = endWaiting(k, ended, becomes, class, readms, sweepms, t)
freeKeys(k, final, t)
if not expiring and #final > 0 and redis.call('EXISTS', deadlines) == 1 then
  seen = final
end
if #seen > 0 then
  redis.call('ZREM', deadlines, unpack(seen))
end
return { verdicts, arrivals }
