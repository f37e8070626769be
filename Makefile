# Makefile -- builds the modules, runs the specs, installs.
#
#   make              the modules for LUA_VERSION: 5.4, 5.3, 5.1 or jit
#   make run          imports a hosts file, tags, publishes, and shows who changed what
#   make test         the specs on each of TEST_VERSIONS; SPECS=spec/unit/x_spec.lua for some of them.
#                     PostgreSQL is started for them, privately
#   make test-asan    the specs with AddressSanitizer, UndefinedBehaviorSanitizer and leak detection
#   make test-postgres-new  what concerns PostgreSQL, on the newest one that an npm package carries
#   make test-sqlite-new  what concerns SQLite, on the newest one that an npm package carries
#   make test-valgrind  the conformance specs under valgrind
#   make lint         luacheck, and all C with gcc and clang and no warning left
#   make fuzz         each of FUZZ_TARGETS and FUZZ_LUA_TARGETS for FUZZ_SECONDS, FUZZ_JOBS at once
#   make model        N random commands from the seed SEED on, on a model and on all databases; STORES=sqlite
#                     for one of them; REPLAY=FILE runs the commands that a failure has printed
#   make proof        crashes, odd machines and what else can befall a store, and writes spec/proof/RESULTS.md;
#                     SCALE=short tries less of each and writes no page; PARTS="crash machines/musl" tries
#                     some of it, and brings their lines of the page up to date
#   make bench        hoststore next to programs that do the same work by hand: BENCH=sqlite or postgres, HOSTS=10000
#                     PARTS="add list" for less, KEEP=yes keeps results and chart in spec/bench; BENCH=hotplug a swarm
#                     of leases, BENCH=analysis EVENTS=100000 what is asked of a log, on all databases, BENCH=bytes
#                     what a commit writes, BENCH=memory what a million operations leave behind,
#                     BENCH=instructions counts those of core operations and compares them with
#                     spec/bench/INSTRUCTIONS.md, which KEEP=yes writes anew
#   make install      under DESTDIR and PREFIX; make uninstall
#   make deps         installs the Debian packages that run and test need; make deps-lint and so on
#                     those of another target
#   make deps-duckdb  fetches DuckDB's library out of an npm package, to build/duckdb
#
# CC, CFLAGS, CPPFLAGS and LDFLAGS are the builder's; so are PKG_CONFIG and, where pkg-config does
# not know, LUA_INCDIR and the _INCDIR and _LIBDIR of SQLITE3, CJSON and LIBPQ. The PostgreSQL driver
# is built where libpq is, the one for DuckDB where its library is: what deps-duckdb has fetched, or
# the libduckdb.so that DUCKDB_LIB names; DUCKDB_LIB= builds and tests without.

# LUA alone says which version is meant, too.
LUA_VERSION := $(or $(LUA_VERSION),$(if $(LUA),$(shell \
	$(LUA) -e 'print(jit and "jit" or _VERSION:match("[%d.]+"))')),5.4)
LUA_NAME = $(if $(filter jit,$(LUA_VERSION)),luajit,lua$(LUA_VERSION))
LUA_ABI = $(if $(filter jit,$(LUA_VERSION)),5.1,$(LUA_VERSION))
INTERPRETER = $(or $(LUA),$(LUA_NAME))

PREFIX ?= /usr/local
BINDIR = $(PREFIX)/bin
LUADIR = $(PREFIX)/share/lua/$(LUA_ABI)
LIBDIR = $(PREFIX)/lib/lua/$(LUA_ABI)

CFLAGS ?= -O2 -g
PKG_CONFIG ?= pkg-config
BUILD = build/$(LUA_VERSION)
GEN = build/gen
OBJ = $(BUILD)/obj

# package, include directory
cflags = $(if $(2),-I$(2),$(shell $(PKG_CONFIG) --cflags $(1)))
# package, library, library directory
libs = $(if $(3),-L$(3) -l$(2),$(shell $(PKG_CONFIG) --libs $(1)))

