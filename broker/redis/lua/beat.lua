-- beat extends a minion's lease in some queues of one slot, and tells what
-- there is to do.
--
-- KEYS  for each queue: 1 minions  2 watch  3 ready  4 held  5 due  6 stop
--       7 keep  8 flight  9 claim  10 outbox  11 parked
-- ARGV  1 minion  2 lease in ms  3 whether it listens to wake channels (0, 1)
-- Returns false if it is not registered in one of them (nothing is extended
-- there or after), else a list: server's time, then for each queue a list:
-- when the next task is due (''), whether tasks are ready (0, 1), how many the
-- minion holds, minions whose lease has ended, classes of retention to sweep,
-- ids that the minion holds and that were cancelled, whether there are arrivals
-- (0, 1), whether tasks are parked (0, 1).

local minion, lease = ARGV[1], tonumber(ARGV[2])
local t = now()
local out = { t }
for k = 1, #KEYS, 11 do
  local minions, watch, ready, held, due, stop, keep, flight, claim =
    KEYS[k], KEYS[k + 1], KEYS[k + 2], KEYS[k + 3], KEYS[k + 4], KEYS[k + 5], KEYS[k + 6], KEYS[k + 7], KEYS[k + 8]
  local score = redis.call('ZSCORE', minions, minion)
  if not score or tonumber(score) < 0 then
    return false
  end
  -- ZREM of nothing: see dequeue.lua. A lease must not end because memory did.
  redis.call('ZREM', minions, '')
  redis.call('ZADD', minions, 'XX', t + lease, minion)
  if ARGV[3] == '1' then
    redis.call('ZADD', watch, t + lease, minion)
  end
  local canceled = {}
  if redis.call('EXISTS', stop) == 1 then
    for _, id in ipairs(redis.call('SMEMBERS', stop)) do
      if redis.call('HEXISTS', flight, id) == 1 then
        canceled[#canceled + 1] = id
      end
    end
    for _, msg in ipairs(redis.call('LRANGE', claim, 0, -1)) do
      local id = string.sub(msg, 2, 17)
      if redis.call('SISMEMBER', stop, id) == 1 then
        canceled[#canceled + 1] = id
      end
    end
  end
  local head = redis.call('ZRANGE', due, 0, 0, 'WITHSCORES')
  out[#out + 1] = {
    head[2] or '',
    redis.call('EXISTS', ready, held) > 0 and 1 or 0,
    redis.call('HLEN', flight) + redis.call('LLEN', claim),
    redis.call('ZRANGEBYSCORE', minions, '-inf', t, 'LIMIT', 0, 10),
    redis.call('ZRANGEBYSCORE', keep, '-inf', t, 'LIMIT', 0, 10),
    canceled,
    redis.call('EXISTS', KEYS[k + 9]),
    redis.call('EXISTS', KEYS[k + 10]),
  }
end
return out
