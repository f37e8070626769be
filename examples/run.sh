#!/bin/sh
# From a hosts file to a published one: what hoststore does, in a minute. `make run` runs it on the
# modules it has just built; with hoststore installed it runs as it is.
#   run.sh [DATABASE]     a URL or a path, of a database that is empty; a file that is gone at the end
set -eu
cd "$(dirname "$0")/.."

if [ -n "${BUILD:-}" ]; then
  export LUA_PATH="lua/?.lua;lua/?/init.lua;;" LUA_CPATH="$BUILD/?.so;;"
  hoststore() { "$LUA" lua/hoststore.command "$@"; }
fi

directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT
export HOSTSTORE_DB="${1:-$directory/hosts.db}" HOSTSTORE_RUN="$directory/run" HOSTSTORE_ACTOR="${USER:-admin}"

say() { printf '\n# %s\n' "$*"; }
show() {
  printf '\n$'
  for word; do
    case $word in *' '*) printf " '%s'" "$word" ;; *) printf ' %s' "$word" ;; esac
  done
  printf '\n'
  "$@"
}

say "Import a hosts file into a database that is made on the way."
show hoststore import examples/hosts.sample --reason "first import"

say "A rule, written in Lua, tags what lives in 192.168.20.0/24."
show "${LUA:-lua5.4}" examples/tag-rule.lua "$HOSTSTORE_DB" 192.168.20.0/24 iot
show hoststore list --tag iot

say "Change a host, and tell why."
show hoststore set thermostat.lan "comment=living room, battery" --reason "labelled"

say "Publish a hosts file: written in one step, and only when it differs."
show hoststore publish "$directory/hosts" --header
show hoststore publish "$directory/hosts" --header
show cat "$directory/hosts"

say "Who changed what?"
show hoststore history thermostat.lan
show hoststore log --limit 8

say "The hosts are exactly what the log says they are."
show hoststore verify
