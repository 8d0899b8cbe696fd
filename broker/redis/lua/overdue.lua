-- overdue returns the tasks of a queue whose deadlines have passed. It removes members of the
-- set deadlines that are no ids.
--
-- KEYS  1 deadlines  2 outbox  3 minions
-- ARGV  1 how many ids at most
-- Returns a list: the server's time, the first deadline in the set ('' if there is none),
-- whether there are arrivals and no minion that would be told of them (0, 1), then the ids,
-- the earliest deadline first.

local t = now()
local ids, strange = {}, {}
for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', t, 'LIMIT', 0, ARGV[1])) do
  if #id == 16 then
    ids[#ids + 1] = id
  else
    strange[#strange + 1] = id
  end
end
if #strange > 0 then
  redis.call('ZREM', KEYS[1], unpack(strange))
end
local first = redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')
local out = { t, first[2] or '', 0 }
if redis.call('EXISTS', KEYS[3]) == 0 then
  out[3] = redis.call('EXISTS', KEYS[2])
end
for i = 1, #ids do
  out[3 + i] = ids[i]
end
return out
