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

local step, present, readKeys, keyOf, levelOf, groupOf, saveTree, firstOf, fileNodes, recordOf, poolOf, -- what others use
  lineOf, readLines, enter, leave, move, await, refresh, nextLine, mayStart
do
local TIME = 15 -- length of a virtual time in a turn
local TURN = TIME + 8 -- length of a turn
local FEW = 16 -- up to so many lines a class is small
local PRIORITY, CLASS, WAITLIST, GROUP = 0, 1, 2, 3 -- kinds of nodes, the first bytes of their names

-- timeText returns a virtual time as a text that sorts like it.
local texts = {}
local function timeText(n)
  local s = texts[n]
  if not s then
    s = string.format('%015.0f', n)
    texts[n] = s
  end
  return s
end

---- Keys

-- step returns how much a hand-out adds to the virtual time of a key.
function step(L, k)
  if not flags(L).weighed then
    return STEP
  end
  if not k.step then
    local weight = tonumber(redis.call('HGET', L.limits, 'w' .. string.sub(k.key, 2)) or 1) or 1
    k.step = math.floor(STEP / math.max(weight, 1))
  end
  return k.step
end

-- present returns the virtual time of a priority.
function present(L, priority)
  if not L.times[priority] then
    L.times[priority] = tonumber(fieldOf(L, 'v' .. priority) or 0) or 0
  end
  return L.times[priority]
end

