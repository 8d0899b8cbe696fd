-- Tasks of a queue can be paused: all of them, or those with a name or a key. The hash paused has a
-- field for each pause: '' for the whole queue, 't' and a name, 'k' and a key. Its value is the time
-- in ms since when.
--
-- While the whole queue is paused, the dequeue script hands out nothing. Otherwise it sets those
-- tasks aside that are paused and whose turn it is: the message goes to later, and the id to the
-- sorted set aside, in the order in which they were set aside. So a cancel or a look-up finds them as
-- it finds scheduled tasks. At the end of a pause aside is renamed to back, and the dequeue script
-- first puts what is in back to the front of the queue, the last one first. If back still
-- exists then, the field 'b' of paused says that aside is to be renamed later.
--
-- A task of a sequence that is set aside has the sequence, as if it ran, so that the others wait.
--
-- While paused or back exists, held exists with a token of its own, so that no minion takes a task
-- past the dequeue script; see push.lua.

-- nameIn returns the name of the task in the beginning of a message that is stored whole. It is nil
-- if the message is of a later version than these scripts know.
local function nameIn(msg)
  local byte = string.byte
  local at = HEAD + 1
  if byte(msg, 1) == 3 then
    at = at + 2 + number(msg, at, 2) -- behind the lane
  elseif byte(msg, 1) ~= MESSAGE then
    return nil
  end
  local head = byte(msg, at) or 0
  if head >= 144 and head <= 159 then -- the head of the array
    at = at + 1
  elseif head == 220 then
    at = at + 3
  else
    return nil
  end
  local kind, size = byte(msg, at) or 0, 0
  if kind >= 160 and kind <= 191 then -- the name, a text of up to 31 bytes or a longer one
    size = kind - 160
  elseif kind == 217 or kind == 196 then
    size, at = number(msg, at + 1, 1), at + 1
  elseif kind == 218 or kind == 197 then
    size, at = number(msg, at + 1, 2), at + 2
  else
    return nil
  end
  return string.sub(msg, at + 1, at + size)
end

-- nameOf returns the name of the task of a message, or nil. For a stub it reads the beginning of the
-- record. Its key is not among KEYS; it begins like the key ready, and so has the same hash slot.
local function nameOf(msg, ready)
  if not isStub(msg) then
    return nameIn(msg)
  end
  local id = string.gsub(string.sub(msg, 2, 17), '.', function(c) return string.format('%02x', string.byte(c)) end)
  local begin = redis.pcall('GETRANGE', string.sub(ready, 1, -6) .. 'record:' .. id, 0, HEAD + 140)
  return type(begin) == 'string' and nameIn(begin) or nil
end

-- pausedOf returns for each message whether its name or its key is paused.
local function pausedOf(paused, ready, msgs)
  local fields, owners, out = {}, {}, {}
  for i, msg in ipairs(msgs) do
    out[i] = false
    if msg and readable(msg) then
      local name, lane = nameOf(msg, ready), laneOf(msg)
      if name then
        fields[#fields + 1] = 't' .. name
        owners[#owners + 1] = i
      end
      if lane and #lane.key > 1 then
        fields[#fields + 1] = 'k' .. string.sub(lane.key, 2)
        owners[#owners + 1] = i
      end
    end
  end
  for j, since in ipairs(fetch(paused, fields)) do
    if since then
      out[owners[j]] = true
    end
  end
  return out
end

-- setAside adds tasks to those that are set aside. Their messages are in later.
local function setAside(aside, ids)
  if #ids == 0 then
    return
  end
  local last = redis.call('ZREVRANGE', aside, 0, 0, 'WITHSCORES')
  local n, pairs = last[2] and tonumber(last[2]) or 0, {}
  for i, id in ipairs(ids) do
    pairs[#pairs + 1] = text(n + i)
    pairs[#pairs + 1] = id
  end
  page('ZADD', aside, pairs, 2)
end

-- bringBack puts tasks of back to their places: it calls plain with messages without a lane, in the
-- order in which they are to go to the front one by one, and lined with others. It reports whether
-- there are more. Nothing may be handed out before all are back, since each call brings tasks that
-- come before those of the call before.
local function bringBack(paused, aside, back, later, plain, lined)
  local moved, bytes, batch = 0, 0, 8
  while moved < 500 and bytes < 524288 do
    local ids = redis.call('ZREVRANGE', back, 0, batch - 1)
    if #ids == 0 then
      break
    end
    local msgs, lanes, moves = {}, {}, {}
    for i, msg in ipairs(redis.call('HMGET', later, unpack(ids))) do
      if msg and laneOf(msg) then -- its message stays in later
        lanes[#lanes + 1] = msg
        bytes = bytes + #msg
      elseif msg then
        msgs[#msgs + 1] = msg
        moves[#moves + 1] = ids[i]
        bytes = bytes + #msg
      end
    end
    if #lanes > 0 then
      lined(lanes)
    end
    plain(msgs)
    if #moves > 0 then
      redis.call('HDEL', later, unpack(moves))
    end
    redis.call('ZREM', back, unpack(ids))
    moved = moved + #ids + 4 * #lanes -- putting a task in line takes longer
    batch = math.min(batch * 4, #lanes > 0 and 64 or 250)
  end
  if redis.call('EXISTS', back) == 0 and redis.call('HDEL', paused, 'b') == 1 and redis.call('EXISTS', aside) == 1 then
    redis.call('RENAME', aside, back)
  end
  return redis.call('EXISTS', back) == 1
end
