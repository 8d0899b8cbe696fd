-- The tree finds the line that comes next. Each node stands under its parent with a turn, which is that of
-- its own first child:
--
--   priority ─ group ─ line                 lines of small classes
--   priority ─ class ─ line                 lines of a large class
--   priority ─ waitlist ─ group or class ─ line
--
-- There are two ways in which what comes next changes: a key has a turn, and all its lines have a later
-- one then; and a class moves with all its lines. For both to be cheap there are two kinds of classes.
-- A class with few lines is small: its lines are in groups, one for each key below a priority or a waitlist. A
-- turn of a key moves one node then, its group. Any other class is large: it moves in one step, and a turn
-- of a key changes each large class that has the key. The others notice later: their turns are too
-- small then, so they come first too early, and are put to their right places. No line comes too late.
--
-- A node is named '\0' and 9 - priority; '\1' and class; '\2', limit, cost (4 bytes) and priority; or, of
-- a group, '\3', the node above it and the key without its priority. A member of open is the node that is
-- the parent, the turn, and the child: a node; of a group '\3' and the key; the class of a line below
-- a group; the key of a line below a class. Below a group the time in the turns is 0.

local STEP = 1000 -- how much a hand-out adds to the virtual time of a key of weight 1
local TIME = 15 -- length of a virtual time in a turn

local step, present, readKeys, keyOf, groupOf, saveNodes, first, nodeOf, fileNodes, recordOf,
  poolOf, enter, leave, move, await, nextLine -- what others use
do
local TURN = TIME + 8 -- length of a turn
local FEW = 16 -- up to so many lines a class is small
local PRIORITY, CLASS, WAITLIST, GROUP = 0, 1, 2, 3 -- kinds of nodes, the first bytes of their names

-- timeText returns a virtual time as a text that sorts like it.
local function timeText(n)
  return string.format('%015.0f', n)
end
local NO_TIME = timeText(0)

-- before reports whether a turn comes before another one. The operator < of Lua does not tell, since
-- it compares texts in the way of the server's language.
local function before(a, b)
  local x, y = string.sub(a, 1, TIME), string.sub(b, 1, TIME)
  if x ~= y then
    return (tonumber(x) or 0) < (tonumber(y) or 0)
  end
  return number(a, TIME + 1, 8) < number(b, TIME + 1, 8)
end

---- Keys

-- step returns how much a hand-out adds to the virtual time of a key, which is given with its priority.
function step(L, key)
  if not flags(L).weighed then
    return STEP
  end
  if not L.weights[key] then
    local weight = tonumber(redis.call('HGET', L.limits, 'w' .. string.sub(key, 3)) or 1) or 1
    L.weights[key] = math.floor(STEP / math.max(weight, 1))
  end
  return L.weights[key]
end

-- present returns the virtual time of a priority.
function present(L, priority)
  if not L.times[priority] then
    L.times[priority] = tonumber(fieldOf(L, 'v' .. priority) or 0) or 0
  end
  return L.times[priority]
end

-- readKeys reads some keys, which are given with their priorities. A key has time, its virtual time,
-- and lines, the number of its lines in the tree.
function readKeys(L, keys)
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

function keyOf(L, key)
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

---- Nodes and their children

-- nodeOf returns a node. list has the members of some of its children, from the index at on, and whole
-- says whether there are no more; gone and new have the members to be removed and added, by child;
-- turn is the turn with which it stands under its parent, false if it does not, and nil if that was
-- not read yet.
function nodeOf(L, name)
  local node = L.nodes[name]
  if not node then
    node = { name = name, kind = string.byte(name, 1), child = name, at = 1, gone = {}, new = {} }
    L.nodes[name] = node
  end
  return node
end

local function levelOf(L, priority)
  return nodeOf(L, '\0' .. string.char(9 - priority))
end

