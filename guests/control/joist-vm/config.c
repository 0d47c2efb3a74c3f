/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * config.c -- the options that describe disks and network cards, and the
 * files, taps and bridges behind them.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/if_tun.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "config.h"
#include "guests/control/lib/err.h"
#include "identity.h"
#include "lock.h"
#include "storage.h"

#define TUN		"/dev/net/tun"

/* The value of "NAME=value", or NULL if it is not that. */
static char *value_of(char *word, const char *name)
{
	size_t len = strlen(name);

	if (strncmp(word, name, len) || word[len] != '=')
		return NULL;
	return word + len + 1;
}

/* ---- disks ---- */

void disk_parse(struct vm_config *cfg, char *text)
{
	struct disk *d = &cfg->disk[cfg->disks];
	char *word, *value;

	if (cfg->disks == VM_DISKS)
		die_usage("--disk '%s': a VM can have %d disks", text,
			  VM_DISKS);
	d->path = strsep(&text, ",");
	if (!*d->path)
		die_usage("--disk: the path is empty");
	snprintf(d->serial, sizeof(d->serial), "disk%u", cfg->disks);
	while ((word = strsep(&text, ","))) {
		value = value_of(word, "serial");
		if (value) {
			if (!*value || strlen(value) > BLK_SERIAL)
				die_usage("--disk %s: serial '%s': it has 1 "
					  "to %d characters", d->path, value,
					  BLK_SERIAL);
			strcpy(d->serial, value);
		} else if ((value = value_of(word, "format"))) {
			if (strcmp(value, "raw") && !storage_knows(value))
				die_usage("--disk %s: format '%s': it is "
					  STORAGE_FORMATS, d->path, value);
			d->format = strcmp(value, "raw") ? value : NULL;
		} else if ((value = value_of(word, "backing"))) {
			if (!*value || d->backings == DISK_BACKINGS)
				die_usage("--disk %s: backing '%s': it is the "
					  "path of a file below the image, up "
					  "to %d times", d->path, value,
					  DISK_BACKINGS);
			d->backing[d->backings++].path = value;
		} else if (!strcmp(word, "ro")) {
			d->read_only = true;
		} else if (!strcmp(word, "cd")) {
			d->cd = d->read_only = true;
		} else {
			die_usage("--disk %s: '%s': it is 'ro', 'cd', "
				  "'serial=TEXT', 'format=FORMAT' or "
				  "'backing=FILE'", d->path, word);
		}
	}
	if (d->backings && !d->format)
		die_usage("--disk %s: backing '%s': of an image with a format "
			  "only", d->path, d->backing[0].path);
	cfg->disks++;
}

/*
 * A block device that the guest writes to is claimed: the kernel refuses if it
 * or a partition of it is mounted, is swap or part of another device, and keeps
 * it from that until we are gone.  What is only read may be in use.
 */
static int disk_flags(const struct disk *d)
{
	struct stat st;

	if (d->read_only)
		return O_RDONLY;
	if (!stat(d->path, &st) && S_ISBLK(st.st_mode))
		return O_RDWR | O_EXCL;
	return O_RDWR;
}

/* A number in bytes about the device's queue; 0: none there. */
static u32 queue_number(dev_t dev, const char *name)
{
	static const char *const places[] = { "", "../" };	/* a partition's */
	unsigned long long v = 0;
	char path[128];
	unsigned i;
	FILE *f;

	for (i = 0; i < ARRAY_SIZE(places); i++) {
		snprintf(path, sizeof(path), "/sys/dev/block/%u:%u/%squeue/%s",
			 major(dev), minor(dev), places[i], name);
		f = fopen(path, "re");
		if (!f)
			continue;
		if (fscanf(f, "%llu", &v) != 1)
			v = 0;
		fclose(f);
		break;
	}
	return (u32)MIN(v, (unsigned long long)UINT32_MAX);
}

