-- Tasks that were sent together have ids in blocks: the first 15 bytes are alike, and
-- the last one is the place, from 1 to 64. What is ordinary of their states is in few
-- fields of the state hash: a field for each would be most of what they cost. What is
-- not, is in a field of the task's own, as it is for all tasks without a block; where
-- there is one it counts.
--
-- A block is a field named by the 15 bytes. It has:
--   1         version, 1
--   2         n, the highest place
--   3..2+n    a mark for each place: 0 its state is in here, 1 it has a field of its
--             own, 2 there is none: it was never stored, or is forgotten
--   then      the inbox of all (16), and a digest (4) for each place
-- It ends when all its marks are 2.
--
-- A run is what was settled at once of a block. It is a field named by the 15 bytes,
-- 'r' and the place of its first member, and has: version, final state (1), until when
-- it may be seen (6), attempt (4), then its members. In version 1 these are letters, as
-- they are pushed. Version 2 is for tasks whose outcome is not kept: it has their places
-- alone. A run ends as a whole.

local HERE, OWN, NONE = 0, 1, 2
local LETTERS, PLACES = 1, 2 -- versions of a run

local UNREADABLE = '?' -- begins what stands for a state that is there and can't be read

-- place returns the place of a task in its block, or false.
local function place(id)
  local at = #id == 16 and string.byte(id, 16) or 0
  return at >= 1 and at <= 64 and at
end

-- width returns the highest place of a block; false if it is of another version, or
-- damaged.
local function width(block)
  local version, n = string.byte(block, 1, 2)
  return version == 1 and n and #block == 18 + 5 * n and n
end

-- members calls f for each member of a run: with its place and what is kept of its
-- outcome, which has its length in front. It leaves a run of another version alone.
local function members(run, f)
  local version = string.byte(run, 1)
  if version == PLACES then
    for i = 13, #run do
      f(string.byte(run, i), '')
    end
  elseif version == LETTERS then
    local from = 13
    while from + 19 <= #run do
      local to = from + 19 + number(run, from + 16, 4)
      f(string.byte(run, from + 15), string.sub(run, from + 16, to))
      from = to + 1
    end
  end
end

-- read returns the states of the members that are in a block, by place, each as a field
-- of its own would have it; false if the block can't be read.
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

-- look returns for each task its state, or false. For a task whose block can't be read
-- it is UNREADABLE and the version of the block: such a task is not unknown, and a
-- repeated enqueue must not store it twice. A state in a field of the task's own is returned as it is stored, so it may have
-- any length: 20 is open, 31 or more is final, all else can't be read.
local function look(state, ids)
  local states = redis.call('HMGET', state, unpack(ids))
  local fields, where = {}, {}
  for i = 1, #ids do
    if not states[i] and place(ids[i]) then
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
      local block = not states[i] and place(ids[i]) and where[string.sub(ids[i], 1, 15)]
      if type(block) == 'string' then
        states[i] = block
      elseif block then
        states[i] = block[place(ids[i])] or false
      end
    end
  end
  return states
end

-- mark notes in their blocks what became of tasks: OWN; or NONE, of those that were
-- marked as was says. A block that can't be read is left alone; but a damaged one of the
-- known version, which nobody will ever read, ends when the first of its tasks does.
local function mark(state, ids, what, was)
  local fields, where = {}, {}
  for i = 1, #ids do
    if place(ids[i]) then
      local field = string.sub(ids[i], 1, 15)
      if not where[field] then
        fields[#fields + 1] = field
        where[field] = {}
      end
      table.insert(where[field], place(ids[i]))
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
