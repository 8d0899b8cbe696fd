-- kept reports whether a flow exists and may still be read.
local function kept(flow)
  local v = redis.call('HMGET', flow, 'flow', 'until')
  local over = v[2] and tonumber(v[2])
  return v[1] and not (over and over <= now())
end

-- look returns the progress of a flow as a list: its record, how many members are listed, have
-- succeeded and have failed, the states of callback and finalizer (0 if they have not ended),
-- marks, the outcome ('' if the flow has not ended), and the position of the first member that
-- was counted without success (-1 if none was). If one of the numbers is damaged, the record
-- is returned as '', which makes the whole flow unreadable for the caller.
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
