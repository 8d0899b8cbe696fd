-- visit returns the housekeeping that there is to do in a partition, which may have no minion. If
-- no task is left in a partition without a minion it removes the keys that are of no use then.
--
-- KEYS  1 minions  2 keep  3 ready  4 held  5 gone  6 due  7 later  8 state  9 dead
--       10 odd  11 outbox  12 meta  13 unique  14 about  15 flows  16 stop  17 watch
--       18 parked  19 needs  20 deadlines  21 halt  22-30 the keys of lanes  31 holders
--       32 paused  33 aside  34 back  35 bound  36 steps
-- ARGV  1 for how many ms meta is kept  2 after how many ms a parked task whose time is over
--       counts as abandoned
-- Returns a list: 1 the server's time  2 retention classes to sweep, at most 10  3 minions
-- whose leases have ended, at most 10  4 whether there are messages of cancelled tasks to
-- remove (0, 1)  5 whether there are arrivals that no minion is told of (0, 1)  6 whether
-- nothing is left in the partition and the queue is not registered there (0, 1)  7 the first
-- deadline of a waiting task ('' if there is none)  8 whether there may be abandoned tasks (0,
-- 1)  9 whether overdue parked tasks may be among the pending ones (0, 1). 4, 5, 6, 8 and 9 are 0
-- if the queue has a minion.

-- spent reports whether the hash charges of a queue without tasks has nothing that matters: no failure
-- that halts a sequence, and no past of a limit.
local function spent(charges)
  if redis.call('HLEN', charges) > 1000 then
    return false
  end
  local all = redis.call('HGETALL', charges)
  for i = 1, #all, 2 do
    local name, value = all[i], all[i + 1]
    if string.byte(name, 1) == 0 and #value > 24 or string.byte(name, 1) ~= 0 and not tonumber(value) then
      return false
    end
  end
  return true
end

local minions, keep, ready, held, meta = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[12]
local t = now()
local served = redis.call('EXISTS', minions) == 1
if redis.call('EXISTS', KEYS[29]) == 1 then
  local L = laneKeys(22, KEYS[7])
  forgetRates(L)
end
local empty, cancelled, arrivals, abandoned, stranded = 0, 0, 0, 0, 0
if not served then
  -- A token in ready is for a waiting minion, and there is none.
  local token = redis.call('LLEN', ready) == 1 and redis.call('LINDEX', ready, 0) == '!'
  -- The token in held is there while a flow is halted, tasks are in line or something is paused: see push.lua.
  if redis.call('LLEN', held) == 1 and redis.call('LINDEX', held, 0) == '!' and redis.call('EXISTS', KEYS[21], KEYS[23], KEYS[32], KEYS[34]) == 0 then
    redis.call('DEL', held)
  end
  if redis.call('EXISTS', held, KEYS[6], KEYS[7], KEYS[8], KEYS[9], KEYS[10], KEYS[11]) == 0 and
    (token or redis.call('EXISTS', ready) == 0) then
    redis.call('DEL', ready, keep, KEYS[5], KEYS[13], KEYS[14], KEYS[15], KEYS[16], KEYS[17], KEYS[18],
      KEYS[19], KEYS[20], KEYS[21], KEYS[31], KEYS[22], KEYS[23], KEYS[24], KEYS[25], KEYS[26], KEYS[27],
      KEYS[33], KEYS[34], KEYS[36])
    if spent(KEYS[28]) then
      redis.call('DEL', KEYS[28], KEYS[29])
    end
    if redis.call('PTTL', meta) == -1 then -- written by an earlier build, which let it not expire
      redis.call('PEXPIRE', meta, ARGV[1])
    end
    empty = redis.call('EXISTS', meta, KEYS[28], KEYS[30], KEYS[32], KEYS[35]) == 0 and 1 or 0
  end
  cancelled = redis.call('EXISTS', KEYS[5])
  arrivals = redis.call('EXISTS', KEYS[11])
  if redis.call('EXISTS', KEYS[18]) == 1 then
    abandoned = #redis.call('ZRANGEBYSCORE', KEYS[6], '-inf', t - tonumber(ARGV[2]), 'LIMIT', 0, 1)
  end
  if redis.pcall('HEXISTS', KEYS[19], '') == 1 then
    stranded = 1
  end
end
return {
  t,
  redis.call('ZRANGEBYSCORE', keep, '-inf', t, 'LIMIT', 0, 10),
  served and redis.call('ZRANGEBYSCORE', minions, '-inf', t, 'LIMIT', 0, 10) or {},
  cancelled, arrivals, empty,
  redis.call('ZRANGE', KEYS[20], 0, 0, 'WITHSCORES')[2] or '',
  abandoned,
  stranded,
}
