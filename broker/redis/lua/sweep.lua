-- sweep forgets tasks of one class of retention whose time is over. It goes in
-- steps; call it until it returns 0.
--
-- KEYS  1 keep  2 list of the class  3 state  4 dead
-- ARGV  1 name of the class
-- Returns 1 if there is more, and how many were forgotten.

-- cut takes runs out of a block that are to be forgotten.
local function cut(state, field, t)
  local block = redis.call('HGET', state, field)
  if not block or string.byte(block, 1) ~= 1 then
    return
  end
  local n = string.byte(block, 2)
  local marks, kept = { string.byte(block, 3, 2 + n) }, {}
  local run = 19 + 5 * n
  while run <= #block do
    local from = run + 21
    local next = from + number(block, run + 17, 4)
    if number(block, run + 7, 6) > t then
      kept[#kept + 1] = string.sub(block, run, next - 1)
    else
      while from < next do
        marks[string.byte(block, from + 15)] = NONE
        from = from + 20 + number(block, from + 16, 4)
      end
    end
    run = next
  end
  for at = 1, n do
    if marks[at] ~= NONE then
      redis.call('HSET', state, field, string.sub(block, 1, 2) .. string.char(unpack(marks)) ..
        string.sub(block, 3 + n, 18 + 5 * n) .. table.concat(kept))
      return
    end
  end
  redis.call('HDEL', state, field)
end

local keep, list, state, dead, class = KEYS[1], KEYS[2], KEYS[3], KEYS[4], ARGV[1]
local t = now()
local n = 0
while n < 1000 do
  local blob = redis.call('LINDEX', list, 0)
  if not blob then
    redis.call('ZREM', keep, class)
    return { 0, n }
  end
  local at = number(blob, 1, 6)
  if at > t then
    redis.call('ZADD', keep, 'XX', at, class)
    return { 0, n }
  end
  local ids = {}
  for i = 7, #blob, 16 do
    local id = string.sub(blob, i, i + 15)
    if string.byte(id, 16) == 255 then -- a block
      cut(state, string.sub(id, 1, 15), t)
      n = n + 16
    else
      ids[#ids + 1] = id
    end
  end
  if string.sub(class, 1, 1) == 'd' then
    -- A dead letter may have been requeued since, and be alive, or done again.
    local over = {}
    for _, id in ipairs(ids) do
      local s = look(state, { id })[1]
      if not s or (#s > 20 and number(s, 22, 6) <= t) then
        over[#over + 1] = id
      end
    end
    ids = over
    if #ids > 0 then
      redis.call('HDEL', dead, unpack(ids))
    end
  end
  if #ids > 0 then
    redis.call('HDEL', state, unpack(ids))
    mark(state, ids, NONE)
  end
  redis.call('LPOP', list)
  n = n + math.max(#ids, 1)
end
return { 1, n }
