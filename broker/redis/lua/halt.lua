-- halt keeps members of flows from being handed out in one queue, until resume.lua. All
-- that waits goes to held, where the dequeue script looks at it: that takes one command,
-- however much it is.
--
-- KEYS  1 halt  2 held  3 ready  4 outbox  5 watch
-- ARGV  1 wake channel  2 for how many ms halt is kept, then the ids of flows
-- Returns how many there were.

local halt, held, ready, outbox, watch = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
redis.call('HDEL', halt, '') -- see dequeue.lua
local known = redis.call('EXISTS', halt) == 1
local t = big(now(), 6)
local flows, notes = {}, {}
for i = 3, #ARGV do
  flows[#flows + 1] = ARGV[i]
  flows[#flows + 1] = t
  notes[#notes + 1] = 'k' .. ARGV[i]
  notes[#notes + 1] = t
end
redis.call('HSET', outbox, unpack(notes)) -- first: so whatever is halted is resumed
redis.call('HSET', halt, unpack(flows))
redis.call('PEXPIRE', halt, ARGV[2])
if redis.call('EXISTS', held) == 0 then
  if redis.call('EXISTS', ready) == 1 then
    redis.call('RENAME', ready, held)
  end
  known = redis.call('LINDEX', held, 0) == '!'
end
if not known then
  redis.call('RPUSH', held, '!') -- see push.lua
end
if redis.call('LLEN', held) > 1 then
  nudge(ready, watch, ARGV[1]) -- there may be others among them
end
return #ARGV - 2
