-- takeLined takes tasks out of line to hand them out, at most so many of about so many bytes. t is
-- the time in ms, and halt and flows are the keys of halted flows. It returns the messages, the
-- ids with the messages for the flight hash, their bytes, and whether more may be handed out now.
--
-- It works in rounds. A round takes one task of each of the keys whose turn has come: those whose
-- virtual time is at most one step behind the first. If a key is alone in its priority, it may take
-- several tasks of a line. Commands of a round are put together as far as possible.
local function takeLined(L, t, most, room, halt, flows)
  local us = t * 1000
  if redis.call('EXISTS', L.rates) == 1 then
    redis.call('ZREMRANGEBYSCORE', L.rates, '-inf', text(us)) -- what has passed has no effect any more
  end
  for _, use in ipairs(redis.call('ZRANGEBYSCORE', L.opening, '-inf', t, 'LIMIT', 0, 100)) do
    redis.call('ZREM', L.opening, use)
    wakeLine(L, use)
  end
  local halting = redis.call('EXISTS', halt) == 1
  local out, owned, size, steps = {}, {}, 0, 0
  local turn, last
  -- Without tasks of a lower priority no hand-out has to go to one.
  local mixed = redis.call('ZRANGEBYSCORE', L.keys, '-inf', '+inf', 'LIMIT', 0, 1)
  if #mixed > 0 then
    mixed = redis.call('ZREVRANGE', L.keys, 0, 0)[1]:byte(1) ~= mixed[1]:byte(1)
  end
  while #out < most and size < room and steps < 1500 do
    -- Choose the priority. One hand-out of 16 goes to the next lower priority than the last of these
    -- did, and to the highest one behind the lowest.
    local many = math.min(most - #out, 200)
    local first = redis.call('ZRANGE', L.keys, 0, many, 'WITHSCORES')
    if #first == 0 then
      break
    end
    if not turn then
      local stored = redis.call('HMGET', L.lanes, 't', 'b')
      turn, last = tonumber(stored[1] or 0), tonumber(stored[2] or 9)
    end
    local low = mixed and turn % 16 == 15
    if low then
      local lower = redis.call('ZRANGEBYSCORE', L.keys, text((10 - last) * BAND), '+inf', 'WITHSCORES', 'LIMIT', 0, 1)
      if #lower > 0 then
        first = lower
      end
    elseif mixed then
      many = math.min(many, 15 - turn % 16)
    end
    local priority = string.byte(first[1], 1)
    local base, begin = (9 - priority) * BAND, tonumber(first[2])
    local turns = {} -- for each key of the round: key, score, member in open, whether it has other lines
    local alone = true
    local numbers = {}
    for i = 1, #first, 2 do
      local key, score = first[i], tonumber(first[i + 1])
      if string.byte(key, 1) == priority then
        if i > 1 then
          alone = false
        end
        if score <= begin + STEP and #turns < many then
          local at = redis.call('ZRANGEBYLEX', L.open, '[' .. key, '[' .. key .. '\255', 'LIMIT', 0, 2)
          if #at == 0 then
            redis.call('ZREM', L.keys, key)
          else
            local n = text(number(at[1], #at[1] - 7, 8))
            turns[#turns + 1] = { key = key, score = score, at = at[1], n = n, others = #at > 1 }
            numbers[#numbers + 1] = '#' .. n
          end
        end
      end
    end
    steps = steps + math.max(#turns, 1)
    local each = alone and #turns == 1 and not turns[1].others and not low and many or 1 -- of a sequence one is taken all the same
    -- Read the heads of the lines, their messages, and what is in use of their limits.
    local ids, uses = {}, {}
    local names = fetch(L.lanes, numbers)
    for i, turn in ipairs(turns) do
      local heads = redis.call('ZRANGEBYSCORE', L.lined, turn.n, turn.n, 'LIMIT', 0, each + 1)
      turn.heads, turn.name = heads, names[i]
      turn.sequence = names[i] and string.byte(names[i], 1) == 255 -- its lane is that of its head
      turn.lane = names[i] and not turn.sequence and parseLane(names[i], 1, #names[i])
      for h = 1, math.min(#heads, each) do
        ids[#ids + 1] = string.sub(heads[h], 9)
      end
      for _, use in ipairs(turn.lane and turn.lane.uses or {}) do
        uses[#uses + 1] = use
      end
    end
    local msgs, at = fetch(L.later, ids), 0
    readCharges(L, uses)
    local stay = halting and halted(halt, flows, ids) or {}
    -- Decide. Then write everything that was taken before lines are closed, since that reads again.
    local gone, taken, open, times, closes, empty, moved = {}, {}, {}, {}, {}, {}, {}
    for _, turn in ipairs(turns) do
      local heads, score = turn.heads, turn.score
      local full, again
      local done = 0 -- how many heads are gone
      for h = 1, math.min(#heads, each) do
        at = at + 1
        local id, msg = ids[at], msgs[at]
        local whole = not full and msg and readable(msg) and laneOf(msg)
        if whole and not turn.lane or whole and turn.sequence then
          turn.lane = whole
        end
        if full or #out >= most or size >= room then
          full = full or ''
        elseif not whole then -- the task has ended, or its message is damaged
          gone[#gone + 1] = heads[h]
          done = h
        elseif stay[id] and barred(msg) then
          redis.call('HSET', L.later, id, barred(msg))
          gone[#gone + 1] = heads[h]
          done = h
        else
          for i, use in ipairs(whole.uses) do
            local free, when = fits(L, use, whole.costs[i], id, us)
            if not free then
              full, again = use, when
              break
            end
          end
          if not full then
            for i, use in ipairs(whole.uses) do
              charge(L, use, whole.costs[i], id, us)
            end
            gone[#gone + 1] = heads[h]
            taken[#taken + 1] = id
            out[#out + 1] = msg
            owned[#owned + 1] = id
            owned[#owned + 1] = msg
            size = size + #msg
            score = score + step(L, turn.key)
            done = h
            if turn.sequence then -- the next task waits for the end of this one
              full = whole.sequence
            end
          end
        end
      end
      if score > turn.score then
        times[#times + 1] = text(score)
        times[#times + 1] = turn.key
      end
      local position = heads[done + 1] and string.sub(heads[done + 1], 1, 8)
      if not turn.name or not position then
        empty[#empty + 1] = turn
      else
        if done > 0 then
          moved[#moved + 1] = turn.at
          turn.at = turn.key .. position .. big(tonumber(turn.n), 8)
          open[#open + 1] = { n = turn.n, key = turn.key, position = position }
        end
        if full and full ~= '' and turn.lane then
          closes[#closes + 1] = { turn = turn, position = position, use = full, again = again }
        end
      end
    end
    -- Lines without tasks are forgotten, and keys without open lines.
    local fields, idle = {}, {}
    for _, turn in ipairs(empty) do
      moved[#moved + 1] = turn.at
      fields[#fields + 1] = '@' .. turn.n
      fields[#fields + 1] = '#' .. turn.n
      fields[#fields + 1] = 'l' .. (turn.name or '')
      if not turn.others then
        idle[#idle + 1] = turn.key
      end
    end
    page('ZREM', L.lined, gone, 1)
    page('HDEL', L.later, taken, 1)
    page('ZADD', L.keys, times, 2)
    page('ZREM', L.open, moved, 1)
    page('HDEL', L.lanes, fields, 3)
    page('ZREM', L.keys, idle, 1)
    if #open > 0 then
      openLines(L, open)
    end
    if #taken > 0 then
      turn = turn + #taken
      local state = { 't', text(turn), 'v' .. priority, text(begin - base) }
      if low then
        last = priority
        state[5], state[6] = 'b', text(last)
      end
      redis.call('HSET', L.lanes, unpack(state))
    end
    saveCharges(L)
    for _, close in ipairs(closes) do
      closeLine(L, close.turn.n, close.turn.at, close.turn.lane, close.position, close.use, close.again, us)
    end
    if L.waiting == nil then
      L.waiting = redis.call('EXISTS', L.waits) == 1
    end
    if L.waiting then
      for _, turn in ipairs(turns) do
        if turn.lane then
          passOn(L, turn.lane.uses, us)
        end
      end
    end
    if redis.call('EXISTS', L.lined) == 0 then
      redis.call('UNLINK', L.lanes, L.keys, L.open, L.waits, L.opening)
      break
    end
  end
  return out, owned, size, redis.call('EXISTS', L.keys) == 1
end

-- lineShare returns how many of so many tasks are to come from lines, if other tasks wait, too.
-- Those have the priority 5, and take turns there with the keys that have open lines.
local function lineShare(L, most, others)
  if not others then
    return most
  end
  local first = redis.call('ZRANGE', L.keys, 0, 0, 'WITHSCORES')
  if #first == 0 then
    return math.min(most, 1) -- no line is open; one may open now, since its time has come
  end
  local priority = string.byte(first[1], 1)
  local to = redis.call('HINCRBY', L.lanes, 'q', most)
  local from = to - most
  local function turns(each) -- how many numbers behind from and up to to are multiples
    return math.floor(to / each) - math.floor(from / each)
  end
  if priority > 5 then
    return most - turns(16)
  elseif priority < 5 then
    return turns(16)
  end
  local keys = redis.call('ZCOUNT', L.keys, text(4 * BAND), '(' .. text(5 * BAND))
  return most - turns(keys + 1)
end
