"""Which test covers which promise of which manual page.

    COVERED[program][promise] = "file::test"

promises are as manual.py extracts them; files are those of tests/system. A
test must name what it covers; test_covered.py says what is missing, in lines
that can be put in here.
"""

from manual import pages

TOOLS = "test_daemontools.py::"
LOG = "test_daemontools_multilog.py::"
SUPERVISE = "test_daemontools_supervise.py::"
SCAN = "test_daemontools_svscan.py::"
SERVER = "test_tcpserver.py::"
LIMITS = "test_tcpserver_limits.py::"
PROXY = "test_tcpserver_proxy.py::"
RESTART = "test_tcpserver_restart.py::"
UCSPI = "test_ucspi_tools.py::"
CONF = "test_service_conf.py::"
RANDOM_LOG = "differential/test_multilog_random.py::"
STATES = "differential/test_supervise_states.py::"
TABLES = "differential/test_tcpserver_tables.py::"
NAMES = "differential/test_names.py::"
RULES = "differential/test_tcprules_random.py::"
CODES = "differential/test_exit_codes.py::"
BLOCK = "test_rblsmtpd.py::"

OPTION = TABLES + "test_each_option_has_the_effect_of_the_original"
CLIENT_ENV = UCSPI + "test_tcpclient_sets_the_environment_of_the_original"
MISUSE = CODES + "test_misuse_and_what_cannot_be_done"
MISUSE_OURS = CODES + "test_misuse_where_the_original_differs"
CHILD = CODES + "test_the_code_of_the_program_that_it_becomes"
SUCCESS = CODES + "test_success_is_0"

CONF_VARIABLES = {f"${name}": CONF + f"effect_of_{name}" for name in (
    "BACKLOG CONCURRENCY DATALIMIT IP LOCALNAME LOGLEVEL MAILDIRNAME MAXFILESIZE MAXLOGFILES "
    "MAXLOGSIZES POPUPHOST PORT PROCESSOR REMOTEINFO REMOTENAME").split()}
CONF_CODES = {
    "exit 0": CONF + "test_a_relative_directory_and_one_in_a_strange_place",
    "exit 100": CONF + "test_another_name_makes_nothing",
    "exit 111": CONF + "test_what_cannot_be_made_is_111_and_leaves_nothing",
}

