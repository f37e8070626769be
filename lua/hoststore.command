#!/usr/bin/env lua5.4
local prefix = false -- `make install` writes here where it put the modules

if prefix then
  local version = _VERSION:match("[%d.]+")
  local share, lib = prefix .. "/share/lua/" .. version, prefix .. "/lib/lua/" .. version
  package.path = share .. "/?.lua;" .. share .. "/?/init.lua;" .. package.path
  package.cpath = lib .. "/?.so;" .. package.cpath
end

os.exit(require("hoststore.cli").run(arg), true)
