/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * identity.c -- VMs of one name on two hosts are two: what is derived from a
 * name is derived from the host, too, and stays the same there.
 */
#include <stdio.h>
#include <string.h>

#include "identity.h"

/* Guests see what follows from it: no more than half of the id is in it. */
u64 identity_salt(const char *path)
{
	FILE *f = fopen(path, "re");
	u64 h = 0xcbf29ce484222325ull;		/* FNV-1a */
	char id[33];

	if (!f)
		return 0;
	if (!fgets(id, sizeof(id), f) || strspn(id, "0123456789abcdef") != 32)
		h = 0;
	fclose(f);
	if (!h)
		return 0;
	for (const char *p = id; *p; p++)
		h = (h ^ (u8)*p) * 0x100000001b3ull;
	return h;
}

void identity_mac(u8 mac[NET_MAC], u64 salt, const char *name, unsigned index)
{
	u32 h = 2166136261u ^ (u32)(salt ^ salt >> 32);	/* FNV-1a */

	while (*name)
		h = (h ^ (u8)*name++) * 16777619u;
	h = (h ^ index) * 16777619u;
	mac[0] = 0x4a;
	mac[1] = 0x6f;
	put32(mac + 2, h);
}
