-- takeLined hands out tasks of lines, at most so many of about so many bytes. plain is how many tasks
-- without a lane wait: these take turns like one more key of priority 5. t is the time in ms, and halt
-- and flows are the keys of halted flows. paused is the key of pauses, or false if there are none; then
-- also aside and ready. It returns the messages, the ids with the messages for the flight hash, their
-- bytes, whether more may be handed out now, and how many tasks without a lane have had a turn.
--
-- It tries the line that has the next turn, again and again. Each try hands out a task, or closes
-- what has no room, or corrects a turn that is too early. Changes are stored together in the end.
-- The calls of a script work until their steps cost 1,000 together, so that it stays short. The cost of
-- a hand-out depends on how many limits the task uses. A try that hands out nothing may need several
-- commands: it may set a paused task aside, for example. before is how many tasks the script has put in
-- line already, each of which costs 5.
function takeLined(L, t, most, room, before, halt, flows, plain, paused, aside, ready)
  L.width = math.min(most + 1, 100)
  forgetRates(L)
  for _, use in ipairs(redis.call('ZRANGEBYSCORE', L.opening, '-inf', t, 'LIMIT', 0, 100)) do
    redis.call('ZREM', L.opening, use)
    refresh(L, use)
  end
  saveLanes(L)
  local halting = redis.call('EXISTS', halt) == 1
  local state = redis.call('HMGET', L.lanes, 't', 'b', 'q')
  local since, lower = tonumber(state[1] or 0) or 0, tonumber(state[2] or 0) or 0
  local plainTime = tonumber(state[3] or present(L, 5) + STEP)
  local served = {} -- priorities whose virtual time has changed
  local levels, from = {}, '[\0' -- by priority, of those that have lines
  repeat
    local member = redis.call('ZRANGEBYLEX', L.open, from, '(\1', 'LIMIT', 0, 1)[1]
    if member then
      levels[9 - string.byte(member, 2)] = nodeOf(L, string.sub(member, 1, 2))
      from = '[\0' .. string.char(string.byte(member, 2) + 1)
    end
  until not member
  local out, owned, size, slots = {}, {}, 0, 0
  L.steps = L.steps or math.min(5 * before, 900)
  local gone, taken = {}, {} -- members of lined, and ids in later, to be removed
  local still = {} -- ids of paused tasks, to be set aside
  local lines = {} -- by name: the positions and ids of some tasks in line, the first of them, and whether there are no more

  -- choose returns the priority that is next, and the highest one that has something; nil if there is
  -- nothing. One hand-out of 16 goes to a lower priority: to the next one below that of the last of
  -- these, and to the highest one behind the lowest.
  local function choose()
    local top, below, next
    for p = 9, 0, -1 do
      if levels[p] and first(L, levels[p]) or p == 5 and plain > 0 then
        if not top then
          top = p
        else
          below = below or p
          if p < lower then
            next = next or p
          end
        end
      end
    end
    if below and since >= 15 then
      return next or below, top, below
    end
    return top, top, below
  end

  -- count counts a hand-out.
  local function count(priority, top, below)
    if priority ~= top then
      since, lower = 0, priority
    elseif below then
      since = math.min(since + 1, 16)
    end
  end

  -- serve counts a turn, which a key takes now, and returns the virtual time of its next one.
  local function serve(priority, time, by)
    L.times[priority] = math.max(present(L, priority), time)
    served[priority] = true
    return L.times[priority] + by
  end

  -- headOf returns position and id of the first task of a line, of which many may be taken. It counts
  -- the tasks that are in gone as taken.
  local function headOf(name, many)
    local line = lines[name]
    if not line then
      line = { at = 1, taken = 0, many = many }
      line.list = redis.call('ZRANGEBYLEX', L.lined, '[' .. name, '[' .. name .. '\255', 'LIMIT', 0, many)
      lines[name] = line
    elseif line.at > #line.list and #line.list == line.many then
      line.taken, line.many, line.at = line.taken + #line.list, math.min(line.many * 4, 100), 1
      line.list = redis.call('ZRANGEBYLEX', L.lined, '[' .. name, '[' .. name .. '\255', 'LIMIT', line.taken, line.many)
    end
    local member = line.list[line.at]
    return member and string.sub(member, #name + 1)
  end

  -- pass goes on to the next task of a line, which is handed out, has ended or is halted.
  local function pass(class, key, turn, head)
    local line = class.name .. key
    gone[#gone + 1] = line .. head
    lines[line].at = lines[line].at + 1
    local next = headOf(line)
    if next then
      move(L, class, key, turn, string.sub(next, 1, 8))
    else
      leave(L, class, key, turn)
    end
  end

  -- try tries the line that has the next turn of a priority. If it hands out the first task of the line it
  -- returns what that costs. If only is set, it hands out nothing, and returns 0 if it could.
  local function try(level, only)
    local class, key, turn, alone = nextLine(L, level)
    if not class then
      return
    end
    for i, use in ipairs(class.uses) do
      local free, again = fits(L, use, class.costs[i])
      if not free then
        await(L, class, use, class.costs[i], again)
        return
      end
    end
    if only then
      return 0
    end
    local line = class.name .. key
    local head = headOf(line, alone and L.width or 2)
    if not head then -- this should not be: the line has no task
      leave(L, class, key, turn)
      return
    end
    local id = string.sub(head, 9)
    local msg = redis.call('HGET', L.later, id)
    local lane = msg and readable(msg) and laneOf(msg)
    if not lane then -- the task has ended, or its message is damaged
      pass(class, key, turn, head)
      return
    elseif halting and halted(halt, flows, { id })[id] and barred(msg) then
      redis.call('HSET', L.later, id, barred(msg))
      pass(class, key, turn, head)
      if lane.sequence ~= '' then
        page('ZREM', L.lined, gone, 1)
        gone, lines = {}, {} -- a line may get another task now
        L.fields['s' .. lane.sequence] = false
        advance(L, lane.sequence)
      end
      return
    end
    if lane.sequence ~= '' then
      sequenceOf(L, lane.sequence).holder = head
      change(L, 'sequences', lane.sequence)
      L.fields['s' .. lane.sequence] = false
    end
    if paused and pausedOf(paused, ready, { msg })[1] then
      still[#still + 1] = id -- it has its sequence, as if it ran: see paused.lua
      pass(class, key, turn, head)
      return
    end
    for i, use in ipairs(class.uses) do
      charge(L, use, class.costs[i])
    end
    local full = string.char(class.priority) .. key
    local k = keyOf(L, full)
    k.time = serve(class.priority, k.time, step(L, full))
    change(L, 'keys', full)
    pass(class, key, turn, head)
    taken[#taken + 1] = id
    out[#out + 1] = msg
    owned[#owned + 1] = id
    owned[#owned + 1] = msg
    size = size + #msg
    return 2 + 2 * #class.uses
  end

  while #out + slots < most and size < room and L.steps < 1000 do
    local priority, top, below = choose()
    if not priority then
      break
    end
    local turn = levels[priority] and first(L, levels[priority])
    if priority == 5 and plain > 0 and (not turn or plainTime <= (tonumber(string.sub(turn, 1, TIME)) or 0)) then
      plainTime = serve(5, plainTime, STEP)
      slots, plain, L.steps = slots + 1, plain - 1, L.steps + 1
      count(priority, top, below)
    else
      local cost = try(levels[priority])
      if cost then
        count(priority, top, below)
      end
      L.steps = L.steps + (cost or 6)
    end
    fileNodes(L)
  end
  -- Close what has no room any more, so that no minion is woken for it.
  local open
  local tries = 0
  repeat
    tries = tries + 1
    open = choose()
    local free = open and plain == 0 and try(levels[open], true)
    fileNodes(L)
  until not open or plain > 0 or tries > 100 or free

  L.fields.t, L.fields.b = text(since), text(lower)
  L.fields.q = plain > 0 and text(plainTime) or false
  for priority in pairs(served) do
    L.fields['v' .. priority] = text(L.times[priority])
  end
  page('ZREM', L.lined, gone, 1)
  page('HDEL', L.later, taken, 1)
  setAside(aside, still)
  saveLanes(L)
  return out, owned, size, mayStart(L), slots
end