COVERED = {
    "envdir": {"exit 111": MISUSE, "exit child": CHILD},
    "envuidgid": {
        "$GID": TOOLS + "test_envuidgid_tells_the_numbers",
        "$UID": TOOLS + "test_envuidgid_tells_the_numbers",
        "exit 100": MISUSE, "exit 111": MISUSE, "exit child": CHILD,
    },
    "fghack": {"exit 100": MISUSE, "exit 111": MISUSE, "exit child": CHILD},
    "multilog": {
        "SIGALRM": LOG + "test_alrm_changes_files_unless_current_is_empty",
        "SIGTERM": LOG + "test_term_ends_at_the_next_newline_and_leaves_the_rest",
        "action !": RANDOM_LOG + "action", "action +": RANDOM_LOG + "action",
        "action -": RANDOM_LOG + "action", "action =": RANDOM_LOG + "action",
        "action e": RANDOM_LOG + "action", "action n": RANDOM_LOG + "action",
        "action s": RANDOM_LOG + "action", "action t": RANDOM_LOG + "a_script",
        "exit 0": SUCCESS, "exit 111": MISUSE,
    },
    "pgrphack": {"exit 100": MISUSE, "exit 111": MISUSE, "exit child": CHILD},
    "rblsmtpd": {
        "$DNSCACHEIP": BLOCK + "test_DNSCACHEIP_names_several_servers",
        "$PATH": BLOCK + "test_it_becomes_the_program",
        "$RBLSMTPD": BLOCK + "test_RBLSMTPD_blocks_with_its_text",
        "$TCPREMOTEIP": BLOCK + "test_without_a_TCPREMOTEIP_the_program_runs",
        "-B": BLOCK + "test_b_and_B_are_for_the_lists_behind_them",
        "-C": BLOCK + "test_C_lets_through_and_c_defers_when_dns_fails",
        "-T": BLOCK + "test_T_is_what_a_dead_server_costs",
        "-a": BLOCK + "test_a_lets_through_before_a_list_behind_it",
        "-b": BLOCK + "test_b_and_B_are_for_the_lists_behind_them",
        "-c": BLOCK + "test_C_lets_through_and_c_defers_when_dns_fails",
        "-l": BLOCK + "test_w_and_l_add_up_what_several_lists_say",
        "-r": BLOCK + "test_r_asks_for_a_text_and_blocks_with_it",
        "-t": BLOCK + "test_t_0_sends_one_line",
        "-w": BLOCK + "test_w_and_l_add_up_what_several_lists_say",
        "exit 0": BLOCK + "test_RBLSMTPD_blocks_with_its_text",
        "exit 100": BLOCK + "test_exit_100_and_the_usage_when_misused",
        "exit 111": BLOCK + "test_it_becomes_the_program",
        "exit child": BLOCK + "test_it_becomes_the_program",
    },
    "readproctitle": {"exit 0": SUCCESS, "exit 100": TOOLS + "test_misuse_of_readproctitle_is_told",
                      "exit 111": MISUSE_OURS},
    "setlock": {
        "-n": TOOLS + "test_setlock_keeps_the_other_out",
        "-N": TOOLS + "test_setlock_keeps_the_other_out",
        "-x": TOOLS + "test_setlock_keeps_the_other_out",
        "-X": TOOLS + "test_setlock_keeps_the_other_out",
        "exit 0": TOOLS + "test_setlock_keeps_the_other_out",
        "exit 100": MISUSE, "exit 111": MISUSE, "exit child": CHILD,
    },
    "setuidgid": {"exit 100": MISUSE, "exit 111": MISUSE,
                  "exit child": CODES + "test_the_code_of_the_program_behind_setuidgid_by_anyone"},
    "softlimit": {
        **{f"-{letter}": TOOLS + "test_softlimit_sets_the_same_limits" for letter in "acdflmoprst"},
        "exit 100": MISUSE, "exit 111": MISUSE, "exit child": CHILD,
    },
    "supervise": {"exit 0": SUPERVISE + "test_commands_do_what_the_manual_says",
                  "exit 100": MISUSE, "exit 111": MISUSE},
    "svc": {
        **{f"-{letter}": SUPERVISE + "test_commands_do_what_the_manual_says"
           for letter in "udopcktx"},
        **{f"-{letter}": SUPERVISE + "test_signals_arrive" for letter in "hai"},
        "exit 0": SUCCESS, "exit 100": MISUSE,
    },
    "svok": {"exit 0": SUPERVISE + "test_commands_do_what_the_manual_says",
             "exit 100": MISUSE, "exit 111": MISUSE},
    "svscan": {
        "$PATH": SCAN + "svscan",
        "exit 0": SCAN + "test_term_ends_services_then_logs_and_leaves_nobody",
        "exit 100": MISUSE_OURS, "exit 111": MISUSE,
    },
    "svscanboot": {
        "$PATH": SCAN + "test_svscanboot_becomes_svscan_and_shows_its_complaints",
        "exit 100": MISUSE_OURS, "exit 111": CODES + "test_svscanboot_that_cannot_begin",
        "exit child": SCAN + "test_svscanboot_becomes_svscan_and_shows_its_complaints",
    },
    "svstat": {"exit 0": SUCCESS, "exit 111": CODES + "test_output_that_cannot_be_written"},
    "tai64n": {"exit 0": SUCCESS, "exit 111": CODES + "test_output_that_cannot_be_written"},
    "tai64nlocal": {
        "$TZ": TOOLS + "test_tai64nlocal_shows_the_same_local_time",
        "exit 0": SUCCESS, "exit 111": CODES + "test_output_that_cannot_be_written",
    },

    "addcr": {"exit 0": SUCCESS, "exit 111": CODES + "test_output_that_cannot_be_written"},
    "argv0": {"$PATH": UCSPI + "test_argv0", "exit 100": MISUSE, "exit 111": MISUSE,
              "exit child": CHILD},
    "date@": {"exit 0": CODES + "test_tools_that_always_say_0"},
    "delcr": {"exit 0": SUCCESS, "exit 111": CODES + "test_output_that_cannot_be_written"},
    "finger@": {"exit 0": CODES + "test_tools_that_always_say_0"},
    "fixcrio": {"$PATH": UCSPI + "test_fixcrio_becomes_the_program", "exit 100": MISUSE,
                "exit 111": MISUSE, "exit child": CHILD},
    "http@": {"exit 0": CODES + "test_tools_that_always_say_0"},
    "mconnect": {"exit 0": CODES + "test_clients_without_a_server_and_with_one",
                 "exit 111": CODES + "test_clients_without_a_server_and_with_one"},
    "mconnect-io": {"exit 0": UCSPI + "test_mconnect_io_does_not_complain"},
    "recordio": {"$PATH": UCSPI + "test_recordio_becomes_the_program", "exit 100": MISUSE,
                 "exit 111": MISUSE, "exit child": CHILD},
    "tcpcat": {"exit 0": CODES + "test_clients_without_a_server_and_with_one",
               "exit 111": CODES + "test_clients_without_a_server_and_with_one"},
    "tcpclient": {
        "$PATH": UCSPI + "test_tcpclient_becomes_the_program",
        "$PROTO": CLIENT_ENV, "$TCPLOCALHOST": CLIENT_ENV, "$TCPLOCALIP": CLIENT_ENV,
        "$TCPLOCALPORT": CLIENT_ENV, "$TCPREMOTEHOST": CLIENT_ENV, "$TCPREMOTEINFO": CLIENT_ENV,
        "$TCPREMOTEIP": NAMES + "test_tcpclient_finds_the_names_that_the_original_finds", "$TCPREMOTEPORT": CLIENT_ENV,
        "-d": UCSPI + "test_tcpclient_delays_or_not", "-D": UCSPI + "test_tcpclient_delays_or_not",
        "-h": UCSPI + "test_tcpclient_asks_about_the_connection",
        "-H": UCSPI + "test_tcpclient_asks_about_the_connection",
        "-i": CLIENT_ENV, "-l": CLIENT_ENV, "-p": UCSPI + "test_tcpclient_connects_from_a_port",
        "-q": UCSPI + "test_tcpclient_becomes_the_program",
        "-Q": UCSPI + "test_tcpclient_becomes_the_program",
        "-r": UCSPI + "test_tcpclient_asks_about_the_connection",
        "-R": UCSPI + "test_tcpclient_asks_about_the_connection",
        "-t": UCSPI + "test_tcpclient_does_not_wait_for_names",
        "-T": UCSPI + "test_tcpclient_tries_all_addresses_shortly_first",
        "-v": UCSPI + "test_tcpclient_becomes_the_program",
        "exit 100": MISUSE, "exit 111": MISUSE,
        "exit child": UCSPI + "test_tcpclient_becomes_the_program",
    },
    "tcplookup": {
        **{f"-{letter}": CODES + "test_tcplookup_answers_what_it_is_asked" for letter in "hlprt"},
        **{f"command {word}": CODES + "test_tcplookup_answers_what_it_is_asked"
           for word in ("host", "peer", "service")},
        "exit 0": CODES + "test_tcplookup_answers_what_it_is_asked", "exit 100": MISUSE_OURS,
        "exit 111": CODES + "test_output_that_cannot_be_written",
    },
    "tcprules": {
        "$TCPREMOTEHOST": RULES + "asker", "$TCPREMOTEINFO": RULES + "asker",
        "$TCPREMOTEIP": RULES + "asker", "$VAR": TABLES + "test_rules_that_set_a_variable",
        "exit 0": RULES + "test_networks_of_ours_mean_the_same_to_both_checkers",
        "exit 100": MISUSE, "exit 111": MISUSE,
    },
    "tcprulescheck": {
        "$TCPREMOTEHOST": RULES + "asker", "$TCPREMOTEINFO": RULES + "asker",
        "$TCPREMOTEIP": RULES + "asker",
        "exit 0": TABLES + "test_rules_that_set_a_variable", "exit 100": MISUSE,
        "exit 111": MISUSE,
    },
    "tcpserver": {
        "$GID": TABLES + "test_users_and_groups_are_those_of_the_original",
        "$UID": TABLES + "test_users_and_groups_are_those_of_the_original",
        "$PATH": TABLES + "test_the_log_tells_how_the_program_ended",
        **{f"${name}": TABLES + "test_the_environment_is_complete" for name in (
            "PROTO TCPLOCALIP TCPLOCALPORT TCPLOCALHOST TCPREMOTEIP TCPREMOTEPORT").split()},
        "$TCPREMOTEHOST": SERVER + "test_names_are_looked_up_for_the_child",
        "$TCPREMOTEINFO": SERVER + "test_ident_is_asked_and_kept_out_of_the_log",
        **{f"${name}": LIMITS + "test_rules_limit_with_the_names_of_the_patch" for name in (
            "DIEMSG MAXCONNC MAXCONNIP").split()},
        "$MAXLOAD": LIMITS + "test_MAXLOAD_refuses_while_the_machine_is_busy",
        **{f"${name}": RESTART + "activated" for name in (
            "LISTEN_FDNAMES LISTEN_FDS LISTEN_PID").split()},
        "$PROXYIP": PROXY + "test_the_announced_client_is_the_client",
        "$PROXYPORT": PROXY + "test_the_announced_client_is_the_client",
        "-1": TABLES + "Server",
        "-C": LIMITS + "test_C_limits_one_address",
        "-F": PROXY + "test_networks_may_be_several_and_ipv6",
        "-M": LIMITS + "test_M_says_how_large_a_network_is",
        **{f"-{letter}": OPTION for letter in "dDoqQRv"},
        **{f"-{letter}": NAMES + "test_tcpserver_finds_the_names_and_follows_the_rules_of_the_original"
           for letter in "hHlpPrtx"},
        "-b": TABLES + "test_the_backlog_is_what_the_system_is_told",
        "-B": TABLES + "test_the_banner_comes_before_the_rules_decide",
        "-c": TABLES + "test_so_many_at_a_time_and_the_rest_waits",
        "-O": TABLES + "test_ip_options_are_cleared_unless_o",
        "-o": TABLES + "test_ip_options_are_cleared_unless_o",
        "-g": TABLES + "test_users_and_groups_are_those_of_the_original",
        "-u": TABLES + "test_users_and_groups_are_those_of_the_original",
        "-U": TABLES + "test_users_and_groups_are_those_of_the_original",
        "-X": SERVER + "test_missing_rules_are_allowed_only_with_X",
        "exit 0": SERVER + "test_sigterm_ends_the_server_and_not_its_children",
        "exit 100": MISUSE, "exit 111": MISUSE,
    },
    "who@": {"exit 0": CODES + "test_tools_that_always_say_0"},

    "qmail-delivery-conf": {
        **CONF_CODES,
        **{name: CONF_VARIABLES[name] for name in (
            "$DATALIMIT", "$LOGLEVEL", "$MAXFILESIZE", "$MAXLOGFILES", "$MAXLOGSIZES",
            "$PROCESSOR")},
        "$DNSCACHEIP": CONF + "test_a_house_of_such_services_alone",
        "$PATH": CONF + "test_a_house_of_such_services_alone",
    },
}
# They share a page; qmail-pop3d-conf is the one with all the variables.
for name in pages(["service"]):
    COVERED.setdefault(name, {**CONF_VARIABLES, **CONF_CODES})
