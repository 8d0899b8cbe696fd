-- halt keeps the members of flows from being handed out in one queue, until resume.lua ends that.
-- A process that kills a large flow halts it first, since it takes time to cancel all members.
-- The list ready is renamed to held, whose messages the dequeue script checks before they
-- start. That is one command, however long the list is. The outbox gets a kill for each flow,
-- so that another process finishes the kill if this one dies.
--
-- KEYS  1 halt  2 held  3 ready  4 outbox  5 watch
-- ARGV  1 wake channel  2 for how many ms halt is kept, then the ids of flows
-- Returns the number of flows.

local halt, held, ready, outbox, watch = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
redis.call('HDEL', halt, '') -- for a server out of memory: see dequeue.lua
local known = redis.call('EXISTS', halt) == 1 -- held has its token
local t = big(now(), 6)
local flows, notes = {}, {}
for i = 3, #ARGV do
  flows[#flows + 1] = ARGV[i]
  flows[#flows + 1] = t
  notes[#notes + 1] = 'k' .. ARGV[i]
  notes[#notes + 1] = t
end
redis.call('HSET', outbox, unpack(notes)) -- first, so that a flow that is halted also has its kill, which resumes the queue
redis.call('HSET', halt, unpack(flows))
redis.call('PEXPIRE', halt, ARGV[2])
if redis.call('EXISTS', held) == 0 then
  if redis.call('EXISTS', ready) == 1 then
    redis.call('RENAME', ready, held)
  end
  known = false
end
if not known then
  keepHeld(held)
end
if redis.call('LLEN', held) > 1 then
  nudge(ready, watch, ARGV[1]) -- some messages may be of other flows or of none
end
return #ARGV - 2