static void describe_device(struct disk *d, dev_t dev)
{
	struct disk_device *v = &d->device;
	unsigned block = BLK_SECTOR, io_min = 0, io_best = 0;
	int align = 0;

	ioctl(d->fd, BLKPBSZGET, &block);
	ioctl(d->fd, BLKALIGNOFF, &align);
	ioctl(d->fd, BLKIOMIN, &io_min);
	ioctl(d->fd, BLKIOOPT, &io_best);
	*v = (struct disk_device){
		.is = true, .block = block, .io_min = io_min,
		.io_best = io_best, .align = align > 0 ? (u32)align : 0,
	};
	if (queue_number(dev, "discard_max_bytes"))
		v->discard = queue_number(dev, "discard_granularity");
}

/*
 * The daemon opens it again, from another directory, and locks it as it sees
 * fit; but what is below an image it would let others write to.
 */
static void image_open(struct disk *d)
{
	struct disk_file *f;

	d->fd = -1;
	d->image.fd = open(d->path, (d->read_only ? O_RDONLY : O_RDWR) |
			   O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	d->image.path = realpath(d->path, NULL);
	if (d->image.fd < 0 || !d->image.path)
		die("disk %s: %s", d->path, strerror(errno));
	if (strchr(d->image.path, ','))
		die("disk %s: a comma in '%s'", d->path, d->image.path);
	d->path = d->image.path;
	for (f = d->backing; f < d->backing + d->backings; f++) {
		f->fd = open(f->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK |
			     O_NOCTTY);
		if (f->fd < 0)
			die("disk %s: backing %s: %s", d->path, f->path,
			    strerror(errno));
		file_lock(f->fd, true, "disk", f->path);
	}
}

static void disk_open(struct disk *d)
{
	struct stat st;
	off_t size;

	if (d->format) {
		image_open(d);
		return;
	}
	d->fd = open(d->path, disk_flags(d) | O_CLOEXEC | O_NONBLOCK |
		     O_NOCTTY);
	if (d->fd < 0 && errno == EBUSY)
		die("disk %s: in use on this machine (mounted?), or by another "
		    "VM", d->path);
	if (d->fd < 0)
		die("disk %s: %s%s", d->path, strerror(errno),
		    errno == EACCES || errno == EROFS || errno == EPERM ?
		    " (',ro' would open it for reading only)" : "");
	if (fstat(d->fd, &st) < 0 ||
	    (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode)))
		die("disk %s: neither a regular file nor a block device",
		    d->path);
	/* That was for pipes; io_uring would give up instead of waiting. */
	fcntl(d->fd, F_SETFL, fcntl(d->fd, F_GETFL) & ~O_NONBLOCK);
	size = lseek(d->fd, 0, SEEK_END);
	if (size < 0)
		die("disk %s: size: %s", d->path, strerror(errno));
	if (size < (off_t)BLK_SECTOR)
		die("disk %s: smaller than a sector (%lld bytes)", d->path,
		    (long long)size);
	d->size = (u64)size;
	if (S_ISBLK(st.st_mode))
		describe_device(d, st.st_rdev);
	/* Two VMs that write to one image ruin it. */
	file_lock(d->fd, d->read_only, "disk", d->path);
}

void disks_open(struct vm_config *cfg)
{
	unsigned i;

	for (i = 0; i < cfg->disks; i++)
		disk_open(&cfg->disk[i]);
}

/* ---- network cards ---- */

static void mac_parse(u8 mac[NET_MAC], const char *text)
{
	unsigned b[NET_MAC], i;
	int end = -1;

	if (strlen(text) != 17 ||
	    sscanf(text, "%2x:%2x:%2x:%2x:%2x:%2x%n", &b[0], &b[1], &b[2],
		   &b[3], &b[4], &b[5], &end) != NET_MAC || end != 17)
		die_usage("--net: mac '%s': not an address such as "
			  "4a:6f:12:34:56:78", text);
	if (b[0] & 1)
		die_usage("--net: mac '%s': a group's address, not a card's",
			  text);
	for (i = 0; i < NET_MAC; i++)
		mac[i] = (u8)b[i];
}

