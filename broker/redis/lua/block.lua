-- The hash state could have one field for each task. In a queue of small tasks these fields
-- would take most of the memory, and most of the time of the scripts. So tasks that were sent
-- together share fields. Their ids are in blocks of up to 64: the first 15 bytes are the same,
-- and the last byte is the position in the block, from 1 to 64. The states of a block are in
-- one field while its tasks are open, and in a further field for each batch that was settled.
-- A task that does not fit (other inboxes, a large outcome, a dead letter and so on) has a
-- field of its own, like a task that is in no block. Where there is such a field, it counts.
--
-- A block is a field that is named by the 15 bytes. Its value is:
--   1         version, 1
--   2         n, the highest position
--   3..2+n    a mark for each position: 0 its state is in this block (and its runs), 1 it has
--             a field of its own, 2 it has no state: it was never stored, or is forgotten
--   then      the inbox of all (16 bytes), and a digest (4) for each position
-- The field is removed when all marks are 2.
--
-- A run is a number of tasks of a block that were settled at once. It is a field that is named
-- by the 15 bytes, 'r' and the position of its first member. Its value is: version (1), final
-- state (1), until when the outcome may be read (6), attempt (4), then the members. Version 1
-- has notices, as they are published to inboxes. Version 2 is for tasks whose outcomes are not
-- kept, and has only their positions. A run is removed as a whole.

local HERE, OWN, NONE = 0, 1, 2 -- marks
local NOTICES, POSITIONS = 1, 2 -- versions of a run: notices, positions

-- UNREADABLE is how a value begins that stands for a state that exists and can't be read.
local UNREADABLE = '?'

-- positionOf returns the position of a task in its block, or false.
local function positionOf(id)
  local at = #id == 16 and string.byte(id, 16) or 0
  return at >= 1 and at <= 64 and at
end

-- width returns the highest position of a block; false if the block is of another version or
-- damaged.
local function width(block)
  local version, n = string.byte(block, 1, 2)
  return version == 1 and n and #block == 18 + 5 * n and n
end

-- members calls f for each member of a run: with its position, and with its outcome behind the
-- length of that, or '' if the outcome is not kept. It ignores a run of another version.
local function members(run, f)
  local version = string.byte(run, 1)
  if version == POSITIONS then
    for i = 13, #run do
      f(string.byte(run, i), '')
    end
  elseif version == NOTICES then
    local from = 13
    while from + 19 <= #run do
      local to = from + 19 + number(run, from + 16, 4)
      f(string.byte(run, from + 15), string.sub(run, from + 16, to))
      from = to + 1
    end
  end
end

-- read returns the states that are in a block, by position, each in the form of a field of its
-- own; false if the block can't be read.
local function read(state, field, block)
  local n = width(block)
  if not n then
    return false
  end
  local inbox = string.sub(block, 3 + n, 18 + n)
  local states, names = {}, {}
  for at = 1, n do
    names[at] = field .. 'r' .. string.char(at)
    if string.byte(block, 2 + at) == HERE then
      states[at] = string.sub(block, 15 + n + 4 * at, 18 + n + 4 * at) .. inbox
    end
  end
  for _, run in ipairs(redis.call('HMGET', state, unpack(names))) do
    if run and #run > 12 then
      members(run, function(at, outcome)
        if states[at] and #states[at] == 20 then
          states[at] = states[at] .. string.sub(run, 2, 12) .. outcome
        end
      end)
    end
  end
  return states
end

-- look returns the state of each task, or false if there is none. A state of 20 bytes is open
-- (digest and inbox); one of 31 bytes or more is final; any other length can't be read. For a
-- task whose block can't be read it returns UNREADABLE and the version of the block, and not
-- false: the task is not unknown, and a repeated enqueue must not store it twice.
local function look(state, ids)
  local states = redis.call('HMGET', state, unpack(ids))
  local fields, where = {}, {}
  for i = 1, #ids do
    if not states[i] and positionOf(ids[i]) then
      local field = string.sub(ids[i], 1, 15)
      if not where[field] then
        fields[#fields + 1] = field
        where[field] = true
      end
    end
  end
  if #fields > 0 then
    for i, block in ipairs(redis.call('HMGET', state, unpack(fields))) do
      where[fields[i]] = block and (read(state, fields[i], block) or UNREADABLE .. string.sub(block, 1, 1))
    end
    for i = 1, #ids do
      local block = not states[i] and positionOf(ids[i]) and where[string.sub(ids[i], 1, 15)]
      if type(block) == 'string' then
        states[i] = block
      elseif block then
        states[i] = block[positionOf(ids[i])] or false
      end
    end
  end
  return states
end

-- mark changes the marks of tasks in their blocks to what: to OWN; or to NONE, and then only
-- those marks that are was. A block that can't be read stays as it is. But a damaged block of
-- the known version, which no build will ever read, is removed when the first of its tasks is
-- forgotten.
local function mark(state, ids, what, was)
  local fields, where = {}, {}
  for i = 1, #ids do
    if positionOf(ids[i]) then
      local field = string.sub(ids[i], 1, 15)
      if not where[field] then
        fields[#fields + 1] = field
        where[field] = {}
      end
      table.insert(where[field], positionOf(ids[i]))
    end
  end
  if #fields == 0 then
    return
  end
  local blocks = redis.call('HMGET', state, unpack(fields))
  local changed, ended = {}, {}
  for i, field in ipairs(fields) do
    local block = blocks[i]
    if not block and what == OWN then
      block = string.char(1, 0) .. string.rep('\0', 16)
    end
    local n = block and width(block)
    if block and not n and what == NONE and string.byte(block, 1) == 1 then
      ended[#ended + 1] = field
    elseif n then
      local most = 0
      local marks = { string.byte(block, 3, 2 + n) }
      for _, at in ipairs(where[field]) do
        marks[at] = (what == OWN or marks[at] == was) and what or marks[at]
        most = math.max(most, at)
      end
      local wide = math.max(n, what == OWN and most or 0)
      local left = false
      for at = 1, wide do
        marks[at] = marks[at] or NONE
        left = left or marks[at] ~= NONE
      end
      if left then
        changed[#changed + 1] = field
        changed[#changed + 1] = string.char(1, wide) .. string.char(unpack(marks, 1, wide)) ..
          string.sub(block, 3 + n, 18 + 5 * n) .. string.rep('\0', 4 * (wide - n))
      else
        ended[#ended + 1] = field
      end
    end
  end
  if #changed > 0 then
    redis.call('HSET', state, unpack(changed))
  end
  if #ended > 0 then
    redis.call('HDEL', state, unpack(ended))
  end
end
