-- kept says whether there is a flow, and it may be seen.
local function kept(flow)
  local v = redis.call('HMGET', flow, 'flow', 'until')
  local over = v[2] and tonumber(v[2])
  return v[1] and not (over and over <= now())
end

-- look returns what is known of a flow: its record, number of members listed,
-- succeeded and failed ones, state of callback and finalizer, marks, its outcome
-- ('' if it has not ended), and the place of the member that was the first to be counted
-- without success (-1 if none was). If one of the numbers is damaged the record is '',
-- which nobody can read.
local function look(flow, members)
  local v = redis.call('HMGET', flow, 'flow', 'ok', 'bad', 'callback', 'finalizer', 'killed', 'swept', 'decided', 'first', 'outcome')
  local n, sound = {}, true
  for i = 2, 9 do
    n[i] = tonumber(v[i] or (i == 9 and -1 or 0))
    if not n[i] or not (n[i] >= -1 and n[i] <= 4294967295) or n[i] % 1 ~= 0 then
      n[i], sound = 0, false
    end
  end
  return {
    sound and v[1] or '', math.floor(redis.call('STRLEN', members) / 16), n[2], n[3], n[4], n[5], n[6] + n[7] + n[8], v[10] or '', n[9],
  }
end
