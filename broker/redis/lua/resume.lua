-- resume ends the halt of flows in one queue (see halt.lua), when all their members are cancelled.
-- It also removes their kills from the outbox.
--
-- KEYS  1 halt  2 held  3 gone  4 ready  5 outbox  6 watch  7 lined (see lane.lua)
--       8 paused  9 back (see paused.lua)
-- ARGV  1 wake channel, then the ids of flows
-- Returns how many of the flows were halted.

local halt, held, gone, ready, outbox, watch = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6]
local notes = {}
for i = 2, #ARGV do
  notes[#notes + 1] = 'k' .. ARGV[i]
end
local n = redis.call('HDEL', halt, unpack(ARGV, 2))
if n > 0 and redis.call('EXISTS', halt, KEYS[7], KEYS[8], KEYS[9]) == 0 then
  -- LREM looks at each message before the token. In a long list the token stays, and the dequeue
  -- script drops it when it comes to it.
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
