-- arrive notes for tasks that have become final, and that are members of a flow,
-- what became of them: in the outbox of their queue, where whoever drives flows
-- finds it. Each item has an id and an outcome with its length in front. It
-- returns how many there were.
local function arrive(flows, outbox, items)
  if #items == 0 or redis.call('EXISTS', flows) == 0 then
    return 0
  end
  local ids, notes, members = {}, {}, {}
  for i, item in ipairs(items) do
    ids[i] = item.id
  end
  for i, place in ipairs(redis.call('HMGET', flows, unpack(ids))) do
    if place then
      notes[#notes + 1] = 'm' .. ids[i]
      notes[#notes + 1] = place .. string.sub(items[i].outcome, 5)
      members[#members + 1] = ids[i]
    end
  end
  if #members > 0 then
    redis.call('HSET', outbox, unpack(notes))
    redis.call('HDEL', flows, unpack(members))
  end
  return #members
end
