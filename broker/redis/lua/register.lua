-- register puts a queue into the registry, unless it is there.
--
-- KEYS  1 registry
-- ARGV  1 name  2 number of partitions
-- Returns the number of partitions that it has.

redis.call('HDEL', KEYS[1], '') -- see dequeue.lua: minions must be able to come
redis.call('HSETNX', KEYS[1], ARGV[1], ARGV[2])
return redis.call('HGET', KEYS[1], ARGV[1])
