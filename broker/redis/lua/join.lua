-- join registers a minion with a queue, and gives messages that were put aside
-- another chance: this minion may know their version.
--
-- KEYS  1 minions  2 watch  3 ready  4 held  5 odd  6 claim  7 meta
-- ARGV  1 minion  2 lease in ms  3 wake channel  4 whether it listens there (0, 1)
-- Returns 1, or 0 if the queue is not registered (any more).

local minions, watch, ready, held, odd, claim = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6]
local minion, lease, wake = ARGV[1], tonumber(ARGV[2]), ARGV[3]

if redis.call('EXISTS', KEYS[7]) == 0 then
  return 0
end
local t = now()
redis.call('ZREM', minions, '') -- see dequeue.lua
redis.call('ZADD', minions, t + lease, minion)
if ARGV[4] == '1' then
  redis.call('ZADD', watch, t + lease, minion)
end
-- Who joins again was taken for dead while its server could not be reached, and
-- stands behind a fence (see leave.lua). It has more queues than this one, so it
-- makes no blocking moves, and needs none.
if redis.call('TYPE', claim).ok == 'string' then
  redis.call('DEL', claim)
end
local known = {}
for _, msg in ipairs(redis.call('LRANGE', odd, 0, 99)) do
  if readable(msg) then
    known[#known + 1] = msg
    redis.call('LREM', odd, 1, msg)
  end
end
push(ready, held, watch, wake, known, false)
return 1
