-- spare gives minions whose lease has ended some time more. It is called when a minion
-- that lives finds that its own lease has ended: then the server was out of reach for
-- it, and other minions whose lease has ended may live as well. Those that do sign off
-- meanwhile, so their tasks come back without a recovery; see leave.lua.
local function spare(minions, t, ms)
  for _, m in ipairs(redis.call('ZRANGEBYSCORE', minions, 0, t, 'LIMIT', 0, 1000)) do
    redis.call('ZADD', minions, 'XX', t + ms, m)
  end
end
