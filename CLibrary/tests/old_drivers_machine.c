/* SPDX-License-Identifier: Apache-2.0
 *
 * Machines for the drivers in old_ring.c, old_adapter.c and old_sound.c: loads all three over each
 * mapping, works with them, and unloads them. Nothing may be found, guarded or not. */

#include "check.h"
#include "old_adapter.h"

int ring_start_xmit(struct sk_buff *skb, int number);
struct sk_buff *ring_receive(void);
void ring_get_stats(unsigned long *tx, unsigned long *rx, unsigned long *errors,
                    unsigned long *copied);
int sound_open(int minor);
void sound_release(int minor);
int sound_write(int minor, const char *user, int count);
int sound_read(int minor, char *user, int count);
extern unsigned int sound_periods;

/* --- The adapter: a block's pieces are filled or summed up --- */

static unsigned int adapter_status;

static uint64_t adapter_read(void *context, struct swiftdma_model *model, unsigned int offset,
                             unsigned int size) {
  (void)context;
  (void)model;
  (void)size;
  return offset == ADAPTER_STATUS ? adapter_status : 0;
}
static void adapter_step(void *context, struct swiftdma_model *model, uint64_t address) {
  static struct adapter_block block;
  static u8 bytes[65536];
  (void)context;
  CHECK(swiftdma_model_read(model, address, &block, sizeof(block)) == 0);
  block.status = BLOCK_GOOD;
  for (u32 piece = 0; piece < block.sg_count && piece < ADAPTER_SEGMENTS; piece++) {
    u32 length = block.sg[piece].length;
    if (length > sizeof(bytes)) block.status = BLOCK_BAD;
    if (block.status == BLOCK_BAD) break;
    int error = 0;
    if (block.cdb[0] == 8) {
      memset(bytes, block.cdb[1], length);
      error = swiftdma_model_write(model, block.sg[piece].address, bytes, length);
    } else if (block.cdb[0] == 10) {
      error = swiftdma_model_read(model, block.sg[piece].address, bytes, length);
      for (u32 index = 0; index < length; index++) block.sum += bytes[index];
    }
    if (error != 0) block.status = BLOCK_BAD;
  }
  if (block.cdb[0] == 10 && block.sum != 0x100u * block.cdb[1]) block.status = BLOCK_BAD;
  CHECK(swiftdma_model_write(model, address + offsetof(struct adapter_block, status), &block.status, 8) == 0);
  adapter_status = 1;
  swiftdma_model_interrupt(model);
}
static void adapter_write(void *context, struct swiftdma_model *model, unsigned int offset,
                          unsigned int size, uint64_t value) {
  (void)context;
  (void)size;
  if (offset == ADAPTER_STATUS) adapter_status = 0;
  if (offset == ADAPTER_DOORBELL) CHECK(swiftdma_model_schedule(model, 20000, value) == 0);
}

static int finished, failed;
static void command_done(Scsi_Cmnd *cmd) {
  finished++;
  if (cmd->result != 0) failed++;
}

static void work_with_adapter(void) {
  enum { count = 40 };
  static Scsi_Cmnd commands[count];
  static struct scatterlist lists[count][4];
  finished = failed = 0;
  memset(commands, 0, sizeof(commands));
  memset(lists, 0, sizeof(lists));
  for (int index = 0; index < count; index++) {
    Scsi_Cmnd *cmd = &commands[index];
    /* Reads fill 1024 bytes; writes are summed up: 256 bytes of the number, or 4 times 64. */
    int is_read = index % 2 == 0;
    u32 size = is_read ? 1024 : 256;
    cmd->cmnd[0] = is_read ? 8 : 10;
    cmd->cmnd[1] = (u8)index;
    cmd->sc_data_direction = is_read ? SCSI_DATA_READ : SCSI_DATA_WRITE;
    cmd->request_bufflen = size;
    if (index % 5 == 4) {
      cmd->cmnd[0] = 0;
      cmd->sc_data_direction = SCSI_DATA_NONE;
      cmd->request_bufflen = 0;
    } else if (index % 3 == 0) {
      cmd->use_sg = 4;
      for (int piece = 0; piece < 4; piece++) {
        lists[index][piece].address = kmalloc(size / 4, GFP_KERNEL);
        lists[index][piece].length = size / 4;
        memset(lists[index][piece].address, index, size / 4);
      }
      cmd->request_buffer = lists[index];
    } else {
      cmd->use_page = index % 3 == 1;
      cmd->request_buffer = kmalloc(size, GFP_KERNEL);
      memset(cmd->request_buffer, index, size);
    }
    CHECK(adapter_queue(cmd, command_done) == 0);
  }
  for (int tries = 0; tries < 1000 && finished < count; tries++) udelay(100);
  CHECK(finished == count && failed == 0);
  for (int index = 0; index < count; index++) {
    Scsi_Cmnd *cmd = &commands[index];
    if (cmd->use_sg != 0) {
      for (int piece = 0; piece < 4; piece++) {
        CHECK((u8)lists[index][piece].address[lists[index][piece].length - 1] == index);
        kfree(lists[index][piece].address);
      }
    } else if (cmd->request_buffer != NULL) {
      CHECK(((u8 *)cmd->request_buffer)[cmd->request_bufflen - 1] == index);
      kfree(cmd->request_buffer);
    }
  }
}

