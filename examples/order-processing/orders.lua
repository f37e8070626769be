-- Orders as event streams: the state of an order is the fold of its events.
--
-- A command reads the state and the version it belongs to, decides, and appends at just that
-- version. Two commands on one order at once: one is refused with "conflict" and tries again.

local orders = {}

local SNAPSHOT_EVERY = 10

local function apply(state, event)
  if event.type == "OrderPlaced" then
    return { status = "placed", customer = event.data.customer, lines = event.data.lines, shipped = 0 }
  elseif event.type == "OrderShipped" then
    state.shipped = state.shipped + event.data.quantity
    state.status = state.shipped < state.lines and "partly shipped" or "shipped"
  elseif event.type == "OrderCancelled" then
    state.status = "cancelled"
  end
  return state
end

-- The state of an order and its version; every tenth version the state is saved, so that a long
-- history need not be read again.
function orders.load(store, id)
  local stream = store:stream("order-" .. id)
  local state, version = stream:fold({ status = "unknown" }, apply)
  if not state then return nil, version end
  if version > 0 and version % SNAPSHOT_EVERY == 0 then
    local saved, err = stream:save_snapshot(version, state)
    if not saved then return nil, err end
  end
  return state, version
end

function orders.place(store, id, customer, lines)
  return store:stream("order-" .. id):append(
    { type = "OrderPlaced", data = { customer = customer, lines = lines } }, { expected = "none" })
end

-- Decides on the state, appends the event it decides on, and begins anew when the order has moved.
local function decide(store, id, decision)
  while true do
    local state, version = orders.load(store, id)
    if not state then return nil, version end
    local event, refusal = decision(state)
    if not event then return nil, refusal end
    local result, err = store:stream("order-" .. id):append(event, { expected = version })
    if result or err.code ~= "conflict" then return result, err end
  end
end

function orders.ship(store, id, quantity)
  return decide(store, id, function(state)
    if state.status ~= "placed" and state.status ~= "partly shipped" then
      return nil, ("order %s is %s"):format(id, state.status)
    elseif state.shipped + quantity > state.lines then
      return nil, ("order %s has %d left to ship, not %d"):format(id, state.lines - state.shipped, quantity)
    end
    return { type = "OrderShipped", data = { quantity = quantity } }
  end)
end

function orders.cancel(store, id, why)
  return decide(store, id, function(state)
    if state.status ~= "placed" then return nil, ("order %s is %s"):format(id, state.status) end
    return { type = "OrderCancelled", data = { why = why } }
  end)
end

return orders
