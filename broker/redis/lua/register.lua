-- register puts a queue into the registry, unless it is there, and notes when it was
-- asked to last.
--
-- KEYS  1 registry  2 since
-- ARGV  1 name  2 number of partitions
-- Returns the number of partitions that it has, and the server's time.

redis.call('HDEL', KEYS[1], '') -- see dequeue.lua: minions must be able to come
local t = now()
redis.call('HSETNX', KEYS[1], ARGV[1], ARGV[2])
local noted = redis.pcall('HSET', KEYS[2], ARGV[1], t)
if type(noted) == 'table' and noted.err then -- it is of another type, and can be made anew
  redis.call('DEL', KEYS[2])
  redis.call('HSET', KEYS[2], ARGV[1], t)
end
return { redis.call('HGET', KEYS[1], ARGV[1]), t }
