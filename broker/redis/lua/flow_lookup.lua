-- flow_lookup returns the progress of a flow.
--
-- KEYS  1 flow  2 members
-- Returns the reply of look (flow_look.lua), or false if there is no such flow.

if not kept(KEYS[1]) then
  return false
end
return look(KEYS[1], KEYS[2])
