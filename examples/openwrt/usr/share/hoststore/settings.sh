# /etc/config/hoststore as environment, for what is sourced by sh. Needs nothing but the shell: it is read
# once for each event of a lease.
type config_load >/dev/null 2>&1 || . "$IPKG_INSTROOT/lib/functions.sh"

hoststore_add_leases() {
	[ -e "$1" ] && HOSTSTORE_LEASES="$HOSTSTORE_LEASES --leases $1"
}

config_load hoststore
config_get HOSTSTORE_DB main db /etc/hoststore/hoststore.db
config_get HOSTSTORE_SPOOL main spool /tmp/hoststore/spool
config_get HOSTSTORE_HOSTS main hosts /tmp/hosts/hoststore
config_get HOSTSTORE_LEASE_EXPIRY main lease_expiry 1
[ "$HOSTSTORE_LEASE_EXPIRY" = 0 ] && HOSTSTORE_LEASE_EXPIRY=no
HOSTSTORE_LEASES=
config_list_foreach main leases hoststore_add_leases
HOSTSTORE_ON_CHANGE="$IPKG_INSTROOT/usr/libexec/hoststore/publish"
export HOSTSTORE_DB HOSTSTORE_SPOOL HOSTSTORE_HOSTS HOSTSTORE_LEASE_EXPIRY HOSTSTORE_ON_CHANGE IPKG_INSTROOT
