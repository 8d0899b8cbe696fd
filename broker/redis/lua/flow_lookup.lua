-- flow_lookup tells how far a flow is.
--
-- KEYS  1 flow  2 members
-- Returns what flow_look.lua says; false if there is none.

if not kept(KEYS[1]) then
  return false
end
return look(KEYS[1], KEYS[2])