static unsigned pairs_parse(const char *value)
{
	char *end;
	unsigned long v = strtoul(value, &end, 10);

	if (*value < '0' || *value > '9' || *end || v < 1 || v > NET_PAIRS)
		die_usage("--net: queues '%s': it is 1 to %d", value,
			  NET_PAIRS);
	return (unsigned)v;
}

static const char *if_name(char *value)
{
	if (!*value || strlen(value) >= IFNAMSIZ || strpbrk(value, "/% "))
		die_usage("--net: '%s' cannot be an interface's name", value);
	return value;
}

/* The rest of it is looked at by joist-net. */
static void forward_add(struct nic *n, const char *value)
{
	if (n->forwards == NET_FORWARDS)
		die_usage("--net: forward '%s': a card can have %d", value,
			  NET_FORWARDS);
	n->forward[n->forwards++] = value;
}

void nic_parse(struct vm_config *cfg, char *text)
{
	struct nic *n = &cfg->nic[cfg->nics];
	char *word, *value;

	if (cfg->nics == VM_NICS)
		die_usage("--net '%s': a VM can have %d network cards", text,
			  VM_NICS);
	n->pairs = 1;
	while ((word = strsep(&text, ","))) {
		if ((value = value_of(word, "tap")))
			n->tap = if_name(value);
		else if ((value = value_of(word, "bridge")))
			n->bridge = if_name(value);
		else if ((value = value_of(word, "mac")))
			mac_parse(n->mac, value);
		else if ((value = value_of(word, "queues")))
			n->pairs = pairs_parse(value);
		else if (!strcmp(word, "allow"))
			n->allow = true;
		else if (!strcmp(word, "user"))
			n->user = true;
		else if (!strcmp(word, "loopback"))
			n->loopback = true;
		else if ((value = value_of(word, "forward")))
			forward_add(n, value);
		else
			die_usage("--net: '%s': it is tap=NAME, bridge=NAME, "
				  "user, mac=MAC, queues=N, allow, "
				  "loopback or forward=PORT", word);
	}
	if (!!n->tap + !!n->bridge + n->user != 1)
		die_usage("--net: either tap=NAME, bridge=NAME or user");
	if (n->forwards && !n->user)
		die_usage("--net: forward '%s': of a user network only",
			  n->forward[0]);
	if (n->loopback && !n->user)
		die_usage("--net: loopback: of a user network only");
	if (n->pairs > 1 && n->user)
		die_usage("--net: queues '%u': a user network has one",
			  n->pairs);
	cfg->nics++;
}

/*
 * A bridge takes the smallest MTU of its ports, unless it was given one: ours
 * must not be a reason.  Nor is the tap to have addresses of the host, which a
 * guest could talk to; where IPv6 is off or not ours to set there is no harm.
 */
static void port_prepare(int s, const struct nic *n, const struct ifreq *tap)
{
	struct ifreq ifr = { 0 };
	char path[80];
	int fd;

	/* What is none is refused next, by the kernel. */
	snprintf(path, sizeof(path), "/sys/class/net/%.15s/bridge", n->bridge);
	if (access(path, F_OK))
		return;
	snprintf(ifr.ifr_name, IFNAMSIZ, "%s", n->bridge);
	if (ioctl(s, SIOCGIFMTU, &ifr) < 0)
		die("bridge %s: %s", n->bridge, strerror(errno));
	memcpy(ifr.ifr_name, tap->ifr_name, IFNAMSIZ);
	if (ioctl(s, SIOCSIFMTU, &ifr) < 0)
		warn_msg("tap %s: MTU %d: %s", tap->ifr_name, ifr.ifr_mtu,
			 strerror(errno));
	snprintf(path, sizeof(path), "/proc/sys/net/ipv6/conf/%.15s/"
		 "disable_ipv6", tap->ifr_name);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	if (write(fd, "1", 1) != 1)
		warn_msg("tap %s: IPv6 stays on: %s", tap->ifr_name,
			 strerror(errno));
	close(fd);
}

