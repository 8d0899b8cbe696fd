-- Tasks with a lane wait in lines. A line has the tasks of one key in one class, in the order of their
-- positions; a class is a priority with what a task uses of its limits. The tasks of a sequence wait
-- apart, and only the one that may start is in its line.
--
-- Which line comes next follows from turns: the virtual time of its key, and the position of its first
-- task. The smallest turn comes first. The virtual time of a key grows with each of its hand-outs, so
-- the keys of a priority take turns. lane_tree.lua has how the first line is found.
--
-- A class whose first task lacks something of a limit moves to a waitlist, which has the classes of one
-- priority that wait for the same cost of one limit. A waitlist for which there is no room is closed,
-- and nobody looks at it. Whatever makes room opens the waitlists that have room then. The order in
-- which tasks are handed out is the same as that of broker/memory.
--
-- The message of a task in line is in the hash later, like that of a scheduled task, so a cancel
-- or a look-up finds it there. While a task is in line, held exists and ready has only tokens, so
-- that no minion takes a task past the dequeue script; see push.lua.
--
-- A script makes each of its functions anew whenever it runs. Most runs need none of those for tasks in
-- line, and making them would take up to half of the time of such a run. So the other files of lanes are
-- in one function, makeLanes, which laneKeys calls the first time; script.go puts it behind the files
-- that a script includes. All functions in it take what laneKeys returns, so nothing can need them earlier.
-- But a call like lineUp(laneKeys(from, later)) fails, since Lua reads the name lineUp first.
--
-- Each of those files is a block that names in front what the others use, since a function can have only
-- 200 local names.
--
-- Names, which all tell their own length, so that none is the beginning of another one:
--   a limit      name and key of a charge, each with its length (1 byte) in front
--   a sequence   its key like a limit with an empty name
--   a class      the priority, the number of its limits, these, and their costs (4 bytes each)
--   a key        the priority, and the key with its length in front
--   a line       the class, and the key with its length in front
--   a node       a part of the tree, see lane_tree.lua
--
-- Keys, all of one queue:
--   lanes    hash: line, and 'g' and the node of a group -> the turn with which it stands in the tree;
--            'c' and class -> see recordOf; 's' and a sequence -> position and id of its task that is
--            in a line; 'v' and a priority -> its virtual time: that of the latest hand-out;
--            'n' the last position; 't' the hand-outs since the last one to a lower priority, while
--            such tasks wait; 'b' the priority which that one went to; 'q' the virtual time of the
--            tasks without a lane
--   lined    sorted set, all scores 0: line, position (8 bytes) and id of each task in a line; '\255',
--            sequence, position and id of each other task of a sequence
--   lkeys    hash: key -> its virtual time; then the number of its lines, if it has more than one
--   open     sorted set, all scores 0: the tree: the node that is the parent, turn, and the child; see
--            lane_tree.lua
--   waits    sorted set, all scores 0: the nodes of the closed waitlists, without their first byte
--   opening  sorted set of limits by the time in ms at which they are to be looked at again
--   charges  hash: limit -> its account, see lane_limit.lua; sequence -> see lane_sequence.lua
--   rates    sorted set of limits by the time in ms until which their account has a past that matters
--   limits   hash: 'd' and a limit -> its definition; 'w' and a key -> its weight; 'x' exists if there
--            are definitions for single keys, and 'y' if there are weights; 's' the longest pause in
--            us that a task needs of a rate beyond that of its burst; see lanes.go

local makeLanes
local change, timeOf, forgetRates, accountOf, refresh, mayStart, sequenceOf, advance, saveLanes, lineUp, leaveLine, discharge,
  endSequence, takeLined -- what makeLanes makes for scripts

local function text(n)
  return string.format('%.0f', n)
end

