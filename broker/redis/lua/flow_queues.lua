-- flow_queues finds the queues that members of a flow may be in. An id has a hash of its queue's
-- name and a number for its partition; of the members that agree in both, one id is returned.
--
-- KEYS  1 flow  2 members
-- ARGV  1 position of the first member to look at  2 how many to look at
-- Returns false if there is no such flow, else a list: whether there may be more members (0,
-- 1), the record of the flow, one id for each queue and partition in one text, and the ids of
-- members that are flows in one text.

if not kept(KEYS[1]) then
  return false
end
local from, many = tonumber(ARGV[1]), tonumber(ARGV[2])
local ids = redis.call('GETRANGE', KEYS[2], from * 16, (from + many) * 16 - 1)
local seen, queues, inner = {}, {}, {}
for i = 1, #ids - 15, 16 do
  local high, low, _, part = string.byte(ids, i + 6, i + 9)
  if math.floor(high / 4) % 4 ~= 0 then -- its kind is not task
    inner[#inner + 1] = string.sub(ids, i, i + 15)
  else
    local queue = string.char(high, low, part)
    if not seen[queue] then
      seen[queue] = true
      queues[#queues + 1] = string.sub(ids, i, i + 15)
    end
  end
end
return {
  #ids == 16 * many and 1 or 0, redis.call('HGET', KEYS[1], 'flow'), table.concat(queues), table.concat(inner),
}
