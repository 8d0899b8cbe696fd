-- Tasks with a lane wait in lines, each ordered by the positions of its tasks. A line has the tasks
-- of one key in one class; a class is a priority with what a task uses of its limits. The tasks of a
-- sequence have a line of their own, and the lane of the task that may start counts.
--
-- Which line comes next follows from turns. The turn of a line is the virtual time of its key and
-- the position of its first task, and the smallest turn comes first. The virtual time of a key grows
-- with each of its hand-outs, so the keys of a priority take turns. Lines form a tree, in which each
-- node stands under its parent with the turn of its own first child:
--
--   priority ─ class ─ line
--   priority ─ waitlist ─ class ─ line
--
-- A class whose first task lacks something of a limit moves to a waitlist, which has the classes of one
-- priority that wait for the same cost of one limit. A waitlist for which there is no room is closed:
-- it stands under no priority. So what waits is moved in one step, however many lines and tasks that
-- are. Whatever makes room opens the waitlists that have room then. The tree gives the same order as
-- that of broker/memory; lane_pool.go there has more about it.
--
-- A key may have lines in several classes. When it has had a turn in one of them, the turns of the
-- others are too small. So they come first too early, and then they are put to their right places.
--
-- The message of a task in line is in the hash later, like that of a scheduled task, so a cancel
-- or a look-up finds it there. While a task is in line, held exists and ready has only tokens, so
-- that no minion takes a task past the dequeue script; see push.lua.
--
-- Names, which all tell their own length, so that none is the beginning of another one:
--   a limit      name and key of a charge, each with its length (1 byte) in front
--   a sequence   its key like a limit with an empty name
--   a class      the priority, the number of its limits, these, and their costs (4 bytes each)
--   a key        the priority, and the key with its length in front
--   a line       class and key without its priority; of a sequence '\255' and its key with its length
--   a node       '\0' and 9 - priority; '\1' and class; '\2', limit, cost (4 bytes) and priority
--
-- Keys, all of one queue:
--   lanes    hash: line -> its turn, if it is in the tree; of a sequence then its key and its class;
--            'p' and the node of a class -> the node of its waitlist, if it has one;
--            'v' and a priority -> its virtual time: that of the latest hand-out;
--            'n' the last position; 't' the hand-outs since the last one to a lower priority, while
--            such tasks wait; 'b' the priority which that one went to; 'q' the virtual time of the
--            tasks without a lane
--   lined    sorted set, all scores 0: line, position (8 bytes) and id of each task
--   lkeys    hash: key -> its virtual time; then the number of its lines, if it has more than one
--   open     sorted set, all scores 0: the tree: the node that is the parent, turn, and the child,
--            which is a node; or, below a class, the key of a line and its sequence, if it has one
--   waits    sorted set, all scores 0: the nodes of the closed waitlists, without their first byte
--   opening  sorted set of limits by the time in ms at which they are to be looked at again
--   charges  hash: limit -> its account, see accountOf; sequence -> see sequenceOf
--   rates    sorted set of limits by the time in ms until which their account has a past that matters
--   limits   hash: 'd' and a limit -> its definition; 'w' and a key -> its weight; 'x' exists if there
--            are definitions for single keys, and 'y' if there are weights; 's' the longest pause in
--            us that a task needs of a rate beyond that of its burst; see lanes.go

local STEP = 1000 -- how much a hand-out adds to the virtual time of a key of weight 1
local TIME, TURN = 15, 23 -- lengths of a virtual time and of a turn

local function text(n)
  return string.format('%.0f', n)
end

-- timeText returns a virtual time as a text that sorts like it.
local function timeText(n)
  return string.format('%015.0f', n)
end

