-- flow_queues tells in which queues members of a flow are, as far as their ids say that.
--
-- KEYS  1 flow  2 members
-- ARGV  1 place of the first one  2 how many
-- Returns false if there is no such flow, else a list: whether there are more (0, 1), the
-- record of the flow, an id of each queue and partition that has some, one behind the
-- other, and the ids of the members that are flows.

if not kept(KEYS[1]) then
  return false
end
local from, many = tonumber(ARGV[1]), tonumber(ARGV[2])
local ids = redis.call('GETRANGE', KEYS[2], from * 16, (from + many) * 16 - 1)
local seen, queues, inner = {}, {}, {}
for i = 1, #ids - 15, 16 do
  local high, low, _, part = string.byte(ids, i + 6, i + 9)
  if math.floor(high / 4) % 4 ~= 0 then -- it is no task
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
