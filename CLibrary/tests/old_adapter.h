/* SPDX-License-Identifier: Apache-2.0
 *
 * What the driver in old_adapter.c shares with its adapter and with who gives it commands. */

#ifndef OLD_ADAPTER_H
#define OLD_ADAPTER_H

#include <linux/types.h>

#define ADAPTER_VENDOR 0x1af4
#define ADAPTER_DEVICE 0x0077
#define ADAPTER_DOORBELL 0x00
#define ADAPTER_STATUS 0x08
#define ADAPTER_SEGMENTS 16

#define BLOCK_BUSY 0
#define BLOCK_GOOD 1
#define BLOCK_BAD 2

/* In consistent memory. The first byte of `cdb` says what to do: 8 fills the memory with the second, 10
 * sums the memory up, 0 does nothing. */
struct adapter_block {
  u8 cdb[12];
  u32 sg_count;
  struct {
    u64 address;
    u32 length;
    u32 reserved;
  } sg[ADAPTER_SEGMENTS];
  u64 cookie;
  u32 status;
  u32 sum;
};

typedef struct scsi_cmnd {
  u8 cmnd[12];
  unsigned char sc_data_direction;
  void *request_buffer;
  unsigned int request_bufflen;
  unsigned short use_sg;
  unsigned short use_page;
  int result;
  void (*scsi_done)(struct scsi_cmnd *);
} Scsi_Cmnd;

int adapter_queue(Scsi_Cmnd *cmd, void (*done)(Scsi_Cmnd *));

#endif
