/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * conf.c -- the configuration file, read by libConfuse.
 *
 * The library calls back for every value, when it knows the line; what it
 * keeps itself is not used.
 */
#include <confuse.h>
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "conf.h"
#include "err.h"
#include "hv.h"

#define FILE_MAX	((off_t)(4 * MiB))

/*
 * To libConfuse a file may end within a section.  So we put a setting of our
 * own behind it and see where that arrives.
 */
#define END_MARK	"end-of-file"

/*
 * libConfuse expands "~" in names of files that it opens itself; it opens none
 * here.  glibc's own of these two would bring its name services into a static
 * program, where they cannot work.
 */
struct passwd *getpwnam(const char *name)
{
	(void)name;
	return NULL;
}

struct passwd *getpwuid(uid_t uid)
{
	(void)uid;
	return NULL;
}

/* What is being read; the callbacks have no argument of ours. */
static struct {
	struct conf *conf;
	const char *path;
	unsigned first;		/* VMs before this one are another file's */
} reading;

static void *grow(void *array, unsigned count, size_t size)
{
	void *p = realloc(array, (count + 1) * size);

	if (!p)
		die("out of memory");
	memset((char *)p + count * size, 0, size);
	return p;
}

static char *copy(const char *s)
{
	char *p = strdup(s);

	if (!p)
		die("out of memory");
	return p;
}

__attribute__((format(printf, 2, 3), noreturn))
static void wrong(const cfg_t *cfg, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	die("%s:%d: %s", reading.path, cfg->line, text);
}

/* libConfuse's own complaints. */
static void complain(cfg_t *cfg, const char *fmt, va_list ap)
{
	char text[512];

	vsnprintf(text, sizeof(text), fmt, ap);
	wrong(cfg, "%s", text);
}

static struct conf_vm *vm_of(cfg_t *section)
{
	const char *name = cfg_title(section), *bad;
	struct conf *c = reading.conf;
	struct conf_vm *vm;
	unsigned i;

	for (i = reading.first; i < c->count; i++)
		if (!strcmp(c->vms[i].name, name))
			return &c->vms[i];
	bad = hv_name_error(name);
	if (bad)
		wrong(section, "vm '%s': %s", name, bad);
	c->vms = grow(c->vms, c->count, sizeof(*c->vms));
	vm = &c->vms[c->count++];
	vm->name = copy(name);
	vm->path = reading.path;
	vm->line = (unsigned)section->line;
	return vm;
}

static const struct setting *setting_of(const cfg_opt_t *opt)
{
	const struct setting *s;

	for (s = settings; s < settings + settings_count; s++)
		if (!strcmp(setting_word(s), opt->name))
			return s;
	return NULL;
}

/* A value; libConfuse copies what *result points to. */
static int take_value(cfg_t *cfg, cfg_opt_t *opt, const char *value,
		      void *result)
{
	const struct setting *s = setting_of(opt);
	struct conf_vm *vm = vm_of(cfg);
	struct conf_value *v;
	unsigned i;
	int yes;

	for (i = 0; i < vm->count && !s->list; i++)
		if (vm->values[i].setting == s)
			wrong(cfg, "vm '%s': %s is given twice, first in line "
			      "%u", vm->name, opt->name, vm->values[i].line);
	/* Who will start it, and from where, is not known: no relative path. */
	if (s->path && *value != '/')
		wrong(cfg, "vm '%s': %s '%s': the path must begin with '/'",
		      vm->name, opt->name, value);
	if (s->key == SET_AUTOSTART) {
		yes = cfg_parse_boolean(value);
		if (yes < 0)
			wrong(cfg, "vm '%s': autostart '%s': it is yes or no",
			      vm->name, value);
		vm->autostart = yes;
	}
	vm->values = grow(vm->values, vm->count, sizeof(*vm->values));
	v = &vm->values[vm->count++];
	v->setting = s;
	v->text = copy(value);
	v->line = (unsigned)cfg->line;
	*(const char **)result = value;
	return 0;
}

/* The end of a section: one without a setting is a VM, too. */
static int take_section(cfg_t *cfg, cfg_opt_t *opt)
{
	(void)cfg;
	vm_of(cfg_opt_getnsec(opt, cfg_opt_size(opt) - 1));
	return 0;
}

/* In a section, or not at all, if something is left open. */
static int take_end(cfg_t *cfg, cfg_opt_t *opt, const char *value,
		    void *result)
{
	(void)opt;
	if (cfg_title(cfg))
		wrong(cfg, "vm '%s': the file ends before its '}'",
		      cfg_title(cfg));
	*(const char **)result = value;
	return 0;
}

static cfg_t *parser_of(cfg_opt_t *settings_opts)
{
	cfg_opt_t top[] = {
		CFG_SEC("vm", settings_opts, CFGF_MULTI | CFGF_TITLE |
			CFGF_NO_TITLE_DUPES),
		CFG_STR_CB(END_MARK, NULL, CFGF_NODEFAULT, take_end),
		CFG_END()
	};

	return cfg_init(top, CFGF_NONE);
}

