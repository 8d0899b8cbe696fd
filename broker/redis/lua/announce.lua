-- announce tells a namespace about a minion, or that it is gone.
--
-- KEYS  1 beats  2 infos  3 tasks
-- ARGV  1 minion  2 lease in ms, 0 when it is gone  3 what it says of itself
--       4 which tasks it can run ('' if it has said so before)
-- Returns 1; 0 if it should say which tasks it can run.

local beats, infos, tasks = KEYS[1], KEYS[2], KEYS[3]
local t = now()
redis.call('ZREM', beats, '') -- see dequeue.lua
for _, m in ipairs(redis.call('ZRANGEBYSCORE', beats, '-inf', t, 'LIMIT', 0, 100)) do
  redis.call('ZREM', beats, m)
  redis.call('HDEL', infos, m)
  redis.call('HDEL', tasks, m)
end
if ARGV[2] == '0' then
  redis.call('ZREM', beats, ARGV[1])
  redis.call('HDEL', infos, ARGV[1])
  redis.call('HDEL', tasks, ARGV[1])
else
  redis.call('ZADD', beats, t + ARGV[2], ARGV[1])
  redis.call('HSET', infos, ARGV[1], big(t, 6) .. ARGV[3])
  if ARGV[4] ~= '' then
    redis.call('HSET', tasks, ARGV[1], ARGV[4])
  elseif redis.call('HEXISTS', tasks, ARGV[1]) == 0 then
    return 0
  end
end
return 1
