-- arrive is called with tasks that have become final. For each that is a member of a flow it
-- puts an arrival into the outbox of the queue: its flow and position with its outcome. A
-- minion or arbiter reads the outbox and counts the member in its flow. That can't be done
-- here, since the keys of the flow may be on another server of a cluster. Each item has an id
-- and an outcome with its length (4 bytes) in front. It returns the number of arrivals.
local function arrive(flows, outbox, items)
  if #items == 0 or redis.call('EXISTS', flows) == 0 then
    return 0
  end
  local ids, notes, members = {}, {}, {}
  for i, item in ipairs(items) do
    ids[i] = item.id
  end
  for i, ref in ipairs(redis.call('HMGET', flows, unpack(ids))) do
    if ref then
      notes[#notes + 1] = 'm' .. ids[i]
      notes[#notes + 1] = ref .. string.sub(items[i].outcome, 5)
      members[#members + 1] = ids[i]
    end
  end
  if #members > 0 then
    redis.call('HSET', outbox, unpack(notes))
    redis.call('HDEL', flows, unpack(members))
  end
  return #members
end
