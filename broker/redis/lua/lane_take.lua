-- takeLined takes tasks out of line to hand them out, at most so many of about so many bytes. t is
-- the time in ms, and halt and flows are the keys of halted flows. It returns the messages, the
-- ids with the messages for the flight hash, their bytes, and whether more may be handed out now.
local function takeLined(L, t, most, room, halt, flows)
  local us = t * 1000
  redis.call('ZREMRANGEBYSCORE', L.rates, '-inf', text(us)) -- what has passed has no effect any more
  for _, use in ipairs(redis.call('ZRANGEBYSCORE', L.opening, '-inf', t, 'LIMIT', 0, 100)) do
    redis.call('ZREM', L.opening, use)
    wakeLine(L, use)
  end
  local halting = redis.call('EXISTS', halt) == 1
  local out, pairs, size, steps = {}, {}, 0, 0
  while #out < most and size < room and steps < 1000 do
    steps = steps + 1
    -- Choose the priority and the key. One hand-out of 16 goes to the next lower priority than
    -- the last of these did, and to the highest one behind the lowest.
    local first = redis.call('ZRANGE', L.keys, 0, 0, 'WITHSCORES')
    if #first == 0 then
      return out, pairs, size, false
    end
    local turn = tonumber(redis.call('HGET', L.lanes, 't') or 0)
    if turn % 16 == 15 then
      local last = tonumber(redis.call('HGET', L.lanes, 'b') or 9)
      local lower = redis.call('ZRANGEBYSCORE', L.keys, text((10 - last) * BAND), '+inf', 'WITHSCORES', 'LIMIT', 0, 1)
      if #lower > 0 then
        first = lower
      end
    end
    local key, score = first[1], tonumber(first[2])
    local priority = string.byte(key, 1)
    local at = redis.call('ZRANGEBYLEX', L.open, '[' .. key, '[' .. key .. '\255', 'LIMIT', 0, 1)[1]
    local n = at and text(number(at, #at - 7, 8))
    local name = n and redis.call('HGET', L.lanes, '#' .. n)
    local lane = name and parseLane(name, 1, #name)
    if not at then
      redis.call('ZREM', L.keys, key)
    elseif not lane then
      leaveOpen(L, at)
    else
      local position, id = headOf(L, n)
      local msg = id and redis.call('HGET', L.later, id)
      local whole = msg and readable(msg) and laneOf(msg)
      if not position then
        forgetLine(L, n)
        passOn(L, lane.uses, us)
      elseif not whole then -- the task has ended, or its message is damaged
        redis.call('ZREM', L.lined, position .. id)
      else
        local full, again
        for i, use in ipairs(whole.uses) do
          local free, when = fits(L, use, whole.costs[i], id, us)
          if not free then
            full, again = use, when
            break
          end
        end
        local stay = halting and not full and halted(halt, flows, { id })[id] and barred(msg)
        if full then
          closeLine(L, n, at, lane, position, full, again, us)
        else
          redis.call('ZREM', L.lined, position .. id)
          if stay then
            redis.call('HSET', L.later, id, stay)
          else
            for i, use in ipairs(whole.uses) do
              charge(L, use, whole.costs[i], id, us)
            end
            redis.call('HDEL', L.later, id)
            out[#out + 1] = msg
            pairs[#pairs + 1] = id
            pairs[#pairs + 1] = msg
            size = size + #msg
            local time = score - (9 - priority) * BAND
            redis.call('HSET', L.lanes, 't', text(turn + 1), 'v' .. priority, text(time))
            if turn % 16 == 15 then
              redis.call('HSET', L.lanes, 'b', text(priority))
            end
            redis.call('ZADD', L.keys, text(score + step(L, key)), key)
          end
          local nextPosition = headOf(L, n)
          if nextPosition then
            redis.call('ZREM', L.open, at)
            openLine(L, n, key, nextPosition)
          else
            forgetLine(L, n)
          end
          passOn(L, lane.uses, us)
        end
      end
    end
  end
  return out, pairs, size, redis.call('EXISTS', L.keys) == 1
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
