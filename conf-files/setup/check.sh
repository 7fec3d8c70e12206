# ./setup check: install what the tests need, then run every one of them.

PYTEST="/usr/bin/python3 -B -m pytest -q -p no:cacheprovider -rsx"

# The checkout's tests and test programs, where an ordinary user can read
# them; prints the folder.
public_copy() {
	local copy
	copy=$(mktemp -d /var/tmp/valija-check.XXXXXX)
	tar -C "$TOP" --exclude=.git --exclude=obj --exclude=./build \
		--exclude=./instance --exclude=./build-san --exclude=__pycache__ \
		-cf - . | tar -C "$copy" -xf -
	mkdir "$copy/home"
	chown -R nobody: "$copy"
	chmod 0755 "$copy"
	echo "$copy"
}

# The system tests in parts that take about as long: those of single tools in
# two, those of houses in three; `tools` and `houses` are all of them. As
# arguments for pytest.
test_part() {
	local file part
	for file in tests/system/test_*.py tests/system/*/test_*.py; do
		case "${file#tests/system/}" in
		differential/* | test_daemontools* | test_rblsmtpd*) part=tools1 ;;
		test_service* | test_tcpserver* | test_ucspi* | test_vpopmail*) part=tools2 ;;
		test_[a-o]*) part=houses1 ;;
		test_[p-r]*) part=houses2 ;;
		*) part=houses3 ;;
		esac
		case $part in "$1"*) echo "$file" ;; esac
	done
}

# test_as_root PART [pytest arguments]
# shellcheck disable=SC2046,SC2086
test_as_root() {
	local part=$1
	shift
	$PYTEST $(test_part "$part") "$@"
}

# shellcheck disable=SC2046,SC2086
test_as_nobody() {
	local part=$1 copy result=0
	shift
	copy=$(public_copy)
	(cd "$copy" && setpriv --reuid=nobody --regid="$(id -g nobody)" \
		--clear-groups env HOME="$copy/home" TMPDIR=/tmp \
		PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin \
		$PYTEST -m "not root" --basetemp="$copy/home/tmp" \
		$(test_part "$part") "$@") || result=$?
	rm -rf "$copy"
	return $result
}

test_as_myself() {
	test_as_root "$@"
}

# check_in_turn "AS:PART ..." [pytest arguments]
check_in_turn() {
	local result=0 part parts=$1
	shift
	for part in $parts; do
		if "${part%:*}" "${part#*:}" "$@"; then
			step "system tests pass, ${part/:/: }"
		elif [ $? -eq 5 ] && [ $# -gt 0 ]; then
			step "system tests, ${part/:/: } has none of those"
		else
			result=1
		fi
	done
	[ $result -eq 0 ] || fail "system tests"
}

# check_at_once "AS:PART ..." [pytest arguments]: they wait more than they work,
# and share nothing: at the same time they need half of the time. What the
# others say comes after the first.
check_at_once() {
	local place result=0 part parts=$1
	shift
	place=$(mktemp -d)
	for part in $parts; do
		: >"$place/$part"
		(
			"${part%:*}" "${part#*:}" "$@" >"$place/$part" 2>&1 &&
				result=0 || result=$?
			echo "$result" >"$place/$part.code"
		) &
		echo $! >"$place/$part.pid"
	done
	# shellcheck disable=SC2064
	trap "kill \$(cat $place/*.pid) 2>/dev/null; rm -rf $place" EXIT
	for part in $parts; do
		tail -f -c +0 --pid="$(cat "$place/$part.pid")" "$place/$part"
		case "$(cat "$place/$part.code" || echo lost)$*" in
		0*) step "system tests pass, ${part/:/: }" ;;
		5?*) step "system tests, ${part/:/: } has none of those" ;;
		*) result=1 ;;
		esac
	done
	wait
	trap - EXIT
	rm -rf "$place"
	[ $result -eq 0 ] || fail "system tests"
}

# check_parts AS [pytest arguments]: all of them. One after the other they take
# more than twice as long, and the machine is calm.
check_parts() {
	local as=$1 parts="" part
	shift
	for part in houses3 houses1 houses2 tools2 tools1; do
		parts="$parts $as:$part"
	done
	if [ -n "${VALIJA_IN_TURN-}" ]; then
		check_in_turn "$parts" "$@"
	else
		check_at_once "$parts" "$@"
	fi
}

# Every program has a manual page, and mandoc likes it.
check_manuals() {
	local program page bad=0
	for program in build-test/bin/*; do
		page=$(find . -path ./build\* -prune -o -name "${program##*/}.[1-8]" -print)
		if [ -z "$page" ]; then
			say "no manual page: ${program##*/}"
			bad=1
		elif ! mandoc -T lint -W warning "$page"; then
			bad=1
		fi
	done
	[ $bad -eq 0 ] || fail "manual pages"
}

# ./setup check [pytest arguments]: as root the system tests run twice, with
# separate users and as an ordinary one.
setup_check() {
	local who
	# shellcheck disable=SC2086
	need_packages $BUILD_PACKAGES $TEST_PACKAGES
	need_peer
	step "everything the tests need is here"
	make -s -j"$(nproc)" DEV=1 TEST=1 all tests
	step "built for testing"
	make -s TEST=1 unit
	make -s TEST=1 fuzz-replay
	step "unit tests and fuzz corpora pass"
	make -s -j"$(nproc)" SAN=1 tests
	make -s SAN=1 unit >/dev/null
	make -s SAN=1 fuzz-replay
	step "unit tests and fuzz corpora pass under the sanitizers"
	check_manuals
	step "manual pages are there and well-formed"
	if [ "$(id -u)" -eq 0 ]; then
		for who in root nobody; do
			check_parts "test_as_$who" "$@"
		done
	else
		check_parts test_as_myself "$@"
		say "as root there are more tests"
	fi
	say "check: everything passed"
}
