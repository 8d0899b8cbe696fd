-- adopt returns the ids of all tasks that a minion holds. The minion asks after a reply was
-- lost, which may have handed out tasks that it does not know of.
--
-- KEYS  1 flight  2 claim  3 minions  4 odd
-- ARGV  1 minion
-- Returns false if the minion is not registered, else the server's time and the ids.

local score = redis.call('ZSCORE', KEYS[3], ARGV[1])
if not score or scoreOf(score) < 0 then
  return false
end
absorb(KEYS[2], KEYS[1], KEYS[4])
return { now(), redis.call('HKEYS', KEYS[1]) }
