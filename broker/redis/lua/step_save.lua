-- step_save saves a step of a task that a minion holds; see steps.lua.
--
-- KEYS  1 flight  2 claim  3 minions  4 odd  5 steps
-- ARGV  1 minion  2 id of the task  3 attempt (4 bytes)  4 name  5 ms of its wait, 0 for none
--       6 data  7 how many records a task may have  8 how many bytes
-- Returns 1; or false if the minion does not own the attempt; or what saveRecord returns.

local flight, claim, minions, odd, steps = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local id, wait = ARGV[2], tonumber(ARGV[5])
if not holds(flight, claim, minions, odd, ARGV[1], id, ARGV[3]) then
  return false
end
local due = wait > 0 and now() + wait or 0
local record = string.char(STEPS_VERSION) .. big(due, 6) .. ARGV[6]
return saveRecord(steps, id, 's' .. ARGV[4], record, #ARGV[6], tonumber(ARGV[7]), tonumber(ARGV[8])) or 1
