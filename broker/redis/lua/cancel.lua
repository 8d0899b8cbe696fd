-- cancel ends tasks of one queue: those that somebody cancels, or those whose deadline
-- has passed while they waited. A task whose deadline passes while it runs is left to
-- its minion.
--
-- KEYS  1 state  2 due  3 later  4 gone  5 stop  6 ready  7 held  8 minions
--       9 keep  10 list of the class of retention  11 watch  12 flows
--       13 outbox  14 about  15 parked  16 needs  17 deadlines, then flight and claim of each minion of ARGV, then the record
--       of each id, which need not be there
-- ARGV  1 number of minions, then their ids, then name of the class, ms for
--       which the outcome can be read, ms until it is swept, wake channel,
--       prefix of inbox channels, prefix of minion channels, the outcome
--       (length and record), whether the minions of those that run are told (0, 1), the
--       state of the outcome, whether only tasks are ended whose deadline has passed
--       (0, 1), then the ids
-- Returns false and the ids of all minions if one is not among those of ARGV
-- (nothing is done; call again), else for each id its verdict: 0 unknown,
-- 1 never starts, 2 runs and its minion was told if asked for, 3 final before, or what is known of
-- it if that can't be read; then
-- messages that went and held a unique key; and then how many arrivals it made.

local state, due, later, gone, stop, ready, held, minions, keep, list, watch, flows, outbox =
  KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6], KEYS[7], KEYS[8], KEYS[9], KEYS[10], KEYS[11], KEYS[12], KEYS[13]
local about, deadlines = KEYS[14], KEYS[17]
local spare = 17 -- KEYS before those of the minions
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

redis.call('ZREM', minions, '') -- see dequeue.lua
local t = now()
local verdicts, uniques, forget, final, ended, spent = {}, {}, { big(t + sweepms, 6) }, {}, {}, {}
local unparked = {}
local tombs, asleep, news, posts = {}, {}, {}, {} -- what waits in a list, and in later; states; inboxes and ids
local tail = big(t + readms, 6) .. big(0, 4) .. outcome
local NOBODY = string.rep('\0', 16)
local seen = {} -- whose deadline need not be watched any more
for i = at, #ARGV do
  local id = ARGV[i]
  local s = states[id]
  local verdict
  local limit = expiring and redis.call('ZSCORE', deadlines, id)
  if limit and tonumber(limit) <= t then
    seen[#seen + 1] = id -- also if it runs: whoever gives it back lets it be watched again
  end
  if not s or expiring and seen[#seen] ~= id then
    verdict = 0
  elseif #s < 20 then
    verdict = s -- it can't be read
  elseif #s > 20 then
    -- Final, unless nobody may see it any more.
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
if #tombs > 0 then
  -- They are in the list: leave tombstones, and see that they are looked at.
  redis.call('SADD', gone, unpack(tombs))
  if redis.call('EXISTS', held) == 0 and redis.call('EXISTS', ready) == 1 then
    redis.call('RENAME', ready, held)
  end
  if redis.call('EXISTS', held) == 1 then
    nudge(ready, watch, wake)
  else
    redis.call('DEL', gone) -- their messages are nowhere
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
  redis.call('SREM', stop, unpack(final)) -- they may be from when they ran: no settlement comes
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
