/* SPDX-License-Identifier: Apache-2.0
 *
 * A SCSI adapter: commands are mailboxes in consistent memory, their data a scatter list whose
 * direction is the command's. The adapter here is a model in C below the driver: a disk of zeroes. */

#include "example.h"

#define SEGMENTS 128
#define MAILBOX_DOORBELL 0x00
#define MAILBOX_ADDRESS 0x08
#define BLOCK 512

/* What driver and adapter share. */
struct segment {
  u64 address;
  u32 length;
  u32 reserved;
};
struct mailbox {
  u32 operation;
  u32 block;
  u32 segment_count;
  volatile u32 status;
  struct segment segments[SEGMENTS];
};
#define OPERATION_NONE 0
#define OPERATION_READ 1
#define OPERATION_WRITE 2
#define STATUS_BUSY 0
#define STATUS_GOOD 1
#define STATUS_ERROR 2

/* --- The driver --- */

struct scsi_command {
  unsigned char sc_data_direction;
  u32 operation;
  u32 block;
  struct scatterlist *request_buffer;
  int use_sg;
  int result;
};

struct adapter {
  struct pci_dev *pdev;
  char *registers;
  struct mailbox *mailbox;
  dma_addr_t mailbox_dma;
  struct scsi_command *active;
  int direction;
  wait_queue_head_t done;
};

static struct adapter *the_adapter;

static int queue_command(struct adapter *adapter, struct scsi_command *command) {
  struct mailbox *mailbox = adapter->mailbox;
  int count = 0;
  adapter->direction = scsi_to_pci_dma_dir(command->sc_data_direction);
  if (command->use_sg > 0) {
    count = pci_map_sg(adapter->pdev, command->request_buffer, command->use_sg, adapter->direction);
    if (count == 0) return -EIO;
    struct scatterlist *sg = command->request_buffer;
    for (int index = 0; index < count; index++, sg++) {
      mailbox->segments[index].address = sg_dma_address(sg);
      mailbox->segments[index].length = sg_dma_len(sg);
    }
  }
  mailbox->operation = command->operation;
  mailbox->block = command->block;
  mailbox->segment_count = (u32)count;
  mailbox->status = STATUS_BUSY;
  adapter->active = command;
  writel(1, adapter->registers + MAILBOX_DOORBELL);
  return 0;
}

static void adapter_interrupt(int irq, void *devid, struct pt_regs *regs) {
  struct adapter *adapter = devid;
  struct scsi_command *command = adapter->active;
  (void)irq;
  (void)regs;
  if (command == NULL || adapter->mailbox->status == STATUS_BUSY) return;
  rmb();
  /* As many entries as were mapped, not as many as the adapter was given. */
  if (command->use_sg > 0) {
    pci_unmap_sg(adapter->pdev, command->request_buffer, command->use_sg, adapter->direction);
  }
  command->result = adapter->mailbox->status == STATUS_GOOD ? 0 : -EIO;
  adapter->active = NULL;
  wake_up(&adapter->done);
}

static int execute(struct adapter *adapter, struct scsi_command *command) {
  int error = queue_command(adapter, command);
  if (error != 0) return error;
  wait_event(&adapter->done, adapter->active == NULL);
  return command->result;
}

static int adapter_probe(struct pci_dev *pdev, const struct pci_device_id *id) {
  (void)id;
  struct adapter *adapter = kmalloc(sizeof(*adapter), GFP_KERNEL);
  if (adapter == NULL) return -ENOMEM;
  memset(adapter, 0, sizeof(*adapter));
  adapter->pdev = pdev;
  init_waitqueue_head(&adapter->done);
  pci_enable_device(pdev);
  pci_set_master(pdev);
  adapter->registers = ioremap(pci_resource_start(pdev, 0), pci_resource_len(pdev, 0));
  adapter->mailbox = pci_alloc_consistent(pdev, sizeof(struct mailbox), &adapter->mailbox_dma);
  if (adapter->mailbox == NULL || request_irq(pdev->irq, adapter_interrupt, 0, "scsi", adapter) != 0) {
    return -ENOMEM;
  }
  writeq(adapter->mailbox_dma, adapter->registers + MAILBOX_ADDRESS);
  pci_set_drvdata(pdev, adapter);
  the_adapter = adapter;
  return 0;
}

static void adapter_remove(struct pci_dev *pdev) {
  struct adapter *adapter = pci_get_drvdata(pdev);
  free_irq(pdev->irq, adapter);
  pci_disable_device(pdev);
  pci_free_consistent(pdev, sizeof(struct mailbox), adapter->mailbox, adapter->mailbox_dma);
  iounmap(adapter->registers);
  kfree(adapter);
}

