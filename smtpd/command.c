#include "smtpd/command.h"

#include "lib/address.h"

static const struct {
	struct view name;
	enum verb verb;
} verbs[] = {
	{ { "helo", 4 }, VERB_HELO },
	{ { "ehlo", 4 }, VERB_EHLO },
	{ { "mail", 4 }, VERB_MAIL },
	{ { "rcpt", 4 }, VERB_RCPT },
	{ { "data", 4 }, VERB_DATA },
	{ { "rset", 4 }, VERB_RSET },
	{ { "noop", 4 }, VERB_NOOP },
	{ { "quit", 4 }, VERB_QUIT },
	{ { "help", 4 }, VERB_HELP },
	{ { "vrfy", 4 }, VERB_VRFY },
	{ { "expn", 4 }, VERB_UNIMPLEMENTED },
	{ { "turn", 4 }, VERB_UNIMPLEMENTED },
	{ { "etrn", 4 }, VERB_UNIMPLEMENTED },
	{ { "send", 4 }, VERB_UNIMPLEMENTED },
	{ { "soml", 4 }, VERB_UNIMPLEMENTED },
	{ { "saml", 4 }, VERB_UNIMPLEMENTED },
	{ { "auth", 4 }, VERB_UNIMPLEMENTED },
	{ { "bdat", 4 }, VERB_UNIMPLEMENTED },
	{ { "starttls", 8 }, VERB_UNIMPLEMENTED },
	{ { "get", 3 }, VERB_FOREIGN },
	{ { "put", 3 }, VERB_FOREIGN },
	{ { "head", 4 }, VERB_FOREIGN },
	{ { "post", 4 }, VERB_FOREIGN },
	{ { "patch", 5 }, VERB_FOREIGN },
	{ { "trace", 5 }, VERB_FOREIGN },
	{ { "delete", 6 }, VERB_FOREIGN },
	{ { "options", 7 }, VERB_FOREIGN },
	{ { "connect", 7 }, VERB_FOREIGN },
};

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

static size_t find_blank(struct view v)
{
	size_t i = 0;

	while (i < v.len && !is_blank(v.p[i]))
		i++;
	return i;
}

struct command command_parse(struct view line)
{
	size_t end = find_blank(line);
	struct view word = view_first(line, end);
	struct command command = {
		.verb = VERB_UNKNOWN,
		.arg = view_trim(view_from(line, end)),
	};

	for (size_t i = 0; i < COUNT_OF(verbs); i++)
		if (view_eq_nocase(word, verbs[i].name))
			command.verb = verbs[i].verb;
	/* `Subject: x`: what should have followed DATA. */
	if (view_ends(word, VIEW(":")))
		command.verb = VERB_FOREIGN;
	return command;
}

/* What follows `FROM:`. */
static bool skip_keyword(struct view *arg, struct view keyword, bool strict)
{
	if (!view_starts_nocase(*arg, keyword))
		return false;
	*arg = view_from(*arg, keyword.len);
	while (!strict && arg->len && is_blank(arg->p[0]))
		*arg = view_from(*arg, 1);
	if (!view_starts(*arg, VIEW(":")))
		return false;
	*arg = view_from(*arg, 1);
	return !strict || view_starts(*arg, VIEW("<"));
}

enum command_result command_path(struct view arg, struct view keyword,
				 bool strict, struct str *address,
				 struct view *parameters)
{
	*parameters = view_make(NULL, 0);
	str_reset(address);
	if (!skip_keyword(&arg, keyword, strict))
		return COMMAND_SYNTAX;
	switch (address_parse_path(arg, !strict, address, parameters)) {
	case ADDRESS_OK:
		break;
	case ADDRESS_BAD:
	case ADDRESS_TOO_LONG:
		return COMMAND_ADDRESS;
	}
	if (parameters->len && !is_blank(parameters->p[0]))
		return COMMAND_ADDRESS; /* <a@b>c */
	*parameters = view_trim(*parameters);
	return COMMAND_OK;
}

/* The next `NAME=value` or `NAME`; false when there is none. */
static bool next_parameter(struct view *rest, struct view *name,
			   struct view *value)
{
	size_t end;

	*rest = view_trim(*rest);
	end = find_blank(*rest);
	*value = view_first(*rest, end);
	*rest = view_from(*rest, end);
	*name = view_cut(value, '=');
	return end > 0;
}

/* 1 to 20 digits (RFC 1870); more than we can count is very much. */
static bool parse_size(struct view value, uint64_t *size)
{
	if (value.len == 0 || value.len > 20)
		return false;
	for (size_t i = 0; i < value.len; i++)
		if (value.p[i] < '0' || value.p[i] > '9')
			return false;
	if (!view_u64(value, size))
		*size = UINT64_MAX;
	return true;
}

static bool parse_body(struct view value, struct view *body)
{
	if (view_eq_nocase(value, VIEW("8BITMIME")))
		*body = VIEW("8BITMIME");
	else if (view_eq_nocase(value, VIEW("7BIT")))
		*body = VIEW("7BIT");
	else
		return false;
	return true;
}

enum command_result command_mail_parameters(struct view parameters,
					    struct mail_parameters *mail)
{
	struct view name;
	struct view value;
	bool sized = false;

	*mail = (struct mail_parameters){ 0 };
	while (next_parameter(&parameters, &name, &value)) {
		if (view_eq_nocase(name, VIEW("SIZE"))) {
			if (sized || !parse_size(value, &mail->size))
				return COMMAND_SYNTAX;
			sized = true;
		} else if (view_eq_nocase(name, VIEW("BODY"))) {
			if (mail->body.len || !parse_body(value, &mail->body))
				return COMMAND_SYNTAX;
		} else {
			return COMMAND_PARAMETER;
		}
	}
	return COMMAND_OK;
}

enum command_result command_rcpt_parameters(struct view parameters)
{
	return parameters.len ? COMMAND_PARAMETER : COMMAND_OK;
}
