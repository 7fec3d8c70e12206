/*
 * tcprules - compile connection rules into a cdb.
 *
 * started by  an administrator, or what keeps tables of relay clients
 * fds         0 the rules, 2 complaints
 * exits       EXIT_DONE when the new cdb is in place and durable,
 *             EXIT_REJECT for misuse or a line that cannot be parsed,
 *             EXIT_RETRY when files cannot be read or written; the old cdb
 *             stands then, unless syncing the directory was what failed
 */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/cdbmap.h"
#include "lib/die.h"
#include "lib/in.h"
#include "tools/ucspi/rulefile.h"
#include "tools/ucspi/rules.h"

#define LINE_MAX_BYTES 65536

/* A key kept back until all longer networks are written. */
struct late {
	unsigned bits;
	size_t order;
	struct str key;
	struct str data;
};

struct compiler {
	const char *cdb;
	const char *temp;
	struct cdbmap_writer *writer;
	bool lengths[129]; /* IPv6 prefix lengths in use */
	struct late *late;
	size_t late_count;
	size_t late_cap;
};

static noreturn void cannot_write(struct compiler *c)
{
	warn_errno("fatal: unable to write %s", c->temp);
	cdbmap_write_abort(c->writer);
	_exit(EXIT_RETRY);
}

static noreturn void cannot_parse(struct compiler *c, struct view line)
{
	warn("fatal: unable to parse this line: %.*s", (int)line.len, line.p);
	cdbmap_write_abort(c->writer);
	_exit(EXIT_REJECT);
}

static void add(struct compiler *c, const struct str *key,
		const struct str *data)
{
	if (cdbmap_write_add(c->writer, str_view(key), str_view(data)) == -1)
		cannot_write(c);
}

static void add_late(struct compiler *c, const struct rule *rule,
		     const struct str *key)
{
	struct late *late;

	if (c->late_count == c->late_cap) {
		c->late_cap = c->late_cap * 2 + 64;
		c->late = reallocarray(c->late, c->late_cap, sizeof(*c->late));
		if (!c->late)
			die(EXIT_RETRY, "fatal: out of memory");
	}
	late = &c->late[c->late_count];
	*late = (struct late){ .bits = rule->bits, .order = c->late_count };
	str_append(&late->key, str_view(key));
	str_append(&late->data, str_view(&rule->data));
	c->late_count++;
}

/* Longest first; equally long ones as they were written. */
static int compare_late(const void *a, const void *b)
{
	const struct late *x = a;
	const struct late *y = b;

	if (x->bits != y->bits)
		return x->bits > y->bits ? -1 : 1;
	return x->order < y->order ? -1 : 1;
}

static void write_late(struct compiler *c)
{
	if (c->late_count)
		qsort(c->late, c->late_count, sizeof(*c->late), compare_late);
	for (size_t i = 0; i < c->late_count; i++) {
		add(c, &c->late[i].key, &c->late[i].data);
		str_free(&c->late[i].key);
		str_free(&c->late[i].data);
	}
	free(c->late);
}

static void write_lengths(struct compiler *c)
{
	struct str lengths = { 0 };
	struct str key = { 0 };

	for (unsigned i = COUNT_OF(c->lengths); i-- > 0;)
		if (c->lengths[i])
			str_appendf(&lengths, lengths.len ? " %u" : "%u", i);
	str_set(&key, RULES_LENGTHS_KEY);
	if (lengths.len)
		add(c, &key, &lengths);
	str_free(&lengths);
	str_free(&key);
}

static void compile_line(struct compiler *c, struct view line)
{
	struct rule rule;
	struct str key = { 0 };
	bool any = false;

	switch (rule_parse(line, &rule)) {
	case RULE_NONE:
		break;
	case RULE_NO_COLON:
		warn("warning: ignoring a line without a colon: %.*s",
		     (int)line.len, line.p);
		break;
	case RULE_BAD:
		cannot_parse(c, line);
	case RULE_OK:
		while (rule_next_key(&rule, &key)) {
			any = true;
			if (rule.loose)
				add_late(c, &rule, &key);
			else
				add(c, &key, &rule.data);
		}
		if (rule.v6_network)
			c->lengths[rule.bits] = true;
		if (!any)
			warn("warning: this line matches nothing: %.*s",
			     (int)line.len, line.p);
	}
	rule_free(&rule);
	str_free(&key);
}

static void compile(struct compiler *c)
{
	char space[8192];
	struct str line = { 0 };
	struct in in;
	enum in_result result;

	in_init(&in, STDIN_FILENO, space, sizeof(space), -1);
	while ((result = in_line_raw(&in, &line, LINE_MAX_BYTES)) == IN_OK)
		compile_line(c, str_view(&line));
	switch (result) {
	case IN_OK:
		break;
	case IN_EOF:
		if (line.len)
			compile_line(c, str_view(&line));
		break;
	case IN_TOO_LONG:
		cannot_parse(c, VIEW("(longer than 65536 bytes)"));
	case IN_TIMEOUT:
	case IN_ERROR:
		warn_errno("fatal: unable to read input");
		cdbmap_write_abort(c->writer);
		_exit(EXIT_RETRY);
	}
	str_free(&line);
}

int main(int argc, char **argv)
{
	struct compiler c = { 0 };
	mode_t mask = umask(0);

	umask(mask);
	die_name("tcprules");
	if (argc != 3)
		die(EXIT_REJECT, "usage: tcprules rules.cdb rules.tmp");
	c.cdb = argv[1];
	c.temp = argv[2];
	c.writer = cdbmap_write_begin(AT_FDCWD, c.cdb, c.temp, 0644 & ~mask);
	if (!c.writer)
		die_errno(EXIT_RETRY, "fatal: unable to create %s", c.temp);
	compile(&c);
	write_late(&c);
	write_lengths(&c);
	if (cdbmap_write_commit(c.writer) == -1)
		die_errno(EXIT_RETRY, "fatal: unable to move %s to %s", c.temp,
			  c.cdb);
	return EXIT_DONE;
}