static void work_with_ring(struct pci_dev *dev) {
  u8 frame[1536];
  unsigned long tx, rx, errors, copied;
  for (int index = 0; index < 100; index++) {
    unsigned int size = 40 + (unsigned int)index * 14;
    struct sk_buff *skb = dev_alloc_skb(size);
    memset(skb_put(skb, size), index, size);
    int error, tries = 0;
    while ((error = ring_start_xmit(skb, 0)) == 1 && tries++ < 1000) udelay(10);
    CHECK(error == 0);
    memset(frame, index, sizeof(frame));
    CHECK(swiftdma_network_deliver(dev, frame, size, index % 10 == 9) == 0);
    mdelay(1);
    CHECK(swiftdma_network_take(dev, frame, sizeof(frame)) == (int)size && frame[size - 1] == index);
    skb = ring_receive();
    CHECK((skb == NULL) == (index % 10 == 9));
    if (skb != NULL) {
      CHECK(skb->len == size && skb->data[0] == index && skb->data[size - 1] == index);
      kfree_skb(skb);
    }
  }
  ring_get_stats(&tx, &rx, &errors, &copied);
  CHECK(tx == 100 && rx == 90 && errors == 10 && copied == 11);
}

static void work_with_sound(void) {
  char played[1000], recorded[1000];
  CHECK(sound_open(1) == -ENODEV && sound_open(0) == 0 && sound_open(0) == -EBUSY);
  for (int index = 0; index < 9; index++) {
    memset(played, index + 1, sizeof(played));
    memset(recorded, 0, sizeof(recorded));
    CHECK(sound_write(0, played, 1000) == 1000 && sound_read(0, recorded, 1000) == 1000);
    CHECK(memcmp(played, recorded, 1000) == 0);
  }
  CHECK(sound_write(0, NULL, 10) == -EFAULT);
  sound_release(0);
  CHECK(sound_periods == 18);
}

int main(void) {
  swiftdma_set_log(drop_message, NULL);
  for (int index = 0; index < 2 * SETUP_COUNT; index++) {
    const struct setup *setup = &setups[index / 2];
    struct swiftdma_machine *machine = make_machine(setup, 0);
    struct swiftdma_model_options model;
    struct pci_dev *adapter, *card;
    start_checker(machine, SWIFTDMA_CHECK_CONTENT);
    if (index % 2 != 0) CHECK(swiftdma_guard_start(machine) == 0);
    memset(&model, 0, sizeof(model));
    model.struct_size = sizeof(model);
    model.vendor = ADAPTER_VENDOR;
    model.device = ADAPTER_DEVICE;
    model.class_code = PCI_CLASS_STORAGE_SCSI << 8;
    model.bar_size = 4096;
    model.read = adapter_read;
    model.write = adapter_write;
    model.step = adapter_step;
    CHECK(swiftdma_model_add(machine, &model, &adapter) == 0);
    card = add_device(machine, SWIFTDMA_NETWORK_CARD);
    (void)add_device(machine, SWIFTDMA_EDU);
    adapter_status = 0;
    sound_periods = 0;
    CHECK(swiftdma_modules_init() == 0);
    work_with_adapter();
    work_with_ring(card);
    work_with_sound();
    swiftdma_modules_exit();
    CHECK(swiftdma_checker_finish(machine) == 0);
    for (int number = 0; number < seen_count; number++) {
      fprintf(stderr, "%s: %s\n", setup->name, seen[number].text);
    }
    CHECK(swiftdma_machine_destroy(machine) == 0);
  }
  return result("three drivers of the time");
}
