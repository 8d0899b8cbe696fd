-- kept says whether there is a flow, and it may be seen.
local function kept(flow)
  local v = redis.call('HMGET', flow, 'flow', 'until')
  return v[1] and not (v[2] and tonumber(v[2]) <= now())
end

-- look returns what is known of a flow: its record, number of members listed,
-- succeeded and failed ones, state of callback and finalizer, marks, its outcome
-- ('' if it has not ended), and the place of the member that was the first to be counted
-- without success (-1 if none was).
local function look(flow, members)
  local v = redis.call('HMGET', flow, 'flow', 'ok', 'bad', 'callback', 'finalizer', 'killed', 'swept', 'outcome', 'decided', 'first')
  return {
    v[1], redis.call('STRLEN', members) / 16, tonumber(v[2] or 0), tonumber(v[3] or 0),
    tonumber(v[4] or 0), tonumber(v[5] or 0), tonumber(v[6] or 0) + tonumber(v[7] or 0) + tonumber(v[9] or 0), v[8] or '',
    tonumber(v[10] or -1),
  }
end
