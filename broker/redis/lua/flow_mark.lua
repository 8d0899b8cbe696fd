-- flow_mark sets marks of a flow.
--
-- KEYS  1 flow
-- ARGV  names and values
-- Returns 1, or 0 if there is no such flow.

if redis.call('EXISTS', KEYS[1]) == 0 then
  return 0
end
redis.call('HSET', KEYS[1], unpack(ARGV))
return 1
