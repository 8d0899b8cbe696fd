-- flow_arrive counts members of a flow that have ended, each once: one that was counted before
-- is ignored.
--
-- KEYS  1 flow  2 members  3 results
-- ARGV  1 for how many ms the flow is kept without a change, then for each member: its
--       position (4 bytes), final state as a number, outcome
-- Returns the reply of look (flow_look.lua); or false if there is no such flow; or -1, and
-- counts nothing, if the flow has no such position or no member is listed there yet. If a
-- count of the flow is damaged it counts nothing, either.

local flow, members, results = KEYS[1], KEYS[2], KEYS[3]
if not kept(flow) then
  return false
end
local callback, finalizer = '\255\255\255\255', '\255\255\255\254'
local known = look(flow, members)
if known[1] == '' then
  return known
end
local listed = known[2]
local positions = {}
for i = 2, #ARGV, 3 do
  local position = ARGV[i]
  if position ~= callback and position ~= finalizer and number(position, 1, 4) >= listed then
    return -1
  end
  positions[#positions + 1] = position
end
known = redis.call('HMGET', results, unpack(positions))
local seen, news, ok, bad = {}, {}, 0, 0
local first -- position of the first of them that did not succeed
local others = {}
for k, position in ipairs(positions) do
  if not known[k] and not seen[position] then
    seen[position] = true
    local state, outcome = ARGV[3 * k], ARGV[3 * k + 1]
    news[#news + 1] = position
    news[#news + 1] = string.char(tonumber(state)) .. outcome
    if position == callback then
      others[#others + 1] = 'callback'
      others[#others + 1] = state
    elseif position == finalizer then
      others[#others + 1] = 'finalizer'
      others[#others + 1] = state
    elseif state == '6' then -- succeeded
      ok = ok + 1
    else
      bad = bad + 1
      first = first or position
    end
  end
end
if #news > 0 then
  redis.call('HDEL', results, '') -- for a server out of memory: see dequeue.lua
  -- Results and counts must agree. So the write that can fail on a server out of memory comes
  -- first, and the counts after it need no memory.
  redis.call('HSET', results, unpack(news))
  if ok > 0 then
    redis.call('HINCRBY', flow, 'ok', ok)
  end
  if bad > 0 then
    redis.call('HSETNX', flow, 'first', number(first, 1, 4))
    redis.call('HINCRBY', flow, 'bad', bad)
  end
  if #others > 0 then
    redis.call('HSET', flow, unpack(others))
  end
  if redis.call('HEXISTS', flow, 'outcome') == 0 then
    for _, key in ipairs(KEYS) do
      redis.call('PEXPIRE', key, ARGV[1])
    end
  end
end
return look(flow, members)
