-- announce tells a namespace about a minion, or that it is gone.
--
-- KEYS  1 beats  2 infos
-- ARGV  1 minion  2 lease in ms, 0 when it is gone  3 what it says of itself
-- Returns 1.

local beats, infos = KEYS[1], KEYS[2]
local t = now()
redis.call('ZREM', beats, '') -- see dequeue.lua
for _, m in ipairs(redis.call('ZRANGEBYSCORE', beats, '-inf', t, 'LIMIT', 0, 100)) do
  redis.call('ZREM', beats, m)
  redis.call('HDEL', infos, m)
end
if ARGV[2] == '0' then
  redis.call('ZREM', beats, ARGV[1])
  redis.call('HDEL', infos, ARGV[1])
else
  redis.call('ZADD', beats, t + ARGV[2], ARGV[1])
  redis.call('HSET', infos, ARGV[1], big(t, 6) .. ARGV[3])
end
return 1
