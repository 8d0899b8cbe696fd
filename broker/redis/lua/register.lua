-- register puts a queue into the registry, unless it is there, and notes the time of this
-- registration.
--
-- KEYS  1 registry  2 since
-- ARGV  1 name  2 number of partitions, if the queue is new
-- Returns the queue's number of partitions, and the server's time.

redis.call('HDEL', KEYS[1], '') -- so that minions can start on a server out of memory: see dequeue.lua
local t = now()
redis.call('HSETNX', KEYS[1], ARGV[1], ARGV[2])
local noted = redis.pcall('HSET', KEYS[2], ARGV[1], t)
if type(noted) == 'table' and noted.err then -- the key is of the wrong type; it can be made anew
  redis.call('DEL', KEYS[2])
  redis.call('HSET', KEYS[2], ARGV[1], t)
end
return { redis.call('HGET', KEYS[1], ARGV[1]), t }
