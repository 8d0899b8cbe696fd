-- readable reports whether msg is a message of the version that this script
-- knows: see docs/wire.md. Others are put aside in odd and kept.
local function readable(msg)
  return #msg >= 51 and string.byte(msg, 1) == 1
end
