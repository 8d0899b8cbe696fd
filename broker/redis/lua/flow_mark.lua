-- flow_mark sets marks of a flow, such as the one that it is being killed.
--
-- KEYS  1 flow
-- ARGV  names and values of the marks
-- Returns 1, or 0 if there is no such flow.

if not kept(KEYS[1]) then
  return 0
end
redis.call('HDEL', KEYS[1], '') -- for a server out of memory: see dequeue.lua
redis.call('HSET', KEYS[1], unpack(ARGV))
return 1
