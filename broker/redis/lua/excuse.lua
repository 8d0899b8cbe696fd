-- excuse stores that a minion lives though its lease has ended, for the attempts that it held.
-- Their tasks were given back and charged with a death (see leave.lua). The messages may be
-- anywhere by now, so their counts stay as they are. The excused attempts are in a set for each
-- task, and start.lua subtracts them from the counts. The set expires by itself.
--
-- KEYS  for each task the set of its excused attempts
-- ARGV  1 for how many ms the set is kept, then for each task: its attempt (4 bytes), and one
--       byte more if the start of the attempt had been recorded
-- Returns the number of tasks.

for i = 1, #KEYS do
  redis.call('SADD', KEYS[i], ARGV[i + 1])
  redis.call('PEXPIRE', KEYS[i], ARGV[1])
end
return #KEYS
