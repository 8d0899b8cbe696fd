-- visit tells what there is to do in a partition of a queue, which may have no minion.
-- What nobody uses any more it removes.
--
-- KEYS  1 minions  2 keep  3 ready  4 held  5 gone  6 due  7 later  8 state  9 dead
--       10 odd  11 outbox  12 meta  13 unique  14 about  15 flows  16 stop  17 watch
--       18 parked  19 needs  20 deadlines  21 halt
-- ARGV  1 for how many ms meta is kept  2 how many ms are long
-- Returns the server's time, classes of retention to sweep, minions whose lease has
-- ended, whether cancelled messages are to be removed (0, 1), whether there are
-- arrivals that no minion is told of (0, 1), whether nothing is left (0, 1), the
-- first deadline of a task that waits (''), and whether there is no minion and a task may
-- be parked whose time has been over for long (0, 1).

local minions, keep, ready, held, meta = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[12]
local t = now()
local served = redis.call('EXISTS', minions) == 1
local empty, cancelled, arrivals, abandoned = 0, 0, 0, 0
if not served then
  -- A token is for a minion that waits, and none does.
  local token = redis.call('LLEN', ready) == 1 and redis.call('LINDEX', ready, 0) == '!'
  -- That of held is for a flow that is halted: see push.lua.
  if redis.call('LLEN', held) == 1 and redis.call('LINDEX', held, 0) == '!' and redis.call('EXISTS', KEYS[21]) == 0 then
    redis.call('DEL', held)
  end
  if redis.call('EXISTS', held, KEYS[6], KEYS[7], KEYS[8], KEYS[9], KEYS[10], KEYS[11]) == 0 and
    (token or redis.call('EXISTS', ready) == 0) then
    redis.call('DEL', ready, keep, KEYS[5], KEYS[13], KEYS[14], KEYS[15], KEYS[16], KEYS[17], KEYS[18],
      KEYS[19], KEYS[20], KEYS[21])
    if redis.call('PTTL', meta) == -1 then -- of a build that kept it for good
      redis.call('PEXPIRE', meta, ARGV[1])
    end
    empty = 1 - redis.call('EXISTS', meta)
  end
  cancelled = redis.call('EXISTS', KEYS[5])
  arrivals = redis.call('EXISTS', KEYS[11])
  if redis.call('EXISTS', KEYS[18]) == 1 then
    abandoned = #redis.call('ZRANGEBYSCORE', KEYS[6], '-inf', t - tonumber(ARGV[2]), 'LIMIT', 0, 1)
  end
end
return {
  t,
  redis.call('ZRANGEBYSCORE', keep, '-inf', t, 'LIMIT', 0, 10),
  served and redis.call('ZRANGEBYSCORE', minions, '-inf', t, 'LIMIT', 0, 10) or {},
  cancelled, arrivals, empty,
  redis.call('ZRANGE', KEYS[20], 0, 0, 'WITHSCORES')[2] or '',
  abandoned,
}
