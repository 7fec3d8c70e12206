# valija: one Makefile for the whole house. `make` builds into build/;
# variants build beside it: TEST=1 (test clock), SAN=1 (sanitizers).
# DEV=1 makes warnings fatal. Each program has one line: what it links.

ifdef MUTANT
O ?= build-mutant-$(MUTANT)
else ifdef SAN
O ?= build-san
else ifdef TEST
O ?= build-test
else
O ?= build
endif
DESTDIR ?=

conf = $(shell sed -n '$(2)p;$(2)q' conf-files/$(1))
CC := $(call conf,conf-cc,1)
LD := $(call conf,conf-ld,1)
QMAIL := $(call conf,conf-qmail,1)

WARN := -Wall -Wextra -Wpedantic -Wshadow -Wstrict-prototypes \
	-Wmissing-prototypes -Wold-style-definition -Wwrite-strings \
	-Wcast-qual -Wpointer-arith -Wformat=2 -Wvla -Wundef \
	-Wimplicit-fallthrough -Wconversion -Wno-sign-conversion \
	-Wnull-dereference
HARDEN := -fno-common -fstack-protector-strong -fstack-clash-protection \
	-fcf-protection=full -fno-delete-null-pointer-checks -fPIE
OPT := -O2 -g -D_FORTIFY_SOURCE=2
LDHARD := -Wl,-z,relro,-z,now,-z,noexecstack,-z,separate-code
STATIC := -static-pie
DYNAMIC := -pie

ifdef SAN
OPT := -O1 -g -fsanitize=address,undefined -fno-omit-frame-pointer \
	-fno-sanitize-recover=undefined
LDHARD += -fsanitize=address,undefined
STATIC := -pie
endif
ifdef DEV
WARN += -Werror
endif
ifdef TEST
DEFS := -DVALIJA_TEST
endif
ifdef SAN
DEFS := -DVALIJA_TEST -DVALIJA_SAN
endif

# One fault on purpose: see lib/mutant.h.
ifdef MUTANT
DEFS += -DVALIJA_MUTANT=MUTANT_$(MUTANT)
endif

CFLAGS = -std=c17 -D_GNU_SOURCE $(DEFS) $(OPT) $(WARN) $(HARDEN) \
	-I. -I$(O) -include $(O)/conf.h

# V=1 shows the commands.
ifdef V
say := @:
Q :=
else
say := @echo
Q := @
endif

# ---- the library -----------------------------------------------------

