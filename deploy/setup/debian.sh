#!/bin/sh
# Installs the Debian packages of the groups named as arguments ("run", "test").
# Quick when all are there; as anyone but root it only says what to type.
set -eu
here=$(dirname "$(readlink -f "$0")")

installed() {
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

# Only Debian's own python3 lacks venv; one from python.org or pyenv brings it along.
needless() {
    [ "$1" = python3-venv ] && python3 -c 'import ensurepip, venv' 2>/dev/null
}

wanted() {
    for group in "$@"; do
        awk -v group="$group" '$1 !~ /^#/ && $2 == group { print $1, $3 }' "$here/debian-packages"
    done
}

missing=$(wanted "$@" | while read -r name need; do
    installed "$name" || needless "$name" || echo "$name $need"
done)
[ -n "$missing" ] || exit 0

if ! command -v apt-get >/dev/null; then
    echo "setup: this is not a Debian machine. Install what these packages hold, by your system's own means:" >&2
    echo "$missing" | sed 's/^/  /' >&2
    exit 1
fi
required=$(echo "$missing" | awk '$2 == "required" { printf " %s", $1 }')
if [ "$(id -u)" != 0 ]; then
    [ -n "$required" ] || exit 0
    echo "setup: Debian packages are missing. Type this, then call make again:" >&2
    echo "  sudo sh deploy/setup/debian.sh $*" >&2
    echo "It installs$required." >&2
    exit 1
fi

export DEBIAN_FRONTEND=noninteractive
apt="apt-get -q -o DPkg::Lock::Timeout=600"
# What this release of Debian does not have is looked for in the lists at hand: no call to the net each time.
[ -z "$required" ] || $apt update

names=
for name in $(echo "$missing" | cut -d' ' -f1); do
    need=$(echo "$missing" | awk -v name="$name" '$1 == name { print $2 }')
    if apt-cache policy "$name" | grep -q 'Candidate: [0-9]'; then
        names="$names $name"
    elif [ "$need" = optional ]; then
        echo "setup: this release of Debian has no $name; we go on without it."
    else
        echo "setup: no Debian package $name is to be had from this machine's sources." >&2
        exit 1
    fi
done
[ -n "$names" ] || exit 0

# Debian starts some of these as services the moment they are installed: orthanc (8042, 4242), postgresql (5432),
# Samba's (445, 139, 389 ...) and slapd (389), on every address of the machine.
# We start our own, so the ones we bring are kept still: a policy file while dpkg runs, and disabled after.
# A service that was here before is not ours and is left as it is.
services_of() {
    case $1 in
    orthanc | postgresql | slapd) echo "$1" ;;
    samba-ad-dc) echo "samba-ad-dc smbd nmbd winbind" ;;
    esac
}

is_service() {
    [ -e "/etc/init.d/$1" ] || [ -e "/lib/systemd/system/$1.service" ]
}

switch_off() {
    if [ -e "/etc/init.d/$1" ]; then
        update-rc.d "$1" disable >/dev/null
    else
        deb-systemd-helper disable "$1.service" >/dev/null
    fi
}

ours=
for name in $names; do
    for service in $(services_of "$name"); do
        is_service "$service" || ours="$ours $service"
    done
done
# Otherwise slapd makes a directory of its own in /var/lib/ldap.
case " $names " in *" slapd "*) echo "slapd slapd/no_configuration boolean true" | debconf-set-selections ;; esac
policy=/usr/sbin/policy-rc.d
if [ -n "$ours" ] && [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
    trap 'rm -f "$policy"' EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
fi
# shellcheck disable=SC2086
$apt install -y --no-install-recommends $names
for service in $ours; do
    is_service "$service" || continue
    switch_off "$service"
    echo "setup: installed Debian's $service; its own service is switched off, since we start our own."
done