WARNINGS = -Wall -Wextra -Wmissing-prototypes -Wshadow
ALL_CPPFLAGS = -D_GNU_SOURCE -Icsrc -I$(GEN) $(CPPFLAGS)
ALL_CFLAGS = -std=c11 $(WARNINGS) -fPIC -fvisibility=hidden $(CFLAGS)
# V=1 shows the commands.
quiet = $(if $(V),,@echo "  $(1)  $@";)
COMPILE = $(call quiet,CC)$(CC) $(ALL_CPPFLAGS) $(ALL_CFLAGS) -MMD -MP
LINK = $(call quiet,LD)$(CC) -shared $(CFLAGS) $(LDFLAGS) -Wl,--as-needed

# The core is what is neither a driver nor a binding to Lua.
CORE = $(filter-out db_% lua_%,$(basename $(notdir $(wildcard csrc/*.c))))
CORE_LUA = $(filter-out lua_driver,$(basename $(notdir $(wildcard csrc/lua_*.c))))
HAVE_LIBPQ := $(or $(LIBPQ_INCDIR),$(shell $(PKG_CONFIG) --exists libpq && echo yes))
DUCKDB_FILES = $(basename $(notdir $(wildcard csrc/db_duckdb*.c)))
# The newest that was tried; DUCKDB_VERSION=latest tries another.
DUCKDB_VERSION = 1.5.6-r.1
DUCKDB_PACKAGE = @duckdb/node-bindings-linux-$(patsubst x86_64,x64,$(patsubst aarch64,arm64,$(shell uname -m)))
DUCKDB_FETCHED = build/duckdb/node_modules/$(DUCKDB_PACKAGE)/libduckdb.so
DUCKDB_LIB ?= $(wildcard $(DUCKDB_FETCHED))
MODULES = $(BUILD)/hoststore/core.so $(BUILD)/hoststore/sqlite.so \
	$(if $(HAVE_LIBPQ),$(BUILD)/hoststore/postgres.so) \
	$(if $(DUCKDB_LIB),$(BUILD)/hoststore/duckdb.so $(BUILD)/hoststore/libduckdb.so)
TEST_DRIVER = $(BUILD)/hoststore_faulty.so
TEST_SHIMS = $(BUILD)/no_shared_mmap.so $(BUILD)/slow_fsync.so $(BUILD)/write_log.so $(BUILD)/last_random.so
TEST_FAILURES = $(BUILD)/failing_calls.so
TEST_PROXY = $(BUILD)/cutting_proxy
TEST_CLIENT = $(BUILD)/dhcp_client
LUA_FILES = $(shell cd lua && find hoststore -name '*.lua')

TEST_VERSIONS = 5.4 5.1 jit
SPECS = spec
FUZZ_SECONDS ?= 60
FUZZ_JOBS ?= $(shell nproc)
FUZZ_TARGETS = check host_decode dump_line
# Of what is written in Lua: functions of spec/fuzz/targets.lua.
FUZZ_LUA_TARGETS = url import_hosts import_csv import_json import_ndjson import_uci import_leases \
	import_odhcpd template policy

.PHONY: all test-modules run test test-asan test-postgres-new test-sqlite-new test-valgrind model proof lint lint-c \
	bench bench-sqlite bench-postgres bench-hotplug bench-analysis bench-bytes bench-memory bench-instructions \
	fuzz fuzz-targets install uninstall clean deps deps-duckdb
.DELETE_ON_ERROR:

all: $(MODULES)

test-modules: all $(TEST_DRIVER) $(TEST_SHIMS) $(TEST_FAILURES) $(TEST_PROXY) $(TEST_CLIENT)

# -- compiling ---------------------------------------------------------------------------------

$(BUILD)/hoststore/core.so: $(CORE:%=$(OBJ)/%.o) $(CORE_LUA:%=$(OBJ)/%.o)
	@mkdir -p $(@D)
	$(LINK) -o $@ $^ $(call libs,libcjson,cjson,$(CJSON_LIBDIR))

$(BUILD)/hoststore/sqlite.so: $(OBJ)/db_sqlite.o $(OBJ)/lua_driver_sqlite.o
	@mkdir -p $(@D)
	$(LINK) -o $@ $^ $(call libs,sqlite3,sqlite3,$(SQLITE3_LIBDIR))

$(BUILD)/hoststore/postgres.so: $(OBJ)/db_postgres.o $(OBJ)/db_postgres_pool.o $(OBJ)/lua_driver_postgres.o
	@mkdir -p $(@D)
	$(LINK) -o $@ $^ $(call libs,libpq,pq,$(LIBPQ_LIBDIR))

# The library lies beside the driver, which finds it there, or where the system has it.
$(BUILD)/hoststore/libduckdb.so: $(DUCKDB_LIB)
	@mkdir -p $(@D)
	@ln -sf $(realpath $(DUCKDB_LIB)) $@

# It cannot be unloaded while it has threads.
$(BUILD)/hoststore/duckdb.so: $(DUCKDB_FILES:%=$(OBJ)/%.o) $(OBJ)/lua_driver_duckdb.o | $(BUILD)/hoststore/libduckdb.so
	@mkdir -p $(@D)
	$(LINK) -Wl,-z,nodelete -Wl,-rpath,'$$ORIGIN' -o $@ $^ -L$(@D) -lduckdb -pthread

$(TEST_DRIVER): $(OBJ)/faulty_driver.o
	$(LINK) -o $@ $^

# Preloaded before everything: sanitizers would meet it half awake. Lua talks to one of them.
$(TEST_FAILURES): HEADERS = $(call cflags,$(LUA_NAME),$(LUA_INCDIR))
$(TEST_SHIMS) $(TEST_FAILURES): $(BUILD)/%.so: spec/support/%.c | $(OBJ)
	$(call quiet,CC)$(CC) $(filter-out -fsanitize%,$(ALL_CPPFLAGS) $(ALL_CFLAGS)) $(HEADERS) -shared -o $@ $<

$(TEST_PROXY): spec/support/cutting_proxy.c | $(OBJ)
	$(call quiet,CC)$(CC) $(ALL_CPPFLAGS) $(ALL_CFLAGS) $(LDFLAGS) -pthread -o $@ $<

$(TEST_CLIENT): spec/support/dhcp_client.c | $(OBJ)
	$(call quiet,CC)$(CC) $(ALL_CPPFLAGS) $(ALL_CFLAGS) $(LDFLAGS) -o $@ $<

# Each file sees the headers it may use: lua_*.c Lua's, db_sqlite.c SQLite's, event.c cJSON's.
HEADERS =
$(OBJ)/lua_%.o $(OBJ)/faulty_driver.o: HEADERS = $(call cflags,$(LUA_NAME),$(LUA_INCDIR))
$(OBJ)/db_sqlite.o: HEADERS = $(call cflags,sqlite3,$(SQLITE3_INCDIR))
$(OBJ)/db_postgres%o: HEADERS = $(call cflags,libpq,$(LIBPQ_INCDIR))
$(OBJ)/event.o: HEADERS = $(call cflags,libcjson,$(CJSON_INCDIR))

$(OBJ)/%.o: csrc/%.c | $(GEN)/hs_sql.h $(OBJ)
	$(COMPILE) $(HEADERS) -c -o $@ $<

$(OBJ)/lua_driver_%.o: csrc/lua_driver.c | $(GEN)/hs_sql.h $(OBJ)
	$(COMPILE) $(HEADERS) -DHS_DRIVER=hs_$*_driver -DHS_LUAOPEN=luaopen_hoststore_$* -c -o $@ $<

$(OBJ)/faulty_driver.o: spec/support/faulty_driver.c | $(GEN)/hs_sql.h $(OBJ)
	$(COMPILE) $(HEADERS) -c -o $@ $<

$(OBJ)/db_sqlite.o: | $(GEN)/sql_sqlite.h
$(OBJ)/db_postgres.o: | $(GEN)/sql_postgres.h
$(OBJ)/db_duckdb.o: | $(GEN)/sql_duckdb.h

$(GEN)/hs_sql.h: sql/compile.lua sql/queries.sql
	@mkdir -p $(@D)
	$(call quiet,SQL)cd sql && $(INTERPRETER) compile.lua names >../$@

.SECONDEXPANSION:
$(GEN)/sql_%.h: sql/compile.lua sql/queries.sql sql/views.sql $$(wildcard sql/$$*/*.sql)
	@mkdir -p $(@D)
	$(call quiet,SQL)cd sql && $(INTERPRETER) compile.lua tables $* $*/*.sql >../$@

$(OBJ):
	@mkdir -p $@

-include $(wildcard $(OBJ)/*.d)

# -- running and testing -----------------------------------------------------------------------

run: deps-run
	@$(MAKE) -s all
	@BUILD=$(BUILD) LUA=$(INTERPRETER) examples/run.sh

test: deps-test deps-duckdb
	@set -e; for version in $(TEST_VERSIONS); do \
		$(MAKE) -s test-modules LUA_VERSION=$$version; \
	done
	@spec/support/run_divided $(TEST_VERSIONS:%=build/%) -- $(SPECS)

SANITIZE = -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
ASAN_VERSIONS = 5.4 5.1

# The interpreter is not sanitised: the runtime has to be there before it. It is not to remember the
# thread-local memory of libraries that Lua unloads, where it would look for pointers and crash. DuckDB
# throws exceptions, which the runtime only knows when it finds the library of C++ at once.
ASAN_RUN = RUNNER="env LD_PRELOAD=$$($(CC) -print-file-name=libasan.so):$$($(CC) -print-file-name=libstdc++.so.6) \
	LSAN_OPTIONS=print_suppressions=0:suppressions=$(CURDIR)/spec/support/lsan.supp \
	ASAN_OPTIONS=detect_leaks=1:intercept_tls_get_addr=0 UBSAN_OPTIONS=print_stacktrace=1" \
	spec/support/run_divided
# On DuckDB, which is slow, what loads, undoes and asks.
ASAN_DUCKDB = --filter=uck --filter-out='dumped again' --filter-out='fail at any call' spec/unit/duckdb_spec.lua \
	$(patsubst %,spec/conformance/%_spec.lua,append_batch copy query transaction)

test-asan: deps-test deps-duckdb
	@set -e; for version in $(ASAN_VERSIONS); do \
		$(MAKE) -s test-modules LUA_VERSION=$$version BUILD=build/asan-$$version \
			CFLAGS="-O1 -g $(SANITIZE)"; \
	done
ifneq ($(SPECS),spec)
	@$(ASAN_RUN) $(ASAN_VERSIONS:%=build/asan-%) -- $(SPECS)
else
	@HOSTSTORE_WITHOUT_DUCKDB=1 $(ASAN_RUN) $(ASAN_VERSIONS:%=build/asan-%) -- $(SPECS)
	@first=build/asan-$(firstword $(ASAN_VERSIONS)); [ ! -e $$first/hoststore/duckdb.so ] || \
		$(ASAN_RUN) $$first -- $(ASAN_DUCKDB)
endif

# What the rest of the specs tests does not depend on the server.
POSTGRES_SPECS = spec/conformance $(wildcard spec/unit/postgres_*spec.lua)

test-postgres-new: deps-postgres-new
	@$(MAKE) -s test-modules LUA_VERSION=5.4
	@HOSTSTORE_WITHOUT_DUCKDB=1 spec/support/with_new_postgres spec/support/run_divided build/5.4 -- \
		$(if $(filter-out spec,$(SPECS)),$(SPECS),--filter-out='^sqlite ' $(POSTGRES_SPECS))

SQLITE_SPECS = spec/conformance spec/regress $(wildcard spec/unit/sqlite_*spec.lua) spec/unit/schema_upgrade_spec.lua

NEW_SQLITE = $(CURDIR)/build/sqlite-new

test-sqlite-new: deps-sqlite-new
	@spec/support/new_sqlite $(NEW_SQLITE)
	@$(MAKE) -s test-modules LUA_VERSION=5.4 BUILD=build/new-5.4 SQLITE3_INCDIR=$(NEW_SQLITE) \
		SQLITE3_LIBDIR=$(NEW_SQLITE) LDFLAGS="-Wl,-rpath,$(NEW_SQLITE)"
	@HOSTSTORE_WITHOUT_DUCKDB=1 spec/support/run_divided build/new-5.4 -- \
		$(if $(filter-out spec,$(SPECS)),$(SPECS),--filter-out='^postgres: ' $(SQLITE_SPECS))

test-valgrind: deps-valgrind
	@$(MAKE) -s test-modules LUA_VERSION=5.4
	@RUNNER="valgrind -q --error-exitcode=9 --leak-check=full --errors-for-leak-kinds=definite \
		--show-leak-kinds=definite" HOSTSTORE_WITHOUT_DUCKDB=1 \
		spec/support/run_divided build/5.4 -- $(if $(filter-out spec,$(SPECS)),$(SPECS),spec/conformance)

SEED = 1
N = 10000

model: deps-test deps-duckdb
	@$(MAKE) -s test-modules
	@LUA_PATH="lua/?.lua;lua/?/init.lua;./?.lua;;" LUA_CPATH="$(BUILD)/?.so;;" spec/support/with_postgres \
		$(INTERPRETER) spec/model/main.lua $(SEED) $(N) "$(STORES)" "$(REPLAY)"

SCALE = full
PARTS =

proof: deps-proof
	@$(MAKE) -s test-modules
	@LUA=$(INTERPRETER) BUILD=$(BUILD) spec/proof/run $(SCALE) $(PARTS)

lint: deps-lint
	luacheck -q --no-color lua lua/hoststore.command spec sql examples
	@set -e; for compiler in gcc clang; do for version in 5.4 5.1; do \
		$(MAKE) -s lint-c CC=$$compiler LUA_VERSION=$$version \
			BUILD=build/lint-$$compiler-$$version CFLAGS="-O2 -Werror"; \
	done; done

# DuckDB's driver can be compiled without DuckDB.
lint-c: test-modules $(DUCKDB_FILES:%=$(OBJ)/%.o) $(OBJ)/bench_sqlite $(OBJ)/bench_postgres $(OBJ)/bench_swarm \
	$(BUILD)/qemu_instructions.so $(OBJ)/lua_fuzz.o $(FUZZ_TARGETS:%=$(OBJ)/%_fuzz.o)

# What to measure: databases, and a swarm of leases.
BENCH = sqlite postgres hotplug analysis bytes
# How many events the analysis is of.
EVENTS = 1000000
# How large the largest database is, about; and whether the results are kept in spec/bench.
HOSTS = 100000
KEEP =
BENCH_PATHS = LUA_PATH="lua/?.lua;lua/?/init.lua;;" LUA_CPATH="$(BUILD)/?.so;;"

bench: $(BENCH:%=bench-%)

bench-sqlite: deps-bench
	@$(MAKE) -s all $(OBJ)/bench_sqlite $(OBJ)/bench_swarm
	@$(BENCH_PATHS) HOSTSTORE_RUN=/dev/null HOSTS=$(HOSTS) KEEP=$(KEEP) \
		$(INTERPRETER) spec/bench/sqlite.lua $(INTERPRETER) $(BUILD) $(PARTS)

# A server as it comes, which waits for the disk.
bench-postgres: deps-bench
	@$(MAKE) -s all $(OBJ)/bench_postgres
	@$(BENCH_PATHS) POSTGRES_SETTINGS= KEEP=$(KEEP) \
		spec/support/with_postgres $(INTERPRETER) spec/bench/postgres.lua $(INTERPRETER) $(BUILD)

bench-analysis: deps-bench deps-duckdb
	@$(MAKE) -s all
	@$(BENCH_PATHS) POSTGRES_SETTINGS= \
		spec/support/with_postgres $(INTERPRETER) spec/bench/analysis.lua $(INTERPRETER) $(EVENTS)

bench-hotplug: deps-run
	@$(MAKE) -s test-modules $(OBJ)/bench_swarm
	@$(BENCH_PATHS) $(INTERPRETER) spec/bench/hotplug.lua $(INTERPRETER) $(BUILD)

bench-bytes bench-memory: bench-%: deps-run
	@$(MAKE) -s test-modules
	@$(BENCH_PATHS) $(INTERPRETER) spec/bench/$*.lua $(INTERPRETER) $(BUILD)

bench-instructions: deps-bench-instructions
	@$(MAKE) -s all $(BUILD)/qemu_instructions.so
	@[ -z "$(KEEP)" ] || LUA=$(INTERPRETER) spec/proof/machines/build mipsel
	@$(BENCH_PATHS) $(INTERPRETER) spec/bench/instructions.lua $(INTERPRETER) $(BUILD) $(if $(KEEP),keep)

$(BUILD)/qemu_instructions.so: spec/bench/instructions.c | $(OBJ)
	$(call quiet,CC)$(CC) $(ALL_CPPFLAGS) $(ALL_CFLAGS) -shared -o $@ $<

$(OBJ)/bench_swarm: spec/bench/swarm.c | $(OBJ)
	$(COMPILE) $(LDFLAGS) -o $@ $<

$(OBJ)/bench_sqlite: spec/bench/sqlite.c | $(OBJ)
	$(COMPILE) $(LDFLAGS) -o $@ $< $(call cflags,sqlite3,$(SQLITE3_INCDIR)) $(call cflags,$(LUA_NAME),$(LUA_INCDIR)) \
		$(call libs,sqlite3,sqlite3,$(SQLITE3_LIBDIR)) $(call libs,$(LUA_NAME),$(LUA_NAME))

$(OBJ)/bench_postgres: spec/bench/postgres.c | $(OBJ)
	$(COMPILE) $(LDFLAGS) -o $@ $< $(call cflags,libpq,$(LIBPQ_INCDIR)) \
		$(call libs,libpq,pq,$(LIBPQ_LIBDIR))

fuzz: deps-fuzz
	@$(MAKE) -s fuzz-targets BUILD=build/fuzz CC=clang \
		CFLAGS="-O1 -g -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all"
	@printf '%s\n' $(FUZZ_TARGETS) $(FUZZ_LUA_TARGETS) | \
		xargs -P $(FUZZ_JOBS) -I TARGET spec/fuzz/run build/fuzz TARGET $(FUZZ_SECONDS)

fuzz-targets: $(FUZZ_TARGETS:%=$(BUILD)/%) $(BUILD)/lua $(BUILD)/hoststore/core.so $(BUILD)/hoststore/sqlite.so

$(FUZZ_TARGETS:%=$(BUILD)/%): $(BUILD)/%: $(OBJ)/%_fuzz.o $(CORE:%=$(OBJ)/%.o)
	$(call quiet,LD)$(CC) $(CFLAGS) -fsanitize=fuzzer -o $@ $^ $(call libs,libcjson,cjson,$(CJSON_LIBDIR))

# It gives its symbols to the modules, which have no runtime of their own.
$(BUILD)/lua: $(OBJ)/lua_fuzz.o
	$(call quiet,LD)$(CC) $(CFLAGS) -fsanitize=fuzzer -rdynamic -o $@ $^ $(call libs,$(LUA_NAME),$(LUA_NAME))

$(OBJ)/%_fuzz.o: spec/fuzz/%_fuzz.c | $(GEN)/hs_sql.h $(OBJ)
	$(COMPILE) $(HEADERS) -c -o $@ $<

# -- installing --------------------------------------------------------------------------------

install: all
	@set -e; for file in $(LUA_FILES); do \
		install -d "$(DESTDIR)$(LUADIR)/$$(dirname $$file)"; \
		install -m 0644 lua/$$file "$(DESTDIR)$(LUADIR)/$$file"; \
	done
	install -d "$(DESTDIR)$(LIBDIR)/hoststore" "$(DESTDIR)$(BINDIR)"
	install -m 0755 $(MODULES) "$(DESTDIR)$(LIBDIR)/hoststore"
	sed -e '1s|.*|#!/usr/bin/env $(LUA_NAME)|' $(if $(SEARCHED),,-e '$(SET_PREFIX)') \
		lua/hoststore.command >"$(DESTDIR)$(BINDIR)/hoststore"
	chmod 0755 "$(DESTDIR)$(BINDIR)/hoststore"

# Lua looks under these by itself.
SEARCHED = $(filter /usr /usr/local,$(PREFIX))
SET_PREFIX = s|^local prefix = false.*|local prefix = "$(PREFIX)"|

uninstall:
	rm -rf "$(DESTDIR)$(LUADIR)/hoststore" "$(DESTDIR)$(LIBDIR)/hoststore"
	rm -f "$(DESTDIR)$(BINDIR)/hoststore"

clean:
	rm -rf build

# -- Debian packages ---------------------------------------------------------------------------

PACKAGES_run = pkg-config libsqlite3-dev libcjson-dev libpq-dev lua5.4 liblua5.4-dev lua-cjson lua-argparse
PACKAGES_test = $(PACKAGES_run) lua5.1 liblua5.1-0-dev luajit libluajit-5.1-dev lua-busted sqlite3 \
	postgresql openssl dnsmasq-base-lua unbound bind9-dnsutils bind9-utils iproute2 faketime locales
# npm may have come from elsewhere than from Debian.
PACKAGES_npm = $(if $(shell command -v npm 2>/dev/null),,npm)
PACKAGES_postgres-new = $(PACKAGES_test) $(PACKAGES_npm)
PACKAGES_sqlite-new = $(PACKAGES_postgres-new)
# The short run builds for no other machine.
PACKAGES_proof = $(PACKAGES_test) clang libclang-rt-dev $(if $(filter short,$(SCALE)),,dpkg-dev musl-tools qemu-user \
	gcc-s390x-linux-gnu libc6-dev-s390x-cross $(PACKAGES_npm))
PACKAGES_valgrind = $(PACKAGES_test) valgrind
PACKAGES_lint = $(PACKAGES_test) lua-check clang
PACKAGES_fuzz = $(PACKAGES_run) clang libclang-rt-dev
PACKAGES_bench = $(PACKAGES_run) lua-sql-sqlite3 lua-sql-postgres postgresql
PACKAGES_bench-instructions = $(PACKAGES_run) valgrind $(if $(KEEP),dpkg-dev qemu-user gcc-mipsel-linux-gnu \
	libc6-dev-mipsel-cross)

deps: deps-test

# DUCKDB_LIB names a library that is there already, or none.
ifeq ($(origin DUCKDB_LIB),file)
deps-duckdb: $(if $(DUCKDB_LIB),,deps-npm)
	@[ -e $(DUCKDB_FETCHED) ] || npm install --prefix build/duckdb --no-save --no-audit --no-fund --ignore-scripts \
		--loglevel=error $(DUCKDB_PACKAGE)@$(DUCKDB_VERSION) >&2 || { \
		echo "DuckDB could not be fetched; DUCKDB_LIB= does without, DUCKDB_LIB=FILE has it from elsewhere" >&2; exit 1; }
else
deps-duckdb:
endif

# Installs what is missing of a list; where there is no apt-get, says what it takes.
deps-%:
	@missing=; for package in $(PACKAGES_$*); do \
		case $$(dpkg-query -W -f '$${Status}' $$package 2>/dev/null) in *' installed') ;; \
		*) missing="$$missing $$package" ;; esac; \
	done; \
	if [ -z "$$missing" ]; then exit 0; fi; \
	if ! command -v apt-get >/dev/null; then \
		echo "no apt-get here; needed are, by Debian's names: $(PACKAGES_$*)"; exit 0; \
	fi; \
	sudo=; [ "$$(id -u)" = 0 ] || sudo=sudo; \
	echo "installing$$missing"; \
	$$sudo apt-get update -qq && \
	$$sudo env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends $$missing
