-- now returns the server's time in unix ms. Due times, leases and retention depend on this clock
-- alone, so the clocks of clients may differ.
local function now()
  local t = redis.call('TIME')
  return t[1] * 1000 + math.floor(t[2] / 1000)
end

-- scoreOf returns the number of a score, which the server returns as text. A damaged score may
-- be infinite, and not every Lua reads "inf" as a number.
local function scoreOf(text)
  return tonumber(text) or (string.sub(text, 1, 1) == '-' and -math.huge or math.huge)
end
