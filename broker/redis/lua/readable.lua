-- readable reports whether msg is a message of the version that these scripts
-- know, or an entry that stands for one: see docs/wire.md. Others are put aside in
-- odd and kept.
local function readable(msg)
  local version = string.byte(msg, 1)
  return version == 1 and #msg >= 51 or version == 129 and #msg == 55
end

-- weight is how many bytes a message has, with those that are kept apart.
local function weight(msg)
  if #msg == 55 and string.byte(msg, 1) == 129 then
    local b3, b2, b1, b0 = string.byte(msg, 52, 55)
    return ((b3 * 256 + b2) * 256 + b1) * 256 + b0
  end
  return #msg
end
