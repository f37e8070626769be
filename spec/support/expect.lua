--- What a failure must look like.
local assert = require "luassert"

local expect = {}

--- Checks that a call failed as the world's failures do, `nil, err`, and returns err.
---   local err = expect.failure("conflict", store:update(host, { ip = "10.0.0.3" }))
function expect.failure(code, value, err)
  assert.is_nil(value)
  assert.is_truthy(err, "it failed without an error")
  assert.equal(code, err.code, tostring(err))
  assert.is_string(err.message)
  assert.not_equal("", err.message)
  assert.equal(err.message, tostring(err))
  assert.is_boolean(err.retryable)
  return err
end

--- As failure, for a value that broke a rule: the error says which.
function expect.invalid(field, value, err)
  expect.failure("invalid", value, err)
  assert.equal(field, err.field, err.message)
  return err
end

--- Checks that a call raises as misuse does: with a text, not with an error of the store.
function expect.misuse(fn, ...)
  local ok, raised = pcall(fn, ...)
  assert.is_false(ok, "it did not raise")
  assert.is_string(raised)
  return raised
end

--- One field of each item of a list.
function expect.pluck(list, field)
  local values = {}
  for i, item in ipairs(list) do
    values[i] = item[field]
  end
  return values
end

local FIELDS = { "ip", "hostname", "aliases", "comment", "tags", "enabled", "expires_at", "origin" }

--- What a user set of the hosts a filter gives, in their order: all that an export can carry.
function expect.entries(store, filter)
  local entries = {}
  for i, host in ipairs(assert(store:list(filter))) do
    entries[i] = {}
    for _, field in ipairs(FIELDS) do
      entries[i][field] = host[field]
    end
  end
  return entries
end

return expect