-- before reports whether a turn comes before another one. The operator < of Lua does not tell, since
-- it compares texts in the way of the server's language.
local function before(a, b)
  local x, y = string.sub(a, 1, TIME), string.sub(b, 1, TIME)
  if x ~= y then
    return (tonumber(x) or 0) < (tonumber(y) or 0)
  end
  return number(a, TIME + 1, 8) < number(b, TIME + 1, 8)
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
  class = { name = name, node = '\1' .. name, priority = byte(name, 1), uses = {}, costs = {} }
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
-- has not been in line), key (without its priority), class, sequence ('' if it has none), line, and
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
  local lane = { position = sub(msg, 57, 64), class = class, key = sub(msg, 67, at - 1), stop = byte(msg, 66) % 2 == 1 }
  if limits - at == 1 then
    lane.sequence, lane.line = '', class.name .. lane.key
  else
    local name = sub(msg, at, limits - 1)
    lane.sequence, lane.line = '\0' .. name, '\255' .. name
  end
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
  return {
    later = later, lanes = KEYS[from], lined = KEYS[from + 1], lkeys = KEYS[from + 2], open = KEYS[from + 3], waits = KEYS[from + 4],
    opening = KEYS[from + 5], charges = KEYS[from + 6], rates = KEYS[from + 7], limits = KEYS[from + 8],
    width = 2, -- how many children of a node are read at once
    fields = {}, -- changes of lanes, false for fields to be removed
    keys = {}, accounts = {}, sequences = {}, definitions = {}, weights = {}, times = {}, nodes = {},
    changed = {}, -- what of these five is to be stored: sets by the name of the table
  }
end

-- change notes that the entry of a table in L with a name is to be stored.
local function change(L, of, name)
  local set = L.changed[of]
  if not set then
    set = {}
    L.changed[of] = set
  end
  set[name] = true
end

-- timeOf returns the server's time in us, the same in the whole script.
local function timeOf(L)
  if not L.us then
    local t = redis.call('TIME')
    L.us = t[1] * 1000000 + t[2]
  end
  return L.us
end

---- Limits: definitions, and accounts of what is in use

-- flags returns whether there are definitions for single keys, whether there are weights, and the
-- longest pause.
local function flags(L)
  if not L.flags then
    local is = redis.call('HMGET', L.limits, 'x', 'y', 's')
    L.flags = { single = is[1] and true or false, weighed = is[2] and true or false, pause = tonumber(is[3] or 0) or 0 }
  end
  return L.flags
end

-- step returns how much a hand-out adds to the virtual time of a key, which is given with its priority.
local function step(L, key)
  if not flags(L).weighed then
    return STEP
  end
  if not L.weights[key] then
    local weight = tonumber(redis.call('HGET', L.limits, 'w' .. string.sub(key, 3)) or 1) or 1
    L.weights[key] = math.floor(STEP / math.max(weight, 1))
  end
  return L.weights[key]
end

-- definition reads what holds for a limit: most; or gap (us for a cost of 1), burst, and since, the
-- time in us from which on it holds; paused.
local function definition(L, use)
  local known = L.definitions[use]
  if known then
    return known
  end
  local name = 1 + string.byte(use, 1)
  local d
  if flags(L).single or name + 1 == #use then
    d = redis.call('HGET', L.limits, 'd' .. use)
  end
  if not d and name + 1 < #use then -- there is no definition for this key: take that for all keys
    known = definition(L, string.sub(use, 1, name) .. '\0')
  else
    local most, gap, burst, paused, since = string.match(d or '', '^(%d+) ([%d.]+) (%d+) ([01]) %d+ %d+ %d+ (%d+)$')
    known = {
      most = tonumber(most or 0), gap = tonumber(gap or 0), burst = tonumber(burst or 0), paused = paused == '1',
      since = tonumber(since or 0), pace = gap,
    }
  end
  L.definitions[use] = known
  return known
end

