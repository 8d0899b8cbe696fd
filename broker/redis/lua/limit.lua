-- limit changes or adds a definition of a limit, closes or opens a limit, sets a weight, or resumes a halted
-- sequence. Then it opens what waits for the limits that are concerned and has room now.
--
-- KEYS  1 ready  2 held  3 watch  4 later  5 meta  6-14 the keys of lanes
-- ARGV  1 wake channel  2 what: define, add, remove, close, weigh, resume or open  3 the name of the limit
--       with its key, each with its length in front; of weigh the key; of resume the sequence;
--       of open the limit at which the last call has stopped  4 define, add: the definition; close:
--       for how many ms, 0 opens; weigh: the weight, 1 removes it; open: the limit of the first call
-- Returns false if the queue is not registered: nothing was done; register it and call again. Else
-- '' if it is done; of add a list with the definition that was there already; the limit at which it has stopped, after which to call it again with open; or
-- 0 if the sequence is not halted.

if redis.call('EXISTS', KEYS[5]) == 0 then
  return false
end
local L = laneKeys(6, KEYS[4])
local what, use, value = ARGV[2], ARGV[3], ARGV[4]
local us = timeOf(L)

-- tidy removes the hash limits if it has no definitions and weights any more. Until then the other
-- fields may stay: they only cost a look-up.
local function tidy()
  local others = redis.call('HEXISTS', L.limits, 'x') + redis.call('HEXISTS', L.limits, 'y') + redis.call('HEXISTS', L.limits, 's')
  if redis.call('HLEN', L.limits) == others then
    redis.call('DEL', L.limits)
  end
end

local all, from = use, '[' .. use -- the beginning of the names of all limits that are concerned; where to begin
if what == 'add' then
  local known = redis.call('HGET', L.limits, 'd' .. use)
  if known then
    return { known }
  end
  what = 'define'
end
if what == 'define' then
  redis.call('HSET', L.limits, 'd' .. use, value .. ' ' .. text(us))
  if #use > 2 + string.byte(use, 1) then
    redis.call('HSET', L.limits, 'x', '')
  end
elseif what == 'remove' then
  redis.call('HDEL', L.limits, 'd' .. use)
  tidy()
elseif what == 'close' then
  accountOf(L, use).closed = value == '0' and 0 or us + tonumber(value) * 1000
  change(L, 'accounts', use)
elseif what == 'weigh' then
  if value == '1' then
    redis.call('HDEL', L.limits, 'w' .. use)
    tidy()
  else
    redis.call('HSET', L.limits, 'w' .. use, value, 'y', '')
  end
  return ''
elseif what == 'resume' then
  if sequenceOf(L, use).halts == '' then
    return 0
  end
  sequenceOf(L, use).halts = ''
  change(L, 'sequences', use)
  advance(L, use)
  saveLanes(L)
  if mayStart(L) then
    nudge(KEYS[1], KEYS[3], ARGV[1])
  end
  return ''
else -- open
  all, from = value, '(' .. use .. '\255'
end
if what ~= 'close' and #all == 2 + string.byte(all, 1) then -- a definition for all keys
  all = string.sub(all, 1, -2)
  if what ~= 'open' then
    from = '[' .. all
  end
end
local stopped = ''
for i = 1, 500 do
  local at = redis.call('ZRANGEBYLEX', L.waits, from, '[' .. all .. '\255\255\255', 'LIMIT', 0, 1)[1]
  if not at then
    break
  end
  local name = string.byte(at, 1)
  local one = string.sub(at, 1, 2 + name + string.byte(at, 2 + name))
  refresh(L, one)
  from = '(' .. one .. '\255'
  if i == 500 then
    stopped = one
  end
end
saveLanes(L)
if mayStart(L) then
  nudge(KEYS[1], KEYS[3], ARGV[1])
end
return stopped
