-- holds reports whether a minion holds an attempt at a task, which it does until its lease is over.
local function holds(flight, claim, minions, odd, minion, id, attempt)
  local lease = redis.call('ZSCORE', minions, minion)
  if not lease or scoreOf(lease) < 0 then
    return false
  end
  redis.call('HDEL', flight, '') -- for a server out of memory: see dequeue.lua
  absorb(claim, flight, odd)
  local msg = redis.call('HGET', flight, id)
  return msg and readable(msg) and string.sub(msg, 18, 21) == attempt
end
