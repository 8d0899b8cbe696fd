-- join registers a minion with a queue, and gives messages and arrivals that were put
-- aside another chance: this minion may know their version.
--
-- KEYS  1 minions  2 watch  3 ready  4 held  5 odd  6 claim  7 meta  8 outbox  9 flight
-- ARGV  1 minion  2 lease in ms  3 wake channel  4 whether it listens there (0, 1),
--       then minions of the same process whose last heartbeat failed
-- Returns 1, or 0 if the queue is not registered (any more), or -1 if the minion still
-- holds something here.

local minions, watch, ready, held, odd, claim = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6]
local minion, lease, wake = ARGV[1], tonumber(ARGV[2]), ARGV[3]

if redis.call('EXISTS', KEYS[7]) == 0 then
  return 0
end
-- A minion that joins again does not know any more what it held before its registration
-- was lost, so it would run the same attempts again. They come back under other numbers
-- when the minion is given up here (see leave.lua), and it joins under another id.
if redis.call('EXISTS', KEYS[9]) == 1 or redis.call('TYPE', claim).ok == 'list' then
  return -1
end
local t = now()
redis.call('ZREM', minions, '') -- see dequeue.lua
redis.call('ZADD', minions, t + lease, minion)
for i = 5, #ARGV do
  local score = redis.call('ZSCORE', minions, ARGV[i])
  if score and tonumber(score) >= 0 and tonumber(score) <= t then
    spare(minions, t, math.floor(lease / 2))
    break
  end
end
if ARGV[4] == '1' then
  redis.call('ZADD', watch, t + lease, minion)
end
-- Who joins again was taken for dead while its server could not be reached, and
-- stands behind a fence (see leave.lua). It has more queues than this one, so it
-- makes no blocking moves, and needs none.
if redis.call('TYPE', claim).ok == 'string' then
  redis.call('DEL', claim)
end
-- Some are looked at, and those that stay go to the end: so each has its turn, however
-- many there are. Each is somewhere else before it leaves the head.
local looked, bytes = 0, 0
local most = math.min(redis.call('LLEN', odd), 500)
while looked < most and bytes < 1048576 do
  local text = redis.call('LINDEX', odd, 0)
  if not text then
    break
  end
  local size = string.byte(text, 1) == 97 and #text > 5 and number(text, 2, 4) -- 'a': see aside.lua
  if readable(text) then
    push(ready, held, watch, wake, { text }, false)
  elseif size and #text >= 5 + size then
    redis.call('HSET', KEYS[8], string.sub(text, 6, 5 + size), string.sub(text, 6 + size))
  else
    redis.call('RPUSH', odd, text)
  end
  redis.call('LPOP', odd)
  looked, bytes = looked + 1, bytes + #text
end
return 1
