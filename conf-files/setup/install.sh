# ./setup install: valija on this machine, as INSTALL describes.

# install_users: groups and users of conf-groups and conf-users that are
# missing. Homes are /var/qmail's; nobody can log in.
install_users() {
	local house=$1 group name line pair role main home
	while read -r group; do
		getent group "$group" >/dev/null || groupadd --system "$group"
	done <conf-files/conf-groups
	line=1
	for pair in $ROLES; do
		role=${pair%%:*} main=${pair##*:}
		name=$(sed -n "${line}p" conf-files/conf-users)
		line=$((line + 1))
		getent passwd "$name" >/dev/null && continue
		home=$house
		[ "$role" = alias ] && home=$house/alias
		[ "$role" = vpopmail ] && home=$(sed -n 1p conf-files/conf-vpopmail)
		main=$(sed -n "$(group_line "$main")p" conf-files/conf-groups)
		useradd --system --no-create-home --home-dir "$home" \
			--gid "$main" --shell /usr/sbin/nologin "$name"
	done
}

# The lines of passwd that are people's: qmail's own numbers were above 1000.
ordinary_users() {
	getent passwd | awk -F: 'NR == FNR { ours[$1] = 1; next }
		!($1 in ours) && $3 >= 1000 && $3 < 60000' conf-files/conf-users -
}

# Whose mail is delivered under which uid, from passwd and users/assign.
install_deliveryids() {
	local house=$1 assign=/dev/null
	[ ! -e "$house/users/assign" ] || assign=$house/users/assign
	{
		echo "# uid gid: who qmail-lspawn and vchkpw may become;"
		echo "# /path: where their homes may lie"
		ids_of "$house" alias
		ids_of "$house" vpopmail
		{
			ordinary_users | awk -F: '{ print $3, $4 }'
			awk -F: '/^[=+]/ && $3 > 0 { print $3, $4 }' "$assign"
		} | sort -u
		echo "$house"
		sed -n 1p conf-files/conf-vpopmail
		{
			ordinary_users | cut -d: -f6
			awk -F: '/^[=+]/ && $3 > 0 { print $5 }' "$assign"
		} | sed -n 's,^\(/.*\)/[^/]*$,\1,p' | sort -u
	} | put_file "$house/control/deliveryids"
}

# link_to TARGET NAME: keep aside what is there and is not ours.
link_to() {
	local target=$1 name=$2
	if [ -e "$name" ] || [ -L "$name" ]; then
		[ "$(readlink "$name")" = "$target" ] && return
		mv "$name" "$name.before-valija"
		say "kept aside: $name.before-valija"
	fi
	mkdir -p "$(dirname "$name")"
	ln -s "$target" "$name"
}

install_links() {
	local root=$1 house=$2 program
	link_to "$house/bin/sendmail" "$root/usr/sbin/sendmail"
	link_to "$house/bin/sendmail" "$root/usr/lib/sendmail"
	for program in "$house"/bin/*; do
		program=${program##*/}
		case $program in
		svscan | svscanboot | supervise | svc | svok | svstat | multilog | \
			setuidgid | envuidgid | envdir | softlimit | setlock | tai64n | \
			tai64nlocal | fghack | pgrphack | readproctitle)
			link_to "$house/bin/$program" "$root/command/$program"
			;;
		esac
		[ "$program" = sendmail ] ||
			link_to "$house/bin/$program" "$root/usr/local/bin/$program"
	done
}

# --take-over: what an existing house would see changed.
install_existing() {
	local house=$1
	say "there is a house in $house already. With --take-over, its control/,"
	say "alias/, users/assign and queue stay; these change:"
	say "  bin/         programs replaced (the old ones are kept in bin.before-valija)"
	say "  queue/       kept as queue.before-valija, if it is not ours; a new one is made"
	say "  users/ids    written"
	exit 100
}

# Keep aside what cannot be shared with another mail system's programs.
install_take_over() {
	local house=$1
	if [ -d "$house/bin" ] && [ ! -e "$house/users/ids" ]; then
		mv "$house/bin" "$house/bin.before-valija"
		say "kept aside: $house/bin.before-valija"
	fi
	if [ -d "$house/queue" ] && [ ! -e "$house/queue/format" ]; then
		mv "$house/queue" "$house/queue.before-valija"
		say "kept aside, with its mail: $house/queue.before-valija"
	fi
}

