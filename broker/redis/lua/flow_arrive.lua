-- flow_arrive counts members of a flow, each once.
--
-- KEYS  1 flow  2 members  3 results
-- ARGV  1 for how many ms it is kept without a change, then for each: its place
--       (4 bytes), its state as a number, its outcome
-- Returns what flow_look.lua says; false if there is none; -1 if a place is none
-- of the flow, or not opened yet, and then nothing is counted; nor is it if a count is
-- damaged.

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
local places = {}
for i = 2, #ARGV, 3 do
  local place = ARGV[i]
  if place ~= callback and place ~= finalizer and number(place, 1, 4) >= listed then
    return -1
  end
  places[#places + 1] = place
end
known = redis.call('HMGET', results, unpack(places))
local seen, news, ok, bad = {}, {}, 0, 0
local first -- place of the first one that did not succeed
local others = {}
for k, place in ipairs(places) do
  if not known[k] and not seen[place] then
    seen[place] = true
    local state, outcome = ARGV[3 * k], ARGV[3 * k + 1]
    news[#news + 1] = place
    news[#news + 1] = string.char(tonumber(state)) .. outcome
    if place == callback then
      others[#others + 1] = 'callback'
      others[#others + 1] = state
    elseif place == finalizer then
      others[#others + 1] = 'finalizer'
      others[#others + 1] = state
    elseif state == '6' then -- succeeded
      ok = ok + 1
    else
      bad = bad + 1
      first = first or place
    end
  end
end
if #news > 0 then
  redis.call('HDEL', results, '') -- see dequeue.lua
  -- Results and counts belong together: what may fail for want of memory comes
  -- first, and counting needs none.
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
