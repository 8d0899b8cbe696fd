-- halt_running tells which members of halted flows a minion holds.
--
-- KEYS  1 halt  2 flows  3 flight  4 claim
-- Returns their ids.

local ids, out = redis.call('HKEYS', KEYS[3]), {}
-- A minion that has left has a fence there instead of a list.
if redis.call('TYPE', KEYS[4]).ok == 'list' then
  for _, msg in ipairs(redis.call('LRANGE', KEYS[4], 0, -1)) do
    if readable(msg) then
      ids[#ids + 1] = string.sub(msg, 2, 17)
    end
  end
end
pages(ids, function(some)
  for id in pairs(halted(KEYS[1], KEYS[2], some)) do
    out[#out + 1] = id
  end
end)
return out
