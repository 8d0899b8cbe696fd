-- owners finds the minions that hold some tasks of one queue. The keys flight and claim of each
-- of count minions are in KEYS, after the first spare keys. It returns a table: by the id of each
-- task that is held, which minion holds it (by, from 1) and its message (msg). It reads from
-- each minion once, for all tasks that were not found before. A command for each task and each
-- minion would take too long with many minions.
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
    -- If the minion has left, the key claim is its fence, which is no list: see leave.lua.
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
