-- Limits: their definitions, and accounts of what is in use. An account has used, the cost in use; tat,
-- the theoretical arrival time of a rate in us (0 if it does not matter), and pace, the text of the
-- gap that held then; closed, until when the limit is closed in us; and dated, whether it is in
-- rates. It is stored as these four values, or as the cost alone if it has no others.

local flags, readAccounts, fits, charge, saveAccounts -- what others use
do
-- flags returns whether there are definitions for single keys, whether there are weights, and the
-- longest pause.
function flags(L)
  if not L.flags then
    local is = redis.call('HMGET', L.limits, 'x', 'y', 's')
    L.flags = { single = is[1] and true or false, weighed = is[2] and true or false, pause = tonumber(is[3] or 0) or 0 }
  end
  return L.flags
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

-- readAccounts reads the accounts of some limits.
function readAccounts(L, uses)
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

function accountOf(L, use)
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
function fits(L, use, cost)
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
function charge(L, use, cost)
  local a, d = accountOf(L, use), definition(L, use)
  a.used = a.used + cost
  if d.gap > 0 then
    -- A task that costs more than the burst has used up the pause before it.
    local pause = math.max(cost - d.burst, 0) * d.gap
    a.tat, a.pace = math.max(arrival(a, d), timeOf(L) - pause) + cost * d.gap, d.pace
  end
  change(L, 'accounts', use)
end

-- matters returns until when the past of an account matters, in us. A task that costs more than the
-- burst needs a longer pause than that after which the burst is free again. The longest one so far is
-- known. For the first such task, the past is kept as long as the largest cost may need, but a minute at most.
local function matters(L, a)
  if a.tat == 0 then
    return a.closed
  end
  local longest = math.min(1000000 * (tonumber(a.pace) or 0), 60000000)
  return math.max(a.closed, a.tat + math.max(flags(L).pause, longest))
end

-- saveAccounts stores the accounts that have changed.
function saveAccounts(L)
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
function forgetRates(L)
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
end
