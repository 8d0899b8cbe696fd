-- look returns what is known of a flow: false if there is none, else a list of its
-- record, number of members listed, succeeded and failed ones, state of
-- callback and finalizer, marks, and its outcome ('' if it has not ended).
local function look(flow, members)
  local v = redis.call('HMGET', flow, 'flow', 'ok', 'bad', 'callback', 'finalizer', 'killed', 'swept', 'outcome', 'until')
  if not v[1] or v[9] and tonumber(v[9]) <= now() then
    return false
  end
  return {
    v[1], redis.call('STRLEN', members) / 16, tonumber(v[2] or 0), tonumber(v[3] or 0),
    tonumber(v[4] or 0), tonumber(v[5] or 0), tonumber(v[6] or 0) + tonumber(v[7] or 0), v[8] or '',
  }
end
