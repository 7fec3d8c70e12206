#include "local/vline.h"

#include <fcntl.h>
#include <unistd.h>

#include "lib/home.h"
#include "local/vdeliver.h"

void vline_init(struct vline *vline)
{
	*vline = (struct vline){ .is_root = getuid() == 0 };
	home_program(&vline->path, "vdelivermail");
}

void vline_free(struct vline *vline)
{
	str_free(&vline->path);
}

/* ---- is it one? ---- */

/* No shell sees more in this byte than the byte. */
static bool is_plain(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	       (c >= '0' && c <= '9') || c == '/' || c == '.' || c == '_' ||
	       c == '-' || c == '+' || c == '@' || c == ':' || c == ',' ||
	       c == '%';
}

static struct view take_blanks(struct view v)
{
	while (v.len && (v.p[0] == ' ' || v.p[0] == '\t'))
		v = view_from(v, 1);
	return v;
}

/* The word at the beginning of *rest, which moves behind it. */
static struct view take_word(struct view *rest)
{
	struct view v = take_blanks(*rest);
	size_t len = 0;

	while (len < v.len && v.p[len] != ' ' && v.p[len] != '\t')
		len++;
	*rest = view_from(v, len);
	return view_first(v, len);
}

static bool is_plain_word(struct view word)
{
	for (size_t i = 0; i < word.len; i++)
		if (!is_plain(word.p[i]))
			return false;
	return word.len > 0;
}

bool vline_parse(struct view command, struct view *path,
		 struct view *instruction)
{
	struct view empty;

	*path = take_word(&command);
	empty = take_word(&command);
	*instruction = take_word(&command);
	return view_starts(*path, VIEW("/")) && is_plain_word(*path) &&
	       view_eq(empty, VIEW("''")) && is_plain_word(*instruction) &&
	       take_blanks(command).len == 0;
}

/* A script in its place is somebody's own idea of it, and is run. */
static bool is_binary(const char *path)
{
	char magic[4];
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	bool result;

	if (fd == -1)
		return false;
	result = read(fd, magic, sizeof(magic)) == (ssize_t)sizeof(magic) &&
		 view_eq(view_make(magic, sizeof(magic)), VIEW("\177ELF"));
	close(fd);
	return result;
}

/*
 * Is the file at path the one beside us, and could it be run? Whatever makes
 * that untrue changes the file: a new one in its place beside us takes a
 * link away from it.
 */
static bool is_ours(struct vline *vline, const char *path)
{
	struct filemark named;
	struct filemark ours;

	if (filemark_look(&named, AT_FDCWD, path) == -1)
		return false;
	if (filemark_same(&vline->mark, &named) &&
	    filemark_is_settled(&vline->mark))
		return true;
	vline->mark = (struct filemark){ 0 };
	if (access(path, X_OK) == -1 ||
	    filemark_look(&ours, AT_FDCWD, str_c(&vline->path)) == -1 ||
	    !filemark_same(&named, &ours) || !is_binary(str_c(&vline->path)))
		return false;
	vline->mark = named;
	return true;
}

bool vline_match(struct vline *vline, struct view command,
		 struct view *instruction)
{
	struct str text = { 0 };
	struct view path;
	bool result;

	/* As root it would refuse; let it say so. */
	if (vline->is_root || !vline_parse(command, &path, instruction))
		return false;
	str_set(&text, path);
	result = is_ours(vline, str_c(&text));
	str_free(&text);
	return result;
}

/* ---- then do it ---- */

/* What the program's exit code would have said. */
static enum program_result conclude(struct verdict *v,
				    const struct vdeliver *vd)
{
	program_say(v, str_view(&vd->verdict.text));
	switch (vd->verdict.outcome) {
	case JOB_DELIVERED:
		return vd->stop ? PROGRAM_DONE_STOP : PROGRAM_DONE;
	case JOB_FAILED:
		return program_code(v, 100);
	case JOB_DEFERRED:
		break;
	}
	return program_code(v, 111);
}

enum program_result vline_run(struct verdict *v, struct view instruction,
			      const struct job *job, size_t number, int signals,
			      struct vpasswd_table *accounts,
			      struct vline_after *after)
{
	struct job mine = *job;
	struct envelope envelope = { 0 };
	struct str fallback = { 0 };
	struct vdeliver vd = {
		.job = &mine,
		.envelope = &envelope,
		.signals = signals,
		.line = number,
		.is_checked = true,
		.accounts = accounts,
		.verdict.warns_as = "vdelivermail",
	};
	enum program_result result;

	str_set(&fallback, instruction);
	vd.fallback = str_c(&fallback);
	vdeliver_environment(&vd, &mine, &envelope);
	vdeliver_run(&vd);
	result = conclude(v, &vd);
	after->ran_program = vd.ran_program;
	after->moved = vd.moved;
	vdeliver_free(&vd);
	envelope_free(&envelope);
	str_free(&fallback);
	return result;
}
