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
/* For an emulator that has forgotten that an interrupt is pending. */
void apic_look_again(void);
/* INIT, SIPI, SIPI: the core starts at low_page in real mode. */
void apic_start_cpu(u32 apic_id, u64 low_page);

#endif
