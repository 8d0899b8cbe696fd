-- unregister removes a queue from the registry if nobody has registered it for a while.
--
-- KEYS  1 registry  2 since
-- ARGV  1 name  2 how many ms ago the last registration must be at least
-- Returns 1, or 0 if the queue was registered since.

local at = tonumber(redis.call('HGET', KEYS[2], ARGV[1]))
if not at or not (now() - at >= tonumber(ARGV[2])) then
  return 0
end
redis.call('HDEL', KEYS[1], ARGV[1])
redis.call('HDEL', KEYS[2], ARGV[1])
return 1