-- readAccounts reads what is in use of some limits. An account has used, the cost in use; tat, the
-- theoretical arrival time of a rate in us (0 if it does not matter), and pace, the text of the gap
-- that held then; closed, until when the limit is closed in us; and dated, whether it is in rates. It
-- is stored as these four values, or as the cost alone if it has no others.
local function readAccounts(L, uses)
  local asked = {}
  for _, use in ipairs(uses) do
    if not L.accounts[use] then
      L.accounts[use] = { used = 0, tat = 0, closed = 0 }
      asked[#asked + 1] = use
    end
  end
  for i, v in ipairs(fetch(L.charges, asked)) do
    local a = L.accounts[asked[i]]
    local used = v and tonumber(v)
    if used then
      a.used = used
    elseif v then
      local cost, tat, pace, closed = string.match(v, '^(%d+) ([%d.]+) ([%d.]+) (%d+)$')
      a.used, a.tat, a.pace, a.closed = tonumber(cost or 0), tonumber(tat or 0), pace or '0', tonumber(closed or 0)
      a.dated = true
    end
  end
end

local function accountOf(L, use)
  if not L.accounts[use] then
    readAccounts(L, { use })
  end
  return L.accounts[use]
end

-- arrival returns the theoretical arrival time of an account by the definition that holds now. What
-- was used of the burst before the definition was changed stays used, as far as the new burst goes.
local function arrival(a, d)
  if a.tat == 0 or a.pace == d.pace then
    return a.tat
  end
  local gap = tonumber(a.pace) or 0
  if gap == 0 then
    return 0
  end
  return math.max(d.since + math.min((a.tat - d.since) / gap, d.burst) * d.gap, 1)
end

-- fits reports whether there is room for a cost of a limit. If not, it also returns the time in us at
-- which that is to be tried again, or nil.
local function fits(L, use, cost)
  local a, d, us = accountOf(L, use), definition(L, use), timeOf(L)
  if a.closed > us then
    return false, a.closed
  elseif d.paused then
    return false
  elseif d.most > 0 then
    return a.used <= 0 or a.used + cost <= d.most
  elseif d.gap > 0 then
    -- The generic cell rate algorithm: each cost pushes the theoretical arrival time back by the
    -- gap, and it may lie before the present by at most the burst. A task that costs more than the
    -- burst has to wait until it lies far enough in the past.
    local beyond = (cost - d.burst) * d.gap
    if beyond > flags(L).pause then -- accounts must be kept for so long
      L.flags.pause = math.ceil(beyond)
      redis.call('HSET', L.limits, 's', text(L.flags.pause))
    end
    local free = a.tat > 0 and arrival(a, d) + beyond or 0
    if free > us then
      return false, free
    end
  end
  return true
end

-- charge adds a cost to a limit.
local function charge(L, use, cost)
  local a, d = accountOf(L, use), definition(L, use)
  a.used = a.used + cost
  if d.gap > 0 then
    -- A task that costs more than the burst has used up the pause before it.
    local pause = math.max(cost - d.burst, 0) * d.gap
    a.tat, a.pace = math.max(arrival(a, d), timeOf(L) - pause) + cost * d.gap, d.pace
  end
  change(L, 'accounts', use)
end

-- matters returns until when the past of an account matters, in us.
local function matters(L, a)
  return math.max(a.closed, a.tat > 0 and a.tat + flags(L).pause or 0)
end

-- saveAccounts stores the accounts that have changed.
local function saveAccounts(L)
  local set, gone, dates = {}, {}, {}
  for use in pairs(L.changed.accounts or {}) do
    local a = L.accounts[use]
    local value = a.used > 0 and text(a.used)
    if a.tat > 0 or a.closed > 0 then
      local till = matters(L, a)
      if till <= timeOf(L) then
        a.tat, a.closed, a.dated = 0, 0, false -- rates may still have it, and then it is looked at again
      else
        value = string.format('%.0f %.2f %s %.0f', a.used, a.tat, a.pace or '0', a.closed)
        if not a.dated then
          a.dated = true
          dates[#dates + 1] = text(math.ceil(till / 1000))
          dates[#dates + 1] = use
        end
      end
    end
    if value then
      set[#set + 1] = use
      set[#set + 1] = value
    else
      gone[#gone + 1] = use
    end
  end
  L.changed.accounts = nil
  page('HSET', L.charges, set, 2)
  page('HDEL', L.charges, gone, 1)
  page('ZADD', L.rates, dates, 2)
end

-- forgetRates lets accounts forget a past that does not matter any more.
local function forgetRates(L)
  local uses = redis.call('ZRANGEBYSCORE', L.rates, '-inf', text(math.floor(timeOf(L) / 1000)), 'LIMIT', 0, 200)
  if #uses == 0 then
    return
  end
  readAccounts(L, uses)
  redis.call('ZREM', L.rates, unpack(uses))
  for _, use in ipairs(uses) do
    L.accounts[use].dated = false
    change(L, 'accounts', use)
  end
  saveAccounts(L)
end

---- Keys and the tree

-- present returns the virtual time of a priority.
local function present(L, priority)
  if not L.times[priority] then
    L.times[priority] = tonumber(redis.call('HGET', L.lanes, 'v' .. priority) or 0) or 0
  end
  return L.times[priority]
end

-- readKeys reads some keys, which are given with their priorities. A key has time, its virtual time,
-- and lines, the number of its lines in the tree.
local function readKeys(L, keys)
  local asked = {}
  for _, key in ipairs(keys) do
    if not L.keys[key] then
      L.keys[key] = { lines = 0 }
      asked[#asked + 1] = key
    end
  end
  for i, v in ipairs(fetch(L.lkeys, asked)) do
    local k = L.keys[asked[i]]
    local time = v and tonumber(v)
    if time then
      k.time, k.lines = time, 1
    elseif v then
      local t, n = string.match(v, '^(%d+) (%d+)$')
      k.time, k.lines = tonumber(t or 0), tonumber(n or 1)
    end
  end
end

local function keyOf(L, key)
  if not L.keys[key] then
    readKeys(L, { key })
  end
  local k = L.keys[key]
  if k.lines == 0 then
    -- A key that becomes active again starts at the present virtual time, behind those that have been
    -- waiting: it neither gains nor loses by having been away.
    k.time = present(L, string.byte(key, 1)) + step(L, key)
  end
  return k
end

local function nodeOf(L, name)
  local node = L.nodes[name]
  if not node then
    node = { name = name, at = 1, gone = {}, new = {} }
    L.nodes[name] = node
  end
  return node
end

-- saveNodes stores the changes below some nodes of the tree, which are the keys of a table.
local function saveNodes(L, names)
  local gone, new = {}, {}
  for name in pairs(names) do
    local node = L.nodes[name]
    for _, member in pairs(node.gone) do
      gone[#gone + 1] = member
    end
    for _, member in pairs(node.new) do
      new[#new + 1] = 0
      new[#new + 1] = member
    end
    node.gone, node.new = {}, {}
  end
  page('ZREM', L.open, gone, 1)
  page('ZADD', L.open, new, 2)
end

-- first returns the turn and the name of the first child of a node, or nil. list has the members of
-- some children from the index at on, and whole says whether there are no more.
local function first(L, node)
  local list, name = node.list, node.name
  if not list or node.at > #list and not node.whole then
    saveNodes(L, { [name] = true })
    list = redis.call('ZRANGEBYLEX', L.open, '[' .. name, '[' .. name .. '\255', 'LIMIT', 0, L.width)
    node.list, node.at, node.whole = list, 1, #list < L.width
  end
  local member = list[node.at]
  if member then
    return string.sub(member, #name + 1, #name + TURN), string.sub(member, #name + TURN + 1)
  end
end

-- insert puts a child under a node, and remove takes it away. Both change what was read of the
-- children. refile then moves the node itself.
local function insert(L, node, turn, child)
  local name = node.name
  local member = name .. turn .. child
  if node.gone[child] == member then
    node.gone[child] = nil
  else
    node.new[child] = member
  end
  change(L, 'nodes', name)
  local list = node.list
  if not list then
    return
  end
  local from, to = node.at, #list
  if to < from or before(string.sub(list[to], #name + 1, #name + TURN), turn) then
    if node.whole then
      list[to + 1] = member
    end -- else it is behind those that were read
    return
  end
  while from < to do
    local middle = math.floor((from + to) / 2)
    if before(string.sub(list[middle], #name + 1, #name + TURN), turn) then
      from = middle + 1
    else
      to = middle
    end
  end
  table.insert(list, from, member)
end

local function remove(L, node, turn, child)
  local member = node.name .. turn .. child
  if node.new[child] == member then
    node.new[child] = nil
  else
    node.gone[child] = member
  end
  change(L, 'nodes', node.name)
  local list = node.list
  if not list then
    return
  elseif list[node.at] == member then
    node.at = node.at + 1
    return
  end
  for i = node.at + 1, #list do
    if list[i] == member then
      table.remove(list, i)
      return
    end
  end
end

local function levelOf(L, priority)
  return nodeOf(L, '\0' .. string.char(9 - priority))
end

-- isShut reports whether a waitlist is closed.
local function isShut(L, node)
  if node.shut == nil then
    node.shut = redis.call('ZSCORE', L.waits, string.sub(node.name, 2)) and true or false
  end
  return node.shut
end

-- fieldOf returns a field of lanes, or nil.
local function fieldOf(L, name)
  local v = L.fields[name]
  if v == nil then
    v = redis.call('HGET', L.lanes, name)
  end
  return v or nil
end

-- parentOf returns the node under which another one stands; nil if it stands under none.
local function parentOf(L, node)
  local kind = string.byte(node.name, 1)
  if kind == 1 then
    if not node.parent then
      local waitlist = fieldOf(L, 'p' .. node.name)
      node.parent = waitlist and nodeOf(L, waitlist) or levelOf(L, string.byte(node.name, 2))
    end
    return node.parent
  elseif kind == 2 and not isShut(L, node) then
    return levelOf(L, string.byte(node.name, -1))
  end
end

-- placed notes under which turn a class or a waitlist stands, before its children change: node.turn,
-- false if it has no child.
local function placed(L, node)
  if node.turn == nil then
    node.turn = first(L, node) or false
  end
end

-- refile moves a class or a waitlist to its place, after its children have changed.
local function refile(L, node)
  local was, turn = node.turn, first(L, node) or false
  if was == turn then
    return
  end
  node.turn = turn
  local parent = parentOf(L, node)
  if parent then
    local within = string.byte(parent.name, 1) > 0
    if within then
      placed(L, parent)
    end
    if was then
      remove(L, parent, was, node.name)
    end
    if turn then
      insert(L, parent, turn, node.name)
    end
    if within then
      refile(L, parent)
    end
  end
  if not turn and string.byte(node.name, 1) == 1 then -- the class is forgotten, and is open when it comes again
    if parent and string.byte(parent.name, 1) == 2 then
      L.fields['p' .. node.name] = false
    end
    node.parent = nil
  elseif not turn and isShut(L, node) then
    redis.call('ZREM', L.waits, string.sub(node.name, 2))
    node.shut = false
  end
end

-- enter puts a line into the tree, leave takes it out, and move changes its turn. key is that of the
-- line without its priority.
local function enter(L, line, class, key, position)
  local node = nodeOf(L, class.node)
  placed(L, node)
  local full = string.char(class.priority) .. key
  local k = keyOf(L, full)
  k.lines = k.lines + 1
  change(L, 'keys', full)
  local turn = timeText(k.time) .. position
  if string.byte(line, 1) == 255 then
    insert(L, node, turn, key .. string.sub(line, 2))
    L.fields[line] = turn .. key .. class.name
  else
    insert(L, node, turn, key)
    L.fields[line] = turn
  end
  change(L, 'filed', class.node)
end

local function leave(L, line, class, key, turn)
  local node = nodeOf(L, class.node)
  placed(L, node)
  local full = string.char(class.priority) .. key
  local k = keyOf(L, full)
  k.lines = math.max(k.lines - 1, 0)
  change(L, 'keys', full)
  remove(L, node, turn, string.byte(line, 1) == 255 and key .. string.sub(line, 2) or key)
  L.fields[line] = false
  change(L, 'filed', class.node)
end

local function move(L, line, class, key, turn, position)
  local node = nodeOf(L, class.node)
  placed(L, node)
  local child = string.byte(line, 1) == 255 and key .. string.sub(line, 2) or key
  local now = timeText(keyOf(L, string.char(class.priority) .. key).time) .. position
  remove(L, node, turn, child)
  insert(L, node, now, child)
  L.fields[line] = child == key and now or now .. key .. class.name
  change(L, 'filed', class.node)
end

-- saveLanes stores all changes. After the last task in line nothing is left of the tree.
local function saveLanes(L)
  for name in pairs(L.changed.filed or {}) do
    refile(L, L.nodes[name])
  end
  L.changed.filed = nil
  saveNodes(L, L.changed.nodes or {})
  L.changed.nodes = nil
  local set, gone = {}, {}
  for field, v in pairs(L.fields) do
    if v then
      set[#set + 1] = field
      set[#set + 1] = v
    else
      gone[#gone + 1] = field
    end
  end
  page('HSET', L.lanes, set, 2)
  page('HDEL', L.lanes, gone, 1)
  L.fields = {}
  local lost = #gone > 0 or L.lost
  set, gone = {}, {}
  for key in pairs(L.changed.keys or {}) do
    local k = L.keys[key]
    if k.lines > 0 then
      set[#set + 1] = key
      set[#set + 1] = k.lines == 1 and text(k.time) or text(k.time) .. ' ' .. k.lines
    else
      gone[#gone + 1] = key
    end
  end
  L.changed.keys = nil
  page('HSET', L.lkeys, set, 2)
  page('HDEL', L.lkeys, gone, 1)
  saveAccounts(L)
  set, gone = {}, {}
  for name in pairs(L.changed.sequences or {}) do
    local s = L.sequences[name]
    if s.holder ~= '' or s.halts ~= '' then
      set[#set + 1] = name
      set[#set + 1] = (s.holder ~= '' and s.holder or string.rep('\0', 24)) .. s.halts
    else
      gone[#gone + 1] = name
    end
  end
  L.changed.sequences = nil
  page('HSET', L.charges, set, 2)
  page('HDEL', L.charges, gone, 1)
  if lost and redis.call('EXISTS', L.lined) == 0 then
    redis.call('UNLINK', L.lanes, L.lkeys, L.open, L.waits, L.opening)
    L.nodes, L.keys, L.times = {}, {}, {}
  end
end

---- Waitlists

-- lookAgain notes that a limit is to be looked at again at a time in us.
local function lookAgain(L, use, us)
  redis.call('ZADD', L.opening, 'LT', text(math.ceil(us / 1000)), use)
end

-- shut closes a waitlist.
local function shut(L, node, use, again)
  placed(L, node)
  if node.turn and not isShut(L, node) then
    remove(L, levelOf(L, string.byte(node.name, -1)), node.turn, node.name)
  end
  node.shut = true
  redis.call('ZADD', L.waits, 0, string.sub(node.name, 2))
  if again then
    lookAgain(L, use, again)
  end
end

-- await moves a class to the waitlist for a cost of one of its limits, which it closes.
local function await(L, class, use, cost, again)
  local node = nodeOf(L, class.node)
  local parent = parentOf(L, node)
  placed(L, node)
  if string.byte(parent.name, 1) == 2 then
    placed(L, parent)
    remove(L, parent, node.turn, node.name)
    refile(L, parent)
  else
    remove(L, parent, node.turn, node.name)
  end
  local waitlist = nodeOf(L, '\2' .. use .. big(cost, 4) .. string.char(class.priority))
  shut(L, waitlist, use, again)
  insert(L, waitlist, node.turn, node.name)
  refile(L, waitlist)
  node.parent = waitlist
  L.fields['p' .. node.name] = waitlist.name
end

-- refresh opens the waitlists of a limit for which there is room. It reports whether it has opened one.
local function refresh(L, use)
  local opened, from = false, '[' .. use
  for _ = 1, 10 do
    local names = redis.call('ZRANGEBYLEX', L.waits, from, '[' .. use .. '\255', 'LIMIT', 0, 20)
    for _, name in ipairs(names) do
      local free, again = fits(L, use, number(name, #use + 1, 4))
      if not free then -- the others need more
        if again then
          lookAgain(L, use, again)
        end
        return opened
      end
      redis.call('ZREM', L.waits, name)
      local node = nodeOf(L, '\2' .. name)
      node.shut = false
      node.turn = first(L, node) or false
      if node.turn then
        insert(L, levelOf(L, string.byte(name, -1)), node.turn, node.name)
        opened = true
      end
    end
    if #names < 20 then
      return opened
    end
  end
  lookAgain(L, use, timeOf(L)) -- the next hand-out goes on
  return opened
end

-- mayStart reports whether there are lines from which a task may be handed out.
local function mayStart(L)
  return #redis.call('ZRANGEBYLEX', L.open, '[\0', '(\1', 'LIMIT', 0, 1) > 0
end

---- Sequences

-- sequenceOf reads the state of a sequence: holder, position and id of the task that has started and
-- not ended ('' if there is none); and halts, the positions of the tasks that halt it, in order.
-- The tasks behind the first of these wait. It is stored as both in one text, with 24 zero bytes if
-- there is no holder.
local function sequenceOf(L, name)
  local s = L.sequences[name]
  if not s then
    local v = redis.call('HGET', L.charges, name)
    s = { holder = '', halts = '' }
    if v and #v >= 24 then
      s.halts = string.sub(v, 25)
      if string.sub(v, 9, 24) ~= string.rep('\0', 16) then
        s.holder = string.sub(v, 1, 24)
      end
    end
    L.sequences[name] = s
  end
  return s
end

-- firstIn returns position and id of the first task of a line, or nil.
local function firstIn(L, line)
  local member = redis.call('ZRANGEBYLEX', L.lined, '[' .. line, '[' .. line .. '\255', 'LIMIT', 0, 1)[1]
  return member and string.sub(member, #line + 1)
end

-- mayFollow returns position and id of the task in line that may start next as far as its sequence
-- is concerned, or nil: the one that has started before and has come back; or, if there is none, the
-- first one, if no failure halts it.
local function mayFollow(L, name, line)
  local s = sequenceOf(L, name)
  if s.holder ~= '' then
    return redis.call('ZSCORE', L.lined, line .. s.holder) and s.holder
  end
  local head = firstIn(L, line)
  if head and (s.halts == '' or number(head, 1, 8) <= number(s.halts, 1, 8)) then
    return head
  end
end

-- advance puts the line of a sequence into the tree, or takes it out, as it has to be now.
local function advance(L, name)
  local line = '\255' .. string.sub(name, 2)
  local head, lane
  repeat
    head = mayFollow(L, name, line)
    local msg = head and redis.call('HGET', L.later, string.sub(head, 9))
    lane = msg and readable(msg) and laneOf(msg)
    if head and not lane then -- it has ended, or its message is damaged
      redis.call('ZREM', L.lined, line .. head)
      if sequenceOf(L, name).holder == head then
        L.sequences[name].holder = ''
        change(L, 'sequences', name)
      end
    end
  until lane or not head
  local at = fieldOf(L, line)
  if at then
    local to = TURN + 1 + string.byte(at, TURN + 1)
    local key, class, turn = string.sub(at, TURN + 1, to), string.sub(at, to + 1), string.sub(at, 1, TURN)
    if lane and lane.key == key and lane.class.name == class then
      if string.sub(turn, TIME + 1) ~= string.sub(head, 1, 8) then
        move(L, line, lane.class, key, turn, string.sub(head, 1, 8))
      end
      return
    end
    leave(L, line, classOf(class), key, turn)
  end
  if lane then
    enter(L, line, lane.class, lane.key, string.sub(head, 1, 8))
  end
end

---- What happens to tasks

-- nextPosition returns the next place in the order of submission.
local function nextPosition(L)
  L.last = L.last or tonumber(redis.call('HGET', L.lanes, 'n') or 0) or 0
  L.last = math.max(L.last + 1, timeOf(L))
  L.fields.n = text(L.last)
  return big(L.last, 8)
end

-- lineUp puts tasks in line, and wakes a minion if one of them may be handed out. Messages
-- without a position get the next one. The message of a scheduled or blocked task is in later
-- already, and is replaced.
local function lineUp(L, ready, held, watch, wake, msgs)
  local begins = redis.call('EXISTS', L.lined) == 0
  local records, lined = {}, {}
  local lines, order, keys = {}, {}, {} -- the lanes of the first tasks of lines; lines in order
  for _, msg in ipairs(msgs) do
    local lane, id = laneOf(msg), string.sub(msg, 2, 17)
    if lane.position == '\0\0\0\0\0\0\0\0' then
      lane.position = nextPosition(L)
      msg = string.sub(msg, 1, 56) .. lane.position .. string.sub(msg, 65)
    end
    records[#records + 1] = id
    records[#records + 1] = msg
    lined[#lined + 1] = 0
    lined[#lined + 1] = lane.line .. lane.position .. id
    local known = lines[lane.line]
    if not known then
      order[#order + 1] = lane.line
      keys[#keys + 1] = string.char(lane.class.priority) .. lane.key
    end
    if not known or number(lane.position, 1, 8) < number(known.position, 1, 8) then
      lines[lane.line] = lane
    end
    if lane.sequence ~= '' then
      local s = sequenceOf(L, lane.sequence)
      if string.sub(s.holder, 9) == id and string.sub(s.holder, 1, 8) ~= lane.position then -- it was released again
        s.holder = lane.position .. id
        change(L, 'sequences', lane.sequence)
      end
    end
  end
  page('HSET', L.later, records, 2)
  page('ZADD', L.lined, lined, 2)
  readKeys(L, keys)
  for i, at in ipairs(fetch(L.lanes, order)) do
    local line = order[i]
    local lane = lines[line]
    if lane.sequence ~= '' then
      advance(L, lane.sequence)
    else
      if L.fields[line] ~= nil then
        at = L.fields[line]
      end
      if not at then
        enter(L, line, lane.class, lane.key, lane.position)
      elseif number(lane.position, 1, 8) < number(at, TIME + 1, 8) then -- a task has come back to the front
        move(L, line, lane.class, lane.key, at, lane.position)
      end
    end
  end
  saveLanes(L)
  if begins then -- from here on held must exist: see push.lua
    if redis.call('EXISTS', held) == 0 and redis.call('EXISTS', ready) == 1 then
      redis.call('RENAME', ready, held)
    end
    if redis.call('LINDEX', held, -1) ~= '!' then
      redis.call('RPUSH', held, '!')
    end
  end
  if begins or mayStart(L) then
    nudge(ready, watch, wake)
  end
end

-- leaveLine takes tasks that have ended out of their lines.
local function leaveLine(L, msgs)
  for _, msg in ipairs(msgs) do
    local lane = laneOf(msg)
    if lane and redis.call('ZREM', L.lined, lane.line .. lane.position .. string.sub(msg, 2, 17)) == 1 then
      local at = fieldOf(L, lane.line)
      if lane.sequence ~= '' then
        advance(L, lane.sequence)
      elseif at and string.sub(at, TIME + 1) == lane.position then
        local head = firstIn(L, lane.line)
        if head then
          move(L, lane.line, lane.class, lane.key, at, string.sub(head, 1, 8))
        else
          leave(L, lane.line, lane.class, lane.key, at)
        end
      end
    end
  end
  saveLanes(L)
end

-- discharge gives back what attempts have used. It is called when their messages leave the flight
-- hash. It returns whether other tasks may be handed out now.
local function discharge(L, msgs)
  local uses, costs = {}, {}
  for _, msg in ipairs(msgs) do
    local lane = laneOf(msg)
    if lane then
      for i, use in ipairs(lane.class.uses) do
        uses[#uses + 1] = use
        costs[#costs + 1] = lane.class.costs[i]
      end
    end
  end
  if #uses == 0 then
    return false
  end
  readAccounts(L, uses)
  for i, use in ipairs(uses) do
    local a = L.accounts[use]
    a.used = math.max(a.used - costs[i], 0)
    change(L, 'accounts', use)
  end
  local opened = false
  if redis.call('EXISTS', L.waits) == 1 then
    for use in pairs(L.changed.accounts) do
      opened = refresh(L, use) or opened
    end
  end
  saveLanes(L)
  return opened
end

-- endSequence ends the turns of tasks that are final in their sequences: the next task may start;
-- or, if the task has failed or expired and its lane says so, the sequence is halted. final is the
-- state. It returns whether other tasks may be handed out now.
local function endSequence(L, msgs, final)
  local names, opened = {}, false
  for _, msg in ipairs(msgs) do
    local lane = laneOf(msg)
    if lane and lane.sequence ~= '' then
      local s, position = sequenceOf(L, lane.sequence), lane.position
      local halting = lane.stop and (final == 7 or final == 9) -- failed, expired
      if string.sub(s.holder, 9) == string.sub(msg, 2, 17) then
        s.holder = ''
      end
      if halting and position == '\0\0\0\0\0\0\0\0' then -- it was never in line: later tasks are behind it
        position = nextPosition(L)
        L.lost = true -- perhaps no task is in line
      end
      local at = 1 -- where its position is among the halts, or would be
      while at < #s.halts and number(s.halts, at, 8) < number(position, 1, 8) do
        at = at + 8
      end
      local is = string.sub(s.halts, at, at + 7) == position
      if halting and not is then
        s.halts = string.sub(s.halts, 1, at - 1) .. position .. string.sub(s.halts, at)
      elseif is and final == 6 then -- it has failed before, was requeued, and has succeeded
        s.halts = string.sub(s.halts, 1, at - 1) .. string.sub(s.halts, at + 8)
      end
      change(L, 'sequences', lane.sequence)
      names[lane.sequence] = true
    end
  end
  for name in pairs(names) do
    advance(L, name)
    opened = true
  end
  if opened then
    saveLanes(L)
  end
  return opened
end