static const struct pci_device_id adapter_ids[] = {{PCI_DEVICE(0x1af4, 0x5c51)},
                                                   {0, 0, 0, 0, 0, 0, 0}};
static struct pci_driver adapter_driver;

/* --- The adapter --- */

static struct {
  u64 mailbox;
  u8 blocks[512 * BLOCK];
} disk;

static void disk_write(void *context, struct swiftdma_model *model, unsigned int offset,
                       unsigned int size, uint64_t value) {
  (void)context;
  (void)size;
  if (offset == MAILBOX_ADDRESS) disk.mailbox = value;
  if (offset == MAILBOX_DOORBELL) swiftdma_model_schedule(model, 5000, 0);
}

static void disk_step(void *context, struct swiftdma_model *model, uint64_t tag) {
  struct mailbox box;
  u32 status = STATUS_GOOD;
  (void)context;
  (void)tag;
  swiftdma_model_read(model, disk.mailbox, &box, sizeof(box));
  size_t place = (size_t)box.block * BLOCK;
  for (u32 index = 0; index < box.segment_count && index < SEGMENTS; index++) {
    struct segment *segment = &box.segments[index];
    if (place + segment->length > sizeof(disk.blocks)) {
      status = STATUS_ERROR;
      break;
    }
    int error = box.operation == OPERATION_READ
                    ? swiftdma_model_write(model, segment->address, disk.blocks + place, segment->length)
                    : swiftdma_model_read(model, segment->address, disk.blocks + place, segment->length);
    if (error != 0) status = STATUS_ERROR;
    place += segment->length;
  }
  swiftdma_model_write(model, disk.mailbox + offsetof(struct mailbox, status), &status, 4);
  swiftdma_model_interrupt(model);
}

/* --- Commands of every kind --- */

static void transfer(int segment_count, unsigned char direction, u32 operation, u32 block, u8 seed,
                     u8 *pages[]) {
  struct scatterlist list[SEGMENTS];
  struct scsi_command command;
  memset(list, 0, sizeof(list));
  memset(&command, 0, sizeof(command));
  for (int index = 0; index < segment_count; index++) {
    list[index].address = (char *)pages[index];
    list[index].length = BLOCK;
    if (operation == OPERATION_WRITE) memset(pages[index], seed + index, BLOCK);
    if (operation == OPERATION_READ) memset(pages[index], 0xee, BLOCK);
  }
  command.sc_data_direction = direction;
  command.operation = operation;
  command.block = block;
  command.request_buffer = list;
  command.use_sg = segment_count;
  EXPECT(execute(the_adapter, &command) == 0);
  for (int index = 0; index < segment_count; index++) {
    EXPECT(pages[index][0] == (u8)(seed + index) && pages[index][BLOCK - 1] == (u8)(seed + index));
  }
}

int main(int count, char **arguments) {
  struct swiftdma_machine *machine = example_machine(count, arguments, 0);
  struct swiftdma_model_options model;
  struct pci_dev *pdev;
  memset(&model, 0, sizeof(model));
  model.struct_size = sizeof(model);
  model.vendor = 0x1af4;
  model.device = 0x5c51;
  model.class_code = 0x010000;
  model.bar_size = 64;
  model.write = disk_write;
  model.step = disk_step;
  EXPECT(swiftdma_model_add(machine, &model, &pdev) == 0);
  adapter_driver.name = "scsi";
  adapter_driver.id_table = adapter_ids;
  adapter_driver.probe = adapter_probe;
  adapter_driver.remove = adapter_remove;
  EXPECT(pci_module_init(&adapter_driver) == 0);

  u8 *pages[SEGMENTS];
  for (int index = 0; index < SEGMENTS; index++) {
    pages[index] = (u8 *)__get_free_page(GFP_KERNEL);
  }
  static const int counts[] = {1, 2, 3, 17, 64, 128};
  for (unsigned int index = 0; index < ARRAY_SIZE(counts); index++) {
    u8 seed = (u8)(index * 16 + 1);
    transfer(counts[index], SCSI_DATA_WRITE, OPERATION_WRITE, index, seed, pages);
    transfer(counts[index], SCSI_DATA_READ, OPERATION_READ, index, seed, pages);
    transfer(counts[index], SCSI_DATA_UNKNOWN, OPERATION_READ, index, seed, pages);
  }
  transfer(0, SCSI_DATA_NONE, OPERATION_NONE, 0, 0, pages);
  for (int index = 0; index < SEGMENTS; index++) free_page((unsigned long)pages[index]);
  pci_unregister_driver(&adapter_driver);
  return example_end(machine);
}