setup_install() {
	local house root="" take_over="" systemd="" existing=""
	for word in "$@"; do
		case $word in
		--take-over) take_over=yes ;;
		--systemd) systemd=yes ;;
		--root=*) root=${word#--root=} ;;
		*) fail "install: unknown option $word" ;;
		esac
	done
	[ "$(id -u)" -eq 0 ] || fail "install needs root"
	house=$root$(sed -n 1p conf-files/conf-qmail)
	[ ! -e "$house/control/me" ] || [ -n "$take_over" ] ||
		[ -e "$house/users/ids" ] || install_existing "$house"
	[ ! -e "$house/control/me" ] || existing=yes
	# shellcheck disable=SC2086
	need_packages $BUILD_PACKAGES
	make -s -j"$(nproc)" all
	step "built"
	install_users "$house"
	[ -z "$take_over" ] || install_take_over "$house"
	house_folders "$house"
	make -s install DESTDIR="$root"
	house_programs "$house" build/bin
	named_ids >"$house/users/ids.new"
	mv "$house/users/ids.new" "$house/users/ids"
	install_deliveryids "$house"
	[ -n "$existing" ] || house_control_installed "$house" "$(canonical_name)"
	install_control "$house"
	[ -e "$house/users/assign" ] || echo . >"$house/users/assign"
	"$house/bin/qmail-newu"
	"$house/bin/qmail-qmake"
	house_alias "$house" "$(admin_user)"
	install_vpopmail "$house" "$root"
	step "house in $house"
	services_make "$house" 25 110 0
	install_service_links "$root" "$house"
	install_links "$root" "$house"
	[ -z "$systemd" ] || install_systemd "$root"
	setup_instcheck "$house"
	step "installed; start it with /command/svscanboot, or --systemd's unit"
	install_advice "$house"
}

# What mail would wait for.
install_advice() {
	local house=$1 user home
	user=$(sed -n 's/^&\([^@]*\)$/\1/p;q' "$house/alias/.qmail-postmaster")
	home=$(getent passwd "$user" | cut -d: -f6) || home=""
	[ -z "$home" ] || [ -e "$home/Maildir" ] || [ -e "$home/.qmail" ] ||
		say "the postmaster's mail is for $user, who has no Maildir:" \
			"su $user -c '$house/bin/maildirmake $home/Maildir'"
	[ -e "$house/control/rcpthosts" ] || [ -e "$house/control/morercpthosts.cdb" ] ||
		say "there is no control/rcpthosts: nobody but RELAYCLIENT may send here"
}

# Who reads the postmaster's mail at first: the first ordinary user, if any.
admin_user() {
	ordinary_users | sed -n '1s/:.*//p'
}

# This host's name, with a dot in it: qmail-inject completes names without.
canonical_name() {
	local name
	name=$(hostname -f 2>/dev/null || cat /proc/sys/kernel/hostname)
	case $name in
	*.*) echo "$name" ;;
	*) echo "$name.localdomain" ;;
	esac
}

# Only where there is no control/me yet: in another's house, a file that is
# missing has its meaning, too.
house_control_installed() {
	local house=$1 me=$2
	echo "$me" | put_file "$house/control/me"
	# What follows the first label; what are the last two.
	sed 's/^[^.]*\.\([^.]*\.\)/\1/' <<<"$me" | put_file "$house/control/defaultdomain"
	sed 's/^.*\.\([^.]*\.[^.]*\)$/\1/' <<<"$me" | put_file "$house/control/plusdomain"
	printf 'localhost\n%s\n' "$me" | put_file "$house/control/locals"
	printf 'localhost\n%s\n' "$me" | put_file "$house/control/rcpthosts"
}

# What is ours alone.
install_control() {
	local house=$1
	echo "/service/qmail-send" | put_file "$house/control/sendservice"
}

install_vpopmail() {
	local house=$1 root=$2 home
	home=$root$(sed -n 1p conf-files/conf-vpopmail)
	mkdir -p "$home/domains" "$home/etc"
	[ -e "$home/bin" ] || ln -s "$house/bin" "$home/bin"
	chown "$(ids_of "$house" vpopmail | tr ' ' :)" "$home" "$home/domains" "$home/etc"
}

install_service_links() {
	local root=$1 house=$2 name
	mkdir -p "$root/service" "$root/command"
	for name in $SERVICES; do
		[ -e "$root/service/$name" ] || ln -s "$house/service/$name" "$root/service/$name"
	done
}

install_systemd() {
	local root=$1
	mkdir -p "$root/etc/systemd/system"
	cp conf-files/valija.service "$root/etc/systemd/system/valija.service"
	say "then: systemctl enable --now valija"
}

# setup_instcheck [HOUSE]: owners and modes as doc/layout.md says.
setup_instcheck() {
	local house=${1-$(sed -n 1p conf-files/conf-qmail)} bad=0
	while read -r path role group mode; do
		instcheck_one "$house" "$path" "$role" "$group" "$mode" || bad=1
	done <conf-files/instcheck
	[ $bad -eq 0 ] || fail "instcheck: $house is not as it should be"
	step "owners and modes of $house are right"
}

instcheck_one() {
	local house=$1 path=$2 role=$3 group=$4 mode=$5 want have
	if is_single "$house"; then
		want="$(ids_of "$house" any) $mode"
	elif [ "$group" = root ]; then
		want="$(ids_of "$house" "$role" | cut -d' ' -f1) 0 $mode"
	else
		want="$(ids_of "$house" "$role" | cut -d' ' -f1) $(ids_group "$house" "$group") $mode"
	fi
	have=$(stat -c '%u %g %a' "$house/$path" 2>/dev/null) || have=missing
	[ "$have" = "$want" ] && return
	say "instcheck: $house/$path is $have, should be $want"
	return 1
}