static cfg_t *parser(void)
{
	cfg_opt_t *opts = calloc(settings_count + 2, sizeof(*opts));
	cfg_opt_t mark = CFG_STR_CB(END_MARK, NULL, CFGF_NODEFAULT, take_end);
	cfg_opt_t end = CFG_END();
	cfg_t *cfg;
	unsigned i;

	if (!opts)
		die("out of memory");
	for (i = 0; i < settings_count; i++) {
		const char *word = setting_word(&settings[i]);
		cfg_opt_t one = CFG_STR_CB(word, NULL, CFGF_NODEFAULT,
					   take_value);
		cfg_opt_t list = CFG_STR_LIST_CB(word, NULL, CFGF_NODEFAULT,
						 take_value);

		memcpy(&opts[i], settings[i].list ? &list : &one,
		       sizeof(one));
	}
	memcpy(&opts[i++], &mark, sizeof(mark));
	memcpy(&opts[i], &end, sizeof(end));
	cfg = parser_of(opts);
	free(opts);
	if (!cfg)
		die("out of memory");
	cfg_set_error_function(cfg, complain);
	cfg_set_validate_func(cfg, "vm", take_section);
	return cfg;
}

/* Names that another file has defined already. */
static void drop_known(struct conf *c, unsigned first)
{
	unsigned i, k, n = first;

	for (i = first; i < c->count; i++) {
		for (k = 0; k < first; k++)
			if (!strcmp(c->vms[k].name, c->vms[i].name))
				break;
		if (k == first)
			c->vms[n++] = c->vms[i];
	}
	c->count = n;
}

/* The file with our mark behind it; NULL: there is none. */
static char *read_text(const char *path, bool own)
{
	static const char mark[] = "\n" END_MARK " = 1\n";
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | (own ? O_NOFOLLOW : 0));
	FILE *f = fd < 0 ? NULL : fdopen(fd, "r");
	struct stat st;
	bool seen;
	size_t n;
	char *p;

	/* Who is not of the group cannot look into our folder: there is none. */
	if (!f && (errno == ENOENT || (own && errno != ELOOP)))
		return NULL;
	/*
	 * Others of our group may write to that folder; what they put there must
	 * not decide which files our VMs use, nor keep us from using ours.  Of what
	 * was opened: the name may be another file's by now.
	 */
	seen = f && !fstat(fd, &st);
	if (own && (!seen || !S_ISREG(st.st_mode) || st.st_uid != geteuid() ||
		    (st.st_mode & 022))) {
		warn_msg("%s: not a file that only you can write: ignored", path);
		if (f)
			fclose(f);
		return NULL;
	}
	if (!seen)
		die("%s: %s", path, strerror(errno));
	if (!S_ISREG(st.st_mode))
		die("%s: not a regular file", path);
	if (st.st_size > FILE_MAX)
		die("%s: larger than %llu MiB", path,
		    (unsigned long long)FILE_MAX / MiB);
	p = malloc((size_t)st.st_size + sizeof(mark));
	if (!p)
		die("out of memory");
	n = fread(p, 1, (size_t)st.st_size, f);
	if (ferror(f))
		die("%s: %s", path, strerror(errno));
	fclose(f);
	if (memchr(p, 0, n))
		die("%s: not a text: it has a zero byte in it", path);
	memcpy(p + n, mark, sizeof(mark));
	return p;
}

/* Behind the string that begins at p, or at the text's end. */
static char *string_end(char *p)
{
	char quote = *p++;

	for (; *p && *p != quote; p++)
		if (*p == '\\' && p[1])
			p++;
	return *p ? p + 1 : p;
}

/* Behind the comment that begins at p; p itself: none does; NULL: open. */
static char *comment_end(char *p)
{
	char *end;

	if (*p == '#' || !strncmp(p, "//", 2))
		return p + strcspn(p, "\n");
	if (strncmp(p, "/*", 2))
		return p;
	end = strstr(p + 2, "*/");
	return end ? end + 2 : NULL;
}

/*
 * Comments become blanks: libConfuse 3.3 counts their lines several times, and
 * then names wrong ones.  Like it, we take none for one within a word.
 */
static void blank_comments(char *p, const char *path)
{
	unsigned line = 1;
	bool word = false;
	char *end;

	while (*p) {
		end = word ? p : comment_end(p);
		if (!end)
			die("%s:%u: the comment that begins here does not end",
			    path, line);
		for (; p < end; p++) {
			line += *p == '\n';
			if (*p != '\n')
				*p = ' ';
		}
		if (!*p)
			return;
		end = *p == '"' || *p == '\'' ? string_end(p) : p + 1;
		word = !strchr(" \t\r\n={},", *p);
		for (; p < end; p++)
			line += *p == '\n';
	}
}

static bool read_file(struct conf *c, const char *path, bool own)
{
	unsigned first = c->count;
	char *text = read_text(path, own);
	cfg_t *cfg;

	if (!text)
		return false;
	blank_comments(text, path);
	reading.conf = c;
	reading.path = copy(path);
	reading.first = first;
	cfg = parser();
	if (cfg_parse_buf(cfg, text) != CFG_SUCCESS)
		die("%s: cannot parse it", path);
	cfg_free(cfg);
	free(text);
	drop_known(c, first);
	return true;
}

bool conf_read(struct conf *c, const char *path)
{
	return read_file(c, path, false);
}

const char *conf_loaded_path(void)
{
	static char path[64];

	snprintf(path, sizeof(path), CONF_LOADED, (unsigned)geteuid());
	return path;
}

void conf_read_all(struct conf *c, const char *given)
{
	if (given) {
		if (!conf_read(c, given))
			die("%s: %s", given, strerror(ENOENT));
		return;
	}
	read_file(c, conf_loaded_path(), true);
	conf_read(c, CONF_PATH);
}

const struct conf_vm *conf_find(const struct conf *c, const char *name)
{
	unsigned i;

	for (i = 0; i < c->count; i++)
		if (!strcmp(c->vms[i].name, name))
			return &c->vms[i];
	return NULL;
}