-- groupOf returns the group of a key, which is given without its priority, below a priority or a waitlist.
function groupOf(L, parent, key)
  local group = nodeOf(L, '\3' .. parent.name .. key)
  if not group.parent then
    local priority = parent.kind == PRIORITY and 9 - string.byte(parent.name, 2) or string.byte(parent.name, -1)
    group.parent, group.child, group.key = parent, '\3' .. key, string.char(priority) .. key
  end
  return group
end

-- saveNodes stores the changes below some nodes, whose names are the keys of a table.
function saveNodes(L, names)
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

-- below returns the members of up to so many children of a node.
local function below(L, node, most)
  saveNodes(L, { [node.name] = true })
  return redis.call('ZRANGEBYLEX', L.open, '[' .. node.name, '[' .. node.name .. '\255', 'LIMIT', 0, most)
end

-- first returns the turn and the name of the first child of a node, or nil.
function first(L, node)
  local list, name = node.list, node.name
  if not list or node.at > #list and not node.whole then
    list = below(L, node, L.width)
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

---- Classes, and where nodes stand

-- recordOf returns what is stored of a class: lines, the number of its lines in the tree; large; and
-- place, the node of the waitlist that has it, or ''. It is stored as the number, 'L' or 'S', and the
-- node.
function recordOf(L, class)
  local r = L.records[class.name]
  if not r then
    local v = fieldOf(L, 'c' .. class.name) or '0S'
    local from = string.find(v, '[LS]') or #v + 1
    r = { lines = tonumber(string.sub(v, 1, from - 1)) or 0, large = string.sub(v, from, from) == 'L', place = string.sub(v, from + 1) }
    L.records[class.name] = r
  end
  return r
end

-- poolOf returns the priority or the waitlist that has a class.
function poolOf(L, class)
  local place = recordOf(L, class).place
  if place ~= '' then
    return nodeOf(L, place)
  end
  return levelOf(L, class.priority)
end

-- isShut reports whether a waitlist is closed.
local function isShut(L, node)
  if node.shut == nil then
    node.shut = redis.call('ZSCORE', L.waits, string.sub(node.name, 2)) and true or false
  end
  return node.shut
end

-- parentOf returns the node under which another one stands; nil if it stands under none.
local function parentOf(L, node)
  if node.kind == GROUP then
    return node.parent
  elseif node.kind == CLASS then
    return poolOf(L, classOf(string.sub(node.name, 2)))
  elseif node.kind == WAITLIST and not isShut(L, node) then
    return levelOf(L, string.byte(node.name, -1))
  end
end

-- turnOf returns the turn that a node should have, false if it has no child.
local function turnOf(L, node)
  local turn = first(L, node)
  if turn and node.kind == GROUP then
    return timeText(keyOf(L, node.key).time) .. string.sub(turn, TIME + 1)
  end
  return turn or false
end

-- placed reads the turn with which a node stands under its parent, before its children change.
local function placed(L, node)
  if node.turn == nil then
    if node.kind == GROUP then
      node.turn = fieldOf(L, 'g' .. node.name) or false
    else
      node.turn = first(L, node) or false
    end
  end
end

-- refile moves a node to its place, after its children or the time of its key have changed.
local function refile(L, node)
  local was, turn = node.turn, turnOf(L, node)
  if was == turn then
    return
  end
  node.turn = turn
  if node.kind == GROUP then
    L.fields['g' .. node.name] = turn
  end
  local parent = parentOf(L, node)
  if parent then
    local within = parent.kind == WAITLIST
    if within then
      placed(L, parent)
    end
    if was then
      remove(L, parent, was, node.child)
    end
    if turn then
      insert(L, parent, turn, node.child)
    end
    if within then
      refile(L, parent)
    end
  end
  if not turn and node.kind == WAITLIST and isShut(L, node) then
    redis.call('ZREM', L.waits, string.sub(node.name, 2))
    node.shut = false
  end
end

-- fileNodes moves all nodes whose children have changed.
function fileNodes(L)
  for name in pairs(L.changed.filed or {}) do
    refile(L, L.nodes[name])
  end
  L.changed.filed = nil
end

---- Lines

