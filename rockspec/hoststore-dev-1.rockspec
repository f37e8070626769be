rockspec_format = "3.0"
package = "hoststore"
version = "dev-1"

source = {
  url = "git+https://example.org/hoststore/hoststore.git",
}

description = {
  summary = "An event-sourced database of host names",
  detailed = [[
Keeps the host names of a router or a network in a database that forgets nothing: who changed what,
when and why. Imports and exports hosts files, JSON and CSV, shows the hosts as of any time, takes
changes back, publishes a hosts file in one step. A Lua module over a C core on SQLite or, where
libpq is found, PostgreSQL; or DuckDB, where its library is.

The command needs argparse, JSON needs lua-cjson; both may come from the system, so that neither is
a dependency here.]],
  license = "MIT",
  labels = { "database", "dns", "event-sourcing", "sqlite", "openwrt", "commandline" },
}

supported_platforms = { "unix" }

dependencies = {
  "lua >= 5.1, < 5.5",
}

external_dependencies = {
  SQLITE3 = { header = "sqlite3.h", library = "sqlite3" },
  CJSON = { header = "cjson/cJSON.h", library = "cjson" },
}

build = {
  type = "make",
  build_target = "all",
  variables = {
    LUA = "$(LUA)",
  },
  build_variables = {
    CC = "$(CC)",
    CFLAGS = "$(CFLAGS)",
    LUA_INCDIR = "$(LUA_INCDIR)",
    SQLITE3_INCDIR = "$(SQLITE3_INCDIR)",
    SQLITE3_LIBDIR = "$(SQLITE3_LIBDIR)",
    CJSON_INCDIR = "$(CJSON_INCDIR)",
    CJSON_LIBDIR = "$(CJSON_LIBDIR)",
  },
  install_variables = {
    BINDIR = "$(BINDIR)",
    LIBDIR = "$(LIBDIR)",
    LUADIR = "$(LUADIR)",
  },
}
