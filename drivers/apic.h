/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * apic.h -- the physical local APIC, as far as Joist itself touches it.
 */
#ifndef DRIVERS_APIC_H
#define DRIVERS_APIC_H

#include "core/types.h"

/* Maps the register page; the mode (xAPIC or x2APIC) is looked up at each
 * use, since the control VM may change it. */
void apic_init(void);
u32 apic_id(void);
void apic_send_nmi(u32 apic_id);
/* The performance counters' interrupt is an NMI, and has masked itself. */
bool apic_counter_masked(void);
/* For an emulator that has forgotten that an interrupt is pending. */
void apic_look_again(void);
/* This core's is in x2APIC mode; else an id above 254 cannot be sent to. */
bool apic_is_x2(void);
bool apic_x2_locked(void);
#define APIC_ID_MAX	254
/* INIT, 10 ms, SIPI, 200 us, SIPI: the core starts at low_page in real mode. */
void apic_send_init(u32 apic_id);
void apic_send_startup(u32 apic_id, u64 low_page);

#endif
