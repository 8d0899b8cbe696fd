-- announce stores the description of a minion for the list of minions of a namespace, or
-- removes it. It also removes the descriptions of minions whose leases have ended, and chooses
-- the searcher, which is the one minion that looks for tasks without an owner.
--
-- KEYS  1 heartbeats  2 infos  3 tasks  4 searcher
-- ARGV  1 minion ('' only to remove others)  2 lease in ms, 0 if the minion has left  3 its
--       description  4 names and schemas of its tasks ('' if it has sent them before)
-- Returns two numbers: 1, or 0 if the minion must send the names of its tasks again; and 1
-- if it is the searcher, else 0.

local heartbeats, infos, tasks, searcher = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local t = now()
redis.call('ZREM', heartbeats, '') -- for a server out of memory: see dequeue.lua
for _, m in ipairs(redis.call('ZRANGEBYSCORE', heartbeats, '-inf', t, 'LIMIT', 0, 100)) do
  redis.call('ZREM', heartbeats, m)
  redis.call('HDEL', infos, m)
  redis.call('HDEL', tasks, m)
end
-- The value of searcher: until when (6 bytes), and the minion. After that time, or if it can't
-- be read, the next minion that asks becomes the searcher.
local by = redis.pcall('GET', searcher)
by = type(by) == 'string' and #by > 6 and number(by, 1, 6) > t and string.sub(by, 7)
if ARGV[2] == '0' then
  redis.call('ZREM', heartbeats, ARGV[1])
  redis.call('HDEL', infos, ARGV[1])
  redis.call('HDEL', tasks, ARGV[1])
  if not by or by == ARGV[1] then
    redis.call('DEL', searcher)
  end
  return { 1, 0 }
end
redis.call('ZADD', heartbeats, t + ARGV[2], ARGV[1])
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
