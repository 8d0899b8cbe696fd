-- owners finds which minions hold tasks of one queue. The flight and the claim of each
-- of count minions stand in KEYS behind the key at place spare. It returns, by the id of
-- each task that is held, which minion that is and the message. It asks each minion once
-- for all tasks that were not found before: with many minions a command for each task and
-- minion would keep the server for long.
local function owners(ids, spare, count)
  local held, wanted, left = {}, {}, ids
  for _, id in ipairs(ids) do
    wanted[id] = true
  end
  for i = 1, count do
    local flight, claim = KEYS[spare - 1 + 2 * i], KEYS[spare + 2 * i]
    if #left > 0 and redis.call('EXISTS', flight) == 1 then
      local rest = {}
      for j, msg in ipairs(redis.call('HMGET', flight, unpack(left))) do
        if msg then
          held[left[j]] = { by = i, msg = msg }
        else
          rest[#rest + 1] = left[j]
        end
      end
      left = rest
    end
    -- A minion that has left has a fence there instead of a list.
    if #left > 0 and redis.call('TYPE', claim).ok == 'list' then
      for _, msg in ipairs(redis.call('LRANGE', claim, 0, -1)) do
        local id = string.sub(msg, 2, 17)
        if wanted[id] and not held[id] then
          held[id] = { by = i, msg = msg }
        end
      end
    end
  end
  return held
end
