#include "lib/date.h"

#define DAY_SECONDS 86400

struct moment {
	int64_t year;
	int month; /* 0 is January */
	int day;
	int weekday; /* 0 is Sunday */
	int hour;
	int minute;
	int second;
};

static const char *const weekdays[] = { "Sun", "Mon", "Tue", "Wed",
					"Thu", "Fri", "Sat" };
static const char *const months[] = {
	"Jan", "Feb", "Mar", "Apr", "May", "Jun",
	"Jul", "Aug", "Sep", "Oct", "Nov", "Dec"
};

/* The quotient rounded down, and a remainder that is never negative. */
static int64_t divide(int64_t n, int64_t by, int64_t *remainder)
{
	int64_t quotient = n / by;

	*remainder = n % by;
	if (*remainder < 0) {
		*remainder += by;
		quotient--;
	}
	return quotient;
}

/*
 * The Gregorian calendar repeats every 400 years, 146097 days. Years are
 * counted from 1 March 2000 here, so that a leap day is the last of its
 * year, century or 400 years.
 */
static void set_date(struct moment *m, int64_t days)
{
	static const int month_days[] = { 31, 30, 31, 30, 31, 31,
					  30, 31, 30, 31, 31, 29 };
	int64_t left;
	int64_t year = 2000 + 400 * divide(days - 11017, 146097, &left);
	int64_t part = left / 36524 < 3 ? left / 36524 : 3;

	year += 100 * part;
	left -= 36524 * part;
	year += 4 * (left / 1461);
	left %= 1461;
	part = left / 365 < 3 ? left / 365 : 3;
	year += part;
	left -= 365 * part;
	m->month = 2;
	for (size_t i = 0; left >= month_days[i]; i++) {
		left -= month_days[i];
		m->month++;
	}
	if (m->month >= 12) {
		m->month -= 12;
		year++;
	}
	m->year = year;
	m->day = (int)left + 1;
}

static struct moment moment_of(int64_t unix_s)
{
	struct moment m = { 0 };
	int64_t left;
	int64_t days = divide(unix_s, DAY_SECONDS, &left);
	int64_t weekday;

	m.hour = (int)(left / 3600);
	m.minute = (int)(left / 60 % 60);
	m.second = (int)(left % 60);
	divide(days + 4, 7, &weekday); /* 1 January 1970 was a Thursday */
	m.weekday = (int)weekday;
	set_date(&m, days);
	return m;
}

static void append_822(struct str *to, const struct moment *m, const char *zone)
{
	str_appendf(to, "%d %s %lld %02d:%02d:%02d %s", m->day,
		    months[m->month], (long long)m->year, m->hour, m->minute,
		    m->second, zone);
}

void date_format(struct str *to, int64_t unix_s)
{
	struct moment m = moment_of(unix_s);

	append_822(to, &m, "-0000");
}

void date_format_weekday(struct str *to, int64_t unix_s)
{
	struct moment m = moment_of(unix_s);

	str_appendf(to, "%s, ", weekdays[m.weekday]);
	append_822(to, &m, "+0000");
}

void date_format_ctime(struct str *to, int64_t unix_s)
{
	struct moment m = moment_of(unix_s);

	str_appendf(to, "%s %s %2d %02d:%02d:%02d %lld", weekdays[m.weekday],
		    months[m.month], m.day, m.hour, m.minute, m.second,
		    (long long)m.year);
}
