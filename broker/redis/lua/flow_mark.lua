-- flow_mark sets marks of a flow.
--
-- KEYS  1 flow
-- ARGV  names and values
-- Returns 1, or 0 if there is no such flow.

if not kept(KEYS[1]) then
  return 0
end
redis.call('HDEL', KEYS[1], '') -- see dequeue.lua
redis.call('HSET', KEYS[1], unpack(ARGV))
return 1
