# Making a house: folders, programs, users/ids, first control files, a queue.
# doc/layout.md has the table of owners and modes that this brings about.

# own HOUSE ROLE MODE PATH ...
own() {
	local house=$1 role=$2 mode=$3 pair path
	shift 3
	pair=$(ids_of "$house" "$role")
	for path in "$@"; do
		if ! is_single "$house"; then
			chown "${pair% *}:${pair#* }" "$house/$path"
		fi
		chmod "$mode" "$house/$path"
	done
}

# put_file PATH: standard input becomes the file, unless it is there.
put_file() {
	if [ -e "$1" ]; then
		cat >/dev/null
	else
		cat >"$1.new.$$"
		mv "$1.new.$$" "$1"
	fi
}

# house_programs HOUSE BIN: without what only a debugger reads, unless the
# programs are for tests.
house_programs() {
	local house=$1 bin=$2 program new="$1/bin/.new.$$"
	rm -rf "$house"/bin/.new.* # of a run that was interrupted
	mkdir -p "$new"
	if [ "$bin" = build/bin ]; then
		for program in "$bin"/*; do
			if [ "$(head -c 2 "$program")" = '#!' ]; then
				cp "$program" "$new"
			else
				strip -o "$new/${program##*/}" "$program"
			fi
		done
	else
		cp "$bin"/* "$new"
	fi
	chmod 0755 "$new"/*
	mv -f "$new"/* "$house/bin/"
	rmdir "$new"
	# Workers are not readable, so nobody can trace them.
	for program in qmail-local qmail-remote; do
		[ ! -e "$house/bin/$program" ] || chmod 0711 "$house/bin/$program"
	done
}

house_folders() {
	local house=$1
	mkdir -p "$house"/{bin,control,users,alias,boot,man,log,service}
	chmod 0755 "$house" "$house"/{bin,control,users,man,log,service}
}

# house_alias HOUSE ADDRESS: who reads the mail of postmaster, root and
# mailer-daemon; nobody named: a Maildir of alias's own.
house_alias() {
	local house=$1 postmaster=$2 name line="&$2"
	if [ -z "$postmaster" ]; then
		line=./Maildir/
		[ -d "$house/alias/Maildir" ] ||
			"$house/bin/maildirmake" "$house/alias/Maildir"
		own "$house" alias 0700 alias/Maildir alias/Maildir/{tmp,new,cur}
	fi
	for name in postmaster root mailer-daemon; do
		printf '%s\n' "$line" | put_file "$house/alias/.qmail-$name"
		own "$house" alias 0644 "alias/.qmail-$name"
	done
	own "$house" alias 2755 alias
}

# house_deliveryids HOUSE: who mail may be delivered as, and where they live.
house_deliveryids() {
	local house=$1
	{
		echo "# uid gid: who qmail-lspawn and vchkpw may become;"
		echo "# /path: where their homes may lie"
		ids_of "$house" alias
		ids_of "$house" vpopmail
		echo "$house"
	} | put_file "$house/control/deliveryids"
}

house_control() {
	local house=$1 me=$2
	echo "$me" | put_file "$house/control/me"
	printf '%s\nlocalhost\n' "$me" | put_file "$house/control/locals"
	printf '%s\nlocalhost\n' "$me" | put_file "$house/control/rcpthosts"
	echo "$house/vpopmail" | put_file "$house/control/vpopmailhome"
	echo "$house/service/qmail-send" | put_file "$house/control/sendservice"
}

house_vpopmail() {
	local house=$1
	mkdir -p "$house/vpopmail/domains" "$house/vpopmail/etc"
	[ -e "$house/vpopmail/bin" ] || ln -s ../bin "$house/vpopmail/bin"
	own "$house" vpopmail 0755 vpopmail vpopmail/domains vpopmail/etc
}

# house_make HOUSE BIN ME: an instance of its own, root or not.
house_make() {
	local house=$1 bin=$2 me=$3
	house_folders "$house"
	house_programs "$house" "$bin"
	if [ ! -e "$house/users/ids" ]; then
		if [ "$(id -u)" -eq 0 ]; then
			numeric_ids "$(free_ids)"
		else
			single_ids
		fi | put_file "$house/users/ids"
	fi
	house_control "$house" "$me"
	house_deliveryids "$house"
	echo . | put_file "$house/users/assign"
	"$house/bin/qmail-newu"
	"$house/bin/qmail-qmake"
	house_alias "$house" "postmaster@example.test"
	house_vpopmail "$house"
}

# Every user must be able to walk to the house.
is_reachable() {
	local dir=$1
	while [ "$dir" != / ]; do
		[ -d "$dir" ] && [ -z "$(find "$dir" -maxdepth 0 -perm -001)" ] && return 1
		dir=$(dirname "$dir")
	done
	return 0
}

setup_house() {
	local house="" bin=build/bin smtp=2525 pop3=2110
	[ $# -gt 0 ] || fail "house: which directory?"
	house=$1
	shift
	while [ $# -gt 1 ]; do
		case $1 in
		--bin) bin=$2 ;;
		--smtp) smtp=$2 ;;
		--pop3) pop3=$2 ;;
		*) fail "house: unknown option $1" ;;
		esac
		shift 2
	done
	mkdir -p "$house"
	house=$(cd "$house" && pwd)
	house_make "$house" "$bin" mail.example.test
	services_make "$house" "$smtp" "$pop3"
}
