-- now returns the server's time in unix ms: the only clock that decides anything.
local function now()
  local t = redis.call('TIME')
  return t[1] * 1000 + math.floor(t[2] / 1000)
end

-- scoreOf returns the score of a member of a sorted set, which the server tells as text.
-- That of a damaged one may be infinite, which not every Lua takes for a number.
local function scoreOf(text)
  return tonumber(text) or (string.sub(text, 1, 1) == '-' and -math.huge or math.huge)
end
