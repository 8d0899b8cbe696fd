-- bound sets or reads the bound of one partition of a queue; see waiting.lua.
--
-- KEYS  1 meta  2 bound  3 ready  4 held  5 later  6 gone  7 halt  8 lined (see lane.lua)  9 paused
--       10 back (see paused.lua)
-- ARGV  1 the bound of the partition, 0 for none, '' to read it  2 the bound of the queue
-- Returns false if the queue is not registered: nothing was done; register it and call again. Else
-- the bound of the queue ('' if it has none), and how many tasks wait in the partition.

local meta, bound, most = KEYS[1], KEYS[2], ARGV[1]
if most ~= '' then
  if redis.call('EXISTS', meta) == 0 then
    return false
  end
  if most == '0' then
    redis.call('DEL', bound)
    redis.call('SET', meta, '1', 'KEEPTTL')
  else
    redis.call('SET', bound, most .. ' ' .. ARGV[2])
    redis.call('SET', meta, 'b' .. most, 'KEEPTTL')
  end
end
local is = redis.call('GET', bound)
local total = is and string.match(is, ' (%d+)$') or ''
return { total, waitingIn({
  ready = KEYS[3], held = KEYS[4], later = KEYS[5], gone = KEYS[6], halt = KEYS[7], lined = KEYS[8], paused = KEYS[9], back = KEYS[10],
}) }
