-- announce tells a namespace about a minion, or that it is gone.
--
-- KEYS  1 beats  2 infos  3 tasks  4 searcher
-- ARGV  1 minion  2 lease in ms, 0 when it is gone  3 what it says of itself
--       4 which tasks it can run ('' if it has said so before)
-- Returns 1, or 0 if it should say which tasks it can run; and 1 if it is the one
-- minion of the namespace that looks for tasks without an owner, else 0.

local beats, infos, tasks, searcher = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local t = now()
redis.call('ZREM', beats, '') -- see dequeue.lua
for _, m in ipairs(redis.call('ZRANGEBYSCORE', beats, '-inf', t, 'LIMIT', 0, 100)) do
  redis.call('ZREM', beats, m)
  redis.call('HDEL', infos, m)
  redis.call('HDEL', tasks, m)
end
-- The searcher: until when it is (6), and who.
local by = redis.pcall('GET', searcher)
by = type(by) == 'string' and #by > 6 and number(by, 1, 6) > t and string.sub(by, 7)
if ARGV[2] == '0' then
  redis.call('ZREM', beats, ARGV[1])
  redis.call('HDEL', infos, ARGV[1])
  redis.call('HDEL', tasks, ARGV[1])
  if not by or by == ARGV[1] then
    redis.call('DEL', searcher)
  end
  return { 1, 0 }
end
redis.call('ZADD', beats, t + ARGV[2], ARGV[1])
redis.call('HSET', infos, ARGV[1], big(t, 6) .. ARGV[3])
local told = 1
if ARGV[4] ~= '' then
  redis.call('HSET', tasks, ARGV[1], ARGV[4])
else
  told = redis.call('HEXISTS', tasks, ARGV[1])
end
local searches = 0
if not by or by == ARGV[1] then
  redis.call('SET', searcher, big(t + ARGV[2], 6) .. ARGV[1])
  searches = 1
end
return { told, searches }
