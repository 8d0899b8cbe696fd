-- start_key frees the unique key of a task whose attempt is about to start, or passes it on to the
-- task that waits behind it. Its message has the flag of the key still; that does no harm, since
-- the hash holders has nothing of the task any more.
--
-- KEYS  1 flight  2 claim  3 minions  4 odd  5 stop  6 unique  7 holders  8 later  9 due
--       10 ready  11 held  12 watch  13-21 the keys of lanes
-- ARGV  1 minion  2 id of the task  3 attempt (4 bytes)  4 wake channel
-- Returns 1; 0 if the minion does not own the attempt; 2 if the task was cancelled, and must not
-- start.

local flight, claim, minions, odd = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local id = ARGV[2]
local lease = redis.call('ZSCORE', minions, ARGV[1])
if not lease or scoreOf(lease) < 0 then
  return 0
end
redis.call('HDEL', flight, '') -- for a server out of memory: see dequeue.lua
absorb(claim, flight, odd)
local msg = redis.call('HGET', flight, id)
if not (msg and readable(msg) and string.sub(msg, 18, 21) == ARGV[3]) then
  return 0
end
if string.byte(msg, 25) % 2 == 1 or redis.call('SISMEMBER', KEYS[5], id) == 1 then -- FlagCanceled
  return 2
end
local locks = keyNames(KEYS[6], KEYS[7], KEYS[8], KEYS[9], KEYS[10], KEYS[11], KEYS[12], ARGV[4], laneKeys(13, KEYS[8]))
freeKeys(locks, { id }, now())
return 1
