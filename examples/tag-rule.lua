-- A rule: every host of a network gets a tag. Hosts that have it are left alone, so that the rule
-- may run as often as it likes.
--   lua tag-rule.lua DATABASE NETWORK TAG
local hoststore = require "hoststore"

local url, network, tag = arg[1], arg[2], arg[3]
local store = assert(hoststore.open(url, { actor = "tag-rule" }))

local function with_tag(host)
  local tags = { tag }
  for _, each in ipairs(host.tags) do
    tags[#tags + 1] = each
  end
  return tags
end

-- One transaction: either the whole network is tagged, or nothing.
local tagged = 0
assert(store:transaction(function()
  for _, host in ipairs(assert(store:list { ip = network, tags_none = { tag } })) do
    assert(host:update({ tags = with_tag(host) }, { reason = "belongs to " .. network }))
    tagged = tagged + 1
  end
  return true
end))
print(("%d hosts in %s are now tagged %s"):format(tagged, network, tag))
store:close()
