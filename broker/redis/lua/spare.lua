-- spare extends the ended leases of minions by ms. It is called when a minion that lives finds
-- that its own lease had ended. So the server was out of reach for a while, and the other minions
-- whose leases have ended may live, too. Those that live use the time to sign off, and then their
-- tasks come back without being charged with a death; see leave.lua.
local function spare(minions, t, ms)
  for _, m in ipairs(redis.call('ZRANGEBYSCORE', minions, 0, t, 'LIMIT', 0, 1000)) do
    redis.call('ZADD', minions, 'XX', t + ms, m)
  end
end
