/*
 * vdominfo - show one virtual domain, or all of them.
 *
 * started by  an administrator, or a script of his
 * runs as     root, or anybody who may read users/assign
 * fds         1 what was asked, and errors of vpopmail's; 2 details
 * exits       0, or 256 plus vpopmail's code (vexit.h)
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "lib/die.h"
#include "lib/vpasswd.h"
#include "tools/vpopmail/vexit.h"
#include "tools/vpopmail/vqmail.h"
#include "tools/vpopmail/vtool.h"

static const char usage[] = "vdominfo: usage: [options] [domain]\n"
			    "options: -v (print version number)\n"
			    "         -a (display all fields, this is the "
			    "default)\n"
			    "         -n (display domain name)\n"
			    "         -u (display uid field)\n"
			    "         -g (display gid field)\n"
			    "         -d (display domain directory)\n"
			    "         -t (display total users)\n"
			    "         -r (display real domain)\n";

static const char field_letters[] = "nugdtr";

struct options {
	bool wanted[sizeof(field_letters)];
	bool some;
};

/* How many accounts; false where there is no vpasswd.cdb to be read. */
static bool count_users(struct vqmail_line *line, uint64_t *users)
{
	int fd = open(str_c(&line->dir), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	enum vpasswd_result result = VPASSWD_ERROR;
	struct vpasswd_list list;
	struct vpasswd_record record;

	*users = 0;
	if (fd == -1)
		return false;
	if (vpasswd_list_begin(&list, fd) == 0) {
		while ((result = vpasswd_list_next(&list, &record)) ==
		       VPASSWD_FOUND)
			(*users)++;
		vpasswd_list_end(&list);
	}
	close(fd);
	return result == VPASSWD_MISSING;
}

static bool is_alias(const struct vqmail_line *line)
{
	return !view_eq_nocase(str_view(&line->domain), str_view(&line->real));
}

static void print_aliases(struct vtool *tool, struct vqmail_line *line)
{
	struct str names = { 0 };
	struct view rest;

	if (vqmail_domains(tool, str_view(&line->domain), &names) == -1)
		vexit_error(VA_NO_AUTH_CONNECTION);
	rest = str_view(&names);
	while (rest.len) {
		struct view name = view_cut(&rest, '\0');

		if (!view_eq_nocase(name, str_view(&line->domain)))
			printf("alias: %.*s\n", (int)name.len, name.p);
	}
	str_free(&names);
}

static void print_all(struct vtool *tool, struct vqmail_line *line,
		      uint64_t users)
{
	printf("domain: %s", str_c(&line->domain));
	if (is_alias(line))
		printf(" (alias of %s)", str_c(&line->real));
	printf("\nuid:    %lu\n", (unsigned long)line->uid);
	printf("gid:    %lu\n", (unsigned long)line->gid);
	printf("dir:    %s\n", str_c(&line->dir));
	printf("users:  %llu\n", (unsigned long long)users);
	if (!is_alias(line))
		print_aliases(tool, line);
}

static void print_field(struct vqmail_line *line, uint64_t users, char field)
{
	switch (field) {
	case 'n':
		puts(str_c(&line->domain));
		break;
	case 'u':
		printf("%lu\n", (unsigned long)line->uid);
		break;
	case 'g':
		printf("%lu\n", (unsigned long)line->gid);
		break;
	case 'd':
		puts(str_c(&line->dir));
		break;
	case 't':
		printf("%llu\n", (unsigned long long)users);
		break;
	case 'r':
		puts(str_c(&line->real));
		break;
	}
}

static void print_domain(struct vtool *tool, const struct options *o,
			 struct vqmail_line *line, uint64_t users)
{
	if (!o->some) {
		print_all(tool, line, users);
		return;
	}
	for (size_t i = 0; field_letters[i]; i++)
		if (o->wanted[i])
			print_field(line, users, field_letters[i]);
}

static void show_one(struct vtool *tool, const struct options *o,
		     const char *arg)
{
	struct vqmail_line line = { 0 };
	struct str name = { 0 };
	uint64_t users;

	vtool_domain_name(arg, &name);
	switch (vqmail_assigned(tool, str_view(&name), &line)) {
	case 0:
		vexit_error(VA_DOMAIN_DOES_NOT_EXIST);
	case 1:
		break;
	default:
		vexit_error(VA_NO_AUTH_CONNECTION);
	}
	if (!count_users(&line, &users)) {
		warn_errno("cannot read %s/vpasswd.cdb", str_c(&line.dir));
		vexit_error(VA_NO_AUTH_CONNECTION);
	}
	print_domain(tool, o, &line, users);
	vqmail_line_free(&line);
	str_free(&name);
}

/* Lines of users/assign that are no virtual domain have no vpasswd. */
static void show_all(struct vtool *tool, const struct options *o)
{
	struct str names = { 0 };
	struct vqmail_line line = { 0 };
	struct view rest;
	uint64_t users;

	if (vqmail_domains(tool, VIEW(""), &names) == -1)
		vexit_error(VA_NO_AUTH_CONNECTION);
	rest = str_view(&names);
	while (rest.len) {
		struct view name = view_cut(&rest, '\0');

		if (vqmail_assigned(tool, name, &line) != 1 ||
		    !count_users(&line, &users))
			continue;
		print_domain(tool, o, &line, users);
		if (!o->some)
			putchar('\n');
	}
	vqmail_line_free(&line);
	str_free(&names);
}

int main(int argc, char **argv)
{
	struct options o = { 0 };
	struct vtool tool;
	int opt;

	vtool_init(&tool, "vdominfo");
	while ((opt = getopt(argc, argv, "vanugdtr")) != -1) {
		const char *letter = strchr(field_letters, opt);

		if (opt == 'v') {
			vtool_version();
		} else if (opt == 'a') {
			o.some = false;
		} else if (letter) {
			o.wanted[letter - field_letters] = true;
			o.some = true;
		} else {
			vexit_usage(usage, 255);
		}
	}
	if (optind < argc)
		show_one(&tool, &o, argv[optind]);
	else
		show_all(&tool, &o);
	vexit(VA_SUCCESS);
}
