-- join registers a minion with a queue. It also puts some of the unreadable messages and
-- arrivals back, since this minion's build may be able to read them.
--
-- KEYS  1 minions  2 watch  3 ready  4 held  5 odd  6 claim  7 meta  8 outbox  9 flight
-- ARGV  1 minion  2 lease in ms  3 wake channel  4 whether the minion listens to it (0, 1),
--       then other minions of the same process whose last heartbeat failed
-- Returns 1; or 0 if the queue is not registered (any more); or -1 if the minion still holds
-- tasks here.

local minions, watch, ready, held, odd, claim = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6]
local minion, lease, wake = ARGV[1], tonumber(ARGV[2]), ARGV[3]

if redis.call('EXISTS', KEYS[7]) == 0 then
  return 0
end
-- A minion that registers again has forgotten the tasks that it held before its registration
-- was lost. If it were handed them again it would run the same attempts twice. So it is refused:
-- it gives the tasks back, which get new attempt numbers (see leave.lua), and registers under
-- a new id.
if redis.call('EXISTS', KEYS[9]) == 1 or redis.call('TYPE', claim).ok == 'list' then
  return -1
end
local t = now()
redis.call('ZREM', minions, '') -- for a server out of memory: see dequeue.lua
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
-- A minion that registers again was taken for dead while it could not reach the server, and has
-- a fence in place of its claim list (see leave.lua). Only a minion of several queues registers
-- again. It makes no blocking moves, so the fence is not needed.
if redis.call('TYPE', claim).ok == 'string' then
  redis.call('DEL', claim)
end
-- Look at some unreadable elements. Those that are still unreadable go to the end of the list,
-- so that each is looked at in turn, however long the list is. An element is stored elsewhere
-- before it is removed from the head.
local looked, bytes = 0, 0
local most = math.min(redis.call('LLEN', odd), 500)
while looked < most and bytes < 1048576 do
  local text = redis.call('LINDEX', odd, 0)
  if not text then
    break
  end
  local size = string.byte(text, 1) == 97 and #text > 5 and number(text, 2, 4) -- it begins with 'a': an arrival, see set_aside_arrivals.lua
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
