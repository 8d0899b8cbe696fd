-- census lists the minions of a namespace whose leases have not ended.
--
-- KEYS  1 heartbeats  2 infos  3 tasks
-- Returns for each minion a list: its id, its description behind the time of its last
-- announcement (6 bytes), and the names and schemas of its tasks ('' if they are not known).

local alive = redis.call('ZRANGEBYSCORE', KEYS[1], '(' .. now(), '+inf')
local out = {}
for i = 1, #alive, 1000 do
  local tasks = redis.call('HMGET', KEYS[3], unpack(alive, i, math.min(i + 999, #alive)))
  for j, info in ipairs(redis.call('HMGET', KEYS[2], unpack(alive, i, math.min(i + 999, #alive)))) do
    if info then
      out[#out + 1] = { alive[i + j - 1], info, tasks[j] or '' }
    end
  end
end
return out