LIB := $(patsubst %.c,%,$(wildcard lib/*.c))

# ---- programs: NAME = the sources it is made of (without .c) ----------
# NAME.libs adds libraries; NAME.dynamic = yes links dynamically (NSS).

PROGS :=
SCRIPTS :=

# smtpd/

PROGS += qmail-smtpd
qmail-smtpd := smtpd/qmail-smtpd smtpd/session smtpd/message smtpd/command \
	smtpd/policy smtpd/data smtpd/hops smtpd/received
qmail-smtpd.libs := -lcdb
PROGS += qmail-newmrh
qmail-newmrh := smtpd/qmail-newmrh
qmail-newmrh.libs := -lcdb

# queue/
PROGS += qmail-queue qmail-queued qmail-qmake qmail-qstat qmail-qread
qmail-qstat := queue/qmail-qstat queue/walk queue/logwalk
qmail-qread := queue/qmail-qread queue/walk queue/logwalk
qmail-qmake := queue/qmail-qmake
qmail-queue := queue/qmail-queue queue/envelope
qmail-queued := queue/qmail-queued queue/server queue/client queue/committer \
	queue/appender queue/appender_look queue/handover queue/request queue/received queue/slots queue/spool

# send/
PROGS += qmail-send
qmail-send := send/qmail-send send/bounce send/channel send/config \
	send/destinations send/finish send/group send/jobs send/log \
	send/logged send/logged_file send/logged_replay send/logged_segment \
	send/message send/names send/recipients send/reports \
	send/pass send/results send/retry send/schedule send/take \
	send/turns send/verp send/waiters send/work
PROGS += qmail-start
qmail-start := send/qmail-start send/syncmode

# lspawn/
PROGS += qmail-lspawn qmail-getpw qmail-newu
qmail-lspawn := lspawn/qmail-lspawn lspawn/assign
qmail-lspawn.libs := -lcdb
qmail-getpw := lspawn/qmail-getpw
qmail-getpw.dynamic := yes
qmail-newu := lspawn/qmail-newu lspawn/assign
qmail-newu.libs := -lcdb

# local/
local_room := local/deliver local/dotqmail \
	local/envelope local/forwarding local/maildrop local/mbox local/program \
	local/vdeliver local/verdict local/vline
PROGS += qmail-local
qmail-local := local/qmail-local local/worker $(local_room)
qmail-local.libs := -lcdb
PROGS += vdelivermail
vdelivermail := local/vdelivermail local/vdeliver local/dotqmail \
	local/envelope local/forwarding local/maildrop \
	local/mbox local/program local/verdict
vdelivermail.libs := -lcdb

# What else a .qmail line calls.
redirect := local/redirect local/handed local/forwarding local/envelope local/verdict
PROGS += forward condredirect except bouncesaying preline
forward := local/forward $(redirect)
condredirect := local/condredirect local/condition $(redirect)
except := local/except local/condition
bouncesaying := local/bouncesaying local/condition
preline := local/preline local/handed

# rspawn/
PROGS += qmail-rspawn
qmail-rspawn := rspawn/qmail-rspawn rspawn/nexthop

# remote/
remote_room := remote/client remote/deliver remote/encode \
	remote/exchangers remote/outcome remote/ownaddress \
	remote/reply remote/session remote/settings remote/smtp
PROGS += qmail-remote
qmail-remote := remote/qmail-remote remote/worker $(remote_room)
qmail-remote.libs := -lresolv

# popd/

PROGS += qmail-pop3d
qmail-pop3d := popd/qmail-pop3d popd/pop3 popd/maildrop popd/wire
PROGS += qmail-popup
qmail-popup := popd/qmail-popup popd/parser

# auth/
PROGS += vchkpw
vchkpw := auth/vchkpw auth/credentials auth/vaccount
vchkpw.libs := -lcdb -lcrypt

# tools/daemontools/

PROGS += svscanboot svscan supervise svc svok svstat multilog setuidgid \
	envuidgid envdir softlimit setlock fghack pgrphack readproctitle \
	tai64n tai64nlocal
svscanboot := $(addprefix tools/daemontools/,svscanboot run service)
svscan := $(addprefix tools/daemontools/,svscan scan service run)
supervise := $(addprefix tools/daemontools/,supervise death keep machine service)
svc := $(addprefix tools/daemontools/,svc service)
svok := $(addprefix tools/daemontools/,svok service)
svstat := $(addprefix tools/daemontools/,svstat death service)
multilog := $(addprefix tools/daemontools/,multilog script logdir)
setuidgid := $(addprefix tools/daemontools/,setuidgid account run)
setuidgid.dynamic := yes
envuidgid := $(addprefix tools/daemontools/,envuidgid account run)
envuidgid.dynamic := yes
envdir := $(addprefix tools/daemontools/,envdir run)
softlimit := $(addprefix tools/daemontools/,softlimit run)
setlock := $(addprefix tools/daemontools/,setlock run)
fghack := $(addprefix tools/daemontools/,fghack run)
pgrphack := $(addprefix tools/daemontools/,pgrphack run)
readproctitle := tools/daemontools/readproctitle
tai64n := tools/daemontools/tai64n
tai64nlocal := tools/daemontools/tai64nlocal

# tools/ucspi/

PROGS += tcprules
tcprules := tools/ucspi/tcprules tools/ucspi/rulefile
tcprules.libs := -lcdb
PROGS += tcprulescheck
tcprulescheck := tools/ucspi/tcprulescheck tools/ucspi/rules
tcprulescheck.libs := -lcdb
PROGS += tcpserver
ucspi_names := $(addprefix tools/ucspi/,lookup nobody option peer)
tcpserver := $(addprefix tools/ucspi/,tcpserver announcer chains child crowd \
	deposit fronts inherited limits listen netlist options proxy rules status visitor) \
	$(ucspi_names)
tcpserver.libs := -lcdb
PROGS += tcpclient
tcpclient := tools/ucspi/tcpclient tools/ucspi/clientoptions \
	tools/ucspi/reach tools/ucspi/dial $(ucspi_names)
PROGS += argv0 recordio fixcrio addcr delcr
argv0 := tools/ucspi/argv0
recordio := $(addprefix tools/ucspi/,recordio between relay transcript)
fixcrio := $(addprefix tools/ucspi/,fixcrio between relay crlf)
addcr := $(addprefix tools/ucspi/,addcr filter crlf)
delcr := $(addprefix tools/ucspi/,delcr filter crlf)
PROGS += mconnect-io
mconnect-io := $(addprefix tools/ucspi/,mconnect-io relay crlf)
PROGS += rblsmtpd
rblsmtpd := $(addprefix tools/ucspi/,rblsmtpd blockask blocklists refusal option)
rblsmtpd.libs := -lresolv
SCRIPTS += $(addprefix tools/ucspi/,who@ date@ finger@ http@ tcpcat mconnect)
# Names need NSS: these two ask this one, which they run beside themselves.
PROGS += tcplookup
tcplookup := tools/ucspi/tcplookup tools/ucspi/ident tools/ucspi/dial
tcplookup.dynamic := yes

# tools/service/: one program under the names of all services

service_confs := qmail-delivery-conf qmail-smtpd-conf qmail-smtpdssl-conf \
	qmail-submission-conf qmail-pop3d-conf qmail-pop3dssl-conf imapd-conf \
	imapdssl-conf qmail-qmtpd-conf qmail-qmqpd-conf
PROGS += $(service_confs)
$(foreach p,$(service_confs),$(eval $(p) := $(addprefix tools/service/,conf \
	maker scripts services) tools/daemontools/account)$(eval $(p).dynamic := yes))

# tools/inject/

PROGS += qmail-inject
qmail-inject := tools/inject/qmail-inject tools/inject/config \
	tools/inject/compose tools/inject/reader
PROGS += sendmail
sendmail := tools/inject/sendmail

# tools/maildir/

PROGS += maildirmake
maildirmake := tools/maildir/maildirmake

# tools/vpopmail/
vtool := tools/vpopmail/vtool tools/vpopmail/vexit
vuser := $(vtool) tools/vpopmail/vuser tools/vpopmail/vfolder
vqmail := $(vuser) tools/vpopmail/vqmail tools/vpopmail/vlines \
	tools/vpopmail/vdomaindir
PROGS += vadddomain vdeldomain vadduser vdeluser vpasswd
vadddomain := tools/vpopmail/vadddomain $(vqmail) tools/vpopmail/vprompt
vadddomain.libs := -lcdb -lcrypt
vadddomain.dynamic := yes
vdeldomain := tools/vpopmail/vdeldomain $(vqmail)
vdeldomain.libs := -lcdb -lcrypt
vadduser := tools/vpopmail/vadduser $(vuser) tools/vpopmail/vprompt
vadduser.libs := -lcdb -lcrypt
vdeluser := tools/vpopmail/vdeluser $(vuser)
vdeluser.libs := -lcdb -lcrypt
vpasswd := tools/vpopmail/vpasswd $(vuser) tools/vpopmail/vprompt
vpasswd.libs := -lcdb -lcrypt
PROGS += vuserinfo vdominfo
vuserinfo := tools/vpopmail/vuserinfo $(vtool)
vuserinfo.libs := -lcdb
vdominfo := tools/vpopmail/vdominfo $(vtool) tools/vpopmail/vqmail \
	tools/vpopmail/vlines
vdominfo.libs := -lcdb

# What a unit test or fuzz target links beside lib.a: NAME := sources
test_schedule := send/schedule
test_group := send/group
test_destinations := send/destinations send/schedule send/waiters
test_names := send/names
test_retry := send/retry
test_verp := send/verp
test_bounce := send/bounce send/config send/reports send/verp
test_send_parts := send/log send/names send/reports send/syncmode
fuzz_reports := send/bounce send/config send/reports send/verp
test_request := queue/request
test_queue_envelope := queue/envelope
test_slots := queue/slots
test_received := queue/received
test_spool := queue/spool
test_committer := queue/committer
fuzz_enqueue := queue/request
fuzz_envelope := queue/envelope
test_password.libs := -lcrypt
test_credentials := auth/credentials
fuzz_credentials := auth/credentials
test_dotqmail := local/dotqmail
test_local := $(local_room)
test_lspawn := lspawn/assign
test_remote := $(remote_room)
fuzz_dotqmail := local/dotqmail
fuzz_assign := lspawn/assign
fuzz_reply := remote/reply
fuzz_encode := remote/encode
test_smtp_data := smtpd/data
test_smtp_command := smtpd/command smtpd/hops smtpd/received
fuzz_smtp_data := smtpd/data smtpd/hops
fuzz_smtp_command := smtpd/command smtpd/received
test_pop3_wire := popd/wire popd/maildrop
fuzz_pop3_wire := popd/wire popd/maildrop
fuzz_pop3_parser := popd/parser
fuzz_pop3_session := popd/pop3 popd/wire popd/maildrop
test_machine := tools/daemontools/machine
test_service := tools/daemontools/service
test_death := tools/daemontools/death tools/daemontools/service
fuzz_death := tools/daemontools/death tools/daemontools/service
test_script := tools/daemontools/script
fuzz_script := tools/daemontools/script
test_rulefile := tools/ucspi/rulefile tools/ucspi/rules
test_crowd := tools/ucspi/crowd tools/ucspi/chains
test_proxy := tools/ucspi/proxy
fuzz_proxy := tools/ucspi/proxy
test_ident := tools/ucspi/ident tools/ucspi/dial
fuzz_addrlist := tools/inject/compose tools/inject/config
test_reader := tools/inject/reader
fuzz_tcprules := tools/ucspi/rulefile tools/ucspi/rules
fuzz_crlf := tools/ucspi/crlf
fuzz_transcript := tools/ucspi/transcript
fuzz_ident := tools/ucspi/ident tools/ucspi/dial
fuzz_reader := tools/inject/reader
fuzz_status := tools/daemontools/service
fuzz_slots := queue/slots
fuzz_vlines := tools/vpopmail/vlines
test_blocklists := tools/ucspi/blocklists
test_blocklists.libs := -lresolv
test_dns.libs := -lresolv
test_remote.libs := -lresolv
test_dns_packet.libs := -lresolv
fuzz_dns.libs := -lresolv

# ---- rules -------------------------------------------------------------

obj = $(addprefix $(O)/obj/,$(addsuffix .o,$(1)))
BINS := $(addprefix $(O)/bin/,$(PROGS))
SCRIPT_BINS := $(addprefix $(O)/bin/,$(notdir $(SCRIPTS)))

.PHONY: all lib check unit fuzz-replay system soak sanitized bench lint install \
	setup clean tests fuzz
.DELETE_ON_ERROR:
.SUFFIXES:

all: $(BINS) $(SCRIPT_BINS)
lib: $(O)/lib.a

$(O)/conf.h: $(wildcard conf-files/conf-*) Makefile
	@mkdir -p $(O)
	@{ echo '/* made from conf-files/ */'; \
	echo '#define CONF_QMAIL "$(QMAIL)"'; \
	echo '#define CONF_VPOPMAIL "$(call conf,conf-vpopmail,1)"'; \
	echo '#define CONF_BREAK "$(call conf,conf-break,1)"'; \
	echo '#define CONF_SPLIT $(call conf,conf-split,1)'; \
	echo '#define CONF_SPAWN $(call conf,conf-spawn,1)'; \
	echo '#define CONF_PATRN 0$(call conf,conf-patrn,1)'; } >$@.new
	@cmp -s $@.new $@ && rm $@.new && touch $@ || mv $@.new $@

$(O)/obj/%.o: %.c $(O)/conf.h
	@mkdir -p $(@D)
	$(say) CC $<
	$(Q)$(CC) $(CFLAGS) -MMD -MP -c -o $@ $<

$(O)/lib.a: $(call obj,$(LIB))
	$(say) AR $@
	@rm -f $@
	$(Q)$(AR) rcs $@ $^

define program
$(O)/bin/$(1): $$(call obj,$$($(1))) $(O)/lib.a
	@mkdir -p $(O)/bin
	$$(say) LD $$@
	$$(Q)$(LD) $$(if $$($(1).dynamic),$(DYNAMIC),$(STATIC)) $(LDHARD) -o $$@ $$^ $$($(1).libs)
endef
$(foreach p,$(PROGS),$(eval $(call program,$(p))))

# Shell scripts, whose source is NAME.sh.
define script
$(O)/bin/$(notdir $(1)): $(1).sh
	@mkdir -p $(O)/bin
	$$(Q)install -m 0755 $$< $$@
endef
$(foreach s,$(SCRIPTS),$(eval $(call script,$(s))))

# ---- tests: tests/unit/test_X.c links lib.a and what test_X names ------

UNIT := $(patsubst tests/unit/%.c,%,$(wildcard tests/unit/test_*.c))
FUZZ := $(patsubst tests/fuzz/%.c,%,$(wildcard tests/fuzz/fuzz_*.c))

define unit
$(O)/tests/$(1): $(O)/obj/tests/unit/$(1).o $$(call obj,$$($(1))) $(O)/lib.a
	@mkdir -p $(O)/tests
	$$(say) LD $$@
	$$(Q)$(LD) $(DYNAMIC) $(LDHARD) -o $$@ $$^ $$($(1).libs) -lcdb -lcmocka
endef
$(foreach t,$(UNIT),$(eval $(call unit,$(t))))

# Fuzz targets: replayed by gcc builds in check, driven by clang in `make fuzz`.
define fuzz
$(O)/tests/$(1): $(O)/obj/tests/fuzz/$(1).o $(O)/obj/tests/fuzz/replay.o $$(call obj,$$($(1))) $(O)/lib.a
	@mkdir -p $(O)/tests
	$$(say) LD $$@
	$$(Q)$(LD) $(DYNAMIC) $(LDHARD) -o $$@ $$^ $$($(1).libs) -lcdb

# Without replay.o: tests/fuzz/run sets CC, LD, OPT and LDHARD for this.
$(O)/fuzz/$(1): $(O)/obj/tests/fuzz/$(1).o $$(call obj,$$($(1))) $(O)/lib.a
	@mkdir -p $(O)/fuzz
	$$(say) LD $$@
	$$(Q)$(LD) $(DYNAMIC) $(LDHARD) -o $$@ $$^ $$($(1).libs) -lcdb
endef
$(foreach t,$(FUZZ),$(eval $(call fuzz,$(t))))

tests: $(addprefix $(O)/tests/,$(UNIT) $(FUZZ))

unit: $(addprefix $(O)/tests/,$(UNIT))
	@set -e; for t in $(UNIT); do \
		$(O)/tests/$$t >$(O)/tests/$$t.log 2>&1 || \
			{ cat $(O)/tests/$$t.log >&2; exit 1; }; \
		sed -n "s/^\[  PASSED  \]/$$t:/p" $(O)/tests/$$t.log; done

fuzz-replay: $(addprefix $(O)/tests/,$(FUZZ))
	@set -e; for t in $(FUZZ); do \
		$(O)/tests/$$t tests/fuzz/corpus/$${t#fuzz_}; done

# As many at a time as there are processors; all of them are built before.
FUZZ_SECONDS ?= 600
fuzz:
	@n=$$(nproc); echo "fuzz: $(words $(FUZZ)) targets, $(FUZZ_SECONDS) s each," \
		"$$n at a time:" \
		"$$((($(words $(FUZZ)) + n - 1) / n * $(FUZZ_SECONDS) / 60)) minutes"
	@set -e; mkdir -p build-fuzz; for t in $(FUZZ); do \
		tests/fuzz/run $$t 1 -runs=0 >build-fuzz/$$t.log 2>&1 || \
		{ cat build-fuzz/$$t.log; exit 1; }; done
	@printf '%s\n' $(FUZZ) | xargs -P "$$(nproc)" -I{} sh -c \
		'if tests/fuzz/run {} $(FUZZ_SECONDS) >build-fuzz/{}.log 2>&1; \
		then echo "{}: nothing found"; \
		else tail -40 build-fuzz/{}.log; exit 255; fi'

# ---- installing ---------------------------------------------------------

MANUALS = $(wildcard */*.[1-8] tools/*/*.[1-8])

# Programs and manual pages only; ./setup install does the rest.
install: all
	mkdir -p $(DESTDIR)$(QMAIL)/bin
	@for f in $(BINS); do \
		case $$f in *-local|*-remote) m=0711;; *) m=0755;; esac; \
		install -s -m $$m $$f $(DESTDIR)$(QMAIL)/bin/ || exit 1; done
	install -m 0755 $(SCRIPT_BINS) $(DESTDIR)$(QMAIL)/bin/
	@for f in $(MANUALS); do \
		d=$(DESTDIR)$(QMAIL)/man/man$${f##*.}; mkdir -p $$d; \
		install -m 0644 $$f $$d/ || exit 1; done

# `make setup check`, as root, is qmail's: install, then look whether owners
# and modes are right. `make check` alone runs the tests.
setup:
	./setup install $(SETUP_OPTIONS)

ifneq ($(filter setup,$(MAKECMDGOALS)),)
check: setup
	./setup instcheck
else
check:
	./setup check
endif

# ---- quality --------------------------------------------------------------

SOURCES = $(shell git ls-files '*.c' '*.h')

lint:
	clang-format --dry-run --Werror $(SOURCES)
	cppcheck --std=c17 --enable=warning,style,performance,portability \
		--inline-suppr --suppress=missingIncludeSystem \
		--suppress=toomanyconfigs -U__aarch64__ \
		'-Dnoreturn=__attribute__((noreturn))' --error-exitcode=1 -q -I. $(addsuffix /*.c,$(sort $(dir $(filter-out tests/%,$(filter %.c,$(SOURCES))))))
	@set -e; for f in $(filter-out tests/%,$(filter %.c,$(SOURCES))); do \
		clang-tidy --quiet --warnings-as-errors='*' $$f -- -std=c17 \
		-D_GNU_SOURCE -I. -include $(O)/conf.h; done

system:
	./setup check

soak: all
	$(MAKE) TEST=1 all tests
	/usr/bin/python3 -B -m pytest -q -p no:cacheprovider --soak tests/system
	$(MAKE) sanitized
	tests/soak/cleanmachine
	tests/soak/cleanmachine install tests/soak/installed
	$(MAKE) fuzz

# System tests on sanitizer builds: all but those that starve a program of
# descriptors or memory, or break its calls, before its libraries are loaded.
SANITIZED := main_path security smtpd pop3 lspawn local remote inject send \
	start queue vpopmail tcpserver tcpserver_limits tcpserver_proxy \
	tcpserver_restart ucspi_tools rblsmtpd mx line_programs daemontools
sanitized:
	$(MAKE) SAN=1 all
	ASAN_OPTIONS=detect_leaks=0 VALIJA_BIN=$(CURDIR)/build-san/bin \
		/usr/bin/python3 -B -m pytest -q -p no:cacheprovider \
		-k "not interrupted and not too_few and not out_of_memory" \
		$(patsubst %,tests/system/test_%.py,$(SANITIZED))

bench: all
	tests/bench/run $(BENCH_OPTIONS)

clean:
	rm -rf build build-test build-san build-fuzz build-mutant-*

-include $(shell find $(O)/obj -name '*.d' 2>/dev/null)
