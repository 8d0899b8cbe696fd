-- Sequences. Of each sequence at most one task is in its line: the one that may start. The others wait
-- apart.

local join, part -- what others use
do
-- sequenceOf reads the state of a sequence: holder, position and id of the task that has started and
-- not ended ('' if there is none); and halts, the positions of the tasks that halt it, in order.
-- The tasks behind the first of these wait. It is stored as both in one text, with 24 zero bytes if
-- there is no holder.
function sequenceOf(L, name)
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

-- firstIn returns position and id of the first task of a line, or of those that wait apart; nil if
-- there is none.
local function firstIn(L, line)
  local member = redis.call('ZRANGEBYLEX', L.lined, '[' .. line, '[' .. line .. '\255', 'LIMIT', 0, 1)[1]
  return member and string.sub(member, #line + 1)
end

-- join adds a task to its line, and part removes it from there. Position and id are in one text.
function join(L, lane, task)
  redis.call('ZADD', L.lined, 0, lane.line .. task)
  local at, position = fieldOf(L, lane.line), string.sub(task, 1, 8)
  if not at then
    enter(L, lane.class, lane.key, position)
  elseif number(position, 1, 8) < number(at, TIME + 1, 8) then
    move(L, lane.class, lane.key, at, position)
  end
end

function part(L, lane, task)
  redis.call('ZREM', L.lined, lane.line .. task)
  local at = fieldOf(L, lane.line)
  if at and string.sub(at, TIME + 1) == string.sub(task, 1, 8) then
    local head = firstIn(L, lane.line)
    if head then
      move(L, lane.class, lane.key, at, string.sub(head, 1, 8))
    else
      leave(L, lane.class, lane.key, at)
    end
  end
end

-- mayFollow returns position and id of the task that may start next as far as its sequence is
-- concerned, or nil: the one that has started before and has come back; or, if there is none, the first
-- one, if no failure halts it. next is the task that is in its line, or nil.
local function mayFollow(L, name, next)
  local s, apart = sequenceOf(L, name), '\255' .. name
  if s.holder ~= '' then
    return (s.holder == next or redis.call('ZSCORE', L.lined, apart .. s.holder)) and s.holder or nil
  end
  local head = firstIn(L, apart)
  if next and not (head and number(head, 1, 8) < number(next, 1, 8)) then
    head = next
  end
  if head and (s.halts == '' or number(head, 1, 8) <= number(s.halts, 1, 8)) then
    return head
  end
end

-- advance brings the task of a sequence that may start into its line, and takes back another one that
-- was there.
function advance(L, name)
  local apart, next = '\255' .. name, fieldOf(L, 's' .. name)
  while true do
    local task = mayFollow(L, name, next)
    if task == next then
      return
    end
    if next then
      local msg = redis.call('HGET', L.later, string.sub(next, 9))
      local lane = msg and readable(msg) and laneOf(msg)
      if lane then
        part(L, lane, next)
        redis.call('ZADD', L.lined, 0, apart .. next)
      end
      next = nil
      L.fields['s' .. name] = false
    end
    if not task then
      return
    end
    redis.call('ZREM', L.lined, apart .. task)
    local msg = redis.call('HGET', L.later, string.sub(task, 9))
    local lane = msg and readable(msg) and laneOf(msg)
    if lane then
      join(L, lane, task)
      L.fields['s' .. name] = task
      return
    end
    -- It has ended, or its message is damaged: go on with the next one.
    local s = sequenceOf(L, name)
    if s.holder == task then
      s.holder = ''
      change(L, 'sequences', name)
    end
  end
end
end
