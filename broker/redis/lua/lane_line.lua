-- What happens to tasks in line, and to those that are handed out. Each of these functions stores its
-- changes.

do
-- saveLanes stores all changes. After the last task in line nothing is left of the tree.
function saveLanes(L)
  fileNodes(L)
  saveNodes(L, L.changed.nodes or {})
  L.changed.nodes = nil
  for name in pairs(L.changed.records or {}) do
    local r = L.records[name]
    L.fields['c' .. name] = r.lines > 0 and r.lines .. (r.large and 'L' or 'S') .. r.place
  end
  L.changed.records = nil
  local set, gone = {}, {}
  for field, v in pairs(L.fields) do
    L.known[field] = v
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
    L.nodes, L.keys, L.times, L.known, L.records = {}, {}, {}, {}, {}
  end
end

-- nextPosition returns the next place in the order of submission.
local function nextPosition(L)
  L.last = L.last or tonumber(fieldOf(L, 'n') or 0) or 0
  L.last = math.max(L.last + 1, timeOf(L))
  L.fields.n = text(L.last)
  return big(L.last, 8)
end

-- lineUp puts tasks in line, and wakes a minion if one of them may be handed out. Messages
-- without a position get the next one. The message of a scheduled or blocked task is in later
-- already, and is replaced.
function lineUp(L, ready, held, watch, wake, msgs)
  local begins = redis.call('EXISTS', L.lined) == 0
  local records, lined = {}, {}
  local lines, order, sequences = {}, {}, {} -- the lanes of the first tasks of lines, by line; the lines in order; a set
  local keys, fields = {}, {}
  for _, msg in ipairs(msgs) do
    local lane, id = laneOf(msg), string.sub(msg, 2, 17)
    if lane.position == '\0\0\0\0\0\0\0\0' then
      lane.position = nextPosition(L)
      msg = string.sub(msg, 1, 56) .. lane.position .. string.sub(msg, 65)
    end
    records[#records + 1] = id
    records[#records + 1] = msg
    lined[#lined + 1] = 0
    if lane.sequence ~= '' then
      lined[#lined + 1] = '\255' .. lane.sequence .. lane.position .. id
      sequences[lane.sequence] = true
      local s = sequenceOf(L, lane.sequence)
      if string.sub(s.holder, 9) == id and string.sub(s.holder, 1, 8) ~= lane.position then -- it was released again
        s.holder = lane.position .. id
        change(L, 'sequences', lane.sequence)
      end
    else
      lined[#lined + 1] = lane.line .. lane.position .. id
      local known = lines[lane.line]
      if not known then
        order[#order + 1] = lane.line
        keys[#keys + 1] = string.char(lane.class.priority) .. lane.key
        fields[#fields + 1] = lane.line
        fields[#fields + 1] = 'c' .. lane.class.name
      end
      if not known or number(lane.position, 1, 8) < number(known.position, 1, 8) then
        lines[lane.line] = lane
      end
    end
  end
  page('HSET', L.later, records, 2)
  page('ZADD', L.lined, lined, 2)
  readKeys(L, keys)
  readFields(L, fields)
  fields = {}
  for _, line in ipairs(order) do
    local lane = lines[line]
    if not fieldOf(L, line) and not recordOf(L, lane.class).large then
      fields[#fields + 1] = 'g' .. groupOf(L, poolOf(L, lane.class), lane.key).name
    end
  end
  readFields(L, fields)
  for _, line in ipairs(order) do
    local lane, at = lines[line], fieldOf(L, line)
    if not at then
      enter(L, lane.class, lane.key, lane.position)
    elseif number(lane.position, 1, 8) < number(at, TIME + 1, 8) then -- a task has come back to the front
      move(L, lane.class, lane.key, at, lane.position)
    end
  end
  for name in pairs(sequences) do
    advance(L, name)
  end
  saveLanes(L)
  if begins then -- from here on held must exist: see push.lua
    if redis.call('EXISTS', held) == 0 and redis.call('EXISTS', ready) == 1 then
      redis.call('RENAME', ready, held)
    end
    keepHeld(held)
  end
  if begins or mayStart(L) then
    nudge(ready, watch, wake)
  end
end

-- leaveLine takes tasks that have ended out of their lines.
function leaveLine(L, msgs)
  for _, msg in ipairs(msgs) do
    local lane = laneOf(msg)
    if lane then
      local task = lane.position .. string.sub(msg, 2, 17)
      if lane.sequence == '' then
        part(L, lane, task)
      else
        if fieldOf(L, 's' .. lane.sequence) == task then
          part(L, lane, task)
          L.fields['s' .. lane.sequence] = false
        else
          redis.call('ZREM', L.lined, '\255' .. lane.sequence .. task)
        end
        advance(L, lane.sequence)
      end
    end
  end
  saveLanes(L)
end

-- discharge gives back what attempts have used. It is called when their messages leave the flight
-- hash. It returns whether other tasks may be handed out now.
function discharge(L, msgs)
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
function endSequence(L, msgs, final)
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
end
