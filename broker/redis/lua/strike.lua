-- strike takes a queue out of the registry that nobody has registered for a while.
--
-- KEYS  1 registry  2 since
-- ARGV  1 name  2 for how many ms at least
-- Returns 1, or 0 if somebody has registered it again.

local at = tonumber(redis.call('HGET', KEYS[2], ARGV[1]))
if not at or not (now() - at >= tonumber(ARGV[2])) then
  return 0
end
redis.call('HDEL', KEYS[1], ARGV[1])
redis.call('HDEL', KEYS[2], ARGV[1])
return 1
