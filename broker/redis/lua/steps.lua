-- The hash steps has the saved state of tasks, see broker.Steps. Only tasks that have some have
-- fields there. Their names begin with the id of the task:
--   id            the index: version (1 byte, 1), bytes of all names and data (4), then for each
--                 record its length (1), and that many bytes: kind ('s' a step, 'g' a signal) and name
--   id kind name  the record. Of a step: version (1), when its wait is over in unix ms (6; 0 if it has
--                 none), data. Of a signal: version (1), its id (16), length of the codec's name (1),
--                 that name, data.
--   id 'w'        the attempt (4) and the signal that it waits for. With another attempt it has no
--                 meaning any more.
local STEPS_VERSION = 1

-- indexOf returns the names in an index, as a list and as a set, and the bytes of all. It returns
-- nil if the index can't be read.
local function indexOf(index)
  local names, is = {}, {}
  if not index then
    return names, is, 0
  end
  if string.byte(index, 1) ~= STEPS_VERSION or #index < 5 then
    return nil
  end
  local at = 6
  while at <= #index do
    local name = string.sub(index, at + 1, at + string.byte(index, at))
    names[#names + 1] = name
    is[name] = true
    at = at + 1 + string.byte(index, at)
  end
  return names, is, number(index, 2, 4)
end

-- saveRecord stores a record of a task under its kind and name. data is how many of its bytes count. It
-- returns nil, or why it was not stored: -2 if the index can't be read, or {'full', number of
-- records, bytes of all with this one}.
local function saveRecord(steps, id, name, record, data, most, bytes)
  local index = redis.call('HGET', steps, id)
  local names, is, all = indexOf(index)
  if not names then
    return -2
  end
  local size, head = #name - 1 + data, #record - data
  if is[name] then
    size = size - math.max(redis.call('HSTRLEN', steps, id .. name) - head, 0) - (#name - 1)
  elseif #names >= most then
    return { 'full', #names, all }
  end
  if all + size > bytes then
    return { 'full', #names, all + size }
  end
  local rest = index and string.sub(index, 6) or ''
  if not is[name] then
    rest = rest .. string.char(#name) .. name
  end
  redis.call('HSET', steps, id, string.char(STEPS_VERSION) .. big(math.max(all + size, 0), 4) .. rest, id .. name, record)
  return nil
end

-- forgetSteps removes the saved state of tasks. It removes about as many records as room says, so that the
-- script stays short, and returns how many it had room for beyond that. If that is less than 0, some tasks may
-- still have state.
local function forgetSteps(steps, ids, room)
  if #ids == 0 then
    return room
  end
  local marks = {} -- a task can wait for a signal and have no record: then it has no index
  for i, id in ipairs(ids) do
    marks[i] = id .. 'w'
  end
  local indexes = redis.call('HMGET', steps, unpack(ids))
  for i, id in ipairs(ids) do
    local index = indexes[i]
    if room < 0 then
      return room
    end
    if index then
      local fields = { id, id .. 'w' }
      for _, name in ipairs(indexOf(index) or {}) do
        fields[#fields + 1] = id .. name
      end
      redis.call('HDEL', steps, unpack(fields))
      room = room - #fields
    end
  end
  redis.call('HDEL', steps, unpack(marks))
  return room
end