-- readKeys reads some keys of a priority. A key has time, its virtual time, and lines, the number of its
-- lines in the tree.
function readKeys(L, priority, keys)
  local known = L.keys[priority]
  if not known then
    known = {}
    L.keys[priority] = known
  end
  local asked, names = {}, {}
  for _, key in ipairs(keys) do
    if not known[key] then
      local k = { key = key, priority = priority, lines = 0 }
      known[key] = k
      asked[#asked + 1] = k
      names[#names + 1] = string.char(priority) .. key
    end
  end
  for i, v in ipairs(fetch(L.lkeys, names)) do
    local k = asked[i]
    local time = v and tonumber(v)
    if time then
      k.time, k.lines = time, 1
    elseif v then
      local t, n = string.match(v, '^(%d+) (%d+)$')
      k.time, k.lines = tonumber(t or 0), tonumber(n or 1)
    end
  end
end

function keyOf(L, priority, key)
  local k = L.keys[priority] and L.keys[priority][key]
  if not k then
    readKeys(L, priority, { key })
    k = L.keys[priority][key]
  end
  if k.lines == 0 then
    -- A key that becomes active again starts at the present virtual time, behind those that have been
    -- waiting: it neither gains nor loses by having been away.
    k.time = present(L, priority) + step(L, k)
  end
  return k
end

---- Nodes and entries

-- An entry is the place of a child below a node: time and position, which are its turn; child; node;
-- member, its member in open, nil if it has none yet; and gone, whether it was taken away.

-- before reports whether a turn comes before that of an entry. The operator < of Lua does not tell for
-- positions, since it compares texts in the way of the server's language.
local function before(time, position, e)
  if time ~= e.time then
    return time < e.time
  end
  return number(position, 1, 8) < number(e.position, 1, 8)
end

-- nodeOf returns a node. list has some of its entries in order, from the index at on, and whole says
-- whether there are no more; by has the entries that were read or changed, by child. entry is its own
-- entry below its parent, nil if it has none; placed says whether that was read.
local function nodeOf(L, name)
  local node = L.nodes[name]
  if not node then
    node = { name = name, kind = string.byte(name, 1), child = name, at = 1, by = {} }
    L.nodes[name] = node
  end
  return node
end

function levelOf(L, priority)
  return nodeOf(L, '\0' .. string.char(9 - priority))
end

-- groupOf returns the group of a key below a priority or a waitlist.
function groupOf(L, parent, key)
  local group = nodeOf(L, '\3' .. parent.name .. key)
  if not group.parent then
    local priority = parent.kind == PRIORITY and 9 - string.byte(parent.name, 2) or string.byte(parent.name, -1)
    group.parent, group.child, group.key, group.priority = parent, '\3' .. key, key, priority
  end
  return group
end

-- entryAt returns the entry of a child that stands below a node with a turn, which is given as text.
local function entryAt(node, turn, child)
  local e = node.by[child]
  if not e then
    e = {
      node = node, child = child, member = node.name .. turn .. child,
      time = tonumber(string.sub(turn, 1, TIME)) or 0, position = string.sub(turn, TIME + 1),
    }
    node.by[child] = e
  end
  return e
end

-- turnText returns the turn of an entry as text.
local function turnText(e)
  return timeText(e.time) .. e.position
end

-- saveNodes stores the changes below some nodes, whose names are the keys of a table.
local function saveNodes(L, names)
  local gone, new = {}, {}
  for name in pairs(names) do
    local node = L.nodes[name]
    for e in pairs(node.dirty or {}) do
      local member = not e.gone and name .. turnText(e) .. e.child or nil
      if e.member ~= member then
        if e.member then
          gone[#gone + 1] = e.member
        end
        if member then
          new[#new + 1] = 0
          new[#new + 1] = member
        else
          node.by[e.child] = nil
        end
        e.member = member
      end
    end
    node.dirty = nil
  end
  page('ZREM', L.open, gone, 1)
  page('ZADD', L.open, new, 2)
end

-- below returns the members of up to so many children of a node.
local function below(L, node, most)
  if node.dirty then
    saveNodes(L, { [node.name] = true })
  end
  return redis.call('ZRANGEBYLEX', L.open, '[' .. node.name, '[' .. node.name .. '\255', 'LIMIT', 0, most)
end

-- firstOf returns the first entry below a node, or nil.
function firstOf(L, node)
  local list = node.list
  if not list or node.at > #list and not node.whole then
    local from = #node.name
    list = {}
    for i, member in ipairs(below(L, node, L.width)) do
      list[i] = entryAt(node, string.sub(member, from + 1, from + TURN), string.sub(member, from + TURN + 1))
    end
    node.list, node.at, node.whole = list, 1, #list < L.width
    if node.kind == CLASS and #list > 2 then
      local keys = {}
      for i, e in ipairs(list) do
        keys[i] = e.child
      end
      readKeys(L, string.byte(node.name, 2), keys)
    end
  end
  return list[node.at]
end

-- touch notes that an entry has changed.
local function touch(L, node, e)
  if not node.dirty then
    node.dirty = {}
    change(L, 'nodes', node.name)
  end
  node.dirty[e] = true
end

-- unlist takes an entry out of the list of its node, and relist puts it there.
local function unlist(node, e)
  local list = node.list
  if not list then
    return
  elseif list[node.at] == e then
    node.at = node.at + 1
    return
  end
  for i = node.at + 1, #list do
    if list[i] == e then
      table.remove(list, i)
      return
    end
  end
end

local function relist(node, e)
  local list = node.list
  if not list then
    return
  end
  local from, to = node.at, #list
  local time, position = e.time, e.position
  if to < from or not before(time, position, list[to]) then
    if node.whole then
      list[to + 1] = e
    end -- else it is behind those that were read
    return
  end
  while from < to do
    local middle = math.floor((from + to) / 2)
    if before(time, position, list[middle]) then
      to = middle
    else
      from = middle + 1
    end
  end
  table.insert(list, from, e)
end

-- insert puts a child below a node, remove takes an entry away, and shift gives it another turn. refile
-- then moves the node itself.
local function insert(L, node, child, time, position)
  local e = node.by[child]
  if not e then
    e = { node = node, child = child }
    node.by[child] = e
  end
  e.time, e.position, e.gone = time, position, nil
  touch(L, node, e)
  relist(node, e)
  return e
end

local function remove(L, e)
  e.gone = true
  touch(L, e.node, e)
  unlist(e.node, e)
end

local function shift(L, e, time, position)
  local node = e.node
  unlist(node, e)
  e.time, e.position = time, position
  touch(L, node, e)
  relist(node, e)
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

-- readPlace reads the entry of a node below its parent, before its children change.
local function readPlace(L, node)
  if node.placed then
    return
  end
  node.placed = true
  local parent, turn = parentOf(L, node), nil
  if node.kind == GROUP then
    turn = fieldOf(L, 'g' .. node.name)
  else
    local e = firstOf(L, node)
    turn = e and turnText(e)
  end
  if parent and turn then
    node.entry = entryAt(parent, turn, node.child)
  end
end

-- refile moves a node to its place, after its children or the time of its key have changed.
local function refile(L, node)
  local e, has, parent = firstOf(L, node), node.entry, parentOf(L, node)
  if not parent then
    if not e and node.kind == WAITLIST and node.shut then
      redis.call('ZREM', L.waits, string.sub(node.name, 2))
      node.shut = false
    end
    return
  end
  if parent.kind == WAITLIST then
    readPlace(L, parent)
  end
  if not e then
    if not has then
      return
    end
    remove(L, has)
    node.entry = nil
  else
    local time = node.kind == GROUP and keyOf(L, node.priority, node.key).time or e.time
    if not has then
      node.entry = insert(L, parent, node.child, time, e.position)
    elseif has.time ~= time or has.position ~= e.position then
      shift(L, has, time, e.position)
    else
      return
    end
  end
  if node.kind == GROUP then
    change(L, 'groups', node.name)
  end
  if parent.kind == WAITLIST then
    refile(L, parent)
  end
end

-- fileNodes moves all nodes whose children have changed.
function fileNodes(L)
  local filed = L.changed.filed
  if filed then
    L.changed.filed = nil
    for name in pairs(filed) do
      refile(L, L.nodes[name])
    end
  end
end

---- Lines

-- homeOf returns the node below which a line stands, and its name there.
local function homeOf(L, class, key)
  if recordOf(L, class).large then
    return nodeOf(L, '\1' .. class.name), key
  end
  return groupOf(L, poolOf(L, class), key), class.name
end

-- lineOf returns the entry of a line, nil if it has no task; and readLines reads several before.
function lineOf(L, class, key)
  local line = class.name .. key
  local e = L.lines[line]
  if e == nil then
    local turn = fieldOf(L, line)
    if turn then
      local node, child = homeOf(L, class, key)
      e = entryAt(node, turn, child)
    end
    L.lines[line] = e or false
  end
  return e or nil
end

function readLines(L, lanes)
  local fields, homes = {}, {}
  for _, lane in ipairs(lanes) do
    fields[#fields + 1] = lane.line
    fields[#fields + 1] = 'c' .. lane.class.name
  end
  readFields(L, fields)
  for _, lane in ipairs(lanes) do
    if not L.lines[lane.line] and not recordOf(L, lane.class).large then
      homes[#homes + 1] = 'g' .. homeOf(L, lane.class, lane.key).name
    end
  end
  readFields(L, homes)
end

-- put puts a line into its place in the tree, and take takes it from there.
local function put(L, class, key, position)
  local line, node, child = class.name .. key, homeOf(L, class, key)
  readPlace(L, node)
  local time = node.kind == CLASS and keyOf(L, class.priority, key).time or 0
  L.lines[line] = insert(L, node, child, time, position)
  change(L, 'lines', line)
  change(L, 'filed', node.name)
end

local function take(L, class, key, e)
  local line = class.name .. key
  readPlace(L, e.node)
  remove(L, e)
  L.lines[line] = false
  change(L, 'lines', line)
  change(L, 'filed', e.node.name)
end

-- linesOf returns the lines of a class that are in the tree: the key and the position of each.
local function linesOf(L, class)
  local name, out, many = class.name, {}, recordOf(L, class).lines
  local from = '[' .. name
  repeat
    local member = redis.call('ZRANGEBYLEX', L.lined, from, '[' .. name .. '\255', 'LIMIT', 0, 1)[1]
    if member then
      local to = #name + 1 + string.byte(member, #name + 1)
      local key = string.sub(member, #name + 1, to)
      local e = lineOf(L, class, key)
      if e then
        out[#out + 1] = { key = key, entry = e, position = e.position }
      end
      from = '(' .. name .. key .. '\255'
    end
  until not member or #out >= many
  return out
end

-- replace takes lines of a class out of the tree, calls a function that changes the record of the class,
-- and puts them back.
local function replace(L, class, lines, fn)
  for _, line in ipairs(lines) do
    take(L, class, line.key, line.entry)
  end
  fileNodes(L)
  fn(recordOf(L, class))
  change(L, 'records', class.name)
  for _, line in ipairs(lines) do
    put(L, class, line.key, line.position)
  end
  fileNodes(L)
end

-- enter puts a new line into the tree, leave takes one out that has no task any more, and move changes its
-- turn, since its first task or the time of its key has changed.
function enter(L, class, key, position)
  local r, k = recordOf(L, class), keyOf(L, class.priority, key)
  if r.lines == FEW and not r.large then
    replace(L, class, linesOf(L, class), function(record) record.large = true end)
  end
  r.lines, k.lines = r.lines + 1, k.lines + 1
  change(L, 'records', class.name)
  change(L, 'dirty', k)
  put(L, class, key, position)
end

function leave(L, class, key, e)
  local r, k = recordOf(L, class), keyOf(L, class.priority, key)
  take(L, class, key, e)
  r.lines, k.lines = math.max(r.lines - 1, 0), math.max(k.lines - 1, 0)
  change(L, 'records', class.name)
  change(L, 'dirty', k)
  if r.lines == 0 then
    fileNodes(L)
    r.large, r.place = false, ''
  elseif r.large and r.lines < FEW / 2 then
    replace(L, class, linesOf(L, class), function(record) record.large = false end)
  end
end

function move(L, class, key, e, position)
  local node = e.node
  readPlace(L, node)
  shift(L, e, node.kind == CLASS and keyOf(L, class.priority, key).time or 0, position)
  local line = class.name .. key
  L.lines[line] = e
  change(L, 'lines', line)
  change(L, 'filed', node.name)
end

---- Waitlists

-- lookAgain notes that a limit is to be looked at again at a time in us.
local function lookAgain(L, use, us)
  redis.call('ZADD', L.opening, 'LT', text(math.ceil(us / 1000)), use)
end

-- shut closes a waitlist.
local function shut(L, node, use, again)
  readPlace(L, node)
  if node.entry then
    remove(L, node.entry)
    node.entry = nil
  end
  node.shut = true
  redis.call('ZADD', L.waits, 0, string.sub(node.name, 2))
  if again then
    lookAgain(L, use, again)
  end
end

-- await moves a class to the waitlist for a cost of one of its limits, which it closes.
function await(L, class, use, cost, again)
  local waitlist = nodeOf(L, '\2' .. use .. big(cost, 4) .. string.char(class.priority))
  fileNodes(L)
  shut(L, waitlist, use, again)
  local r = recordOf(L, class)
  if not r.large then
    replace(L, class, linesOf(L, class), function(record) record.place = waitlist.name end)
    return
  end
  local node, from = nodeOf(L, '\1' .. class.name), poolOf(L, class)
  readPlace(L, node)
  if from.kind == WAITLIST then
    readPlace(L, from)
    change(L, 'filed', from.name)
  end
  local e = node.entry
  remove(L, e)
  r.place = waitlist.name
  change(L, 'records', class.name)
  node.entry = insert(L, waitlist, node.child, e.time, e.position)
end

-- fewBelow returns the lines below a waitlist, by class; nil if there are many.
local function fewBelow(L, node)
  local out, many, members = {}, 0, below(L, node, FEW + 1)
  if #members > FEW then
    return nil
  end
  for _, member in ipairs(members) do
    local child = string.sub(member, #node.name + TURN + 1)
    if string.byte(child, 1) ~= GROUP then
      return nil
    end
    local group = groupOf(L, node, string.sub(child, 2))
    local from = #group.name
    for _, line in ipairs(below(L, group, FEW + 1)) do
      local class = classOf(string.sub(line, from + TURN + 1))
      many = many + 1
      if class then
        local e = entryAt(group, string.sub(line, from + 1, from + TURN), class.name)
        out[class] = out[class] or {}
        table.insert(out[class], { key = group.key, entry = e, position = e.position })
      end
    end
    if many > FEW then
      return nil
    end
  end
  return out
end

-- unlock opens a waitlist: it stands under its priority then. If it has few lines, these stand there
-- instead; they would be too many nodes with the same keys.
local function unlock(L, node)
  redis.call('ZREM', L.waits, string.sub(node.name, 2))
  node.shut, node.placed, node.entry = false, true, nil
  local lines = fewBelow(L, node)
  if not lines then
    refile(L, node)
    return
  end
  for class, some in pairs(lines) do
    replace(L, class, some, function(record) record.place = '' end)
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

-- nextLine returns class, key and entry of the line that has the next turn of a priority, whose node is
-- given; nil if it had to correct the tree first.
function nextLine(L, level)
  local e = firstOf(L, level)
  local kind = string.byte(e.child, 1)
  if kind == WAITLIST then
    local waitlist, child = nodeOf(L, e.child), e.child
    waitlist.shut, waitlist.placed, waitlist.entry = false, true, e
    local use = string.sub(child, 2, -6)
    local free, again = fits(L, use, number(child, #child - 4, 4))
    if not free then
      shut(L, waitlist, use, again)
      return
    end
    local inner = firstOf(L, waitlist)
    if not inner or inner.time ~= e.time or inner.position ~= e.position then
      refile(L, waitlist)
      return
    end
    e, kind = inner, string.byte(inner.child, 1)
  end
  local node, class, key
  if kind == GROUP then
    node = groupOf(L, e.node, string.sub(e.child, 2))
    key = node.key
  elseif kind == CLASS then
    node = nodeOf(L, e.child)
    class = classOf(string.sub(e.child, 2))
  end
  if not node or kind == CLASS and not class then -- this should not be here
    remove(L, e)
    change(L, 'filed', e.node.name)
    return
  end
  node.placed, node.entry = true, e
  local inner = firstOf(L, node)
  if not inner or inner.position ~= e.position or e.time ~= (key and keyOf(L, node.priority, key).time or inner.time) then
    refile(L, node) -- the key has had a turn below another node
    return
  end
  if key then
    class = classOf(inner.child)
    if not class then -- this should not be here
      remove(L, inner)
      refile(L, node)
      return
    end
  else
    key = inner.child
    if inner.time < keyOf(L, class.priority, key).time then -- the key has had a turn in another class
      move(L, class, key, inner, inner.position)
      return
    end
  end
  L.lines[class.name .. key] = inner
  return class, key, inner
end

-- saveTree brings the changes of the tree into open and into fields of lanes.
function saveTree(L)
  fileNodes(L)
  saveNodes(L, L.changed.nodes or {})
  for line in pairs(L.changed.lines or {}) do
    local e = L.lines[line]
    L.fields[line] = e and turnText(e)
  end
  for name in pairs(L.changed.groups or {}) do
    local e = L.nodes[name].entry
    L.fields['g' .. name] = e and turnText(e) or false
  end
  for name in pairs(L.changed.records or {}) do
    local r = L.records[name]
    L.fields['c' .. name] = r.lines > 0 and r.lines .. (r.large and 'L' or 'S') .. r.place
  end
  local set, gone = {}, {}
  for k in pairs(L.changed.dirty or {}) do
    local name = string.char(k.priority) .. k.key
    if k.lines > 0 then
      set[#set + 1] = name
      set[#set + 1] = k.lines == 1 and text(k.time) or text(k.time) .. ' ' .. k.lines
    else
      gone[#gone + 1] = name
    end
  end
  page('HSET', L.lkeys, set, 2)
  page('HDEL', L.lkeys, gone, 1)
  L.changed.nodes, L.changed.lines, L.changed.groups, L.changed.records, L.changed.dirty = nil, nil, nil, nil, nil
end

-- mayStart reports whether there are lines from which a task may be handed out.
function mayStart(L)
  return #redis.call('ZRANGEBYLEX', L.open, '[\0', '(\1', 'LIMIT', 0, 1) > 0
end
end
