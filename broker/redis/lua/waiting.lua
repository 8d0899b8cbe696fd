-- The bound of a partition, if it has one, is in the string bound: how many tasks may wait there, a
-- space, and the bound of the whole queue. The value of meta then is 'b' and the first number, so
-- that the scripts that store tasks need no other command to know that there is none.

-- boundIn returns the bound in the value of meta, or nil.
local function boundIn(meta)
  return string.byte(meta, 1) == 98 and tonumber(string.sub(meta, 2)) or nil -- 'b'
end

-- waitingIn returns how many tasks of a partition are neither running nor final. The table k has the
-- keys. Those that are not in a list are in later.
local function waitingIn(k)
  local n = redis.call('HLEN', k.later)
  local list = redis.call('LLEN', k.held)
  if list > 0 then
    list = list - redis.call('SCARD', k.gone)
    if redis.call('LINDEX', k.held, 0) == '!' or redis.call('EXISTS', k.halt, k.lined, k.paused, k.back) > 0 then
      list = list - 1 -- a token: see push.lua
    end
  else
    list = redis.call('LLEN', k.ready)
    if list > 0 and redis.call('LINDEX', k.ready, 0) == '!' then
      list = list - 1
    end
  end
  return n + math.max(list, 0)
end

-- fullMark returns what stands for a refusal in the reply of a script that stores tasks: the bound,
-- and how many tasks wait.
local function fullMark(most, waiting)
  return '\0full' .. big(most, 8) .. big(math.max(waiting, 0), 8)
end
