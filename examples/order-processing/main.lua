-- Three orders, from placing to shipping or cancelling. HOSTSTORE_DB names the database; without it
-- all is in memory. Run it in this folder's parent: lua examples/order-processing/main.lua

local here = arg[0]:match("^(.*)/") or "."
package.path = here .. "/?.lua;" .. package.path

local hoststore = require "hoststore"
local orders = require "orders"

local store = assert(hoststore.open(os.getenv "HOSTSTORE_DB" or "memory:", { actor = "shop" }))

assert(orders.place(store, "1001", "Ada", 12))
assert(orders.place(store, "1002", "Grace", 3))
print("again:", select(2, orders.place(store, "1001", "Ada", 12)))

for _ = 1, 11 do assert(orders.ship(store, "1001", 1)) end
print("too many:", select(2, orders.ship(store, "1001", 2)))
assert(orders.ship(store, "1001", 1))

assert(orders.cancel(store, "1002", "found it cheaper"))
print("too late:", select(2, orders.ship(store, "1002", 1)))

-- Both or neither: an order and the note that it is the third.
assert(store:append_batch {
  { stream = "order-1003", events = { { type = "OrderPlaced", data = { customer = "Edsger", lines = 1 } } },
    expected = "none" },
  { stream = "shop", events = { { type = "MilestoneReached", data = { orders = 3 } } } },
})

for _, stream in ipairs(assert(store:streams { prefix = "order-" })) do
  local state = orders.load(store, stream.stream:match("%d+"))
  print(stream.stream, "version " .. stream.version, state.status)
end
print("saved state of 1001 at version " .. store:stream("order-1001"):load_snapshot().version)
store:close()