-- classOf reads the name of a class; nil if it can't be read.
local classes = {}
local function classOf(name)
  local class = classes[name]
  if class then
    return class
  end
  local byte, sub = string.byte, string.sub
  local many = byte(name, 2) or 9
  if many > 8 or byte(name, 1) > 9 then
    return nil
  end
  class = { name = name, priority = byte(name, 1), uses = {}, costs = {} }
  local at = 3
  for i = 1, many do
    local from = at
    at = at + 1 + (byte(name, at) or 65536)
    at = at + 1 + (byte(name, at) or 65536)
    class.uses[i] = sub(name, from, at - 1)
  end
  if at + 4 * many - 1 ~= #name then
    return nil
  end
  for i = 1, many do
    class.costs[i] = number(name, at + 4 * i - 4, 4)
  end
  classes[name] = class
  return class
end

-- laneOf reads the lane of a message. It returns a table with position (8 zero bytes if the task
-- has not been in line), key (without its priority), class, line, sequence ('' if it has none), and
-- stop, whether a failure halts the sequence; nil for a message without a lane, or if it can't be read.
local parsed = {} -- lanes by message: a script reads each only once
local function laneOf(msg)
  local known = parsed[msg]
  if known ~= nil then
    return known or nil
  end
  parsed[msg] = false
  local byte, sub = string.byte, string.sub
  if #msg < 57 or byte(msg, 25) < 128 or byte(msg, 1) ~= 3 then -- FlagLaned
    return nil
  end
  local to = 56 + byte(msg, 55) * 256 + byte(msg, 56)
  if #msg < to or to < 69 then
    return nil
  end
  local at = 68 + byte(msg, 67) -- where the sequence begins
  local limits = at + 1 + (at <= to and byte(msg, at) or 65536)
  local class = limits <= to and classOf(sub(msg, 65, 65) .. sub(msg, limits, to))
  if not class then
    return nil
  end
  local lane = {
    position = sub(msg, 57, 64), class = class, key = sub(msg, 67, at - 1), stop = byte(msg, 66) % 2 == 1,
    sequence = limits - at > 1 and '\0' .. sub(msg, at, limits - 1) or '',
  }
  lane.line = class.name .. lane.key
  parsed[msg] = lane
  return lane
end

-- split takes the messages with a lane out of a list. It returns the others, and those with one.
local function split(msgs)
  local plain, lined = msgs, {}
  for i, msg in ipairs(msgs) do
    if laneOf(msg) then
      if plain == msgs then
        plain = { unpack(msgs, 1, i - 1) }
      end
      lined[#lined + 1] = msg
    elseif plain ~= msgs then
      plain[#plain + 1] = msg
    end
  end
  return plain, lined
end

-- page calls a command with a key and a list of arguments, as often as is needed: one call can only
-- have some thousands. width is how many arguments belong together.
local function page(command, key, args, width)
  local size = 3000 - 3000 % width
  for i = 1, #args, size do
    redis.call(command, key, unpack(args, i, math.min(i + size - 1, #args)))
  end
end

-- fetch returns the values of fields of a hash.
local function fetch(key, fields)
  if #fields <= 3000 then
    return #fields > 0 and redis.call('HMGET', key, unpack(fields)) or {}
  end
  local out = {}
  for i = 1, #fields, 3000 do
    for _, v in ipairs(redis.call('HMGET', key, unpack(fields, i, math.min(i + 2999, #fields)))) do
      out[#out + 1] = v
    end
  end
  return out
end

-- laneKeys returns the keys of lanes: those in KEYS from an index on, and the hash later. The table
-- also has what the script has read, and what it has changed and not yet stored; see saveLanes.
local function laneKeys(from, later)
  if not lineUp then
    makeLanes()
  end
  return {
    later = later, lanes = KEYS[from], lined = KEYS[from + 1], lkeys = KEYS[from + 2], open = KEYS[from + 3],
    waits = KEYS[from + 4], opening = KEYS[from + 5], charges = KEYS[from + 6], rates = KEYS[from + 7], limits = KEYS[from + 8],
    width = 2, -- how many children of a node are read at once
    fields = {}, known = {}, -- fields of lanes: those that have changed, and those that were read; false for none
    keys = {}, records = {}, accounts = {}, sequences = {}, definitions = {}, weights = {}, times = {}, nodes = {},
    changed = {}, -- which entries of these tables are to be stored: sets by the name of the table
  }
end
