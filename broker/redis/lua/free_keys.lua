-- The hash unique has the holder of each unique key; see docs/wire.md. The hash holders has a field
-- for each open task that has a key: by its id, what a script that ends the task must know.
--   '='  the task is the holder. Then: the id of the task that waits behind it (16, zeros if there is
--        none), the end of its window (6), the end of the window of an earlier holder, before which
--        it must not start (6), and the key
--   '<'  the task waits behind the holder. Then: the id of the holder (16), since when it waits, or
--        the first in the series of tasks that it is the last of (6), the end of its own window
--        (6), when it is due (6), and what the hash unique has of it behind the times
-- Times are in ms, and 0 is none. With this hash each script that ends a task frees its key in the
-- same step, and does not read the body of the message.

local NOBODY = string.rep('\0', 16)

-- keyNames returns the keys that freeKeys needs, by their names.
local function keyNames(unique, holders, later, due, ready, held, watch, wake, lanes)
  return { unique = unique, holders = holders, later = later, due = due, ready = ready, held = held, watch = watch, wake = wake, lanes = lanes }
end

-- promote gives a key to the task that waits behind the holder. It does not start before the time
-- floor. It returns false if there is no such task.
local function promote(k, key, id, floor, t)
  local v, msg = redis.call('HGET', k.holders, id), redis.call('HGET', k.later, id)
  if not v or string.sub(v, 1, 1) ~= '<' or not msg or not readable(msg) then
    return false
  end
  floor = floor > t and floor or 0
  redis.call('HSET', k.holders, id, '=' .. NOBODY .. string.sub(v, 24, 29) .. big(floor, 6) .. key)
  redis.call('HSET', k.unique, key, id .. string.sub(v, 18, 23) .. string.sub(v, 36))
  local flags = string.byte(msg, 25)
  if math.floor(flags / 4) % 2 == 1 then -- FlagBlocked
    flags = flags - 4
  end
  msg = string.sub(msg, 1, 24) .. string.char(flags) .. string.sub(msg, 26)
  local at = math.max(number(v, 30, 6), floor)
  if at <= t and laneOf(msg) then
    lineUp(k.lanes, k.ready, k.held, k.watch, k.wake, { msg })
    return true
  elseif at <= t then
    redis.call('HDEL', k.later, id)
    push(k.ready, k.held, k.watch, k.wake, { msg }, false)
    return true
  end
  redis.call('HSET', k.later, id, msg)
  local head = redis.call('ZRANGE', k.due, 0, 0, 'WITHSCORES')
  redis.call('ZADD', k.due, at, id)
  if #head == 0 or at < scoreOf(head[2]) then
    nudge(k.ready, k.watch, k.wake) -- a minion must ask, to set its timer to the new due time
  end
  return true
end

-- freeKeys frees the unique keys of tasks that have ended or start. A task that waits behind one of
-- them takes the key.
local function freeKeys(k, ids, t)
  if #ids == 0 or redis.call('EXISTS', k.holders) == 0 then
    return
  end
  local gone = {}
  for i, v in ipairs(redis.call('HMGET', k.holders, unpack(ids))) do
    local id = ids[i]
    if v then
      gone[#gone + 1] = id
    end
    if v and string.sub(v, 1, 1) == '<' then
      local holder = string.sub(v, 2, 17)
      local h = redis.call('HGET', k.holders, holder)
      if h and string.sub(h, 2, 17) == id then
        redis.call('HSET', k.holders, holder, '=' .. NOBODY .. string.sub(h, 18))
      end
    elseif v then
      local key = string.sub(v, 30)
      local entry = redis.call('HGET', k.unique, key)
      if entry and string.sub(entry, 1, 16) == id and not promote(k, key, string.sub(v, 2, 17), number(v, 18, 6), t) then
        redis.call('HDEL', k.unique, key)
      end
    end
  end
  if #gone > 0 then
    redis.call('HDEL', k.holders, unpack(gone))
  end
end
