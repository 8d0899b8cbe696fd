-- resume ends what halt.lua has begun, when all members are cancelled.
--
-- KEYS  1 halt  2 held  3 gone  4 ready  5 outbox  6 watch
-- ARGV  1 wake channel, then the ids of flows
-- Returns how many of them were halted.

local halt, held, gone, ready, outbox, watch = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6]
local notes = {}
for i = 2, #ARGV do
  notes[#notes + 1] = 'k' .. ARGV[i]
end
local n = redis.call('HDEL', halt, unpack(ARGV, 2))
if n > 0 and redis.call('EXISTS', halt) == 0 then
  -- To find the token takes time for each message before it. Where they are many it
  -- stays, and whoever comes to it passes over it.
  if redis.call('LLEN', held) <= 10000 then
    redis.call('LREM', held, 0, '!')
  end
  if redis.call('EXISTS', held) == 0 then
    redis.call('UNLINK', gone)
  else
    nudge(ready, watch, ARGV[1])
  end
end
redis.call('HDEL', outbox, unpack(notes))
return n
