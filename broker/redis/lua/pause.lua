-- pause begins or ends a pause in one partition of a queue; see paused.lua.
--
-- KEYS  1 paused  2 ready  3 held  4 watch  5 meta  6 aside  7 back  8 halt  9 lined (see lane.lua)
--       10 gone
-- ARGV  1 wake channel  2 the field of the pause  3 whether it begins or ends (1, 0)
-- Returns false if the queue is not registered: nothing was done; register it and call again. Else
-- 1, or 0 if nothing had to be changed.

local paused, ready, held, watch, aside, back, halt, lined = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[6], KEYS[7], KEYS[8], KEYS[9]
local wake, field = ARGV[1], ARGV[2]

if ARGV[3] == '1' then
  if redis.call('EXISTS', KEYS[5]) == 0 then
    return false
  end
  local careful = redis.call('EXISTS', halt, lined, paused, back) > 0 -- held has a token of its own
  local new = redis.call('HSETNX', paused, field, now())
  if redis.call('EXISTS', held) == 0 and redis.call('EXISTS', ready) == 1 then
    redis.call('RENAME', ready, held)
  end
  if not careful then
    keepHeld(held)
  end
  return new
end

local ended = redis.call('HDEL', paused, field)
if ended == 1 then
  if field ~= '' and redis.call('EXISTS', aside) == 1 then
    if redis.call('EXISTS', back) == 0 then
      redis.call('RENAME', aside, back)
    else
      redis.call('HSET', paused, 'b', '')
    end
  end
  if redis.call('EXISTS', halt, lined, paused, back) == 0 then
    -- LREM looks at each message before the token. In a long list the token stays, and the dequeue
    -- script drops it when it comes to it.
    if redis.call('LLEN', held) <= 10000 then
      redis.call('LREM', held, 0, '!')
    end
    if redis.call('EXISTS', held) == 0 then
      redis.call('UNLINK', KEYS[10])
    end
  end
end
-- Also if another call has ended the pause: its process may have died before it has ended the pause
-- in all partitions, and this one only knows that it did something here.
if redis.call('EXISTS', held) == 1 then
  nudge(ready, watch, wake)
end
return ended
