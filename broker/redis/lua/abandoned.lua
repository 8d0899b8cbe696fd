-- abandoned returns parked tasks of a queue that no minion serves, whose time has been
-- over for a while. It changes nothing.
--
-- KEYS  1 minions  2 due  3 later  4 parked
-- ARGV  1 for how many ms  2 how many tasks that are due to pass over  3 how many to look
--       at  4 bytes at most
-- Returns false if the queue has a minion, else a list: the server's time, how many tasks
-- that are due it has looked at, and the messages of those that are parked.

if redis.call('EXISTS', KEYS[1]) == 1 then
  return false
end
local t = now()
-- A delayed task is due, too, and waits for a minion. So what is due is looked at in
-- its order, and not what is parked: usually nothing of that is due.
local ids = redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', t - tonumber(ARGV[1]), 'LIMIT', ARGV[2], ARGV[3])
local out, room, seen = { t, 0 }, tonumber(ARGV[4]), 0
for _, id in ipairs(ids) do
  if room <= 0 then
    break
  end
  seen = seen + 1
  if redis.call('ZSCORE', KEYS[4], id) then
    local msg = redis.call('HGET', KEYS[3], id)
    if msg and readable(msg) and string.sub(msg, 2, 17) == id and isParked(string.byte(msg, 25)) then
      out[#out + 1] = msg
      room = room - #msg
    end
  end
end
out[2] = seen
return out