/* Bring the interface up; into a bridge, if one is named. */
static void if_up(const struct nic *n, struct ifreq *ifr)
{
	struct ifreq br = { 0 };
	int s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (s < 0)
		die("socket: %s", strerror(errno));
	if (n->bridge) {
		port_prepare(s, n, ifr);
		snprintf(br.ifr_name, IFNAMSIZ, "%s", n->bridge);
		br.ifr_ifindex = (int)if_nametoindex(ifr->ifr_name);
		if (ioctl(s, SIOCBRADDIF, &br) < 0)
			die("bridge %s: %s", n->bridge,
			    errno == EOPNOTSUPP ? "not a bridge" :
			    strerror(errno));
	}
	if (ioctl(s, SIOCGIFFLAGS, ifr) < 0)
		die("tap %s: %s", ifr->ifr_name, strerror(errno));
	/* A tap made for us by somebody else may be up already. */
	if ((ifr->ifr_flags & IFF_UP) != IFF_UP) {
		ifr->ifr_flags |= IFF_UP;
		if (ioctl(s, SIOCSIFFLAGS, ifr) < 0)
			die("tap %s: cannot bring it up: %s", ifr->ifr_name,
			    strerror(errno));
	}
	close(s);
}

static void user_open(struct nic *n)
{
	int pair[2];

	/* Packets stay whole, as in a tap. */
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) ||
	    fcntl(pair[0], F_SETFL, O_NONBLOCK))
		die("user network: %s", strerror(errno));
	n->fd[0] = pair[0];
	n->far = pair[1];
}

/* A queue of the tap in ifr, which is made if it is not there. */
static int tap_open(struct ifreq *ifr)
{
	int fd = open(TUN, O_RDWR | O_CLOEXEC | O_NONBLOCK);
	int header = NET_HEADER;

	if (fd < 0)
		die(TUN ": %s", strerror(errno));
	if (ioctl(fd, TUNSETIFF, ifr) < 0)
		die("tap %s: %s", ifr->ifr_name,
		    errno == EBUSY ? "in use" :
		    errno == EINVAL ? "there is an interface of that name "
				      "that is not such a tap" :
		    strerror(errno));
	if (ioctl(fd, TUNSETVNETHDRSZ, &header) < 0)
		die("tap %s: header: %s", ifr->ifr_name, strerror(errno));
	return fd;
}

/* Of a tap with several queues another VM could open some, too. */
static void not_shared(const struct nic *n, const struct ifreq *ifr)
{
	char path[64];

	snprintf(path, sizeof(path), "/sys/class/net/%.15s/queues/tx-%u",
		 ifr->ifr_name, n->pairs);
	if (!access(path, F_OK))
		die("tap %s: in use", ifr->ifr_name);
}

static void nic_open(struct nic *n)
{
	const char *name = n->tap ? n->tap : "joist%d";
	struct ifreq ifr = { 0 };
	unsigned i;

	ifr.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR;
	if (n->pairs > 1)
		ifr.ifr_flags |= IFF_MULTI_QUEUE;
	memcpy(ifr.ifr_name, name, strlen(name));
	for (i = 0; i < n->pairs; i++)
		n->fd[i] = tap_open(&ifr);
	if (n->pairs > 1)
		not_shared(n, &ifr);
	if_up(n, &ifr);
}

void nics_open(struct vm_config *cfg)
{
	static const u8 none[NET_MAC];
	struct nic *n;

	for (n = cfg->nic; n < cfg->nic + cfg->nics; n++) {
		if (!memcmp(n->mac, none, NET_MAC))
			identity_mac(n->mac, cfg->salt, cfg->name,
				     (unsigned)(n - cfg->nic));
		if (n->user)
			user_open(n);
		else
			nic_open(n);
	}
}