-- put puts a line into its place in the tree, and take takes it from there. key is given without its
-- priority.
local function put(L, class, key, position)
  local node, turn, child
  if recordOf(L, class).large then
    node, child = nodeOf(L, '\1' .. class.name), key
    turn = timeText(keyOf(L, string.char(class.priority) .. key).time) .. position
  else
    node, child, turn = groupOf(L, poolOf(L, class), key), class.name, NO_TIME .. position
  end
  placed(L, node)
  insert(L, node, turn, child)
  L.fields[class.name .. key] = turn
  change(L, 'filed', node.name)
end

local function take(L, class, key, turn)
  local node, child
  if recordOf(L, class).large then
    node, child = nodeOf(L, '\1' .. class.name), key
  else
    node, child = groupOf(L, poolOf(L, class), key), class.name
  end
  placed(L, node)
  remove(L, node, turn, child)
  L.fields[class.name .. key] = false
  change(L, 'filed', node.name)
end

-- linesOf returns the lines of a class that are in the tree: the key and the turn of each.
local function linesOf(L, class)
  local name, out, many = class.name, {}, recordOf(L, class).lines
  local from = '[' .. name
  repeat
    local member = redis.call('ZRANGEBYLEX', L.lined, from, '[' .. name .. '\255', 'LIMIT', 0, 1)[1]
    if member then
      local to = #name + 1 + string.byte(member, #name + 1)
      local line = string.sub(member, 1, to)
      local turn = fieldOf(L, line)
      if turn then
        out[#out + 1] = { key = string.sub(line, #name + 1), turn = turn }
      end
      from = '(' .. line .. '\255'
    end
  until not member or #out >= many
  return out
end

-- resize makes a class large or small.
local function resize(L, class, large)
  local lines = linesOf(L, class)
  for _, line in ipairs(lines) do
    take(L, class, line.key, line.turn)
  end
  fileNodes(L)
  L.records[class.name].large = large
  for _, line in ipairs(lines) do
    put(L, class, line.key, string.sub(line.turn, TIME + 1))
  end
end

-- enter puts a new line into the tree, leave takes one out that has no task any more, and move changes its
-- turn after its first task has changed.
function enter(L, class, key, position)
  local r, full = recordOf(L, class), string.char(class.priority) .. key
  local k = keyOf(L, full)
  if r.lines == FEW and not r.large then
    resize(L, class, true)
  end
  r.lines, k.lines = r.lines + 1, k.lines + 1
  change(L, 'records', class.name)
  change(L, 'keys', full)
  put(L, class, key, position)
end

function leave(L, class, key, turn)
  local r, full = recordOf(L, class), string.char(class.priority) .. key
  local k = keyOf(L, full)
  take(L, class, key, turn)
  r.lines, k.lines = math.max(r.lines - 1, 0), math.max(k.lines - 1, 0)
  change(L, 'records', class.name)
  change(L, 'keys', full)
  if r.lines == 0 then
    fileNodes(L)
    r.large, r.place = false, ''
  elseif r.large and r.lines < FEW / 2 then
    resize(L, class, false)
  end
end

function move(L, class, key, turn, position)
  take(L, class, key, turn)
  put(L, class, key, position)
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
    remove(L, levelOf(L, string.byte(node.name, -1)), node.turn, node.child)
  end
  node.shut = true
  redis.call('ZADD', L.waits, 0, string.sub(node.name, 2))
  if again then
    lookAgain(L, use, again)
  end
end

-- await moves a class to the waitlist for a cost of one of its limits, which it closes.
function await(L, class, use, cost, again)
  local r, waitlist = recordOf(L, class), nodeOf(L, '\2' .. use .. big(cost, 4) .. string.char(class.priority))
  fileNodes(L)
  shut(L, waitlist, use, again)
  if r.large then
    local node, from = nodeOf(L, '\1' .. class.name), poolOf(L, class)
    placed(L, node)
    if from.kind == WAITLIST then
      placed(L, from)
      change(L, 'filed', from.name)
    end
    remove(L, from, node.turn, node.child)
    insert(L, waitlist, node.turn, node.child)
    change(L, 'filed', waitlist.name)
    r.place = waitlist.name
  else
    local lines = linesOf(L, class)
    for _, line in ipairs(lines) do
      take(L, class, line.key, line.turn)
    end
    r.place = waitlist.name
    for _, line in ipairs(lines) do
      put(L, class, line.key, string.sub(line.turn, TIME + 1))
    end
  end
  change(L, 'records', class.name)
end

-- fewBelow returns the lines below a waitlist, each with its class, key and turn; nil if there are many.
local function fewBelow(L, node)
  local out, members = {}, below(L, node, FEW + 1)
  for i = 1, math.min(#members, FEW) do
    local child = string.sub(members[i], #node.name + TURN + 1)
    if string.byte(child, 1) ~= GROUP then
      return nil
    end
    local key = string.sub(child, 2)
    local group = groupOf(L, node, key)
    for _, member in ipairs(below(L, group, FEW + 1)) do
      local class = classOf(string.sub(member, #group.name + TURN + 1))
      if class then
        out[#out + 1] = { class = class, key = key, turn = string.sub(member, #group.name + 1, #group.name + TURN) }
      end
    end
  end
  return #members <= FEW and #out <= FEW and out or nil
end

-- unlock opens a waitlist: it stands under its priority then. If it has few lines, these stand there
-- instead; they would be too many nodes with the same keys.
local function unlock(L, node)
  redis.call('ZREM', L.waits, string.sub(node.name, 2))
  node.shut = false
  local lines = fewBelow(L, node)
  if not lines then
    node.turn = first(L, node)
    insert(L, levelOf(L, string.byte(node.name, -1)), node.turn, node.child)
    return
  end
  node.turn = false
  for _, line in ipairs(lines) do
    take(L, line.class, line.key, line.turn)
  end
  for _, line in ipairs(lines) do
    recordOf(L, line.class).place = ''
    change(L, 'records', line.class.name)
    put(L, line.class, line.key, string.sub(line.turn, TIME + 1))
  end
end

-- refresh opens the waitlists of a limit for which there is room. It reports whether it has opened one.
function refresh(L, use)
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
      unlock(L, nodeOf(L, '\2' .. name))
      opened = true
    end
    if #names < 20 then
      return opened
    end
  end
  lookAgain(L, use, timeOf(L)) -- the next hand-out goes on
  return opened
end

-- nextLine returns class, key and turn of the line that has the next turn of a priority, whose node is
-- given, and whether no other line is in its place; nil if it had to correct the tree first.
function nextLine(L, level)
  local turn, child = first(L, level)
  local parent = level
  if string.byte(child, 1) == WAITLIST then
    parent = nodeOf(L, child)
    parent.shut, parent.turn = false, turn
    local use = string.sub(child, 2, -6)
    local free, again = fits(L, use, number(child, #child - 4, 4))
    if not free then
      shut(L, parent, use, again)
      return
    end
    turn, child = first(L, parent)
    if turn ~= parent.turn then
      refile(L, parent)
      return
    end
  end
  local node, class, key
  if string.byte(child, 1) == GROUP then
    node, key = groupOf(L, parent, string.sub(child, 2)), string.sub(child, 2)
  else
    node, class = nodeOf(L, child), classOf(string.sub(child, 2))
  end
  node.turn = turn
  if node.kind == CLASS and not class or turnOf(L, node) ~= turn then
    refile(L, node) -- its key has had a turn below another node
    return
  end
  local at, name = first(L, node)
  if not key then
    key = name
    if (tonumber(string.sub(at, 1, TIME)) or 0) < keyOf(L, string.char(class.priority) .. key).time then
      move(L, class, key, at, string.sub(at, TIME + 1)) -- the same
      return
    end
  else
    class = classOf(name)
  end
  return class, key, at, node.whole and #node.list == node.at
end

-- mayStart reports whether there are lines from which a task may be handed out.
function mayStart(L)
  return #redis.call('ZRANGEBYLEX', L.open, '[\0', '(\1', 'LIMIT', 0, 1) > 0
end
end
