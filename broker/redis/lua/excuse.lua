-- excuse notes of tasks that a minion that held them lives, though its lease has ended
-- and its tasks were given to others. The counts in their messages stay, wherever these
-- are by now; start.lua subtracts what is excused. The note ends by itself.
--
-- KEYS  the excused attempts of each task
-- ARGV  1 for how long, in ms, then for each task: its attempt, 4 bytes, and one byte
--       more if its start had been recorded
-- Returns how many tasks there are.

for i = 1, #KEYS do
  redis.call('SADD', KEYS[i], ARGV[i + 1])
  redis.call('PEXPIRE', KEYS[i], ARGV[1])
end
return #KEYS
