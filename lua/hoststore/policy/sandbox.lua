--- A sandbox: a second Lua for scripts that must not do harm, whatever is in them.
--
-- There is no io, os, require, load, debug and coroutine in it, and nothing random: the same script with
-- the same arguments gives the same results. A script that takes too long or too much memory is stopped,
-- and the sandbox is closed. What goes in and comes out is copied.

local core = require "hoststore.core"
local options = require "hoststore.options"

local Sandbox = {}

local MEMORY = 16 * 1024 * 1024
local INSTRUCTIONS = 10 * 1000 * 1000
-- Processor time, for scripts whose few instructions are slow ones.
local SECONDS = 10

---@class hoststore.Sandbox
---@field load fun(self, chunk_name: string, text: string, environment: string?): true?, hoststore.Error?
--- runs a chunk of text, never bytecode; its globals are those of the sandbox, or the table in it that is named
---@field call fun(self, name: string, ...): ...  calls a global function: its results, or nil and an error
---@field set fun(self, name: string, fn: function): true?, hoststore.Error?  gives the sandbox a function of ours
---@field close fun(self)

local keys = options.set("memory", "instructions", "seconds")

--- Makes an empty sandbox.
---@param given { memory: integer?, instructions: integer?, seconds: number? }?  bytes of the sandbox; instructions
--- and seconds of processor time of each load and call
---@return hoststore.Sandbox
function Sandbox.new(given)
  given = options.check(given, keys, "the options")
  return core.sandbox(given.memory or MEMORY, given.instructions or INSTRUCTIONS, given.seconds or SECONDS,
    (require "hoststore.policy.prelude"))
end

return Sandbox
